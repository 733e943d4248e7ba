"""Raw data that a .dvc file names: obtained from DVC, by HTTP or from a folder, and checked by its hashes.

fetching: where each file comes from; sources: one way to get a file, and to write it whole
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
