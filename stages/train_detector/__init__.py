"""The stage `train-detector`.

stage: the whole stage
params: its section of params.yaml
trainer: a step of training
validation: losses and precision on val
start: anchors, trained parts and pretrained weights
batches: the pictures of each step
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
