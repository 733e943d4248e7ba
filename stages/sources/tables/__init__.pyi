from .box_table import read_box_table as read_box_table
from .manifest import read_manifest as read_manifest
from .params import BoxTableParams as BoxTableParams
from .params import ManifestParams as ManifestParams
from .table_file import SEPARATORS as SEPARATORS
