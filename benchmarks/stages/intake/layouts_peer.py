"""What other tools read of a folder: run by an interpreter that has them, for layouts.py beside it.

Reads jobs from stdin, a JSON list of {tool, format, folder}, and prints a JSON list: how often each class is
there as {class: count}, or the exception's name and first line as a text.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp()
os.environ["YOLO_OFFLINE"] = "true"
os.environ["HF_HOME"] = tempfile.mkdtemp()
os.environ["HF_HUB_OFFLINE"] = "1"

COCO = "annotations/instances_train.json"
IMAGES = "images/train"


def torchvision(kind: str, folder: Path) -> Iterable[str]:
    from torchvision.datasets import CocoDetection, ImageFolder, VOCDetection

    if kind == "image-folder":
        found = ImageFolder(folder)
        return [found.classes[label] for _, label in found]
    if kind == "coco":
        pictures = CocoDetection(folder / IMAGES, folder / COCO)
        names = {one["id"]: one["name"] for one in pictures.coco.dataset["categories"]}
        things = [thing for _, target in pictures for thing in target]
        return [names[thing["category_id"]] for thing in things if list(map(float, thing["bbox"]))]
    with tempfile.TemporaryDirectory() as root:
        shutil.copytree(folder, Path(root) / "VOCdevkit/VOC2012")
        annotated = [target["annotation"] for _, target in VOCDetection(root, image_set="train")]
    return [thing["name"] for one in annotated for thing in one.get("object", [])]


def ultralytics(kind: str, folder: Path) -> Iterable[str]:
    assert kind == "yolo"
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    data = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    found = YOLODataset(img_path=data["train"], data=data, task="detect", augment=False)
    return [data["names"][int(label)] for one in found.labels for label in one["cls"].ravel()]


def supervision(kind: str, folder: Path) -> Iterable[str]:
    import supervision as sv

    if kind == "image-folder":
        classified = sv.ClassificationDataset.from_folder_structure(str(folder))
        return [classified.classes[int(label.class_id[0])] for label in classified.annotations.values()]
    if kind == "coco":
        found = sv.DetectionDataset.from_coco(str(folder / IMAGES), str(folder / COCO))
    elif kind == "yolo":
        places = (folder / "images", folder / "labels", folder / "data.yaml")
        found = sv.DetectionDataset.from_yolo(*map(str, places))
    else:
        places = (folder / "JPEGImages", folder / "Annotations")
        found = sv.DetectionDataset.from_pascal_voc(*map(str, places))
    return [found.classes[int(label)] for one in found.annotations.values() for label in one.class_id]


def datumaro(kind: str, folder: Path) -> Iterable[str]:
    from datumaro import Dataset

    names = {
        "image-folder": "imagenet",
        "coco": "coco_instances",
        "pascal-voc": "voc_detection",
        "labelme": "label_me",
    }
    found = Dataset.import_from(str(folder), names.get(kind, kind))
    labels = found.categories()[next(iter(found.categories()))]
    return [labels[one.label].name for item in found for one in item.annotations]


def datasets(kind: str, folder: Path) -> Iterable[str]:
    assert kind in ("image-folder", "metadata")
    from datasets import load_dataset

    parts = load_dataset("imagefolder", data_dir=str(folder)).values()
    labels = []
    for part in parts:
        if "objects" in part.features:
            labels += [label for things in part["objects"] for label in things["categories"]]
            continue
        names = getattr(part.features["label"], "names", None)
        labels += [names[label] if names else label for label in part["label"]]
    return labels


TOOLS: dict[str, Callable[[str, Path], Iterable[str]]] = {
    "ultralytics": ultralytics,
    "torchvision": torchvision,
    "supervision": supervision,
    "datumaro": datumaro,
    "datasets": datasets,
}


def outcome(tool: str, kind: str, folder: Path) -> Any:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return Counter(TOOLS[tool](kind, folder))
    except BaseException as error:  # whatever it raises is what its user sees
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def main() -> None:
    jobs = json.load(sys.stdin)
    answers = [outcome(job["tool"], job["format"], Path(job["folder"])) for job in jobs]
    json.dump({"versions": {tool: version(tool) for tool in TOOLS}, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()
