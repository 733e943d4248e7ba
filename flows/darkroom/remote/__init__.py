"""Stages executed on other hosts: the run that planned stays the only one that records.

orders: what is to be executed, and how it ended; board: the folder where both lie, each attempt by its token
watch: whether a host is lost; attempt: one attempt, as the run sees it; executor, capacity: all of a run
pools: which stages go where; code: commits for other hosts
execution: one attempt, as its host sees it; worker: a host that takes attempts; slurm: a cluster
that does, its jobs being cluster_job
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
