import json
import math

import pandas as pd
import pytest
from pydantic import ValidationError

from stages.core.errors import DataError
from tests.stages.sources.readers import boxes, kinds, read, splits, write_picture, write_text

PICTURES = {
    "format": "csv",
    "file": "l.csv",
    "pictures": "img",
    "columns": {"picture": "file", "label": "class"},
}
CORNERS = ["xmin", "ymin", "xmax", "ymax"]
BOXES = PICTURES | {"columns": {"picture": "file", "label": "class", "box": CORNERS}}


@pytest.fixture
def raw(tmp_path):
    for name in ("0.png", "1.png"):
        write_picture(tmp_path / "img" / name)
    return tmp_path


def labels(raw, params=PICTURES, text=None):
    if text is not None:
        write_text(raw / "l.csv", text)
    rows, findings = read(raw, params, "classification")
    return {row.picture.name: row.labels[0] for row in rows}, findings


TABLE = "file,class\n0.png,a\n1.png,b\n"


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", "|"),
        "sep=,\n" + TABLE,
        '"sep=;"\r\n' + TABLE.replace(",", ";"),
        TABLE.replace("file,class", " File , CLASS"),
        "\n" + TABLE.replace("\n", "\r\n"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-8-sig"),
        "class;note,file;file\na;x,y;0.png\nb;;1.png\n",
        TABLE.replace(".png", ""),
        TABLE.replace("0.png", ".\\0.png"),
    ],
)
def test_tables_however_programs_write_them(raw, text):
    assert labels(raw, text=text) == ({"0.png": "a", "1.png": "b"}, [])


def test_latin_1_by_params(raw):
    text = "file,class\n0.png,a\n1.png,b\u00e9\n".encode("latin-1")
    with pytest.raises(DataError, match=r"l\.csv: line 3: byte 26 is no UTF-8.*let `encoding`.*latin-1"):
        labels(raw, text=text)
    assert labels(raw, PICTURES | {"encoding": "latin-1"})[0]["1.png"] == "b\u00e9"
    for wrong in ("klingon", "base64"):
        with pytest.raises(ValidationError, match="no encoding of texts"):
            labels(raw, PICTURES | {"encoding": wrong})


@pytest.mark.parametrize("written", ["C:\\photos\\0.png", "/home/me/photos/0.png"])
def test_absolute_paths_are_read_with_the_prefix_taken_off(raw, written):
    text = f"file,class\n{written},a\n"
    prefix = written.removesuffix("0.png")
    for strip in (prefix, prefix[:-1]):
        assert labels(raw, PICTURES | {"strip_prefix": strip}, text)[0] == {"0.png": "a"}
    _, findings = labels(raw)
    assert findings[0].kind == "path_traversal"
    assert "let strip_prefix take it off" in findings[0].what


def test_names_without_suffix_that_mean_several_pictures_are_named(raw):
    write_picture(raw / "img/0.jpg")
    found, findings = labels(raw, text=TABLE.replace(".png", ""))
    assert found == {"1.png": "b"}
    assert findings[0].what == "'0' means several pictures: 0.jpg, 0.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class,class\n0.png,a,b\n", r"columns 2 and 3 are both called 'class'; rename one"),
        ("file,Class, class \n0.png,a,b\n", r"columns 2 and 3 are both called 'class'"),
        ("file,klass\n0.png,a\n", r"l\.csv: no column 'class' among file, klass$"),
        ("", r"its first line names no columns"),
        ('file,class\n0.png,a\n"1.png,b\n', r"row 3: no CSV: a quotation mark out of place"),
    ],
)
def test_a_table_that_cannot_be_understood_is_one_line(raw, text, message):
    with pytest.raises(DataError, match=message):
        labels(raw, text=text)


def test_rows_are_named_by_the_line_that_they_begin_with(raw):
    text = 'sep=,\n\nfile,class,note\n\n0.png,a,"two\nlines"\n1.png,,x\n1.png,b\n'
    found, findings = labels(raw, text=text)
    assert found == {"0.png": "a"}
    named = [found.where.rpartition(": ")[2] for found in findings if found.kind == "bad_row"]
    assert named == ["row 7", "row 8"]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("2.5", 2.5), ("", None), ("nan", None), ("NA", None), ("inf", "bad"), ("1e999", "bad"), ("1_0", "bad")],
)
def test_cells_of_attributes_are_finite_numbers_or_unknown(raw, cell, value):
    columns = {"columns": PICTURES["columns"] | {"attributes": ["weight"]}}
    write_text(raw / "l.csv", f"file,class,weight\n0.png,a,{cell}\n")
    rows, findings = read(raw, PICTURES | columns, "classification")
    if value == "bad":
        assert findings[0].kind == "bad_row"
        assert findings[0].what == f"an attribute is no number: column 'weight' has '{cell}'"
    else:
        (weight,) = rows[0].attributes.values()
        assert math.isnan(weight) if value is None else weight == value


def test_a_table_without_a_header(raw):
    headed = PICTURES | {"header": ["file", "class"]}
    assert labels(raw, headed, "0.png;a\n1.png;b\n") == ({"0.png": "a", "1.png": "b"}, [])


def test_imagefolder_with_metadata_as_hugging_face_has_it(tmp_path):
    for split in ("train", "test"):
        write_picture(tmp_path / f"{split}/{split}.png")
    write_text(tmp_path / "train/metadata.csv", "file_name,label\ntrain.png,cat\n")
    write_text(tmp_path / "test/metadata.csv", "file_name,label\ntest.png,dog\n")
    params = {
        "format": "csv",
        "file": {"train": "train/metadata.csv", "test": "test/metadata.csv"},
        "pictures": None,
        "columns": {"picture": "file_name", "label": "label"},
    }
    rows, findings = read(tmp_path, params, "classification")
    assert splits(rows) == {"train.png": "train", "test.png": "test"}
    assert not findings
    for split, label in (("train", "cat"), ("test", "dog")):
        record = {"file_name": f"{split}.png", "label": label}
        write_text(tmp_path / f"{split}/metadata.jsonl", json.dumps(record) + "\n")
    lines = {"train": "train/metadata.jsonl", "test": "test/metadata.jsonl"}
    again, findings = read(tmp_path, params | {"format": "jsonl", "file": lines}, "classification")
    assert [row.labels for row in again] == [row.labels for row in rows]
    assert not findings


def test_usual_names_of_splits(raw):
    columns = {"columns": PICTURES["columns"] | {"split": "part"}}
    write_text(raw / "l.csv", "file,class,part\n0.png,a,Train\n1.png,b,validation\n")
    assert splits(read(raw, PICTURES | columns, "classification")[0]) == {"0.png": "train", "1.png": "val"}


@pytest.mark.parametrize(
    ("more", "header", "row"),
    [
        ({}, "xmin,ymin,xmax,ymax", "5,6,25,16"),
        ({"box_as": "corner-and-size"}, "xmin,ymin,xmax,ymax", "5,6,20,10"),
        ({"box_as": "centre-and-size"}, "xmin,ymin,xmax,ymax", "15,11,20,10"),
        ({"unit": "shares"}, "xmin,ymin,xmax,ymax", "0.125,0.3,0.625,0.8"),
        ({"columns": BOXES["columns"] | {"box": ["b"]}}, "b", '"[5, 6, 25.0, 16]"'),
    ],
)
def test_boxes_in_a_table(raw, more, header, row):
    text = f"file,class,{header}\n0.png,cat,{row}\n1.png,{',' * header.count(',')},\n0.png,dog,{row}\n"
    write_text(raw / "l.csv", text)
    rows, findings = read(raw, BOXES | more)
    box = [5, 6, 25, 16]
    assert boxes(rows) == {"0.png": [("cat", box), ("dog", box)], "1.png": []}
    assert [row.lost for row in rows] == [0, 0]
    assert not findings
    table = pd.DataFrame({"file": ["0.png"], "class": ["cat"], "box": [[5, 6, 25, 16]]})
    table.to_parquet(raw / "l.parquet")
    packed = BOXES | {"format": "parquet", "file": "l.parquet"}
    rows, _ = read(raw, packed | {"columns": BOXES["columns"] | {"box": ["box"]}})
    assert boxes(rows) == {"0.png": [("cat", box)]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0.png,cat,5,6,25", None),
        ("0.png,cat,5,6,25,x", "cat: box ['5', '6', '25', 'x'] is not four numbers"),
        ("0.png,cat,5,6,25,1e999", "is not four numbers"),
        ("0.png,,5,6,25,16", "column 'class' is empty"),
        ("0.png,cat,,,,", "is not four numbers"),
    ],
)
def test_wrong_rows_of_boxes_are_named(raw, row, message):
    write_text(raw / "l.csv", f"file,class,{','.join(CORNERS)}\n0.png,cat,5,6,25,16\n{row}\n")
    rows, findings = read(raw, BOXES)
    found = [found for found in findings if found.kind != "unlabelled_picture"]
    assert found[0].where.endswith("l.csv: row 3")
    assert kinds(found) == ["invalid_box" if message else "bad_row"]
    assert message is None or message in found[0].what
    assert rows[0].lost == (message is not None)


@pytest.mark.parametrize("content", ["file,class\n".encode("utf-16-le"), b"PK\x03\x04\x14\x00\x06\x00"])
def test_what_is_no_text_says_what_to_do(raw, content):
    (raw / "l.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"save it as CSV, or let `encoding` beside `file` name another"):
        labels(raw)


OBJECTS = {
    "format": "jsonl",
    "file": "img/metadata.jsonl",
    "columns": {"picture": "file_name", "label": "objects.categories", "box": ["objects.bbox"]},
    "box_as": "corner-and-size",
}


def write_objects(raw, *objects):
    records = [{"file_name": f"{number}.png", "objects": one} for number, one in enumerate(objects)]
    write_text(raw / "img/metadata.jsonl", "".join(f"{json.dumps(record)}\n" for record in records))


def test_a_column_of_objects_as_hugging_face_has_it(raw):
    write_objects(
        raw,
        {"bbox": [[5.0, 6.0, 20.0, 10.0], [1, 2, 3, 4]], "categories": [0, "dog"]},
        {"bbox": [], "categories": []},
    )
    rows, findings = read(raw, OBJECTS)
    assert boxes(rows) == {"0.png": [("0", [5, 6, 25, 16]), ("dog", [1, 2, 4, 6])], "1.png": []}
    assert rows[0].places == ("row 1, box 1", "row 1, box 2")
    assert not findings


def test_objects_may_be_a_list(raw):
    write_objects(raw, [{"bbox": [5, 6, 20, 10], "categories": "cat"}], None)
    rows, findings = read(raw, OBJECTS)
    assert boxes(rows) == {"0.png": [("cat", [5, 6, 25, 16])], "1.png": []}
    assert not findings


def test_a_column_of_objects_in_parquet(raw):
    objects = [
        {"bbox": [[5.0, 6.0, 20.0, 10.0]], "categories": ["cat"]},
        {"bbox": [[1.0, 2.0, 3.0, 4.0]] * 2, "categories": ["cat", "dog"]},
    ]
    table = pd.DataFrame({"file_name": ["0.png", "1.png"], "objects": objects})
    table.to_parquet(raw / "l.parquet")
    params = OBJECTS | {"format": "parquet", "file": "l.parquet", "pictures": "img"}
    rows, findings = read(raw, params)
    small = [1, 2, 4, 6]
    assert boxes(rows) == {"0.png": [("cat", [5, 6, 25, 16])], "1.png": [("cat", small), ("dog", small)]}
    assert not findings


@pytest.mark.parametrize(
    ("one", "message"),
    [
        ({"bbox": [[5, 6, 20, 10]], "categories": ["a", "b"]}, "objects.categories has 2 and objects.bbox 1"),
        ({"bbox": [5], "categories": [0]}, "0: box ['5'] is not four numbers"),
        ({"bbox": [[5, 6, 20]], "categories": ["cat"]}, "cat: box [5, 6, 20] is not four numbers"),
        ({"categories": ["cat"]}, "objects.categories has 1 and objects.bbox 0"),
    ],
)
def test_wrong_objects_are_named(raw, one, message):
    write_objects(raw, one, {"bbox": [[1, 2, 3, 4]], "categories": ["cat"]})
    rows, findings = read(raw, OBJECTS)
    assert kinds(findings) == ["invalid_box"]
    assert message in findings[0].what
    assert [row.lost for row in rows] == [1, 0]


@pytest.mark.parametrize(
    "objects", [{"boxes": [[5, 6, 20, 10]], "categories": ["cat"]}, [{"categories": "cat"}], 7]
)
def test_a_name_that_no_object_has_is_no_empty_picture(raw, objects):
    write_objects(raw, objects)
    with pytest.raises(DataError, match=r"metadata\.jsonl: no object has objects\.bbox"):
        read(raw, OBJECTS)


def attributes(raw, text, **columns):
    """Of each picture its label and attributes, unknown ones as None."""
    write_text(raw / "l.csv", text)
    rows, findings = read(raw, PICTURES | {"columns": {"picture": "file", **columns}}, "classification")
    told = {
        row.picture.name: (
            row.labels,
            {name: None if math.isnan(value) else value for name, value in row.attributes.items()},
        )
        for row in rows
    }
    return told, findings


def test_a_picture_has_a_class_or_attributes_or_both(raw):
    text = "file,class,Smiling\n0.png,,-1\n1.png,a,\n"
    told, findings = attributes(raw, text, label="class", attributes=["Smiling"])
    assert told == {"0.png": ((), {"Smiling": -1.0}), "1.png": (("a",), {"Smiling": None})}
    assert findings == []
    told, findings = attributes(raw, text, label=None, attributes=["Smiling"])
    assert told == {"0.png": ((), {"Smiling": -1.0})}
    assert (kinds(findings)[0], findings[0].what) == ("bad_row", "no attribute is known")


def test_lists_of_labels_become_attributes(raw):
    write_picture(raw / "img/2.png")
    text = "file,tags,scene\n0.png,sun| sea ,beach\n1.png,,wood\n2.png,|,\n"
    told, findings = attributes(raw, text, label=None, label_lists={"tags": "|", "scene": None})
    scenes = {"beach": 1.0, "wood": 0.0}
    assert told == {
        "0.png": ((), {"sea": 1.0, "sun": 1.0} | scenes),
        "1.png": ((), {"sea": None, "sun": None, "beach": 0.0, "wood": 1.0}),
        "2.png": ((), {"sea": 0.0, "sun": 0.0, "beach": None, "wood": None}),
    }
    assert findings == []


def test_lists_of_json(raw):
    params = PICTURES | {
        "format": "jsonl",
        "file": "l.jsonl",
        "columns": {"picture": "file", "label": None, "label_lists": {"tags": None}},
    }
    write_text(raw / "l.jsonl", '{"file": "0.png", "tags": ["a", "b"]}\n{"file": "1.png", "tags": []}\n')
    rows, findings = read(raw, params, "classification")
    assert [row.attributes for row in rows] == [{"a": 1.0, "b": 1.0}, {"a": 0.0, "b": 0.0}]
    assert findings == []


def test_attributes_of_one_name_and_lists_without_a_sign_are_refused(raw):
    text = "file,sun,tags\n0.png,1,sun|sea\n"
    with pytest.raises(
        DataError, match=r"l.csv: column 'tags' has the label 'sun', as columns.attributes has"
    ):
        attributes(raw, text, label=None, attributes=["sun"], label_lists={"tags": "|"})
    many = "file,tags\n" + "".join(f"0.png,word {number}\n" for number in range(1001))
    with pytest.raises(DataError, match="column 'tags' has more than 1000 different labels: name the sign"):
        attributes(raw, many, label=None, label_lists={"tags": "|"})
    with pytest.raises(ValidationError, match="name a label, attributes or label_lists"):
        attributes(raw, text, label=None)
