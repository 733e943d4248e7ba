"""Pictures as arrays on disk that are mapped into memory; stages/core/packed.py reads them.

Rows are copied from file to file, so memory does not grow with their number.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from stages.core.files import write_atomically, write_json
from stages.core.packed import SHARD_INDEX
from stages.intake.columns import Texts
from stages.intake.pixel_rows import PixelRows
from stages.sources.rows import Polygon

NO_POLYGONS: Mapping[int, Mapping[int, Sequence[Polygon]]] = {}


def pack_images(folder: Path, pixels: PixelRows, rows: npt.NDArray[np.int64], shard_bytes: int) -> None:
    """Write these rows as `images.npy`, or as shards of at most `shard_bytes` each with an index of them."""
    per_shard = max(1, shard_bytes // pixels.row_bytes)
    if len(rows) <= per_shard:
        _write_array(folder / "images.npy", pixels, rows)
        return
    shards = []
    for number, start in enumerate(range(0, len(rows), per_shard)):
        part = rows[start : start + per_shard]
        shards.append([f"images-{number:05d}.npy", len(part)])
        _write_array(folder / f"images-{number:05d}.npy", pixels, part)
    write_json(folder / SHARD_INDEX, {"shards": shards})


def _write_array(path: Path, pixels: PixelRows, rows: npt.NDArray[np.int64]) -> None:
    with path.open("wb") as file:
        _write_header(file, (len(rows), *pixels.shape))
        for block in pixels.blocks(rows) if len(rows) else ():
            file.write(block)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of an array as `np.save` does."""
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, header)


def pack_sources(path: Path, where: Texts, places: Texts, rows: npt.NDArray[np.int64]) -> None:
    """Write where each of these pictures comes from, a line each: its words, then the places of its boxes."""
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(f"{where[row]}\t{places[row]}".rstrip("\t") + "\n")


def pack_annotations(path: Path, annotations: dict[str, Any]) -> None:
    """Write COCO annotations in one line."""
    write_atomically(path, json.dumps(annotations).encode() + b"\n")


def coco(
    boxes: Sequence[npt.NDArray[np.float32]],
    labels: Sequence[npt.NDArray[np.int64]],
    classes: list[str],
    *,
    height: int,
    width: int,
    polygons: Mapping[int, Mapping[int, Sequence[Polygon]]] = NO_POLYGONS,
) -> dict[str, Any]:
    """Boxes [K, 4] xyxy and labels [K] of each picture as COCO has them; its id is its row.

    `polygons` by picture and box become its segmentation.
    """
    annotations: list[dict[str, Any]] = []
    for row, (picture_boxes, picture_labels) in enumerate(zip(boxes, labels, strict=True)):
        drawn = polygons.get(row, {})
        pairs = zip(picture_boxes.tolist(), picture_labels.tolist(), strict=True)
        for number, ((x1, y1, x2, y2), label) in enumerate(pairs):
            segmentation = [list(polygon) for polygon in drawn.get(number, ())]
            annotations.append(
                {
                    "id": len(annotations) + 1,  # from 1: pycocotools takes a match with 0 for none
                    "image_id": row,
                    "category_id": label + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    **({"segmentation": segmentation} if segmentation else {}),
                }
            )
    return {
        "images": [{"id": row, "width": width, "height": height} for row in range(len(boxes))],
        "categories": [{"id": label + 1, "name": name} for label, name in enumerate(classes)],
        "annotations": annotations,
    }
