from . import ui as ui
from . import upkeep as upkeep
from .status import project_status as project_status
from .status import status_lines as status_lines
