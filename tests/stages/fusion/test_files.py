import cv2
import numpy as np
import pytest
from PIL import Image

from stages.core.errors import DataError
from stages.fusion.files import read_opaque, read_picture, write_picture
from stages.fusion.pixels import eight_bits, in_one_form


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_picture_comes_back_as_it_was_written(tmp_path, depth, channels, ending):
    picture = np.random.default_rng(0).integers(0, np.iinfo(depth).max, (7, 9, channels)).astype(depth)
    write_picture(tmp_path / f"new/a{ending}", picture)
    read = read_opaque(tmp_path / f"new/a{ending}")
    assert read.dtype == depth
    assert (read == picture).all()


def test_colours_are_red_green_blue_and_alpha(tmp_path):
    Image.new("RGBA", (3, 2), (10, 20, 30, 40)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png")[0, 0].tolist() == [10, 20, 30, 40]
    with pytest.raises(DataError, match=r"a.png: has transparency"):
        read_opaque(tmp_path / "a.png")
    write_picture(tmp_path / "b.png", np.full((2, 3, 3), (10, 20, 30), np.uint8))
    assert Image.open(tmp_path / "b.png").getpixel((0, 0)) == (10, 20, 30)


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_one_transparent_colour_is_refused_as_an_alpha_channel_is(tmp_path, mode):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8))
    noise.convert(mode).save(tmp_path / "a.png")
    read_opaque(tmp_path / "a.png")
    noise.convert(mode).save(tmp_path / "b.png", transparency=(1, 2, 3) if mode == "RGB" else 3)
    with pytest.raises(DataError, match=r"b.png: has transparency"):
        read_opaque(tmp_path / "b.png")


def test_a_side_that_the_format_cannot_hold_is_refused(tmp_path):
    long = np.zeros((1, 70_000, 1), np.uint8)
    with pytest.raises(DataError, match=r"a.jpg: 70000 x 1 pixels, .jpg holds 65500 a side; write .png"):
        write_picture(tmp_path / "a.jpg", long)
    write_picture(tmp_path / "a.png", long)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_picture_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (20, 10), 9).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").shape == (20, 10, 1)


def test_what_is_no_picture_is_refused_in_one_line(tmp_path):
    good = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8))[
        1
    ].tobytes()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    (tmp_path / "cut.png").write_bytes(good[:2000])
    (tmp_path / "text.png").write_text("hello")
    for name, words in {
        "cut.png": "no picture that can be read",
        "text.png": "no picture that can be read",
        "none.png": "no such file",
        "float.tif": "no picture of 8 or 16 bits",
    }.items():
        with pytest.raises(DataError) as refused:
            read_picture(tmp_path / name)
        assert f"{name}: {words}" in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.jpg", ".jpg holds 8 bits"),
        ("a", "no format"),
        ("a.xyz", "no format"),
        ("a.gif", "no format that holds every picture"),  # 256 colours
        ("a.exr", "no format"),
    ],
)
def test_a_name_that_cannot_hold_the_picture_is_refused(tmp_path, name, words):
    with pytest.raises(DataError, match=words):
        write_picture(tmp_path / name, np.zeros((4, 4, 3), np.uint16))
    assert not (tmp_path / name).exists()


def test_of_mixed_pictures_nothing_is_lost():
    grey, colour = np.full((4, 5, 1), 255, np.uint8), np.full((2, 3, 3), 1000, np.uint16)
    first, second = in_one_form([grey, colour])
    assert first.shape == (4, 5, 3)
    assert (first == 65535).all()
    assert (second == colour).all()
    assert (eight_bits(first) == 255).all()
    assert in_one_form([grey, grey])[0].dtype == np.uint8
