"""What a run tells Prefect, written to disk and delivered by another process: no run waits for a server.

letters: what is told; outbox: the file that they stand in, in order, until they are delivered
stages: a run and its stages as letters; pipeline: a run that is recorded; deliverers: who delivers them
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
