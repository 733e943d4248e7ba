"""The stage `score`: shows each new picture of an inbox to trained models once.

stage: the whole stage
params: its section of params.yaml
inbox: which pictures are complete and new
predictions: the files of predictions
seen: which pictures have their rows
drawing: pictures with the predictions drawn in
recent: whether the latest pictures are still like the training pictures
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
