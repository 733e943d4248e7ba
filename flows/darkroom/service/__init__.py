"""What `darkroom up` starts and keeps going: the server, the workers, deployments, notices.

upkeep: up and down; deploying, registered: what prefect.yaml deploys, and what workers may therefore run
server_process, worker_process, worker, workers: what goes on running; ui: `darkroom ui`
automations, notices: what the server does by itself, and whom it tells; status, flow_runs: what is going on
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
