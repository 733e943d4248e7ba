"""Detectors: Faster R-CNN, Fast R-CNN, R-CNN and SSD, lean enough for a CPU.

params: each by name; network: built, loaded and asked; backbones: feature maps
anchors: the boxes that they begin from; float32: what keeps boxes exact
proposals, regions: where boxes are looked for; roi_heads: what names and mends them; ssd: the one without
average_precision: COCO's figures of what was found
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
