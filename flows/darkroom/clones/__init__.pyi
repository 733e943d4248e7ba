from . import child as child
from . import clone as clone
from . import garbage as garbage
from .child import PYTHONPATH_BEFORE as PYTHONPATH_BEFORE
from .clone import AUTHOR as AUTHOR
from .clone import Clone as Clone
from .clone import commit_results as commit_results
from .clone import held_clone as held_clone
