import numpy as np
import pytest

from stages.core.errors import DataError
from stages.fusion.files import write_picture
from stages.fusion.groups import groups_by_manifest, groups_by_pattern, read_group
from stages.fusion.sets import own_set
from tests.stages.fusion.scenery import half_blurred, scenery


@pytest.fixture
def folder(tmp_path):
    for name in ("hat_a", "hat_b", "sub/bag_a", "sub/bag_b", "sub/bag_c", "other"):
        write_picture(tmp_path / f"{name}.png", np.full((16, 20, 1), 9, np.uint8))
    return tmp_path


def manifest(folder, *lines):
    (folder / "groups.csv").write_text("\n".join(lines) + "\n")
    return folder / "groups.csv"


def test_a_pattern_names_the_groups(folder):
    found = groups_by_pattern(folder, r"(.+)_[abc]\.png")
    assert [(group.name, [file.name for file in group.files]) for group in found] == [
        ("hat", ["hat_a.png", "hat_b.png"]),
        ("sub/bag", ["bag_a.png", "bag_b.png", "bag_c.png"]),
    ]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "no regular expression"),
        (r"hat_.\.png", "has no (parenthesis) that names the group"),
        (r"(cap)_.\.png", "no picture's name matches"),
        (r"(hat)_a\.png", "group hat: only"),
        (r"()hat_.\.png", "hat_a.png: its group has no name"),
    ],
)
def test_a_pattern_that_does_not_fit_is_refused(folder, pattern, words):
    with pytest.raises(DataError) as refused:
        groups_by_pattern(folder, pattern)
    assert words in str(refused.value)


def test_a_manifest_names_groups_in_any_order_and_their_truth(folder):
    file = manifest(
        folder,
        "group,picture,truth",
        "x,hat_b.png,",
        "y,other.png,",
        "x,hat_a.png,other.png",
        "y,sub/bag_a.png,",
    )
    first, second = groups_by_manifest(file)
    assert [path.name for path in first.files] == ["hat_b.png", "hat_a.png"]
    assert first.truth == folder / "other.png"
    assert (second.name, second.truth) == ("y", None)
    assert groups_by_manifest(manifest(folder, "group,picture")) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["name,picture"], "groups.csv: column group is missing"),
        (["group,picture", "x,"], "groups.csv: row 2: group or picture is empty"),
        (
            ["group,picture", "x,a.png", "x,../a.png"],
            "groups.csv: row 3: ../a.png leaves the manifest's folder",
        ),
        (["group,picture", "x,hat_a.png"], "group x: only"),
        (["group,picture", "..,hat_a.png", "..,hat_b.png"], "group ..: no file can be named so"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_with_its_row(folder, lines, words):
    with pytest.raises(DataError) as refused:
        groups_by_manifest(manifest(folder, *lines))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_group_of_grey_and_colour_of_8_and_16_bits_is_read_as_one(tmp_path):
    left, right = half_blurred(scenery(channels=3))
    write_picture(tmp_path / "a.png", left.mean(axis=2, keepdims=True).astype(np.uint8))
    write_picture(tmp_path / "b.png", right.astype(np.uint16) * 257)
    sources = read_group([tmp_path / "a.png", tmp_path / "b.png"], "check")
    assert sources.shape == (2, 120, 160, 3)
    assert sources.dtype == np.uint16
    assert (sources[0, ..., 0] == sources[0, ..., 2]).all()


def test_other_sizes_are_refused_by_name(tmp_path):
    for name, side in (("a", 20), ("b", 30), ("tiny", 8)):
        write_picture(tmp_path / f"{name}.png", np.zeros((20, side, 1), np.uint8))
    with pytest.raises(
        DataError, match=r"b.png: 30 x 20 pixels, but .*a.png has 20 x 20; scale or crop them"
    ):
        read_group([tmp_path / "a.png", tmp_path / "b.png"], "none")
    file = manifest(tmp_path, "group,picture,truth", "x,a.png,", "x,a.png,b.png")
    with pytest.raises(DataError, match=r"b.png: 30 x 20 pixels"):
        own_set(groups_by_manifest(file)[0], "none")
    file = manifest(tmp_path, "group,picture", "x,tiny.png", "x,tiny.png")
    with pytest.raises(DataError, match="under 11 pixels"):
        own_set(groups_by_manifest(file)[0], "none")
