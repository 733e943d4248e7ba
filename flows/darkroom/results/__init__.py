"""What the pipeline has come to: figures, parameters, data and pictures at revisions, side by side.

comparison: what differs between two revisions, and which figures are better
intervals: how far a figure can be believed; tables: both on a terminal
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
