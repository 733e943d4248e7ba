"""The classifier of pictures: its networks, and its loss.

network: built, loaded and asked; params: the networks by name; trunks: how they are built
loss: cross-entropy, smoothed and weighted
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
