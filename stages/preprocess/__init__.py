"""The stage `preprocess`: pictures and boxes from any source, checked, split and packed.

stage: the whole stage
readers: every source, by its name in params.yaml
fitting: sizes for `auto`
sorting, gathering: which pictures can be used
duplicates, splitting: repeated pictures, and the split of each picture
scenes: composed scenes, if the data has no boxes
packing, report, sheet: arrays on disk, a report of what was found, and a picture sheet
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
