"""Raw data that a .dvc file names: fetched from DVC, by HTTP or from a folder, and checked by its hashes.

fetching: where each file comes from
sources: the ways to get a file; each file is written completely or not at all
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
