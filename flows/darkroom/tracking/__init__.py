"""What Prefect is told of a run: flow runs, artifacts and logs, sent by a thread that no stage waits for.

recorder: who records a run: pipeline with flow_runs under Prefect, unrecorded without it
recorded_executor: any executor, whose stages are recorded
outbox: what is told, in order; artifacts, journal, console: pages, a deployment's log, where that goes
living_runs: whether the process that records a run still lives
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
