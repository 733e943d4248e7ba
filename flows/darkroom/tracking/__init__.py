"""What Prefect is told: the letters of runs, delivered once each, and what a deployment's run tells itself.

recorder_process: the process that delivers; postman: which letters, in which order
to_database, run_rows, to_api: into the database of this process's own server, or to a server elsewhere
served: a server for what works under Prefect's engine; journal: what a deployment's flow run tells
delivery_queue, artifacts, console: requests from a thread that nobody waits for, artifacts, a flow run's log
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
