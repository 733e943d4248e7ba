"""Releases of models as git tags: a new model replaces the released one only if it is better.

promotion: releases new results, or not
gate: the bounds in params.yaml
paired: two models compared on the same pictures
releases: the tags themselves, by GTO's convention, and `darkroom rollback`
models: brings the models of releases to this machine
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
