"""What all trainers share. A killed training that continues ends in the same bytes as an uninterrupted one.

loop: the loop itself, and what a network adds to it
batches: the order of pictures
params: the parameters that all trainings have
budget: how long to train for a given number of pictures
optimization, averaging: optimizers, learning rates and averaged weights
state, checkpoint: everything that the next step reads, and whether it may be used
samples: pictures that a trainer saves for evaluate, and the files of a trainer without work
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
