"""What a folder of pictures could be: each format says what of section `preprocess` would read it.

A function a format looks at names, and at the beginnings of files, and gives guesses. Whether a guess is
right the format's own reader tells: nothing is understood twice.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

import yaml

from stages.by_hand.seen import Guess, Seen
from stages.by_hand.tables import table_guesses
from stages.intake.folders import open_file
from stages.sources.documents import read_text
from stages.sources.naming import split_named
from stages.sources.rows import is_picture


def guesses(seen: Seen) -> list[Guess]:
    """What the folder could be, formats with annotations first."""
    formats = (_idx, _yolo, _coco, _voc, _cvat, _labelme, _label_studio, table_guesses, _image_folder)
    return [guess for one in formats for guess in one(seen)]


def _idx(seen: Seen) -> Iterator[Guess]:
    if "train-images-idx3-ubyte" in seen.names:
        try:
            with open_file(seen.folder / "train-labels-idx1-ubyte") as file:
                raw = file.read()[8:]
        except OSError:
            return
        names = [f"class {label}" for label in range(max(raw, default=0) + 1)]
        source = {"format": "idx", "classes": names}
        yield Guess(task="classification", source=source, layout="IDX files", has_form=False)


def _yolo(seen: Seen) -> Iterator[Guess]:
    for name in seen.ending(".yaml", ".yml"):
        try:
            document = yaml.safe_load(read_text(seen.folder / name))
        except Exception:
            continue
        if isinstance(document, dict) and "names" in document:
            yield Guess(task="detection", source={"format": "yolo", "file": name}, layout=f"YOLO, by {name}")


def _coco(seen: Seen) -> Iterator[Guess]:
    files: dict[str, str] = {}
    folders: dict[str, str | None] = {}
    for name, document in _documents(seen):
        if not isinstance(document, dict) or not isinstance(document.get("images"), list):
            continue
        if not document.get("annotations") or not document["images"]:
            continue
        files[split := _split_of(name)] = name
        folders[split], _ = seen.folder_of(str(document["images"][0].get("file_name")), name)
    if files:
        source = {"format": "coco", "annotations": _per_split(files), "pictures": _per_folder(folders)}
        yield Guess(task="detection", source=source, layout=f"COCO, {len(files)} JSON")


def _voc(seen: Seen) -> Iterator[Guess]:
    found = [name for name in seen.ending(".xml") if "<annotation" in seen.head(name)]
    found = [name for name in found if "<annotations" not in seen.head(name)]
    if not found:
        return
    first = PurePosixPath(found[0])
    picture = next((name for name in seen.pictures if PurePosixPath(name).stem == first.stem), None)
    if picture is None:
        return
    above, beside = first.parent.parent, PurePosixPath(picture).parent
    if beside == first.parent:
        folder, keys = first.parent, {"annotations": ".", "pictures": "."}
        if split_named(folder.name):
            folder = folder.parent
    else:
        folder = above if beside.is_relative_to(above) else PurePosixPath()
        keys = {
            "annotations": first.parent.relative_to(folder).as_posix(),
            "pictures": beside.relative_to(folder).as_posix(),
        }
    low = any("<xmin>0<" in seen.head(name).replace(" ", "") for name in found[:200])
    usual = {"annotations": "Annotations", "pictures": "JPEGImages"}
    source = {"format": "pascal-voc", "folder": folder.as_posix(), "first_pixel": 0 if low else 1}
    source |= {key: value for key, value in keys.items() if value != usual[key]}
    yield Guess(task="detection", source=source, layout=f"Pascal VOC, {len(found):,} XML")


def _cvat(seen: Seen) -> Iterator[Guess]:
    for name in seen.ending(".xml"):
        head = seen.head(name)
        if "<annotations" in head:
            named = re.search(r'<image[^>]* name="([^"]+)"', head)
            pictures, _ = seen.folder_of(named[1], name) if named else (None, False)
            source = {"format": "cvat", "file": name, "pictures": pictures}
            yield Guess(task="detection", source=source, layout=f"CVAT, by {name}")


def _labelme(seen: Seen) -> Iterator[Guess]:
    found = [name for name in seen.ending(".json") if '"shapes"' in seen.head(name)]
    if found:
        source = {"format": "labelme", "folder": "."}
        yield Guess(task="detection", source=source, layout=f"LabelMe, {len(found):,} JSON")


def _label_studio(seen: Seen) -> Iterator[Guess]:
    for name, document in _documents(seen):
        task = document[0] if isinstance(document, list) and document else None
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict) or "annotations" not in task:
            continue
        key, picture = next(((k, v) for k, v in task["data"].items() if is_picture(str(v))), (None, ""))
        if key is None:
            continue
        pictures, _ = seen.folder_of(PurePosixPath(str(picture)).name, name)
        source = {"format": "label-studio", "file": name, "pictures": pictures, "picture": key}
        choices = '"choices"' in json.dumps(task["annotations"])
        task_name: Literal["classification", "detection"] = "classification" if choices else "detection"
        yield Guess(task=task_name, source=source, layout=f"Label Studio, by {name}")


def _image_folder(seen: Seen) -> Iterator[Guess]:
    folder = PurePosixPath()
    while True:  # a wrapping folder holds all pictures
        tops = {
            PurePosixPath(name).relative_to(folder).parts[0] for name in seen.pictures if _below(name, folder)
        }
        (only, *others) = [*sorted(tops), None]
        if only is None or others != [None] or is_picture(only) or split_named(only):
            break
        folder /= only
    if all(map(is_picture, tops)):
        return
    holding = [top for top in sorted(tops) if _holds_classes(seen, folder / top)]
    if len(holding) == 1 < len(tops) and not any("/" in rest for rest in _beside(seen, folder, holding[0])):
        folder /= holding[0]  # beside examples, figures, or a test split without labels
        tops = {rest.split("/")[0] for rest in _within(seen, folder)}
    source = {"format": "image-folder", "folder": folder.as_posix()}
    splits = sorted(top for top in tops if split_named(top))
    layout = f"a folder for each class, in {', '.join(splits)}" if splits else "a folder for each class"
    yield Guess(task="classification", source=source, layout=layout)


def _within(seen: Seen, folder: PurePosixPath) -> list[str]:
    """The names of the pictures below the folder, from there."""
    return [
        PurePosixPath(name).relative_to(folder).as_posix() for name in seen.pictures if _below(name, folder)
    ]


def _holds_classes(seen: Seen, folder: PurePosixPath) -> bool:
    """Whether all pictures below the folder lie in folders of it, of which there are several."""
    names = _within(seen, folder)
    return all("/" in name for name in names) and len({name.split("/")[0] for name in names}) > 1


def _beside(seen: Seen, folder: PurePosixPath, top: str) -> list[str]:
    """The names of the pictures in other folders beside this one, from those."""
    names = (name.partition("/") for name in _within(seen, folder))
    return [rest for first, _, rest in names if first != top]


def _below(name: str, folder: PurePosixPath) -> bool:
    return PurePosixPath(name).is_relative_to(folder)


def _documents(seen: Seen) -> Iterator[tuple[str, Any]]:
    """JSON files that could be of all pictures, with what they hold."""
    for name in seen.ending(".json"):
        if '"shapes"' in seen.head(name):
            continue
        try:
            yield name, json.loads(read_text(seen.folder / name))
        except Exception:
            continue


def _split_of(name: str) -> str:
    """The split that a file of annotations is named after, or its folder; else `all`."""
    path = PurePosixPath(name)
    words = [re.sub(r"\d+", "", word) for word in re.split(r"[^A-Za-z0-9]+", path.stem)]
    found = [split_named(word) for word in (*words, path.parent.name)]
    return next((split for split in found if split), "all")


def _per_split(files: Mapping[str, str]) -> dict[str, str]:
    return {split: files[split] for split in ("train", "val", "test", "all") if split in files}


def _per_folder(folders: Mapping[str, str | None]) -> Any:
    """One folder for all splits where it is the same."""
    different = set(folders.values())
    if len(different) == 1:
        return different.pop()
    return _per_split({split: folder for split, folder in folders.items() if folder is not None})


def counted(labels: Sequence[str]) -> dict[str, int]:
    """How often each label stands, the commonest first."""
    counts: dict[str, int] = defaultdict(int)
    for label in labels:
        counts[label] += 1
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
