from .box_list import BoxList as BoxList
from .box_list import Edges as Edges
from .coco import CocoParams as CocoParams
from .coco import read_coco as read_coco
from .pascal_voc import PascalVocParams as PascalVocParams
from .pascal_voc import read_pascal_voc as read_pascal_voc
from .yolo import YoloParams as YoloParams
from .yolo import read_yolo as read_yolo
