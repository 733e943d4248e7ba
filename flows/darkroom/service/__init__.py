"""What `darkroom up` starts and keeps running: the server, the workers, deployments and notices.

upkeep: `up` and `down`
deploying, registered: the deployments of prefect.yaml, and therefore what workers may run
server_process, worker_process, worker, workers: the long-running processes
ui: `darkroom ui`
automations, notices: what the server does by itself, and whom it notifies
status, flow_runs: what is running, due or stuck
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
