"""The stage `evaluate`: every figure and picture sheet of the test split, once.

stage: all three models in turn; params; result: what one has given; report: the page of all
of_classifier, of_detector, of_generator: a folder for each model; of_labels: the labels that they contradict
drawing: what their sheets share; training_sheets: what training saw
resampling: how far figures can be believed
size, timing: how large and how fast a network is
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
