from .scheduled import DEPLOYMENTS as DEPLOYMENTS
from .scheduled import add_schedule as add_schedule
from .stage import add_stage as add_stage
from .vision import TASKS as TASKS
from .vision import Wish as Wish
from .vision import make_project as make_project
