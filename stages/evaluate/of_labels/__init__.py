"""Which labels of train and val the models contradict: where people look for errors first.

evaluation: tables and sheets; class_labels, box_labels: how strongly a label is contradicted
asked_boxes: what a detector sees in boxes; left_out: what is said of a picture without its label
ranking: from both splits to one order; sheets: pictures of what is doubted
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
