import os

import pytest

from stages.core.errors import DataError
from tests.stages.sources.readers import boxes, kinds, read, splits, write_picture, write_text

VOC = {"format": "pascal-voc", "folder": ".", "first_pixel": 0}
BOX = "<bndbox><xmin>5</xmin><ymin>6</ymin><xmax>25</xmax><ymax>16</ymax></bndbox>"
CAT = f"<object><name>cat</name>{BOX}</object>"


def xml(filename="", things=CAT, size=""):
    return f"<annotation><filename>{filename}</filename>{size}{things}</annotation>"


def write(raw, names, lists=None, folders=("Annotations", "JPEGImages"), **more):
    for name in names:
        write_picture(raw / folders[1] / f"{name}.png")
        write_text(raw / folders[0] / f"{name}.xml", xml(f"{name}.png", **more))
    for name, text in (lists or {}).items():
        write_text(raw / f"ImageSets/Main/{name}.txt", text)


def test_lists_name_pictures_in_any_of_their_ways(tmp_path):
    names = ["IMG 0", "IMG 1", "a", "b", "c", "d"]
    lists = {
        "train": "IMG 0\r\na.png\n\nJPEGImages/b.png\n",
        "valid": "IMG 1\nC:\\set\\c.xml\n",
        "test": "d  -1\n",
        "cat_train": "IMG 1 1\n",
    }
    write(tmp_path, names, lists)
    rows, findings = read(tmp_path, VOC)
    assert splits(rows) == {
        "IMG 0.png": "train",
        "IMG 1.png": "val",
        "a.png": "train",
        "b.png": "train",
        "c.png": "val",
        "d.png": "test",
    }
    assert not findings


def test_what_stands_in_no_list_is_left_out_and_named(tmp_path):
    write(tmp_path, ["a", "b", "c"], {"train": "a\nlost\n", "val": "b\n"})
    rows, findings = read(tmp_path, VOC)
    assert splits(rows) == {"a.png": "train", "b.png": "val"}
    assert [(found.kind, found.where.rpartition("/")[2]) for found in findings] == [
        ("unlabelled_picture", "c.xml"),
        ("bad_row", "train.txt: line 2"),
    ]


def test_trainval_is_train_where_there_is_neither(tmp_path):
    write(tmp_path, ["a", "b"], {"trainval": "a\n", "test": "b\n"})
    assert splits(read(tmp_path, VOC)[0]) == {"a.png": "train", "b.png": "test"}


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"train": "a\n"}, {"a": "train", "b": "val", "c": "val"}),
        ({"val": "a\n"}, {"a": "val", "b": "train", "c": "train"}),
        ({"train": "a\n", "val": "b\n"}, {"a": "train", "b": "val", "c": "train"}),
    ],
)
def test_trainval_gives_the_list_that_is_missing(tmp_path, lists, expected):
    write(tmp_path, ["a", "b", "c"], lists | {"trainval": "a\nb\nc\n"})
    assert splits(read(tmp_path, VOC)[0]) == {f"{name}.png": split for name, split in expected.items()}


@pytest.mark.parametrize(
    "text",
    [
        xml("a.png").replace("<annotation>", '<annotation xmlns="http://a.example/voc">').encode(),
        ("\n<?xml version='1.0'?>" + xml("a.png")).encode(),
        ("<?xml version='1.0' encoding='GBK'?>" + xml("a.png").replace("cat", "\u732b")).encode("gbk"),
        xml("a.png").encode("utf-16"),
    ],
)
def test_namespaces_empty_lines_and_encodings(tmp_path, text):
    write_picture(tmp_path / "JPEGImages/a.png")
    write_text(tmp_path / "Annotations/a.xml", text)
    rows, findings = read(tmp_path, VOC)
    assert not findings
    assert rows[0].labels in (("cat",), ("\u732b",))
    assert rows[0].boxes.tolist() == [[5, 6, 25, 16]]


def test_splits_above_folders_of_annotations_and_of_pictures(tmp_path):
    for split in ("train", "test"):
        write(tmp_path, ["a"], folders=(f"{split}/labels", f"{split}/images"))
    rows, findings = read(tmp_path, VOC | {"annotations": ".", "pictures": "."})
    assert [(row.split, row.picture.parent.parent.name) for row in rows] == [
        ("test", "test"),
        ("train", "train"),
    ]
    assert not findings


def test_of_two_pictures_of_one_name_the_annotation_says_which(tmp_path):
    write(tmp_path, ["a"])
    write_picture(tmp_path / "JPEGImages/a.jpg")
    assert list(boxes(read(tmp_path, VOC)[0])) == ["a.png"]
    write_text(tmp_path / "Annotations/a.xml", xml("other.png"))
    rows, findings = read(tmp_path, VOC)
    assert not rows
    assert findings[0].what == "'a' means several pictures: a.jpg, a.png"


def test_two_lists_of_one_picture_are_refused(tmp_path):
    write(tmp_path, ["a"], {"train": "a\n", "val": "x\na\n"})
    with pytest.raises(DataError, match=r"val\.txt: line 2: a stands in train\.txt too; remove it from one"):
        read(tmp_path, VOC)


def test_folders_by_params_and_xml_beside_the_pictures(tmp_path):
    write(tmp_path, ["a"], folders=("labels", "photos"))
    rows, _ = read(tmp_path, VOC | {"annotations": "labels", "pictures": "photos"})
    assert list(boxes(rows)) == ["a.png"]
    with pytest.raises(DataError, match=r"Annotations: no such folder; preprocess\.detection\.annotations"):
        read(tmp_path, VOC)


def test_folders_named_as_splits_as_roboflow_has_them(tmp_path):
    for split in ("train", "valid", "test"):
        write(tmp_path, [split], folders=(split, split))
    rows, findings = read(tmp_path, VOC | {"annotations": ".", "pictures": "."})
    assert splits(rows) == {"train.png": "train", "valid.png": "val", "test.png": "test"}
    assert not findings


def test_the_picture_of_the_annotations_own_name_is_taken(tmp_path):
    write(tmp_path, ["a", "b"])
    write_text(tmp_path / "Annotations/a.xml", xml("b.png"))
    write_text(tmp_path / "Annotations/b.xml", xml("C:\\photos\\b.JPG", ""))
    rows, findings = read(tmp_path, VOC)
    assert boxes(rows) == {"a.png": [("cat", [5, 6, 25, 16])], "b.png": []}  # b.png's has no object
    assert [(found.kind, found.what) for found in findings] == [
        ("name_differs", "<filename> is 'b.png'; its boxes are taken for a.png")
    ]


def test_a_file_name_leads_to_no_picture_that_has_an_annotation_of_its_own(tmp_path):
    write(tmp_path, ["b"])
    write_text(tmp_path / "Annotations/a.xml", xml("b.png"))
    write_text(tmp_path / "Annotations/c.xml", xml())
    rows, findings = read(tmp_path, VOC)
    assert list(boxes(rows)) == ["b.png"]
    assert kinds(findings) == ["missing_picture", "bad_row"]
    assert findings[1].what == "no picture called c, and no <filename>"


@pytest.mark.parametrize(
    ("things", "message"),
    [
        (f"<object><name></name>{BOX}</object>", "object 2: its <name> is empty"),
        (f"<object>{BOX}</object>", "object 2: its <name> is empty"),
        ("<object><name>cat</name></object>", "object 2: cat: it has no <bndbox> with xmin"),
        (f"<object><name>cat</name>{BOX}{BOX}</object>", "object 2: it has 2 <bndbox>, want one"),
        (f"<object><name>cat</name><name>dog</name>{BOX}</object>", "object 2: it has 2 <name>, want one"),
        (CAT.replace(">5<", ">x<"), "is not four numbers"),
        (CAT.replace(">5<", ">nan<"), "is not four numbers"),
        (CAT.replace(">5<", f">{'9' * 5000}<"), "is not four numbers"),
    ],
)
def test_a_wrong_object_is_named_and_its_picture_has_lost_a_box(tmp_path, things, message):
    write(tmp_path, ["a"], things=CAT + things)
    rows, findings = read(tmp_path, VOC)
    assert kinds(findings) == ["invalid_box"]
    assert message in findings[0].what
    assert len(findings[0].what) < 250
    assert rows[0].lost == 1
    assert rows[0].labels == ("cat",)


def test_a_polygon_without_a_box_gives_its_box(tmp_path):
    points = "<x1>5</x1><y1>6</y1><x2>25</x2><y2>6</y2><x3>15</x3><y3>16</y3>"
    write(tmp_path, ["a"], things=f"<object><name>cat</name><polygon>{points}</polygon></object>")
    rows, findings = read(tmp_path, VOC)
    assert boxes(rows) == {"a.png": [("cat", [5, 6, 25, 16])]}
    assert rows[0].polygons == {0: ((5, 6, 25, 6, 15, 16),)}
    assert not findings


@pytest.mark.parametrize(("stated", "size"), [("40.0", (40, 20)), ("0", None), ("", None)])
def test_sizes_may_be_floats_or_left_out(tmp_path, stated, size):
    write(tmp_path, ["a"], size=f"<size><width>{stated}</width><height>20</height></size>")
    assert read(tmp_path, VOC)[0][0].size == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>\n<object></annotation>", "no XML: line 2, column"),
        ("", "no XML: line 1, column"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "its encoding is unknown"),
        (
            '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>',
            "entities that are declared (<!ENTITY)",
        ),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'.encode("utf-16"), "entities that are declared"),
        ('<!DOCTYPE a SYSTEM "/etc/passwd"><annotation>&b;</annotation>', "no XML: line 1, column"),
        (xml(size=f"<size><width>{'9' * 5000}</width><height>2</height></size>"), "is not two whole numbers"),
        (xml(size="<size><width>inf</width><height>2</height></size>"), "is not two whole numbers"),
    ],
)
def test_an_annotation_that_cannot_be_understood_is_a_finding(tmp_path, text, message):
    write(tmp_path, ["a", "b"])
    write_text(tmp_path / "Annotations/a.xml", text)
    rows, findings = read(tmp_path, VOC)
    assert list(boxes(rows)) == ["b.png"]
    assert kinds(findings) == ["bad_row"]
    assert message in findings[0].what
    assert "\n" not in findings[0].what


def test_elements_nested_deep_end_in_a_finding_or_none(tmp_path):
    deep = "<a>" * 100_000 + "</a>" * 100_000
    write(tmp_path, ["a"], things=deep)
    rows, _ = read(tmp_path, VOC)
    assert list(boxes(rows)) == ["a.png"]


def test_a_file_name_that_leads_out_of_the_folder_is_refused(tmp_path):
    write(tmp_path, ["a"])
    write_text(tmp_path / "Annotations/a.xml", xml("../../a.png"))
    assert kinds(read(tmp_path, VOC)[1]) == ["path_traversal"]


def test_a_pipe_among_the_annotations_is_not_waited_for(tmp_path):
    write(tmp_path, ["a"])
    os.mkfifo(tmp_path / "Annotations/b.xml")
    rows, findings = read(tmp_path, VOC)
    assert list(boxes(rows)) == ["a.png"]
    assert all(found.where.endswith("b.xml") for found in findings)


@pytest.mark.parametrize("declared", ["annotation", 'annotation SYSTEM "voc.dtd"', "annotation []"])
def test_a_document_type_without_entities_changes_nothing(tmp_path, declared):
    write(tmp_path, ["a"])
    write_text(tmp_path / "Annotations/a.xml", f'<?xml version="1.0"?><!DOCTYPE {declared}>{xml("a.png")}')
    rows, findings = read(tmp_path, VOC)
    assert boxes(rows) == {"a.png": [("cat", [5, 6, 25, 16])]}
    assert not findings


def turned(angle="0.0", name="cat"):
    """A thing as roLabelImg writes it: 20 x 10 px about (15, 11)."""
    numbers = f"<cx>15.0</cx><cy>11.0</cy><w>20.0</w><h>10.0</h><angle>{angle}</angle>"
    return f"<object><type>robndbox</type><name>{name}</name><robndbox>{numbers}</robndbox></object>"


@pytest.mark.parametrize(
    ("angle", "box"),
    [
        ("0.0", [5, 6, 25, 16]),
        ("1.5707963", [10, 1, 20, 21]),
        ("0.5235988", [15 - 11.16, 11 - 9.33, 15 + 11.16, 11 + 9.33]),  # half of 20 cos 30 + 10 sin 30, ...
    ],
)
def test_turned_boxes_of_rolabelimg_give_the_box_round_them(tmp_path, angle, box):
    write(tmp_path, ["a"], things=CAT + turned(angle, "dog"))
    rows, findings = read(tmp_path, VOC)
    assert boxes(rows)["a.png"] == [("cat", [5, 6, 25, 16]), ("dog", pytest.approx(box, abs=0.01))]
    assert len(rows[0].polygons[1][0]) == 8
    assert not findings


def test_a_turned_box_that_is_none_is_named(tmp_path):
    write(tmp_path, ["a"], things=turned("north"))
    rows, findings = read(tmp_path, VOC)
    what = "object 1: cat: its <robndbox> is not five numbers, cx, cy, w, h, angle"
    assert [(found.kind, found.what) for found in findings] == [("invalid_box", what)]
    assert rows[0].lost == 1
