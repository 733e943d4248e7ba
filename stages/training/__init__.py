"""What all trainers share: a killed training ends in the bytes of one left alone.

loop: the loop itself, and what a network adds to it; batches: the order of pictures
params: what params.yaml says of every training; budget: how long to train by the number of pictures
optimization, averaging: how a network goes down its loss
state, checkpoint: everything that the next step reads, and whether it may be taken up
samples: pictures that a trainer leaves for evaluate to draw, and what one without work leaves
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
