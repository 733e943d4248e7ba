import io
import tracemalloc

import cv2
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageOps, PngImagePlugin

from stages.core.errors import DataError
from stages.core.files import FOREIGN_SUFFIXES, PICTURE_FORMATS, PICTURE_SUFFIXES
from stages.fusion.files import read_picture
from stages.intake import eight_bit
from stages.intake import pixels as pixels_of_files
from stages.intake.decoding import decode
from stages.intake.form import Form
from stages.intake.header import size_of

FORM = Form(
    height=20,
    width=30,
    channels=3,
    fit="stretch",
    ground=255,
    max_pixels=10_000,
    refused=frozenset({"unreadable", "truncated", "bomb"}),
    kept=frozenset(),
)


def form(**changes):
    return Form(**{name: getattr(FORM, name) for name in FORM.__slots__} | changes)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height=20, width=30, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_pixels_of_the_right_size_stay_as_they_are():
    decoded = decode(encoded(Image.fromarray(noise())), FORM)
    assert (decoded.pixels == noise()).all()
    assert (decoded.width, decoded.height, decoded.oddities) == (30, 20, ())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_pictures_as_pillow_does(orientation):
    image = Image.fromarray(noise(height=20, width=30))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(image, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    height, width = upright.shape[:2]
    decoded = decode(content, form(height=height, width=width))
    assert (decoded.pixels == upright).all()
    assert (decoded.width, decoded.height) == (width, height)
    assert decoded.oddities == (() if orientation == 1 else ("rotated",))
    as_stored = decode(content, form(height=20, width=30, kept=frozenset({"rotated"})))
    assert (as_stored.pixels == noise()).all()


def sixteen_bit():
    return encoded(Image.fromarray(np.full((20, 30), 0x8080, np.uint16)))


def animated():
    frames = [Image.fromarray(noise()), Image.fromarray(255 - noise())]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("content", "oddity", "pixel"),
    [
        (encoded(Image.new("RGBA", (30, 20), (0, 0, 0, 0))), "alpha", (255, 255, 255)),
        (encoded(Image.new("LA", (30, 20), (40, 255))), "alpha", (40, 40, 40)),
        (encoded(Image.new("CMYK", (30, 20), (0, 0, 0, 255)), "TIFF"), "cmyk", (0, 0, 0)),
        (sixteen_bit(), "sixteen_bit", (128, 128, 128)),
        (animated(), "animated", None),
    ],
)
def test_odd_pictures_are_named_and_made_plain(content, oddity, pixel):
    decoded = decode(content, FORM)
    assert decoded.oddities == (oddity,)
    assert decoded.pixels.shape == (20, 30, 3)
    if pixel is not None:
        assert (decoded.pixels == pixel).all()
    refused = decode(content, form(refused=frozenset({oddity})))
    assert refused.pixels is None
    assert refused.oddities == (oddity,)


@pytest.mark.parametrize("behind", [b"", b"\0" * 16])
def test_jpeg_with_more_pictures_behind_it_is_its_first(behind):
    """As phones write them, some with zeros at the end."""
    frames = [Image.fromarray(noise()), Image.fromarray(255 - noise())]
    several = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    decoded = decode(several + behind, FORM)
    assert decoded.oddities == ()
    assert (decoded.pixels == decode(encoded(frames[0], "JPEG"), FORM).pixels).all()
    only_first = form(height=10, width=15, channels=1)
    assert decode(several, only_first).pixels.shape == (10, 15, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_file_that_ends_early_gives_no_pixels(kind, share):
    content = encoded(Image.fromarray(noise()), kind)
    cut = decode(content[: int(len(content) * share)], FORM)
    assert cut.pixels is None
    assert cut.oddities in (("truncated",), ("unreadable",))


def damaged():
    """A JPEG with 40 bytes of its middle lost."""
    content = encoded(Image.fromarray(noise(240, 320)), "JPEG", quality=90)
    middle = len(content) // 2
    return content[:middle] + bytes(40) + content[middle + 40 :]


@pytest.mark.parametrize("side", [240, 60])  # as it is, and decoded smaller
def test_jpeg_that_is_damaged_inside_is_named_and_kept_only_where_asked_for(side, capfd):
    large = {"height": side, "width": side * 4 // 3, "max_pixels": 10**6}
    refused = decode(damaged(), form(**large, refused=frozenset({"damaged"})))
    assert refused.pixels is None
    assert refused.oddities == ("damaged",)
    assert "Corrupt JPEG data" in refused.what
    kept = decode(damaged(), form(**large, kept=frozenset({"damaged"})))
    assert kept.oddities == ("damaged",)
    whole = decode(encoded(Image.fromarray(noise(240, 320)), "JPEG", quality=90), form(**large))
    assert whole.oddities == ()
    upper = side * 2 // 5
    assert (kept.pixels[:upper] == whole.pixels[:upper]).all()
    assert not capfd.readouterr().err


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"progressive": True}, {"keep_rgb": True}, {"quality": 30}]
)
@pytest.mark.parametrize("colours", [1, 3])
def test_jpeg_is_decoded_as_opencv_does(channels, options, colours):
    pixels = noise(channels=colours)
    image = Image.fromarray(pixels if colours == 3 else pixels[..., 0])
    content = encoded(image, "JPEG", **options)
    flags = cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE
    wanted = cv2.imdecode(np.frombuffer(content, np.uint8), flags).reshape(20, 30, channels)
    assert (decode(content, form(channels=channels)).pixels == wanted).all()


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture_is_unreadable_and_said_so_alike_every_time(content):
    decoded = decode(content, FORM)
    assert decoded.oddities == ("unreadable",)
    assert decoded == decode(bytes(content), FORM)


def test_postscript_is_not_handed_to_its_interpreter(monkeypatch, tmp_path):
    ran = tmp_path / "ran"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {ran}\necho 10.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # as in a new process
    content = encoded(Image.fromarray(noise()), "EPS")
    assert decode(content, FORM).oddities == ("unreadable",)
    assert size_of(_written(tmp_path / "picture.png", content), upright=True) is None
    with pytest.raises(DataError, match="no picture that can be read"):
        read_picture(tmp_path / "picture.png")
    assert not ran.exists()


def _written(path, content):
    path.write_bytes(content)
    return path


def test_too_many_pixels_are_a_bomb():
    decoded = decode(encoded(Image.new("1", (200, 100))), FORM)
    assert decoded.pixels is None
    assert decoded.oddities == ("bomb",)
    assert "20000" in decoded.what or "200 x 100" in decoded.what


def test_grey_and_colour_become_what_is_asked_for():
    grey = decode(encoded(Image.fromarray(noise())), form(channels=1)).pixels
    luma = noise() @ [0.299, 0.587, 0.114]
    assert grey.shape == (20, 30, 1)
    assert np.abs(grey[..., 0] - luma).max() < 1.5
    colour = decode(encoded(Image.fromarray(noise(channels=1)[..., 0])), FORM).pixels
    assert (colour == noise(channels=1)).all()


def test_jpeg_decoded_smaller_looks_as_if_scaled_afterwards():
    smooth = Image.fromarray(noise(6, 8)).resize((640, 480), Image.Resampling.BICUBIC)
    content = encoded(smooth, "JPEG", quality=95)
    decoded = decode(content, form(max_pixels=10**6)).pixels.astype(int)
    wanted = np.asarray(Image.open(io.BytesIO(content)).resize((30, 20), Image.Resampling.BOX)).astype(int)
    assert np.abs(decoded - wanted).max() <= 3


def test_a_part_is_cut_out_and_what_lies_outside_is_left_away():
    pixels = decode(encoded(Image.fromarray(noise())), form(height=5, width=10), (-3, 2, 10, 7)).pixels
    assert (pixels == noise()[2:7, 0:10]).all()


def test_parts_of_one_picture_decode_it_once(monkeypatch):
    decode_jpeg, decoded = pixels_of_files.decode_jpeg, []
    seen = lambda *a, **k: decoded.append(1) or decode_jpeg(*a, **k)  # noqa: E731
    monkeypatch.setattr(pixels_of_files, "decode_jpeg", seen)
    content = encoded(Image.fromarray(noise()), "JPEG")
    quarters = [(x, y, x + 15, y + 10) for y in (0, 10) for x in (0, 15)]
    small = form(height=10, width=15)
    a, b, c, d = (decode(bytes(bytearray(content)), small, quarter).pixels for quarter in quarters)
    assert len(decoded) == 1
    assert (np.block([[[a], [b]], [[c], [d]]]) == decode(content, FORM).pixels).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "TIFF of 16 bits", "WEBP", "AVIF"])
def test_other_formats_are_turned_once(kind, orientation):
    """Pillow and OpenCV turn a TIFF by themselves, and no other."""
    rows, columns = np.mgrid[:20, :30].astype(np.uint8) * 8
    stored = np.stack([columns, columns, columns] if "16" in kind else [rows, columns, rows], axis=-1)
    image = Image.fromarray(stored[..., 0].astype(np.uint16) * 257 if "16" in kind else stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    png = decode(encoded(Image.fromarray(stored), exif=exif), form(height=30, width=30))
    content = encoded(image, kind.partition(" ")[0], exif=exif, quality=100)  # takes it out of `exif`
    turned = decode(content, form(height=30, width=30))
    assert (turned.width, turned.height) == (png.width, png.height)
    assert np.abs(turned.pixels.astype(int) - png.pixels).max() < 16
    as_stored = decode(content, form(kept=frozenset({"rotated"})))
    assert (as_stored.width, as_stored.height) == (30, 20)
    assert np.abs(as_stored.pixels.astype(int) - stored).max() < 16


def test_a_png_is_decoded_once_and_its_exif_found_wherever_it_stands(monkeypatch):
    load, loaded = PngImagePlugin.PngImageFile.load, []
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: loaded.append(1) or load(self))
    plain = encoded(Image.fromarray(noise()))
    assert (decode(plain, FORM).pixels == noise()).all()
    assert not loaded
    exif = Image.Exif()
    exif[0x0112] = 3
    before = encoded(Image.fromarray(noise()), exif=exif)
    start = before.index(b"eXIf") - 4
    chunk = before[start : start + 12 + int.from_bytes(before[start : start + 4])]
    behind = plain[:-12] + chunk + plain[-12:]
    for content in (before, behind):
        assert (decode(content, FORM).pixels == noise()[::-1, ::-1]).all()


@pytest.mark.slow
def test_pixels_are_counted_before_any_is_decoded():
    """A picture of which only the header is there is too large all the same; also one within an icon."""
    header = encoded(Image.new("1", (30_000, 30_000)))[:60]
    decoded = decode(header, FORM)
    assert (decoded.oddities, decoded.what) == (("bomb",), "30000 x 30000 pixels, max_pixels is 10000")
    icon = encoded(Image.fromarray(noise(16, 16)), "ICO", sizes=[(16, 16)])
    large = encoded(Image.new("1", (200, 100)))
    within = icon[:14] + len(large).to_bytes(4, "little") + icon[18:22] + large
    assert decode(within, FORM).oddities == ("bomb",)


@pytest.mark.parametrize(("height", "width"), [(20_000, 1), (1, 20_000), (20_000, 3)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_very_long_picture_takes_no_more_memory_than_its_frame(height, width, fit):
    """Cropped to the frame's proportions it would be of 1.3 million pixels by 64."""
    along = np.arange(max(height, width)) * 255 // max(height, width)
    pixels = np.broadcast_to(along[:, None] if height > width else along[None], (height, width))
    content = encoded(Image.fromarray(pixels.astype(np.uint8)))
    tracemalloc.start()
    decoded = decode(content, form(height=64, width=64, max_pixels=100_000, fit=fit))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert decoded.pixels.shape == (64, 64, 3)
    assert most < 3_000_000
    if fit == "crop":
        assert np.abs(decoded.pixels.astype(int) - 127).max() <= 1  # its middle


def test_deep_transparent_pictures_are_made_plain_in_bands(monkeypatch):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (20, 30, 4), dtype=np.uint16)
    content = cv2.imencode(".png", pixels)[1].tobytes()
    at_once = decode(content, FORM).pixels
    share = pixels[..., 3:] / 65535
    wanted = pixels[..., 2::-1] / 257 * share + 255 * (1 - share)
    assert np.abs(at_once - wanted).max() <= 1.5
    clear = encoded(Image.fromarray((pixels >> 8).astype(np.uint8)))
    whole = decode(clear, FORM).pixels
    monkeypatch.setattr(eight_bit, "BAND", 90)  # three rows
    assert (decode(content, FORM).pixels == at_once).all()
    assert (decode(clear, FORM).pixels == whole).all()


def test_endings_are_those_of_pillows_formats():
    Image.init()
    ours = {suffix for suffix, kind in Image.EXTENSION.items() if kind in (*PICTURE_FORMATS, "MPO")}
    assert set(PICTURE_FORMATS) <= set(Image.OPEN)
    assert ours == PICTURE_SUFFIXES
    assert not ours & FOREIGN_SUFFIXES
