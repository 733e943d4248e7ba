import json

import pytest

from stages.core.errors import DataError
from tests.stages.sources.readers import boxes, kinds, read, splits, write_picture, write_text

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 7, "name": "dog"}]


def write(raw, name="a.json", pictures="images", files=("0.png",), annotations=(), **more):
    for file in files:
        write_picture(raw / pictures / file.replace("\\", "/").removeprefix("C:/set/"))
    images = [{"id": key, "file_name": file} for key, file in enumerate(files)]
    document = {"images": images, "categories": CATEGORIES, "annotations": list(annotations)} | more
    write_text(raw / name, json.dumps(document))


def box(image=0, category=1, bbox=(5, 6, 20, 10), **more):
    return {"image_id": image, "category_id": category, "bbox": list(bbox)} | more


def coco(pictures="images", **files):
    return {"format": "coco", "annotations": files or {"all": "a.json"}, "pictures": pictures}


def test_a_folder_of_pictures_for_each_file_as_coco_itself_has_it(tmp_path):
    for split in ("train", "val"):
        file = f"annotations/instances_{split}2017.json"
        write(tmp_path, file, f"{split}2017", (f"{split}.png",), [box()])
    params = coco(
        {"train": "train2017", "val": "val2017"},
        train="annotations/instances_train2017.json",
        val="annotations/instances_val2017.json",
    )
    rows, findings = read(tmp_path, params)
    assert splits(rows) == {"train.png": "train", "val.png": "val"}
    assert not findings


def test_pictures_beside_their_file_as_roboflow_has_it(tmp_path):
    for split in ("train", "valid"):
        write(tmp_path, f"{split}/_annotations.coco.json", split, (f"{split}.png",), [box()])
    write_picture(tmp_path / "valid/unknown.png")
    params = coco(None, train="train/_annotations.coco.json", val="valid/_annotations.coco.json")
    rows, findings = read(tmp_path, params)
    assert splits(rows) == {"train.png": "train", "valid.png": "val"}
    assert [(found.kind, found.where.rpartition("/")[2]) for found in findings] == [
        ("unlabelled_picture", "unknown.png")
    ]


@pytest.mark.parametrize(
    ("stated", "used"), [(1, 1.0), (1, "1"), ("1", 1), (1.0, "1"), ("cat-1", "cat-1"), (90, 90)]
)
def test_ids_are_whole_numbers_or_texts_however_they_are_written(tmp_path, stated, used):
    categories = [{"id": stated, "name": "cat"}, {"id": "007", "name": "dog"}]
    images = [{"id": stated, "file_name": "0.png"}]
    things = [box(used, used), box(used, "007")]
    write(tmp_path, annotations=things, categories=categories, images=images)
    rows, findings = read(tmp_path, coco())
    assert rows[0].labels == ("cat", "dog")
    assert not findings


def test_backslashes_and_a_prefix_are_taken_off(tmp_path):
    write(tmp_path, files=("C:\\set\\sub\\0.png",), annotations=[box()])
    rows, findings = read(tmp_path, coco() | {"strip_prefix": "C:\\set"})
    assert rows[0].picture == tmp_path / "images/sub/0.png"
    assert not findings
    _, findings = read(tmp_path, coco())
    assert kinds(findings) == ["path_traversal", "unlabelled_picture"]
    assert "let strip_prefix take it off" in findings[0].what


def test_a_polygon_without_a_box_gives_its_box_and_is_kept(tmp_path):
    triangle, square = [5, 6, 25, 6, 15, 16], [30, 2, 34, 2, 34, 4, 30, 4]
    thing = box(segmentation=[triangle, square])
    for stated in ([], None):
        write(tmp_path, annotations=[thing | {"bbox": stated}])
        rows, findings = read(tmp_path, coco())
        assert boxes(rows) == {"0.png": [("cat", [5, 2, 34, 16])]}
        assert rows[0].polygons == {0: (tuple(triangle), tuple(square))}
        assert not findings
    write(tmp_path, annotations=[thing])
    rows, _ = read(tmp_path, coco())
    assert boxes(rows) == {"0.png": [("cat", [5, 6, 25, 16])]}
    assert not rows[0].polygons  # the box that the data gives counts


# By hand, of 3 rows and 4 columns: pixels 4, 5, 6 column by column are rows 1, 2 of column 1 and row 0 of 2.
@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([4, 1, 7], [1, 1, 2, 2]),
        ([4, 3, 5], [1, 0, 3, 3]),
        ([0, 12], [0, 0, 4, 3]),
        ("417", [1, 1, 2, 2]),
    ],
)
def test_run_lengths_give_the_box_round_their_pixels(tmp_path, counts, expected):
    thing = {"image_id": 0, "category_id": 1, "segmentation": {"size": [3, 4], "counts": counts}}
    write(tmp_path, annotations=[thing])
    rows, findings = read(tmp_path, coco())
    assert boxes(rows) == {"0.png": [("cat", expected)]}
    assert not findings


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5]],
        [["a"] * 6],
        "text",
        {"size": [0, 4], "counts": [0]},
        {"size": [3, 4], "counts": [4, 9]},
        {"size": [3, 4], "counts": "\u00ff"},
        {"size": [3, 4], "counts": [12]},
    ],
)
def test_a_picture_that_lost_a_box_tells_it(tmp_path, segmentation):
    thing = {"image_id": 0, "category_id": 1, "segmentation": segmentation}
    write(tmp_path, annotations=[thing])
    rows, findings = read(tmp_path, coco())
    assert kinds(findings) == ["invalid_box"]
    assert findings[0].where.endswith("a.json: annotations[0]")
    assert [row.lost for row in rows] == [1]


def test_two_categories_of_one_name_are_refused_if_both_are_used(tmp_path):
    twice = [{"id": 0, "name": "cat"}, {"id": 1, "name": "cat"}]
    write(tmp_path, annotations=[box(category=1)], categories=twice)
    rows, _ = read(tmp_path, coco())  # as Roboflow writes it: 0 is the whole set
    assert rows[0].labels == ("cat",)
    write(tmp_path, annotations=[box(category=0), box(category=1)], categories=twice)
    with pytest.raises(DataError, match=r"a\.json: categories: ids 0 and 1 are both called 'cat'; rename"):
        read(tmp_path, coco())


@pytest.mark.parametrize("bbox", ["9" * 400, "1e999", "NaN", "9" * 5000, "-1e30", '"5"', "true", "null"])
def test_numbers_that_measure_nothing_are_findings(tmp_path, bbox):
    write(tmp_path, annotations=[box()])
    file = tmp_path / "a.json"
    file.write_text(file.read_text().replace("[5, 6", f"[{bbox}, 6"))
    rows, findings = read(tmp_path, coco())
    assert kinds(findings) == ["invalid_box"]
    assert len(findings[0].what) < 200
    assert rows[0].lost == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000 + "]" * 100_000, "its lists are nested too deep"),
        ('{"images": ' * 100_000, "its lists are nested too deep"),
        ('{"images": [],\n "x" 1}', "line 2, column 6: no JSON"),
        ("", "line 1, column 1: no JSON"),
        ("[]", "it needs the lists images, categories, annotations"),
        ('{"images": [], "annotations": []}', "; categories is missing"),
        (b"\xff{}", "line 1: byte 0 is no UTF-8"),
        ('{"images": [{"id": 1, "file_name": "\\ud800"}], "categories": [], "annotations": []}', "no name"),
        ('{"images": [], "categories": [{"id": 1, "name": ""}], "annotations": []}', "name is empty"),
    ],
)
def test_a_file_that_cannot_be_understood_is_one_line(tmp_path, text, message):
    (tmp_path / "images").mkdir()
    write_text(tmp_path / "a.json", text)
    with pytest.raises(DataError) as raised:
        read(tmp_path, coco())
    assert str(tmp_path / "a.json") in str(raised.value)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"categories":',
            '"categories": [], "categories":',
            r"the key 'categories' stands there twice in one",
        ),
        ('"bbox":', '"bbox": [], "bbox":', r"the key 'bbox' stands there twice in the object with id 5"),
    ],
)
def test_keys_that_stand_twice_are_refused(tmp_path, old, new, message):
    write(tmp_path, annotations=[box(id=5)])
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").write_text(text.replace(old, new))
    with pytest.raises(DataError, match=rf"a\.json: {message}"):
        read(tmp_path, coco())


def test_names_of_categories_lose_the_spaces_beside_them(tmp_path):
    categories = [{"id": 1, "name": "cat "}, {"id": 7, "name": "dog"}]
    write(tmp_path, annotations=[box()], categories=categories)
    assert boxes(read(tmp_path, coco())[0]) == {"0.png": [("cat", [5, 6, 25, 16])]}
