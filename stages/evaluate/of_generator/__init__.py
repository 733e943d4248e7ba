"""What the generator's pictures are worth, beside real ones.

evaluation: all figures; metrics: from features of both; resampled: on halves of both; inception: features by
weights from a file; pupil: what a classifier learns from them; sheets: what is shown
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
