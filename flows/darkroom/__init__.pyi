from .base.errors import DarkroomError as DarkroomError
from .runs.engine import make_plan as make_plan
from .runs.engine import run_pipeline as run_pipeline
from .runs.report import RunOptions as RunOptions
from .runs.report import RunReport as RunReport
from .schedule.events import Event as Event
from .schedule.plan import Plan as Plan
