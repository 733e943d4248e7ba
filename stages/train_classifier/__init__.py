"""The stage `train-classifier`.

stage: the whole; params; trainer: a step, and validation; start: pretrained weights
batches, augment: what a step sees; learning_rates: a range test
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
