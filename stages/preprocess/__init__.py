"""The stage `preprocess`: pictures and boxes of any source, checked, split and packed.

stage: the whole; readers: every source by its word in params.yaml; fitting: sizes for `auto`
sorting, gathering: what may be used
duplicates, splitting: repeats, and which split each picture is in; scenes: boxes where none are given
packing, report, sheet: arrays on disk, what was found, what it looks like
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
