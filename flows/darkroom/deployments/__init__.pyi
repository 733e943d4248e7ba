from .steps import StepFailedError as StepFailedError
from .sweep import SweepEnd as SweepEnd
from .sweep import on_end as on_end
from .sweep import on_line as on_line
from .sweep import run_sweep as run_sweep
