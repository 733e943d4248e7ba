"""Pictures of results.

sheets: grids with captions, boxes, PNG files that repeat to the byte
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
