"""Picture sheets: grids with captions, boxes drawn on pictures, PNG files that repeat to the byte."""

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from stages.core.files import write_atomically

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (25, 25, 25)
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito's colours, which colour-blind readers tell apart; `colour_of` goes on from them."""

GOLDEN = 0.618034  # of a turn of the hues: no two classes in a row, nor any two at all, come near

CLASSES_MOST = 50
"""Classes with a row each on a sheet: with more of them nobody would look at it, and few could open it."""

GAP = 4  # pixels between pictures
LARGE = 2_000_000  # pixels: to write such a sheet as small as can be takes as long as a thousand JPEGs
LARGE_EFFORT = 4  # of zlib's 9: a large sheet of photographs is hardly larger, and written five times as fast
SMALL_SIDE = 56  # pixels that small pictures are enlarged to, about, where many stand on a sheet
FONT_SIZE = 12  # pixels; smaller ones are hard to read
TITLE_SIZE = 16  # pixels
TITLE_LEAST = 320  # pixels: the width of a sheet with a title
SENTENCE_WIDTH = 640  # pixels of a sheet that only says something
RIGHT: Colour = (0, 158, 115)
WRONG: Colour = (213, 94, 0)
LINE_SHARE = 120  # of a picture's longer side: the width of a box's line
SHEET_SIDE = 1600  # pixels that a sheet of photographs has at most, about
DASH = 4  # pixels of a dash, and of the room after it


def image_grid(
    images: Picture | Sequence[Picture],
    columns: int,
    titles: Sequence[str] | None = None,
    scale: int = 1,
    rows: Sequence[str] | None = None,
    note: str = "",
    title: str = "",
    frames: Sequence[Colour | None] | None = None,
) -> Image.Image:
    """Lay out pictures in reading order on white paper, `columns` to a row.

    `images` are uint8 [N, H, W, C] or N arrays [H, W, C], C 1 (grey) or 3 (RGB), of any sizes; each is
    enlarged `scale` times without smoothing. `titles` [N] are captions under the pictures, in lines that
    are cut to their width. `rows` are labels at the left of each row. `title` says above all what the sheet
    shows, broken into lines as wide as it; `note` is a line below that. `frames` [N] are colours around
    pictures.

    Raises:
        ValueError: There is no picture, an array is no picture, or titles, rows or frames differ from them in
            number.

    """
    pictures = [enlarge(image, scale) for image in images]
    _check_numbers(len(pictures), columns, titles, rows)
    font = _font()
    lines = max((title.count("\n") + 1 for title in titles), default=0) if titles is not None else 0
    grid = _lay_out(pictures, columns, font, caption_lines=lines, rows=rows or [], note=note)
    sheet = Image.new("RGB", grid.size, PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, GAP), note, INK, font)
    for number, (picture, frame) in enumerate(zip(pictures, frames or [None] * len(pictures), strict=True)):
        x, y = grid.corner(number)
        if frame is not None:
            pen.rectangle(
                (x - 2, y - 2, x + picture.width + 1, y + picture.height + 1), outline=frame, width=2
            )
        sheet.paste(picture, (x, y))
        if titles is not None:
            for line, caption in enumerate(titles[number].split("\n")):
                below = y + grid.picture_height + 1 + line * _line_height(font)
                pen.text((x, below), _cut(font, caption, grid.cell_width - 2), INK, font)
    for number, row in enumerate(rows or []):
        _, y = grid.corner(number * columns)
        pen.text((GAP, y + grid.picture_height // 2), row, INK, font, anchor="lm")
    return titled(sheet, title)


def titled(sheet: Image.Image, title: str) -> Image.Image:
    """The sheet with a title above it, in lines as wide as the sheet; without one as it is."""
    if not title:
        return sheet
    font = ImageFont.load_default(TITLE_SIZE)
    assert isinstance(font, ImageFont.FreeTypeFont)
    width = max(sheet.width, TITLE_LEAST)
    lines = _broken(font, title, width - 2 * GAP)
    whole = Image.new("RGB", (width, sheet.height + GAP + len(lines) * _line_height(font)), PAPER)
    pen = ImageDraw.Draw(whole)
    for number, line in enumerate(lines):
        pen.text((GAP, GAP + number * _line_height(font)), line, INK, font)
    whole.paste(sheet, (0, whole.height - sheet.height))
    return whole


def sentence_sheet(sentence: str) -> Image.Image:
    """A sheet without pictures that says in a sentence why it has none."""
    return titled(Image.new("RGB", (SENTENCE_WIDTH, GAP), PAPER), sentence)


def _broken(font: ImageFont.FreeTypeFont, text: str, width: int) -> list[str]:
    """The text in lines of at most `width` pixels, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@dataclass(frozen=True, kw_only=True, slots=True)
class _Grid:
    """Where the pictures of a grid stand, in pixels."""

    columns: int
    left: int
    """Width before the first column, with the labels of the rows."""
    top: int
    """Height above the first row, with the note."""
    cell_width: int
    cell_height: int
    """Height of a cell with its caption, where there are captions."""
    picture_height: int
    """Height of the highest picture."""
    size: tuple[int, int]
    """Width and height of the sheet."""

    def corner(self, number: int) -> tuple[int, int]:
        """The upper left corner of a picture, which is counted in reading order."""
        row, column = divmod(number, self.columns)
        return self.left + column * self.cell_width, self.top + row * self.cell_height


def _lay_out(
    pictures: Sequence[Image.Image],
    columns: int,
    font: ImageFont.FreeTypeFont,
    *,
    caption_lines: int,
    rows: Sequence[str],
    note: str,
) -> _Grid:
    line_height = _line_height(font)
    cell_width = max(picture.width for picture in pictures) + GAP
    picture_height = max(picture.height for picture in pictures)
    cell_height = picture_height + GAP + caption_lines * line_height
    left = GAP + max((_text_width(font, row) + GAP for row in rows), default=0)
    top = GAP + (line_height if note else 0)
    width = left + min(columns, len(pictures)) * cell_width
    note_width = _text_width(font, note) + 2 * GAP if note else 0
    row_count = -(-len(pictures) // columns)
    return _Grid(
        columns=columns,
        left=left,
        top=top,
        cell_width=cell_width,
        cell_height=cell_height,
        picture_height=picture_height,
        size=(max(width, note_width), top + row_count * cell_height),
    )


def colour_of(label: int) -> Colour:
    """A class's own colour, however many classes there are."""
    if label < len(PALETTE):
        return PALETTE[label]
    turn = label - len(PALETTE)
    saturation, value = 0.5 + 0.1 * (turn % 6), 0.6 + 0.1 * (turn % 5)
    red, green, blue = colorsys.hsv_to_rgb(turn * GOLDEN % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_boxes(
    image: Picture,
    boxes: npt.NDArray[np.floating],
    captions: Sequence[str],
    labels: Sequence[int] | npt.NDArray[np.integer],
    scale: int = 1,
    *,
    dashed: Sequence[bool] | None = None,
) -> Image.Image:
    """A picture uint8 [H, W, C] enlarged `scale` times, with boxes [K, 4] and a caption beside each.

    `boxes` are xyxy in the picture's own pixels. Each class has a colour of its own, by the boxes' `labels`;
    an empty caption draws none. A caption stands where it hides least of what is in boxes and no other
    caption; where there is no such place it is left out. `dashed` [K] are boxes drawn so.

    Raises:
        ValueError: Boxes, captions and labels differ in number.

    """
    sheet, font = enlarge(image, scale), _font()
    pen = ImageDraw.Draw(sheet)
    places = [_place(box, scale) for box in boxes]
    given = list(zip(places, captions, labels, dashed or [False] * len(boxes), strict=True))
    for place, _, label, broken in given:
        width = max(1, scale // 2, max(sheet.size) // LINE_SHARE)
        if width > 1:  # a dark edge, so that pale colours are seen on bright ground
            _draw_box(pen, place, INK, width=width + 1, dashed=broken)
        _draw_box(pen, place, colour_of(int(label)), width=width, dashed=broken)
    taken: list[_Place] = []
    for place, caption, label, _ in given:
        spot = _spot(place, places, taken, _caption_size(font, caption), sheet.size) if caption else None
        if spot is not None:
            taken.append(spot)
            colour = colour_of(int(label))
            pen.rectangle((spot[0], spot[1], spot[2] - 1, spot[3] - 1), fill=colour)
            pen.text((spot[0] + 1, spot[1]), caption, INK if sum(colour) > 380 else PAPER, font)
    return sheet


_Place = tuple[int, int, int, int]  # xyxy, pixels of the sheet


def _place(box: npt.NDArray[np.floating], scale: int) -> _Place:
    x1, y1, x2, y2 = (round(float(edge) * scale) for edge in box)
    return x1, y1, x2, y2


def _draw_box(pen: ImageDraw.ImageDraw, place: _Place, colour: Colour, *, width: int, dashed: bool) -> None:
    x1, y1, x2, y2 = place[0], place[1], max(place[0], place[2] - 1), max(place[1], place[3] - 1)
    if not dashed:
        pen.rectangle((x1, y1, x2, y2), outline=colour, width=width)
        return
    for x in range(max(0, x1), x2 + 1, 2 * DASH):
        for y in (y1, y2 - width + 1):
            pen.rectangle((x, y, min(x + DASH - 1, x2), y + width - 1), fill=colour)
    for y in range(max(0, y1), y2 + 1, 2 * DASH):
        for x in (x1, x2 - width + 1):
            pen.rectangle((x, y, x + width - 1, min(y + DASH - 1, y2)), fill=colour)


def _caption_size(font: ImageFont.FreeTypeFont, caption: str) -> tuple[int, int]:
    return _text_width(font, caption) + 2, _line_height(font)


def _spot(
    place: _Place,
    places: Sequence[_Place],
    taken: Sequence[_Place],
    size: tuple[int, int],
    sheet: tuple[int, int],
) -> _Place | None:
    """Where a caption stands: above, below or beside its box, else inside at the top; None: nowhere."""
    (x1, y1, x2, y2), (width, height) = place, size
    corners = [
        (x1, y1 - height),
        (x2 - width, y1 - height),
        (x1, y2),
        (x2 - width, y2),
        (x2, y1),
        (x1 - width, y1),
        (x1, y1),
        (x1, y2 - height),
    ]
    spots = []
    for x, y in corners:
        left, top = max(0, min(x, sheet[0] - width)), max(0, min(y, sheet[1] - height))
        spots.append((left, top, left + width, top + height))
    free = [spot for spot in spots if not any(_overlap(spot, other) for other in taken)]
    return min(free, key=lambda spot: sum(_overlap(spot, other) for other in places), default=None)


def _overlap(one: _Place, other: _Place) -> int:
    """The pixels that both cover."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height)


def shrunk(image: Picture, side: int) -> tuple[Picture, npt.NDArray[np.float64]]:
    """The picture uint8 [H, W, C] of at most `side` pixels a side, and what its boxes (xyxy) are to be times.

    Sides are whole pixels, so width and height may shrink by different ratios: [4].
    """
    ratio = min(1.0, side / max(image.shape[:2]))
    if ratio == 1:
        return image, np.ones(4)
    height, width = (max(1, round(length * ratio)) for length in image.shape[:2])
    small = enlarge(image, 1).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small), np.array([width / image.shape[1], height / image.shape[0]] * 2)


def first_of(classes: Sequence[str]) -> str:
    """A note for a sheet that shows the first `CLASSES_MOST` of them; empty where these are all."""
    return f"The first {CLASSES_MOST} of {len(classes):,} classes" if len(classes) > CLASSES_MOST else ""


def enlarge(image: Picture, scale: int) -> Image.Image:
    """A picture uint8 [H, W, C], grey or RGB, as an RGB image whose every pixel is `scale` pixels wide.

    Raises:
        ValueError: Another shape or type.

    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f"no picture: {image.dtype} {list(image.shape)}, want uint8 [H, W, 1 or 3]")
    rgb = np.broadcast_to(image, (*image.shape[:2], 3))
    return Image.fromarray(np.ascontiguousarray(rgb.repeat(scale, axis=0).repeat(scale, axis=1)))


def scale_to(side: int, length: int, *, least: int = 1) -> int:
    """How many times a picture of `length` pixels is enlarged to about `side` pixels: at least `least`."""
    return max(least, side // length)


def blank_like(picture: Picture) -> Picture:
    """White paper of the shape [H, W, C] of a picture, for a cell of a grid that has none."""
    return np.full(picture.shape, 255, np.uint8)


def save_png(path: Path, image: Image.Image) -> None:
    """Write `image` as PNG, atomically; the same picture gives the same bytes (no date, no metadata)."""
    write_atomically(path, png(image))


def png(image: Image.Image) -> bytes:
    """`image` as a PNG file's content, without a date or other metadata."""
    buffer, plain = io.BytesIO(), Image.frombytes(image.mode, image.size, image.tobytes())
    if plain.width * plain.height > LARGE:
        plain.save(buffer, format="PNG", compress_level=LARGE_EFFORT)
    else:
        plain.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _check_numbers(
    pictures: int, columns: int, titles: Sequence[str] | None, rows: Sequence[str] | None
) -> None:
    if not pictures or columns < 1:
        raise ValueError(f"a grid of {pictures} pictures in {columns} columns")
    if titles is not None and len(titles) != pictures:
        raise ValueError(f"{len(titles)} titles for {pictures} pictures")
    if rows is not None and len(rows) != -(-pictures // columns):
        raise ValueError(f"{len(rows)} row labels for {-(-pictures // columns)} rows")


def _font() -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(FONT_SIZE)  # the one that comes inside Pillow: the same on every machine
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return sum(font.getmetrics())


def _text_width(font: ImageFont.FreeTypeFont, text: str) -> int:
    return -int(-font.getlength(text) // 1)


def _cut(font: ImageFont.FreeTypeFont, text: str, width: int) -> str:
    """`text`, shortened by an ellipsis to what fits into `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
