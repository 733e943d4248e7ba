"""The stage `train-detector`.

stage: the whole; params; trainer: a step; validation: losses and precision on val
start: anchors, trained parts, pretrained weights; batches: what a step sees
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
