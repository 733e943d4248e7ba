"""What a host does that executes stages of runs planned elsewhere.

place: a host's own folder
execution: one attempt is claimed, executed in a folder of its own, and its result handed in
worker: a host that takes the attempts of a pool
cluster_job: a job of a cluster that takes one attempt
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
