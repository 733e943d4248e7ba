"""Formats of data sets: one file each, giving rows of pictures with boxes.

params: what params.yaml says of each
coco, pascal_voc, yolo: the formats
run_lengths: COCO's masks; voc_lists: the splits of VOC; yolo_layout, yolo_lines: the parts of YOLO
box_list: the boxes of one picture while its annotation is read
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
