"""What a host does that executes stages of runs planned elsewhere.

execution: one attempt, claimed, executed in a folder of its own, handed in
worker: a host that takes attempts of a pool; cluster_job: a job of a cluster that takes one
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
