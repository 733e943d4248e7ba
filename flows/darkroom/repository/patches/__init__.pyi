from .replacing import patched_dvc as patched_dvc
from .special_files import open_to_read as open_to_read
