"""The flows that prefect.yaml names: what runs by schedule, when data changes, or on request.

retrain, retrain_on_data, score, sweep: a flow each; steps: what they do in a clone, one process a step
engine: Prefect's engine for them, which a server that is away does not end
quiet: when data of others has come to rest; search_space, leaderboard: a sweep's trials, before and after
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
