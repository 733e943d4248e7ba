"""Which stage runs, and when: pure functions and one loop, without DVC, Prefect or processes.

plan: what will run and why; scheduler: which stage starts next; pool: what the host has to give
executor: what the place has to do where commands run; attempts: which stages are begun once more
events: what is told of a run; history, estimate: how long stages took, and how long a run will take
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
