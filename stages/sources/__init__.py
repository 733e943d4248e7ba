"""Where pictures come from: one file a format, each giving rows in the form of rows.

idx, image_folder, manifest, coco, pascal_voc, yolo: the formats; crops, composed: made of those
rows: the one form; params, preparation: what params.yaml says; policy: what is done about faulty data
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
