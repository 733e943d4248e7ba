from .box_table import BoxTableParams as BoxTableParams
from .box_table import read_box_table as read_box_table
from .manifest import ManifestParams as ManifestParams
from .manifest import read_manifest as read_manifest
