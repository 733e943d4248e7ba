"""One run of a pipeline, from its options to its report. All lower packages meet here.

engine: plans, schedules and records
report: what a run is asked to do, and what it reports
stage_work: what is done before and after a stage's command
local_executor: commands as processes of this host
checks: whether stages accept their parameters
attempt_table: a table of the attempts at stages on other hosts
ended, metrics: a run that has ended, and whether its metrics are better
unfinished: runs that ended badly
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
