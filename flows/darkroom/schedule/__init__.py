"""Which stage runs and when: pure functions and one loop, without DVC, Prefect or processes.

plan: what will run, and why
scheduler: which stage starts next
pool: the resources of a host
executor: what a place must do in which commands run
attempts: which stages are started again
events: what a run reports while it goes on
history, estimate: how long stages took, and how long a run will take
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
