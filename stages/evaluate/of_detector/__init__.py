"""How good the detector is.

evaluation: figures, tables and sheets; errors: what becomes of each detection
resampled: how sure a figure is; sheets: what it found
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
