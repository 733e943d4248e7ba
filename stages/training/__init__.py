"""What all trainers share: a killed training ends in the bytes of one left alone.

loop: batches, schedules, progress; optimization, averaging: how a network goes down its loss
samples: what a trainer leaves for its sheets
checkpoint: everything that the next step reads, and whether it may be taken up
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
