"""The stage `train-gan`: trains a generator against a discriminator.

stage: the whole stage
params: its section of params.yaml
trainer: a step of training, and how an epoch is judged
material: the data from which batches are drawn
steps: both networks, and one step of each
losses: the losses of both, with penalties
failures: collapse and other failures, noticed early
frames: the frames of the generator's film
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
