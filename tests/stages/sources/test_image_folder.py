import os
from pathlib import Path

import pytest

from stages.core.errors import DataError
from stages.sources.image_folder import read_image_folder
from stages.sources.params import ImageFolderParams
from stages.sources.rows import Finding, Row

PARAMS = {
    "format": "image-folder",
    "folder": ".",
    "classes": None,
    "shape": [8, 8],
    "channels": 3,
    "fit": "stretch",
    "ground": 0,
    "split": {"val": 0.2, "test": 0.2, "group_pattern": None, "near_duplicates": None},
}


def lay_out(raw: Path, *names: str) -> None:
    for name in names:
        path = raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.touch()


def read(raw: Path, **params):
    return list(read_image_folder(raw, ImageFolderParams.model_validate(PARAMS | params)))


def labelled(raw: Path, **params):
    """Path, class and split of each picture."""
    rows = [found for found in read(raw, **params) if isinstance(found, Row)]
    return [(Path(row.where).relative_to(raw).as_posix(), row.labels[0], row.split) for row in rows]


def found_in(raw: Path, **params):
    """Kind and path of each finding."""
    findings = [found for found in read(raw, **params) if isinstance(found, Finding)]
    return [(finding.kind, Path(finding.where).relative_to(raw).as_posix()) for finding in findings]


@pytest.mark.parametrize("train", ["train", "Train", "training", "TRAINING"])
@pytest.mark.parametrize("val", ["val", "valid", "Validation", "dev"])
@pytest.mark.parametrize("test", ["test", "Testing"])
def test_splits_have_any_of_their_usual_names(tmp_path, train, val, test):
    lay_out(tmp_path, *(f"{split}/{name}/1.png" for split in (train, val, test) for name in "ab"))
    assert sorted(labelled(tmp_path)) == sorted(
        (f"{folder}/{name}/1.png", name, split)
        for folder, split in ((train, "train"), (val, "val"), (test, "test"))
        for name in "ab"
    )


@pytest.mark.parametrize(
    "names",
    [
        ("seg_train", "seg_test"),
        ("training_set", "test_set"),
        ("train2017", "val2017"),
        ("TrainSet", "dev-images"),
    ],
)
def test_splits_may_be_a_word_in_names_if_there_are_two_of_them(tmp_path, names):
    wanted = {(name, split) for name in "ab" for split in ("train", "test" if "test" in names[1] else "val")}
    lay_out(tmp_path / "once", *(f"{split}/{name}/1.png" for split in names for name in "ab"))
    lay_out(tmp_path / "twice", *(f"{split}/{split}/{name}/1.png" for split in names for name in "ab"))
    for raw in (tmp_path / "once", tmp_path / "twice"):
        assert {row[1:] for row in labelled(raw)} == wanted
    lay_out(tmp_path / "classes", "train_station/1.png", "bus_stop/1.png", "train_track/1.png")
    assert {row[1:] for row in labelled(tmp_path / "classes")} == {
        (name, None) for name in ("train_station", "bus_stop", "train_track")
    }


@pytest.mark.parametrize("beside", ["__MACOSX/train/a/._1.png", "docs/readme.md", "empty/", "__MACOSX/x.png"])
@pytest.mark.parametrize("around", ["", "pets/", "v2/pets/"])
def test_folders_without_pictures_and_folders_around_all_are_no_classes(tmp_path, beside, around):
    lay_out(tmp_path, *(f"{around}{split}/{name}/1.png" for split in ("train", "valid") for name in "ab"))
    lay_out(tmp_path, f"{around}{beside}")
    assert {row[1:] for row in labelled(tmp_path)} == {
        ("a", "train"),
        ("b", "train"),
        ("a", "val"),
        ("b", "val"),
    }
    named = {"docs/readme.md": "docs", "empty/": "empty"}.get(beside)
    assert found_in(tmp_path) == ([("stray_file", f"{around}{named}")] if named else [])


def test_classes_may_have_folders_of_their_own_and_lie_in_one(tmp_path):
    lay_out(tmp_path, "pets/cat/may/1.png", "pets/cat/2.png", "pets/dog/june/1.png", "readme.txt")
    assert labelled(tmp_path) == [
        ("pets/cat/2.png", "cat", None),
        ("pets/cat/may/1.png", "cat", None),
        ("pets/dog/june/1.png", "dog", None),
    ]
    assert found_in(tmp_path) == [("stray_file", "readme.txt")]


def test_splits_may_lie_within_the_classes(tmp_path):
    lay_out(tmp_path, *(f"{name}/{split}/1.png" for split in ("train", "test") for name in ("cat", "dog")))
    assert {row[1:] for row in labelled(tmp_path)} == {
        (name, split) for name in ("cat", "dog") for split in ("train", "test")
    }


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/a/1.png", "train/b/1.png", "docs/1.png"], "train look like splits, docs do not: move away"),
        (
            ["seg_train/seg_train/a/1.png", "seg_test/seg_test/a/1.png", "seg_pred/seg_pred/1.png"],
            "seg_test, seg_train look like splits, seg_pred do not: .* or name another `folder`",
        ),
        (["train_images/1.png", "test_images/2.png"], "no pictures in folders of classes"),
        (["cat/train/1.png", "dog/1.png"], r"cat/train look like splits, dog/\* do not"),
        (["cat/1.png", "cat/2.png"], r"only one class, 'cat': .*`classes: \[cat\]`"),
        (["train/cat/1.png", "val/cat/2.png"], "only one class, 'cat'"),
        (["train/1.png", "val/2.png"], "no pictures in folders of classes"),
        (["1.png"], "no pictures in folders of classes"),
        (["a/1.txt"], "no pictures in folders of classes"),
    ],
)
def test_what_could_mean_several_things_is_asked_in_one_line(tmp_path, names, message):
    lay_out(tmp_path, *names)
    with pytest.raises(DataError, match=message) as raised:
        read(tmp_path)
    assert "\n" not in str(raised.value)


def test_classes_that_are_named_are_classes_whatever_they_are_called(tmp_path):
    lay_out(tmp_path, "bicycle/1.png", "train/1.png", "val/1.png")
    assert [row[1] for row in labelled(tmp_path, classes=["bicycle", "train", "val"])] == [
        "bicycle",
        "train",
        "val",
    ]
    lay_out(tmp_path / "alone", "cat/may/1.png")
    assert labelled(tmp_path / "alone", classes=["cat"]) == [("cat/may/1.png", "cat", None)]


def test_whatever_pillow_reads_is_a_picture_and_the_others_are_refused_by_name(tmp_path):
    read_here = ("ppm", "pgm", "jfif", "jpe", "jp2", "AVIF", "tga", "dds")
    lay_out(tmp_path, *(f"a/1.{suffix}" for suffix in read_here), "b/1.HEIC", "b/1.cr2", "b/1.csv", "b/1.png")
    assert len(labelled(tmp_path)) == len(read_here) + 1
    assert found_in(tmp_path) == [
        ("unreadable", "b/1.HEIC"),
        ("unreadable", "b/1.cr2"),
        ("stray_file", "b/1.csv"),
    ]


def test_links_to_folders_are_told_apart(tmp_path):
    raw = tmp_path / "raw"
    lay_out(raw, "a/1.png", "b/1.png")
    lay_out(tmp_path, "c/1.png")
    (raw / "a/up").symlink_to("..")
    (raw / "c").symlink_to(tmp_path / "c")
    assert found_in(raw) == [("unfollowed_link", "c"), ("stray_file", "a/up")]
    assert {row[1] for row in labelled(raw)} == {"a", "b"}


def test_names_that_are_no_text_are_told_by_escapes(tmp_path):
    lay_out(tmp_path, "a/1.png")
    for name in (b"b/caf\xe9.png", b"caf\xe9/1.png", b"b/two\nlines.png", b"b/caf\xe9.txt", b"b/\x1b[2J.png"):
        path = tmp_path / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    rows = labelled(tmp_path)
    assert [row[:2] for row in rows] == [
        ("a/1.png", "a"),
        ("b/\\x1b[2J.png", "b"),
        ("b/caf\\xe9.png", "b"),
        ("b/two\\nlines.png", "b"),
        ("caf\\xe9/1.png", "caf\\xe9"),
    ]
    assert found_in(tmp_path) == [("stray_file", "b/caf\\xe9.txt")]
    assert [path for path in "".join(map(str, rows)) if not path.isprintable()] == []


def test_pictures_of_the_only_class_need_no_folder(tmp_path):
    lay_out(tmp_path, "0.png", "1.png")
    assert labelled(tmp_path, classes=["cat"]) == [("0.png", "cat", None), ("1.png", "cat", None)]
    with pytest.raises(DataError, match=r"or `classes: \[NAME\]` if all pictures are of one class"):
        read(tmp_path)


def test_nor_in_folders_of_splits(tmp_path):
    lay_out(tmp_path, "train/0.png", "test/1.png")
    assert labelled(tmp_path, classes=["cat"]) == [
        ("test/1.png", "cat", "test"),
        ("train/0.png", "cat", "train"),
    ]
