"""What a run reports to Prefect. It is written to disk and delivered by another process: no run waits.

letters: the single messages
outbox: the file in which they wait, in order, until they are delivered
stages: a run and its stages as letters
pipeline: a run that is recorded
deliverers: the processes that deliver letters
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
