"""Fusing pictures of one scene into one: reading, aligning, fusing, and measuring the result.

params: methods and alignments by name
groups, sets: which files are fused, and groups that the stage makes itself
files, pixels: pictures with 8 and 16 bits a channel
alignment: whether the pictures are aligned
methods: the fusing
activity: where a network looks
compositing: pictures put together from parts
metrics: how much of the sources is kept
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
