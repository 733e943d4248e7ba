"""Which format a folder of pictures could have, and the section `preprocess` that would read it.

One function a format looks at file names and at the beginnings of files, and makes guesses. The format's own
reader then decides whether a guess is right, so no format is implemented twice.
"""

import json
import mimetypes
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Literal

from stages.by_hand.seen import FolderListing, Guess, Named, chosen_of, files_of, keys_of, split_of
from stages.by_hand.tables import LABELS, table_guesses
from stages.core.errors import DataError
from stages.intake.folders import open_file
from stages.sources.documents import read_json, read_yaml
from stages.sources.label_tools.label_studio import without_upload
from stages.sources.label_tools.via import is_via_3, region_list, via_entries
from stages.sources.naming import split_named
from stages.sources.rows import is_picture


def guesses(seen: FolderListing) -> list[Guess]:
    """What the folder could be, formats with annotations first."""
    drawn = (_cvat, _labelme, _label_studio, _create_ml, _via)
    formats = (_idx, _yolo, _coco, _voc, *drawn, table_guesses, _image_folder, _video)
    return [guess for one in formats for guess in one(seen)]


def _idx(seen: FolderListing) -> Iterator[Guess]:
    if "train-images-idx3-ubyte" in seen.names:
        try:
            with open_file(seen.folder / "train-labels-idx1-ubyte") as file:
                raw = file.read()[8:]
        except OSError:
            return
        names = [f"class {label}" for label in range(max(raw, default=0) + 1)]
        source = {"format": "idx", "classes": names}
        yield Guess(task="classification", source=source, layout="IDX files", has_form=False)


def _yolo(seen: FolderListing) -> Iterator[Guess]:
    found = []
    for name in seen.ending(".yaml", ".yml"):
        if re.search(r"^\s*[\"']?names\b", seen.text(name), re.MULTILINE):
            found.append(name)
    found = found or [
        name for name in seen.ending(".data") if re.search(r"^\s*names\s*=", seen.head(name), re.M)
    ]
    found = found or [name for name in seen.names if PurePosixPath(name).name.lower() in LISTS_OF_NAMES]
    for name in found:
        source = {"format": "yolo", "file": name}
        if prefix := _prefix_of_folders(seen, name):
            source["strip_prefix"] = prefix
        yield Guess(task="detection", source=source, layout=f"YOLO, by {name}")
    stems = {PurePosixPath(name).stem for name in seen.pictures}
    rows = [name for name in seen.ending(".txt") if PurePosixPath(name).stem in stems]
    if not found and any(YOLO_ROW.match(seen.head(name)) for name in rows[:20]):
        seen.tell(
            f"{len(rows):,} text files such as {rows[0]} look like YOLO's labels, and no file names their "
            "classes: write a name a line into classes.txt beside them"
        )


def _prefix_of_folders(seen: FolderListing, name: str) -> str | None:
    """What absolute folders of another machine in data.yaml begin with, up to a folder that is here."""
    try:
        document = read_yaml(seen.folder / name) if name.lower().endswith((".yaml", ".yml")) else None
    except DataError:  # the format's own reader tells of it
        return None
    entries = document.items() if isinstance(document, dict) else ()
    folders = [str(value).replace("\\", "/") for key, value in entries if split_named(str(key)) and value]
    beside = (seen.folder / name).parent
    for parts in [one.split("/") for one in folders if one.startswith("/") or ":" in one[:2]]:
        for start in range(1, len(parts)):
            if all(parts[start:]) and (beside / "/".join(parts[start:])).is_dir():
                return "/".join(parts[:start]) + "/"
    return None


LISTS_OF_NAMES = frozenset({"classes.txt", "obj.names", "predefined_classes.txt"})
"""Files that name the classes of YOLO's labels, in small letters."""
YOLO_ROW = re.compile(r"\s*\d+(\s+-?\d*\.\d+){4}")


def _coco(seen: FolderListing) -> Iterator[Guess]:
    found = []
    for name, document in _documents(seen):
        if not isinstance(document, dict):
            continue
        lists = [document.get(key) for key in ("images", "annotations")]
        if not all(isinstance(one, list) and one for one in lists):
            continue
        images, things = ([one for one in entries or () if isinstance(one, dict)] for entries in lists)
        drawn = [
            one for one in things if (one.get("bbox") or one.get("segmentation")) and "category_id" in one
        ]
        origin = seen.origin_of([one.get("file_name", "") for one in images], name)
        # COCO's own folder has keypoints of people, and captions, of the same pictures
        found.append(Named(name, split_of(name), origin, len(drawn)))
    if found:
        chosen, beside = chosen_of(found)
        source = {"format": "coco", "annotations": {one.split or "all": one.name for one in chosen}}
        layout = f"COCO, {len(chosen)} JSON"
        yield Guess(task="detection", source=source | keys_of(chosen), layout=layout, beside=beside)


def _voc(seen: FolderListing) -> Iterator[Guess]:
    found = [name for name in seen.ending(".xml") if re.search(r"<(\w+:)?annotation[\s>]", seen.head(name))]
    if not found:
        return
    stems = {PurePosixPath(name).stem for name in found}
    pictures = [name for name in seen.pictures if PurePosixPath(name).stem in stems]
    if not pictures:
        seen.tell(f"{len(found):,} XML such as {found[0]} look like Pascal VOC: their pictures are missing")
        return
    usual = [name for name in pictures if "JPEGImages" in PurePosixPath(name).parts]
    heads = [seen.head(name).replace(" ", "") for name in found[:200]]
    low = any("<xmin>0<" in head or "<robndbox>" in head for head in heads)  # roLabelImg counts from 0
    annotated, pictured = _common(found), _common(usual or pictures)
    beside: list[str] = []
    if annotated == pictured and _are_several_sets(found):
        several = sorted({PurePosixPath(name).parent.parent.as_posix() for name in found})
        beside = several[1:]
        annotated, pictured = (PurePosixPath(several[0]) / last for last in ("Annotations", "JPEGImages"))
    folder = PurePosixPath(*_same_beginning([annotated.parts, pictured.parts]))
    keys = {
        "annotations": annotated.relative_to(folder).as_posix(),
        "pictures": pictured.relative_to(folder).as_posix(),
        "lists": _lists(seen, folder, stems),
    }
    standard = {"annotations": "Annotations", "pictures": "JPEGImages", "lists": "ImageSets/Main"}
    source = {"format": "pascal-voc", "folder": folder.as_posix(), "first_pixel": 0 if low else 1}
    source |= {key: value for key, value in keys.items() if value != standard[key]}
    layout = f"Pascal VOC, {len(found):,} XML"
    yield Guess(task="detection", source=source, layout=layout, beside=beside)


def _common(names: Sequence[str]) -> PurePosixPath:
    """The deepest folder that holds all of the files."""
    return PurePosixPath(*_same_beginning([PurePosixPath(name).parent.parts for name in names]))


def _same_beginning(all_parts: Sequence[tuple[str, ...]]) -> list[str]:
    first, last = min(all_parts), max(all_parts)
    same = next(
        (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    return list(first[:same])


def _are_several_sets(names: Sequence[str]) -> bool:
    """Whether there are several folders as VOC has them, such as VOC2007 and VOC2012, and no splits."""
    folders = {PurePosixPath(name).parent for name in names}
    if len(folders) < 2 or {one.name for one in folders} != {"Annotations"}:
        return False
    return not all(split_named(one.parent.name) for one in folders)


def _lists(seen: FolderListing, folder: PurePosixPath, stems: Collection[str]) -> str:
    """The folder of train.txt and its like, from `folder`; that of VOC where none names annotations."""
    found = set()
    for name in seen.ending(".txt"):
        path = PurePosixPath(name)
        named = split_named(path.stem) or path.stem.lower() == "trainval"
        words = seen.head(name).split() if named and path.is_relative_to(folder) else []
        if words and PurePosixPath(words[0].replace("\\", "/")).stem in stems:
            found.add(path.parent.relative_to(folder).as_posix())
    return "ImageSets/Main" if "ImageSets/Main" in found or not found else min(found)


def _cvat(seen: FolderListing) -> Iterator[Guess]:
    found = []
    for name in seen.ending(".xml"):
        if re.search(r"<annotations[\s>]", seen.head(name)):
            named = re.findall(r'<image[^>]* name="([^"]+)"', seen.text(name))
            found.append(Named(name, split_of(name), seen.origin_of(named, name), len(named)))
    yield from _by_files("cvat", "CVAT", found)


def _labelme(seen: FolderListing) -> Iterator[Guess]:
    found = [name for name in seen.ending(".json") if _is_labelme(seen.head(name))]
    if found:
        source = {"format": "labelme", "folder": "."}
        yield Guess(task="detection", source=source, layout=f"LabelMe, {len(found):,} JSON")


def _is_labelme(head: str) -> bool:
    """Whether keys of LabelMe's files are in the head: a picture in a file may push the others out of it."""
    return any(f'"{key}"' in head for key in ("shapes", "imageData", "imagePath"))


def _label_studio(seen: FolderListing) -> Iterator[Guess]:
    for name, document in _documents(seen):
        tasks = [one for one in document if isinstance(one, dict)] if isinstance(document, list) else []
        own = [one["data"] if isinstance(one.get("data"), dict) else one for one in tasks]
        key = next((k for one in own for k, v in one.items() if isinstance(v, str) and is_picture(v)), None)
        said = "" if key is None else json.dumps([one.get("annotations", one) for one in tasks])
        boxes = any(f'"{kind}labels"' in said for kind in ("rectangle", "polygon", "ellipse"))
        choices = '"choices"' in said or any(isinstance(one.get("choice"), str) for one in tasks)
        if not boxes and not choices:
            if key is not None and any("annotations" in one for one in tasks):
                read = "rectangles, polygons, ellipses or choices"
                seen.tell(f"{seen.folder / name}: an export of Label Studio without what is read, {read}")
            continue
        named = [PurePosixPath(str(one.get(key)).replace("\\", "/")).name for one in own]
        pictures = seen.origin_of([*named, *map(without_upload, named)], name).folder
        source = {"format": "label-studio", "file": name, "pictures": pictures, "picture": key}
        task_name: Literal["classification", "detection"] = "detection" if boxes else "classification"
        yield Guess(task=task_name, source=source, layout=f"Label Studio, by {name}")


def _create_ml(seen: FolderListing) -> Iterator[Guess]:
    found = []
    for name, document in _documents(seen):
        entries = [one for one in document if isinstance(one, dict)] if isinstance(document, list) else []
        named = [one[key] for one in entries for key in ("image", "imagefilename") if key in one]
        if named and '"coordinates"' in seen.text(name):
            found.append(Named(name, split_of(name), seen.origin_of(named, name), len(named)))
    yield from _by_files("create-ml", "Create ML", found)


def _via(seen: FolderListing) -> Iterator[Guess]:
    found, keys = [], {}
    for name, document in _documents(seen):
        if is_via_3(document):
            yield Guess(task="detection", source={"format": "via", "file": name}, layout=f"VIA 3, by {name}")
        entries = [one for one in (via_entries(document) or {}).values() if isinstance(one, dict)]
        if not entries:
            continue
        regions = [one for entry in entries for one in region_list(entry.get("regions")) or ()]
        region_attributes = [one.get("region_attributes") for one in regions if isinstance(one, dict)]
        attributes = Counter(key for one in region_attributes if isinstance(one, dict) for key in one)
        if not attributes:
            keys["unnamed"] = seen.folder.resolve().name
        elif any(isinstance(one, dict) and len(one) > 1 for one in region_attributes):
            keys["attribute"] = _attribute_of(attributes)
        named = [one.get("filename", "") for one in entries]
        found.append(Named(name, split_of(name), seen.origin_of(named, name), len(regions)))
    yield from _by_files("via", "VGG Image Annotator", found, keys)


def _attribute_of(attributes: Mapping[str, int]) -> str:
    """The attribute that is called as classes are, else the commonest."""
    called = [name for word in LABELS for name in attributes if name.strip().lower() == word]
    return called[0] if called else max(attributes, key=lambda name: attributes[name])


def _by_files(
    word: str, program: str, found: Sequence[Named], keys: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Guess]:
    """One way to read the files of a format that has a file for each split, or one for all."""
    if found:
        chosen, beside = chosen_of(found)
        source = {"format": word, "file": files_of(chosen)} | keys_of(chosen) | dict(keys)
        layout = f"{program}, by {', '.join(one.name for one in chosen)}"
        yield Guess(task="detection", source=source, layout=layout, beside=beside)


def _image_folder(seen: FolderListing) -> Iterator[Guess]:
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
        yield from _flat(seen, folder)
        return
    holding = [top for top in sorted(tops) if _holds_classes(seen, folder / top)]
    if len(holding) == 1 < len(tops) and not any("/" in rest for rest in _beside(seen, folder, holding[0])):
        folder /= holding[0]  # beside examples, figures, or a test split without labels
        tops = {rest.split("/")[0] for rest in _within(seen, folder)}
    source = {"format": "image-folder", "folder": folder.as_posix()}
    splits = sorted(top for top in tops if split_named(top))
    if splits == sorted(tops) and not any(rest.count("/") > 1 for rest in _within(seen, folder)):
        yield from _flat(seen, folder)
        return
    if masks := _folders_of_masks(_within(seen, folder), level=int(splits == sorted(tops))):
        where = (seen.folder / folder).as_posix()
        seen.tell(
            f"{where}: {', '.join(masks)} has a picture for each of those beside it, so these are masks of "
            "pixels and no class; nothing here reads masks, but their boxes or polygons as COCO or YOLO"
        )
        return
    layout = f"a folder for each class, in {', '.join(splits)}" if splits else "a folder for each class"
    yield Guess(task="classification", source=source, layout=layout)


def _folders_of_masks(names: Sequence[str], level: int) -> list[str]:
    """Folders that are called as masks are and hold the same names, but for suffixes, as those beside them.

    `level` is the place of classes in the paths `names`: behind splits 1, else 0.
    """
    stems = defaultdict(set)
    for parts in (PurePosixPath(name).parts for name in names):
        if len(parts) > level + 1:
            stems[parts[level]].add(PurePosixPath(parts[-1]).stem)
    masks = [top for top in sorted(stems) if MASKS.fullmatch(top)]
    others = set().union(*(held for top, held in stems.items() if top not in masks))
    return [
        top for top in masks if stems[top] <= {named for stem in others for named in (stem, f"{stem}_mask")}
    ]


MASKS = re.compile(
    r"(pixel|seg|segmentation)?[ _-]?(masks?|labels?|annotations?|gt|ground[ _-]?truth)", re.IGNORECASE
)
"""Names of folders with a picture of classes for each picture."""


def _video(seen: FolderListing) -> Iterator[Guess]:
    videos = [PurePosixPath(name) for name in seen.names if _is_video(name)]
    folder = PurePosixPath()
    while videos and all(len(name.relative_to(folder).parts) > 2 for name in videos):
        tops = {name.relative_to(folder).parts[0] for name in videos}
        if len(tops) > 1 or split_named(min(tops)):
            break
        folder /= min(tops)  # a wrapping folder
    if any(name.parent != folder for name in videos):
        source = {"format": "video", "folder": folder.as_posix(), "every": EVERY}
        layout = "videos in a folder for each class; they are counted here, and not their frames"
        yield Guess(task="classification", source=source, layout=layout)


EVERY = 25  # frames: about one a second


def _is_video(name: str) -> bool:
    """Whether a file is named as a video; of two usual suffixes Python's table knows nothing."""
    kind, _ = mimetypes.guess_type(name)
    return (kind or "").startswith("video/") or name.lower().endswith((".mkv", ".m4v"))


def _flat(seen: FolderListing, folder: PurePosixPath) -> Iterator[Guess]:
    """Pictures without folders of classes: all of one class, as a generator may learn them."""
    if seen.pictures and not seen.annotations:
        name = folder.name or seen.folder.resolve().name
        source = {"format": "image-folder", "folder": folder.as_posix(), "classes": [name]}
        yield Guess(task="classification", source=source, layout=f"pictures of one class, {name}")


def _within(seen: FolderListing, folder: PurePosixPath) -> list[str]:
    """The names of the pictures below the folder, from there."""
    return [
        PurePosixPath(name).relative_to(folder).as_posix() for name in seen.pictures if _below(name, folder)
    ]


def _holds_classes(seen: FolderListing, folder: PurePosixPath) -> bool:
    """Whether all pictures below the folder lie in folders of it, of which there are several."""
    names = _within(seen, folder)
    return all("/" in name for name in names) and len({name.split("/")[0] for name in names}) > 1


def _beside(seen: FolderListing, folder: PurePosixPath, top: str) -> list[str]:
    """The names of the pictures in other folders beside this one, from those."""
    names = (name.partition("/") for name in _within(seen, folder))
    return [rest for first, _, rest in names if first != top]


def _below(name: str, folder: PurePosixPath) -> bool:
    return PurePosixPath(name).is_relative_to(folder)


def _documents(seen: FolderListing) -> Iterator[tuple[str, Any]]:
    """JSON files that could be of all pictures, with what they hold."""
    for name in seen.ending(".json"):
        if not _is_labelme(seen.head(name)):
            try:
                yield name, read_json(seen.folder / name)
            except DataError as error:
                seen.tell(str(error))


def counted(labels: Sequence[str]) -> dict[str, int]:
    """How often each label stands, the commonest first."""
    counts: dict[str, int] = defaultdict(int)
    for label in labels:
        counts[label] += 1
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
