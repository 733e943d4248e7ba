"""All sources of pictures, by their names in params.yaml."""

from pathlib import Path

from stages.sources.annotations.coco import read_coco
from stages.sources.annotations.params import CocoParams, PascalVocParams, YoloParams
from stages.sources.annotations.pascal_voc import read_pascal_voc
from stages.sources.annotations.yolo import read_yolo
from stages.sources.idx import read_idx_files
from stages.sources.image_folder import read_image_folder
from stages.sources.label_tools.create_ml import read_create_ml
from stages.sources.label_tools.cvat import read_cvat
from stages.sources.label_tools.label_studio import read_label_studio
from stages.sources.label_tools.labelme import read_labelme
from stages.sources.label_tools.params import (
    CreateMlParams,
    CvatParams,
    LabelmeParams,
    LabelStudioParams,
    ViaParams,
)
from stages.sources.label_tools.via import read_via
from stages.sources.params import IdxParams, ImageFolderParams, VideoParams
from stages.sources.preparation import BoxSource, PictureSource
from stages.sources.rows import Found
from stages.sources.tables.box_table import read_box_table
from stages.sources.tables.manifest import read_manifest
from stages.sources.tables.params import BoxTableParams, ManifestParams
from stages.sources.video import read_videos


def read_source(raw: Path, params: PictureSource | BoxSource, *, upright: bool) -> Found:
    """The rows of the source that `params` names, and what is wrong with its lines.

    `upright`: pictures will be turned as their EXIF says; else their boxes are those of the stored pixels.

    Raises:
        DataError: A file or folder is missing, or cannot be understood as a whole.

    """
    match params:
        case IdxParams():
            return read_idx_files(raw, params)
        case ImageFolderParams():
            return read_image_folder(raw, params)
        case ManifestParams():
            return read_manifest(raw, params)
        case VideoParams():
            return read_videos(raw, params)
        case CocoParams():
            return read_coco(raw, params)
        case PascalVocParams():
            return read_pascal_voc(raw, params)
        case YoloParams():
            return read_yolo(raw, params, upright=upright)
        case BoxTableParams():
            return read_box_table(raw, params, upright=upright)
        case LabelmeParams():
            return read_labelme(raw, params)
        case CvatParams():
            return read_cvat(raw, params)
        case LabelStudioParams():
            return read_label_studio(raw, params)
        case CreateMlParams():
            return read_create_ml(raw, params)
        case ViaParams():
            return read_via(raw, params)
