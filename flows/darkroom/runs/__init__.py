"""One run of a pipeline, from the options to the report: where all lower packages come together.

engine: plans, schedules and records; report: what is asked for, and what comes of it
stage_work: what is done with a stage before and after its command; local_executor: commands as processes here
checks: whether the parameters of what would run are valid
attempt_table: a table of what became of stages on other hosts
ended, metrics: a run that has ended, and whether its figures are better; unfinished: runs that ended badly
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
