"""Stages executed on other hosts, as the run sees it that planned: it stays the only one that records.

pools: which stages go where; attempt: one attempt, submitted and watched; watch: whether its host is lost
executor, capacity: all attempts of a run; following: what they print and what becomes of them
listing: the table of them; slurm: a cluster that takes attempts as jobs
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
