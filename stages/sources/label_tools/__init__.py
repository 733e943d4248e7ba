"""Formats of programs that people draw boxes with: one file each, giving rows of pictures with boxes.

params: what params.yaml says of each
labelme, cvat, label_studio, create_ml, via: the formats
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
