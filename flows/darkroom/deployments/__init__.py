"""The flows that prefect.yaml names. They run by schedule, when data changes, or on request.

retrain, retrain_on_data, score, sweep: one flow each
steps: what the flows do in a clone, one process for each step
engine: runs the flows with Prefect's engine, and keeps them alive while the server is away
quiet: whether data that others write has stopped changing
search_space: the parameters that a sweep tries
leaderboard: the trials of a sweep, the best first
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
