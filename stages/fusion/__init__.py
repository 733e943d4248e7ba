"""Fusing pictures of one scene into one: reading, aligning, the methods, how well they do.

params: methods and alignments by name
groups, sets: which files are fused, and groups made here; files, pixels: 8 and 16 bits a channel
alignment: whether they lie on each other; methods: the fusing; activity: where a network looks
compositing: parts put together; metrics: how much of the sources is kept
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
