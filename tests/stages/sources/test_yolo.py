import pytest

from stages.core.errors import DataError
from tests.stages.sources.readers import boxes, kinds, read, splits, write_picture, write_text

YOLO = {"format": "yolo", "file": "data.yaml"}
MIDDLE = [10, 5, 30, 15]  # of 40 x 20: 0.5 0.5 0.5 0.5


def write(raw, labels, yaml="train: images\nnames: [cat, dog]\n"):
    for name, text in labels.items():
        write_picture(raw / f"images/{name}.png")
        write_text(raw / f"labels/{name}.txt", text)
    write_text(raw / "data.yaml", yaml)


@pytest.mark.parametrize(
    ("line", "label", "box"),
    [
        ("1 0.5 0.5 0.5 0.5", "dog", MIDDLE),
        ("1.0 0.5 0.5 0.5 0.5", "dog", MIDDLE),
        ("0,0.5,0.5,0.5,0.5", "cat", MIDDLE),
        ("0, 0.5, 0.5, 0.5, 0.5", "cat", MIDDLE),
        ("0\t.5  5e-1 0.5 0.5\r", "cat", MIDDLE),
        ("0 0.25 0.25 0.75 0.25 0.5 0.75", "cat", MIDDLE),
        ("0 0.25,0.25 0.75,0.25 0.5,0.75", "cat", MIDDLE),
        ("0 0.5 0.25 0.75 0.5 0.5 0.75 0.25 0.5", "cat", MIDDLE),
    ],
)
def test_a_line_is_a_box_a_polygon_or_a_turned_box(tmp_path, line, label, box):
    write(tmp_path, {"0": line})
    rows, findings = read(tmp_path, YOLO)
    assert boxes(rows) == {"0.png": [(label, box)]}
    assert not findings
    words = line.replace(",", " ").split()
    polygons = [tuple(p) for part in rows[0].polygons.values() for p in part]
    stated = [float(word) * side for word, side in zip(words[1:], (40, 20) * 9, strict=False)]
    assert polygons == ([tuple(stated)] if len(words) > 5 else [])


def test_a_pose_gives_its_box(tmp_path):
    yaml = "train: images\nnames: [cat]\nkpt_shape: [2, 3]\n"
    write(tmp_path, {"0": "0 0.5 0.5 0.5 0.5 0.1 0.1 2 0.2 0.2 0"}, yaml)
    rows, findings = read(tmp_path, YOLO)
    assert boxes(rows) == {"0.png": [("cat", MIDDLE)]}
    assert not rows[0].polygons
    assert not findings


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0,5 0,5 0,5 0,5", "a comma within a number; write 0.5, not 0,5"),
        ("0 0.5 0.5 0.5", "4 values, want class, x, y, width, height, or class and three corners"),
        ("0 0.5 0.5 0.5 0.5 0.9", "6 values, want"),
        ("2 0.5 0.5 0.5 0.5", "class '2' is not among names"),
        ("0.5 0.5 0.5 0.5 0.5", "class '0.5' is not among names"),
        ("9" * 5000 + " 0.5 0.5 0.5 0.5", "is not among names"),
        ("0 0.5 0.5 0.5 nan", "are not shares of the picture"),
        ("0 0.5 0.5 0.5 1e999", "are not shares of the picture"),
        ("0 50 50 20 20", "are not shares of the picture"),
        ("0 0.5 0.5 0.5 1_0", "are not shares of the picture"),
    ],
)
def test_a_wrong_line_is_named_and_its_picture_has_lost_a_box(tmp_path, line, message):
    write(tmp_path, {"0": f"1 0.5 0.5 0.5 0.5\n{line}\n"})
    rows, findings = read(tmp_path, YOLO)
    assert kinds(findings) == ["invalid_box"]
    assert findings[0].where.endswith("labels/0.txt: line 2")
    assert message in findings[0].what
    assert len(findings[0].what) < 250
    assert rows[0].lost == 1
    assert len(rows[0].labels) == 1


def test_labels_that_are_no_text_refuse_their_picture(tmp_path):
    write(tmp_path, {"0": b"0 0.5 0.5 0.5 0.5 \xff\xfe", "1": "0 0.5 0.5 0.5 0.5"})
    rows, findings = read(tmp_path, YOLO)
    assert list(boxes(rows)) == ["1.png"]
    assert kinds(findings) == ["bad_row"]


def test_what_programs_leave_among_labels_is_stray(tmp_path):
    write(tmp_path, {"0": "0 0.5 0.5 0.5 0.5"})
    for name in ("classes.txt", "train.cache", "notes.json", "lost.txt"):
        write_text(tmp_path / "labels" / name, "cat\ndog\n")
    write_text(tmp_path / "images/Thumbs.db", "")
    _, findings = read(tmp_path, YOLO)
    named = {found.where.rpartition("/")[2]: found.kind for found in findings}
    assert named.pop("lost.txt") == "missing_picture"
    assert set(named.values()) == {"stray_file"}
    assert set(named) == {"classes.txt", "train.cache", "notes.json", "Thumbs.db"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("names: [a, a]", r"classes 0 and 1 are both called 'a'; rename one"),
        ("names: {0: a, 1: a}", r"classes 0 and 1 are both called 'a'"),
        ("names: [a, no]", r"the name of class 1 False is no text; put it in quotation marks"),
        ("names: [a, '']", r"the name of class 1 is empty"),
        ("names: []", r"names: want a list of classes"),
        ("nc: 3", r"names: want a list of classes"),
        ("names: [a]\nvalidation: images\nvalid: images", r"validation and valid mean the same split"),
        ("names: [a]\nkpt_shape: [17]", r"kpt_shape: \[17\] is not two numbers"),
        ("names: [a", r"line 3: no YAML"),
        ("names: [" + "9" * 5000 + "]", r"no YAML: a character or number"),
        ("names: " + "[" * 5000, r"nested too deep"),
        ("names: [a]\nval: [[1]]", r"val: \[1\] is no name of a folder"),
    ],
)
def test_a_data_yaml_that_cannot_be_understood_is_one_line(tmp_path, yaml, message):
    write(tmp_path, {"0": ""}, f"train: images\n{yaml}\n")
    with pytest.raises(DataError, match=message) as raised:
        read(tmp_path, YOLO)
    assert "data.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_usual_names_of_splits_and_a_path_of_another_machine(tmp_path):
    for split in ("train", "valid"):
        write_picture(tmp_path / f"images/{split}/{split}.png")
    yaml = "path: /home/me/set\ntrain: images/train\nvalid: images/valid\nnames: {0: a, '3': 7}\n"
    write_text(tmp_path / "data.yaml", yaml)
    write_text(tmp_path / "labels/train/train.txt", "3 0.5 0.5 0.5 0.5")
    write_text(tmp_path / "labels/valid/valid.txt", "")
    rows, findings = read(tmp_path, YOLO)
    assert splits(rows) == {"train.png": "train", "valid.png": "val"}
    assert boxes(rows)["train.png"] == [("7", MIDDLE)]
    assert not findings


def test_a_split_that_names_the_pictures_of_another_is_left_out_and_told(tmp_path):
    write(tmp_path, dict.fromkeys(("0", "1"), "0 0.5 0.5 0.5 0.5"))
    write_text(tmp_path / "data.yaml", "path: ../coco8\ntrain: images\nval: images\nnames: [cat]\n")
    rows, findings = read(tmp_path, YOLO)
    assert set(splits(rows).values()) == {"train"}
    assert [(one.kind, one.what) for one in findings] == [
        ("in_another_split", "val: the pictures of train once more: val is left out, and drawn anew")
    ]


def test_lists_of_pictures(tmp_path):
    write(tmp_path, dict.fromkeys(("0", "1", "2"), "0 0.5 0.5 0.5 0.5"))
    write_text(tmp_path / "data.yaml", "train: train.txt\nval: val.txt\nnames: [cat]\n")
    write_text(tmp_path / "train.txt", "./images/0.png\r\n/home/me/set/images/1.png\n\n")
    write_text(tmp_path / "val.txt", "images/3.png\n")
    rows, findings = read(tmp_path, YOLO | {"strip_prefix": "/home/me/set/"})
    assert splits(rows) == {"0.png": "train", "1.png": "train", "3.png": "val"}
    assert len(boxes(rows)["1.png"]) == 1
    assert [(found.kind, found.where.rpartition("/")[2]) for found in findings] == [
        ("unlabelled_picture", "2.png")
    ]
    _, findings = read(tmp_path, YOLO)
    assert findings[0].kind == "path_traversal"
    assert findings[0].where.endswith("train.txt: line 2")


def test_darknet_as_cvat_writes_it(tmp_path):
    picture = write_picture(tmp_path / "obj_train_data/0.png")
    write_text(picture.with_suffix(".txt"), "1 0.5 0.5 0.5 0.5\n")
    write_text(tmp_path / "obj.names", "cat\ndog\n")
    write_text(tmp_path / "train.txt", "data/obj_train_data/0.png\n")
    data = "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    write_text(tmp_path / "obj.data", data)
    rows, findings = read(tmp_path, YOLO | {"file": "obj.data"})
    assert splits(rows) == {"0.png": "train"}
    assert boxes(rows) == {"0.png": [("dog", MIDDLE)]}
    assert not findings
    write_text(tmp_path / "obj.data", "train = data/trian.txt\nnames = obj.names\n")
    with pytest.raises(DataError, match=r"obj\.data: train: no file 'data/trian\.txt' within"):
        read(tmp_path, YOLO | {"file": "obj.data"})


@pytest.mark.parametrize("file", ["labels/classes.txt", "classes.txt"])
def test_a_list_of_classes_as_labelimg_writes_it(tmp_path, file):
    write(tmp_path, {"0": "1 0.5 0.5 0.5 0.5"})
    write_text(tmp_path / file, "cat\ndog\n")
    rows, findings = read(tmp_path, YOLO | {"file": file})
    assert boxes(rows) == {"0.png": [("dog", MIDDLE)]}
    assert splits(rows) == {"0.png": None}
    assert set(kinds(findings)) <= {"stray_file"}


def test_a_split_without_any_labels_is_not_background(tmp_path):
    write(tmp_path, {"a/0": "0 0.5 0.5 0.5 0.5"}, "train: images/a\nval: images/b\nnames: [cat]\n")
    write_picture(tmp_path / "images/a/1.png")
    write_picture(tmp_path / "images/b/0.png")
    rows, findings = read(tmp_path, YOLO)
    assert splits(rows) == {"0.png": "train", "1.png": "train"}
    assert kinds(findings) == ["unlabelled_picture"]
    assert findings[0].what.endswith(f"has labels, which should lie in {tmp_path}/labels/b")


def test_labels_in_capitals(tmp_path):
    write(tmp_path, {"0": "0 0.5 0.5 0.5 0.5"})
    (tmp_path / "labels/0.txt").rename(tmp_path / "labels/0.TXT")
    rows, findings = read(tmp_path, YOLO)
    assert boxes(rows) == {"0.png": [("cat", MIDDLE)]}
    assert not findings


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("train: images\nnames: [cat]\nnames: [dog]\n", r"data\.yaml: line 3: the key 'names' stands"),
        ("train: images\nnames:\n  0: cat\n  0: dog\n", r"data\.yaml: line 4: the key '0' stands"),
    ],
)
def test_keys_that_stand_twice_are_refused(tmp_path, yaml, message):
    write(tmp_path, {"0": "0 0.5 0.5 0.5 0.5"}, yaml)
    with pytest.raises(DataError, match=message):
        read(tmp_path, YOLO)
