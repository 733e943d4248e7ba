"""What Prefect is told: the letters of runs, delivered once each, and the reports of a deployment's run.

recorder_process: the process that delivers letters
postman: which letters, in which order
to_database, run_rows, to_api: delivery into the database of this process's server, or to a server elsewhere
served: a server for flows under Prefect's engine
journal: what a deployment's flow run reports
delivery_queue: requests, sent from a thread for which nobody waits
artifacts, console: artifacts, and the log of a flow run
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
