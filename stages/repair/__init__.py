"""Repairing pictures: what is missing is filled, noise removed, light and shadow opened.

filling: from the surroundings; inversion: from what a trained generator can draw
denoising: non-local means, by the noise that is measured; exposure: fusing with brighter and darker versions
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
