"""LabelMe, CVAT, Label Studio, Create ML and VGG Image Annotator."""

import json

import pytest

from stages.core.errors import DataError
from tests.stages.sources.readers import boxes, kinds, read, splits, write_picture, write_text

LABELME = {"format": "labelme", "folder": "."}
CVAT = {"format": "cvat", "file": "annotations.xml", "pictures": "images"}
STUDIO = {"format": "label-studio", "file": "export.json", "pictures": "images"}
TRIANGLE = [[5, 6], [25, 6], [15, 16]]


def write_labelme(raw, name="a", shapes=(), stated="a.png", **more):
    write_picture(raw / f"{name}.png")
    document = {"imagePath": stated, "shapes": list(shapes), "imageWidth": 40, "imageHeight": 20}
    write_text(raw / f"{name}.json", json.dumps(document | more))


def shape(points, kind="polygon", label="cat", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None} | more


@pytest.mark.parametrize(
    ("drawn", "box", "polygons"),
    [
        (shape([[25, 16], [5, 6]], "rectangle"), [5, 6, 25, 16], 0),
        (shape(TRIANGLE), [5, 6, 25, 16], 1),
        (shape([[10, 10], [13, 14]], "circle"), [5, 5, 15, 15], 0),
        (shape([[5, 6], [25, 16]], "mask", mask="iVBORw0"), [5, 6, 25, 16], 0),
    ],
)
def test_shapes_of_labelme_give_their_boxes(tmp_path, drawn, box, polygons):
    write_labelme(tmp_path, shapes=[drawn])
    rows, findings = read(tmp_path, LABELME)
    assert boxes(rows) == {"a.png": [("cat", box)]}
    assert len(rows[0].polygons) == polygons
    assert rows[0].size == (40, 20)
    assert not findings


def test_shapes_of_one_group_are_one_thing(tmp_path):
    other = [[30, 2], [34, 2], [32, 4]]
    write_labelme(tmp_path, shapes=[shape(TRIANGLE, group_id=1), shape(other, group_id=1), shape(TRIANGLE)])
    rows, _ = read(tmp_path, LABELME)
    assert boxes(rows) == {"a.png": [("cat", [5, 6, 25, 16]), ("cat", [5, 2, 34, 16])]}
    assert len(rows[0].polygons[1]) == 2


def test_labelme_splits_by_folder_and_pictures_elsewhere(tmp_path):
    write_labelme(tmp_path / "train")
    write_labelme(tmp_path / "valid", "b", stated="C:\\elsewhere\\c.png")
    write_text(tmp_path / "test/d.json", json.dumps({"imagePath": "..\\images\\d.png", "shapes": []}))
    write_picture(tmp_path / "images/d.png")
    rows, findings = read(tmp_path, LABELME)
    assert splits(rows) == {"a.png": "train", "b.png": "val", "d.png": "test"}
    assert kinds(findings) == ["name_differs"]


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (shape([[1, 2]], "point"), "cat: a 'point' of 1 points has no box"),
        (shape([[1, 2], [3, 4]], "line"), "cat: a 'line' of 2 points has no box"),
        (shape([[1, 2], [3]]), "cat: its points are not pairs of numbers"),
        (shape([[1, 2], [3, 1e300], [5, 5]]), "cat: its points are not pairs of numbers"),
        (shape(TRIANGLE, label=""), "its label is empty"),
        (shape(TRIANGLE, label="\ud800"), "has characters that no name can have"),
        (shape("x"), "its points are not pairs of numbers"),
        (7, "not an object"),
    ],
)
def test_wrong_shapes_of_labelme_are_named(tmp_path, drawn, message):
    write_labelme(tmp_path, shapes=[drawn])
    rows, findings = read(tmp_path, LABELME)
    assert kinds(findings) == ["invalid_box"]
    assert message in findings[0].what
    assert rows[0].lost == 1


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", "{}", b"\xff", '{"shapes": [], "imagePath": 3}'])
def test_a_file_of_labelme_that_cannot_be_understood_is_a_finding(tmp_path, text):
    write_text(tmp_path / "a.json", text)
    rows, findings = read(tmp_path, LABELME)
    assert kinds(findings) == ["bad_row"]
    assert not rows
    assert "\n" not in findings[0].what


def write_cvat(raw, shapes="", name="0.png", more='subset="Train"'):
    write_picture(raw / "images/0.png")
    image = f'<image id="3" name="{name}" {more} width="40" height="20">{shapes}</image>'
    write_text(raw / "annotations.xml", f"<annotations><version>1.1</version>{image}</annotations>")


@pytest.mark.parametrize(
    ("drawn", "box", "polygons"),
    [
        ('<box label="cat" xtl="5" ytl="6" xbr="25" ybr="16"/>', [5, 6, 25, 16], 0),
        ('<box label="cat" xtl="10" ytl="6" xbr="20" ybr="16" rotation="90"/>', [10, 6, 20, 16], 1),
        ('<polygon label="cat" points="5,6;25,6;15,16"/>', [5, 6, 25, 16], 1),
        ('<ellipse label="cat" cx="15" cy="11" rx="10" ry="5" rotation="0"/>', [5, 6, 25, 16], 0),
        ('<mask label="cat" rle="1, 2" left="5" top="6" width="20" height="10"/>', [5, 6, 25, 16], 0),
        (
            '<cuboid label="cat" xtl1="5" ytl1="6" xbr1="25" ybr1="16" xtl2="7" ytl2="8"/>',
            [5, 6, 25, 16],
            0,
        ),
    ],
)
def test_shapes_of_cvat_give_their_boxes(tmp_path, drawn, box, polygons):
    write_cvat(tmp_path, drawn)
    rows, findings = read(tmp_path, CVAT)
    assert boxes(rows) == {"0.png": [("cat", box)]}
    assert len(rows[0].polygons) == polygons
    assert splits(rows) == {"0.png": "train"}
    assert rows[0].size == (40, 20)
    assert not findings


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ('<points label="cat" points="5,6;25,6"/>', "cat: a 'points' has no box"),
        ('<polygon label="cat" points="5,6;25"/>', "cat: a polygon whose numbers are missing or none"),
        ('<box label="cat" xtl="5"/>', "cat: a box whose numbers are missing or none"),
        ('<box label="" xtl="5" ytl="6" xbr="25" ybr="16"/>', "the label of a 'box' is empty"),
    ],
)
def test_wrong_shapes_of_cvat_are_named(tmp_path, drawn, message):
    write_cvat(tmp_path, drawn)
    rows, findings = read(tmp_path, CVAT)
    assert [(found.kind, found.what) for found in findings] == [("invalid_box", f"shape 1: {message}")]
    assert rows[0].lost == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations><track/></annotations>", "export the task as 'CVAT for images 1.1'"),
        ("<annotations>", "annotations.xml: no XML: line 1, column 14"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "annotations.xml: entities that are declared"),
    ],
)
def test_a_file_of_cvat_that_cannot_be_understood_is_one_line(tmp_path, text, message):
    (tmp_path / "images").mkdir()
    write_text(tmp_path / "annotations.xml", text)
    with pytest.raises(DataError) as raised:
        read(tmp_path, CVAT)
    assert message in str(raised.value)


def result(kind, value, label="cat"):
    return {
        "type": f"{kind}labels",
        "value": value | {f"{kind}labels": [label]},
        "original_width": 40,
        "original_height": 20,
    }


RECTANGLE = result("rectangle", {"x": 12.5, "y": 30, "width": 50, "height": 50, "rotation": 0})


def task(*results, image="/data/upload/1/3f-0.png", **more):
    return {"id": 1, "data": {"image": image}, "annotations": [{"result": list(results)}]} | more


def write_studio(raw, *tasks):
    write_picture(raw / "images/3f-0.png")
    write_text(raw / "export.json", json.dumps(list(tasks)))


@pytest.mark.parametrize(
    ("said", "box", "polygons"),
    [
        (RECTANGLE, [5, 6, 25, 16], 0),
        (
            result("rectangle", {"x": 50, "y": 20, "width": 25, "height": 25, "rotation": 90}),
            [15, 4, 20, 14],
            1,
        ),
        (result("polygon", {"points": [[12.5, 30], [62.5, 30], [37.5, 80]]}), [5, 6, 25, 16], 1),
        (result("ellipse", {"x": 37.5, "y": 55, "radiusX": 25, "radiusY": 25}), [5, 6, 25, 16], 0),
    ],
)
def test_shapes_of_label_studio_give_their_boxes(tmp_path, said, box, polygons):
    write_studio(tmp_path, task(said))
    rows, findings = read(tmp_path, STUDIO)
    assert boxes(rows) == {"3f-0.png": [("cat", box)]}
    assert len(rows[0].polygons) == polygons
    assert not findings
    flat = said["value"] | {"original_width": 40, "original_height": 20}
    write_studio(tmp_path, {"id": 1, "image": "/data/upload/1/3f-0.png", "label": [flat]})  # JSON-MIN
    assert boxes(read(tmp_path, STUDIO)[0]) == {"3f-0.png": [("cat", box)]}


@pytest.mark.parametrize(
    ("image", "more"),
    [
        ("/data/local-files/?d=3f-0.png", {}),
        ("s3://bucket/set/3f-0.png", {}),
        ("https://host/a%20b/3f-0.png", {}),
        ("/home/me/3f-0.png", {"strip_prefix": "/home/me/"}),
        ("3f-0.png", {}),
    ],
)
def test_pictures_of_label_studio_are_found_by_address(tmp_path, image, more):
    write_studio(tmp_path, task(RECTANGLE, image=image))
    rows, findings = read(tmp_path, STUDIO | more)
    assert list(boxes(rows)) == ["3f-0.png"]
    assert not findings


def test_what_label_studio_leaves_open_is_named(tmp_path):
    both = [{"result": [RECTANGLE]}, {"result": []}]
    write_studio(
        tmp_path,
        task(RECTANGLE, annotations=both),
        task(RECTANGLE, annotations=[both[1], both[0] | {"ground_truth": True}]),
        task(annotations=[]),
        task(RECTANGLE, image="s3://other/3f-0.png"),
        task(result("brush", {"format": "rle", "rle": [1]})),
        task(RECTANGLE | {"original_width": None}),
        3,
    )
    rows, findings = read(tmp_path, STUDIO)
    assert [len(row.labels) for row in rows] == [1, 0, 0]
    assert [(found.kind, found.where.rpartition(": ")[2]) for found in findings] == [
        ("bad_row", "task [0]"),
        ("unlabelled_picture", "task [2]"),
        ("bad_row", "task [3]"),
        ("invalid_box", "task [4]"),
        ("invalid_box", "task [5]"),
        ("bad_row", "task [6]"),
    ]


def test_choices_of_label_studio_are_classes(tmp_path):
    choice = {"type": "choices", "value": {"choices": ["cat"]}}
    write_studio(tmp_path, task(choice), task(), task(choice, choice))
    rows, findings = read(tmp_path, STUDIO, "classification")
    assert [row.labels for row in rows] == [("cat",)]
    assert [found.what for found in findings] == ["0 choices, want one", "2 choices, want one"]
    write_studio(tmp_path, {"image": "3f-0.png", "choice": "dog"})
    assert read(tmp_path, STUDIO, "classification")[0][0].labels == ("dog",)


@pytest.mark.parametrize("text", ["{}", "[", "[" * 100_000])
def test_an_export_of_label_studio_that_cannot_be_understood_is_one_line(tmp_path, text):
    (tmp_path / "images").mkdir()
    write_text(tmp_path / "export.json", text)
    with pytest.raises(DataError, match=r"export\.json"):
        read(tmp_path, STUDIO)


def test_pictures_of_labelme_in_another_folder_are_found_by_their_names(tmp_path):
    write_picture(tmp_path / "images/a.png")
    shapes = [shape(TRIANGLE)]
    write_text(tmp_path / "labels/a.json", json.dumps({"imagePath": "a.png", "shapes": shapes}))
    assert boxes(read(tmp_path, LABELME)[0]) == {"a.png": [("cat", [5, 6, 25, 16])]}


def test_the_digits_that_label_studio_puts_before_a_name_are_taken_off(tmp_path):
    write_picture(tmp_path / "images/0.png")
    value = {"x": 10, "y": 10, "width": 50, "height": 50, "rectanglelabels": ["cat"]}
    result = [{"original_width": 40, "original_height": 20, "value": value}]
    task = {"data": {"image": "/data/upload/1/0a1b2c3d-0.png"}, "annotations": [{"result": result}]}
    write_text(tmp_path / "export.json", json.dumps([task]))
    assert boxes(read(tmp_path, STUDIO)[0]) == {"0.png": [("cat", [4, 2, 24, 12])]}


CREATE_ML = {"format": "create-ml", "file": "a.json"}
MIDDLE = {"x": 15, "y": 11.0, "width": 20, "height": 10}  # x1, y1 = 5, 6


def write_create_ml(raw, *entries):
    write_picture(raw / "a.png")
    write_text(raw / "a.json", json.dumps(list(entries)))


@pytest.mark.parametrize(("picture", "things"), [("image", "annotations"), ("imagefilename", "annotation")])
def test_boxes_of_create_ml_are_by_their_centre(tmp_path, picture, things):
    both = [{"label": "cat", "coordinates": MIDDLE}, {"label": "dog", "coordinates": MIDDLE | {"width": 10}}]
    write_create_ml(tmp_path, {picture: "a.png", things: both})
    rows, findings = read(tmp_path, CREATE_ML)
    assert boxes(rows) == {"a.png": [("cat", [5, 6, 25, 16]), ("dog", [10, 6, 20, 16])]}
    assert rows[0].places == ("annotations[0]", "annotations[1]")
    assert not findings


def test_create_ml_with_a_file_for_each_split(tmp_path):
    files = {split: f"{split}/_annotations.createml.json" for split in ("train", "val")}
    for split, file in files.items():
        write_picture(tmp_path / split / f"{split}.png")
        write_text(tmp_path / file, json.dumps([{"image": f"{split}.png", "annotations": []}]))
    assert splits(read(tmp_path, CREATE_ML | {"file": files})[0]) == {"train.png": "train", "val.png": "val"}


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ({"label": "cat"}, "cat: coordinates None are not four numbers x, y, width, height"),
        ({"label": "cat", "coordinates": MIDDLE | {"x": "left"}}, "cat: coordinates {"),
        ({"label": " ", "coordinates": MIDDLE}, "its label is empty"),
        (["cat"], "not an object"),
    ],
)
def test_wrong_boxes_of_create_ml_are_named(tmp_path, thing, message):
    write_create_ml(tmp_path, {"image": "a.png", "annotations": [thing]})
    rows, findings = read(tmp_path, CREATE_ML)
    assert kinds(findings) == ["invalid_box"]
    assert f"annotations[0]: {message}" in findings[0].what
    assert rows[0].lost == 1


def test_wrong_entries_of_create_ml_are_named(tmp_path):
    write_create_ml(tmp_path, 3, {"image": None, "annotations": []}, {"image": "a.png"})
    rows, findings = read(tmp_path, CREATE_ML)
    assert not rows
    assert [found.what for found in findings if found.kind == "bad_row"] == [
        "not an object",
        "the picture's name is empty",
        "its annotations are no list",
    ]
    write_text(tmp_path / "a.json", "{}")
    with pytest.raises(DataError, match=r"a\.json: no annotations of Create ML: it needs a list of objects"):
        read(tmp_path, CREATE_ML)


VIA = {"format": "via", "file": "a.json"}
RECT = {"name": "rect", "x": 5, "y": 6, "width": 20, "height": 10}
OUTLINE = {"name": "polygon", "all_points_x": [5, 25, 15], "all_points_y": [6, 6, 16]}


def region(drawn, **attributes):
    return {"shape_attributes": drawn, "region_attributes": attributes}


def write_via(raw, *regions, wrap=lambda entries: entries):
    write_picture(raw / "a.png")
    entry = {"filename": "a.png", "size": 84, "regions": list(regions), "file_attributes": {}}
    write_text(raw / "a.json", json.dumps(wrap({"a.png84": entry})))


@pytest.mark.parametrize(
    ("drawn", "polygons"),
    [
        (RECT, 0),
        (OUTLINE, 1),
        ({"name": "ellipse", "cx": 15, "cy": 11, "rx": 10, "ry": 5}, 0),
        ({"name": "ellipse", "cx": 15, "cy": 11, "rx": 5, "ry": 10, "theta": 1.5707963}, 0),
    ],
)
def test_shapes_of_via_give_their_boxes(tmp_path, drawn, polygons):
    write_via(tmp_path, region(drawn, animal="cat"))
    rows, findings = read(tmp_path, VIA)
    assert boxes(rows) == {"a.png": [("cat", [5, 6, 25, 16])]}
    assert len(rows[0].polygons) == polygons
    assert not findings


def test_a_circle_of_via(tmp_path):
    write_via(tmp_path, region({"name": "circle", "cx": 10, "cy": 10, "r": 5}, animal="cat"))
    assert boxes(read(tmp_path, VIA)[0]) == {"a.png": [("cat", [5, 5, 15, 15])]}


def test_a_project_of_via_and_regions_of_version_1_read_alike(tmp_path):
    expected = {"a.png": [("cat", [5, 6, 25, 16])]}
    write_via(
        tmp_path,
        region(RECT, animal="cat"),
        wrap=lambda entries: {"_via_settings": {}, "_via_img_metadata": entries},
    )
    assert boxes(read(tmp_path, VIA)[0]) == expected
    entry = {"filename": "a.png", "regions": {"0": region(RECT, animal="cat")}}
    write_text(tmp_path / "a.json", json.dumps({"a.png": entry}))
    assert boxes(read(tmp_path, VIA)[0]) == expected


@pytest.mark.parametrize(
    ("attributes", "more", "label"),
    [
        ({"animal": "cat", "note": "asleep"}, {"attribute": "animal"}, "cat"),
        ({"animal": {"cat": True, "dog": False}}, {}, "cat"),
        ({}, {"unnamed": "balloon"}, "balloon"),
    ],
)
def test_what_tells_the_class_of_a_region(tmp_path, attributes, more, label):
    write_via(tmp_path, region(RECT, **attributes))
    assert boxes(read(tmp_path, VIA | more)[0]) == {"a.png": [(label, [5, 6, 25, 16])]}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            region(RECT),
            "its class is empty; `attribute` names what holds it, and `unnamed` a class",
        ),
        (region(RECT, animal="cat", note="asleep"), "its class is empty; `attribute` names what holds it"),
        (region(RECT, animal={"cat": True, "dog": True}), "its class is empty"),
        (region({"name": "point", "cx": 1, "cy": 2}, animal="cat"), "cat: a 'point' has no box"),
        (region(RECT | {"x": None}, animal="cat"), "cat: a rect whose numbers are missing or none"),
        (region(OUTLINE | {"all_points_x": [1, 2]}, animal="cat"), "cat: a polygon whose numbers"),
        (3, "it has no shape_attributes"),
    ],
)
def test_wrong_regions_of_via_are_named(tmp_path, said, message):
    write_via(tmp_path, said)
    rows, findings = read(tmp_path, VIA)
    assert kinds(findings) == ["invalid_box"]
    assert findings[0].what.startswith(f"regions[0]: {message}")
    assert rows[0].lost == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "no annotations of VIA: it needs objects with 'filename' and 'regions'"),
        ('{"project": {}, "file": {}, "view": {}, "metadata": {}}', "export it as COCO, and read that with"),
    ],
)
def test_a_file_of_via_that_is_not_read_is_one_line(tmp_path, text, message):
    write_text(tmp_path / "a.json", text)
    with pytest.raises(DataError) as raised:
        read(tmp_path, VIA)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
