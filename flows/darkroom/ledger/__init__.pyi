from . import ignore_lines as ignore_lines
from .lock_text import Yaml as Yaml
from .unkept import Facts as Facts
from .unkept import Unkept as Unkept
from .writer import LockRecord as LockRecord
from .writer import LockWriter as LockWriter
