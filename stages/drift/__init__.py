"""Drift: whether the pictures that come are still like those that a classifier was trained on.

reference: what `evaluate` keeps of the training pictures' features, and how far samples of val lie from them
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
