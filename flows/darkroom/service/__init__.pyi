from . import ui as ui
from . import upkeep as upkeep
from .status import project_status as project_status
from .status import status_lines as status_lines
from .workers import DEPLOYMENTS as DEPLOYMENTS
from .workers import pools_of as pools_of
