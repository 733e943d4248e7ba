"""The stage `score`: new pictures of an inbox through trained models, each once.

stage: the whole; params: its section; inbox: which pictures are whole and new; predictions: what is kept
seen: which pictures have their rows; drawing: pictures with what was found
recent: whether the pictures that came last are still like the training pictures
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
