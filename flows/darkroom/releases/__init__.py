"""Releases of models as git tags: a new one takes the place of the old only where it is better.

promotion: what becomes of new results; gate: params.yaml's bounds; paired: two models on the same pictures
releases: the tags themselves, by GTO's convention, and `darkroom rollback`
models: what releases hold, brought here
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
