from .cluster_job import own_folder as own_folder
from .place import HostPlace as HostPlace
from .worker import Worker as Worker
