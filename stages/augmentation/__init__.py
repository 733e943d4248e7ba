"""Augmentation of training pictures and of their boxes.

params: the transforms that params.yaml names
pipeline: the same transforms as albumentations has them, with their own random generators
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
