"""Augmentation of training pictures, and of their boxes with them.

params: the transforms that params.yaml names
pipeline: the same as albumentations has them, with generators of their own
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
