"""The generator, which makes pictures of what it is asked for.

network: the generator and its discriminator: built, loaded and asked
overlap: precision, recall, density and coverage of its pictures
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
