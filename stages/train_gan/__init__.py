"""The stage `train-gan`: a generator against a discriminator.

stage: the whole; params; trainer: a step of training, and how an epoch is judged
material: what batches are drawn from; steps: both networks, and a step of each
losses: of both, with penalties; failures: collapse, noticed early; frames: what a film is made of
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
