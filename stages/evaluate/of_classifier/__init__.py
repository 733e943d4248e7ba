"""How good the classifier is.

attributes: what pictures have any number of
evaluation: figures, tables and sheets, from metrics, grad_cam (where it looks) and sheets (what is shown)
drift_reference: what `score` compares the pictures of an inbox with
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
