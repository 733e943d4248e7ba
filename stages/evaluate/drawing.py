"""What the sheets of all three models share: their scale, and the table of what was taken for what."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from stages.drawing.sheets import FONT_SIZE, INK, PAPER, SHEET_SIDE, Colour, Picture, scale_to, titled

Counts = npt.NDArray[np.int64]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FULL: Colour = (0, 114, 178)  # of a cell that holds its whole row
CELL = 44  # pixels: room for five digits
CELL_LEAST = 22  # pixels: room for a name and for two digits
TABLE_SIDE = 2200  # pixels that a table of many classes takes; from then on its cells shrink
TABLE_MOST = TABLE_SIDE // CELL_LEAST
"""Classes that a table shows at most."""
NOTE_HEIGHT = 20  # pixels
PADDING = 4  # pixels between a name and its cell
PICTURE_SIDE = 84  # pixels that a small picture is enlarged to, about


def evaluation_scale(images: Picture) -> int:
    """How many times pictures [N, H, W, C] are enlarged: to about `PICTURE_SIDE` pixels, at least twice."""
    return scale_to(PICTURE_SIDE, images.shape[2], least=2)


def cell_side(columns: int, rows: int) -> int:
    """The longer side in pixels that pictures have at most on a sheet of so many columns and rows."""
    return SHEET_SIDE // max(columns, rows)


def confusion_sheet(counts: Counts, classes: Sequence[str], title: str = "") -> Image.Image:
    """Counts [K, K] as a table with a row for each true class and a column for each predicted one.

    `title` stands above it and says what rows and columns are.

    The larger a cell's share of its row, the bluer it is. The more classes, the smaller the cells; of more
    than `TABLE_MOST` classes the table shows those that are confused most.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = most_confused(counts, TABLE_MOST)
    names, note = [classes[label] for label in shown], most_confused_note(len(shown), len(classes))
    font = ImageFont.load_default(FONT_SIZE)
    layout = _lay_out(names, font, with_note=bool(note))
    sheet = Image.new("RGB", layout.size, PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((PADDING, 2), note, INK, font)
    for number, name in enumerate(names):
        left, top, _, bottom = layout.box(number, 0)
        pen.text((left - PADDING, (top + bottom) // 2), name, INK, font, anchor="rm")
        below = layout.box(len(names), number)
        sheet.paste(_upright(name, font, layout.margin, layout.cell), below[:2])
    for row, label in enumerate(shown):
        for column, predicted in enumerate(shown):
            _draw_cell(
                pen, layout.box(row, column), int(counts[label, predicted]), shares[label, predicted], font
            )
    return titled(sheet, title)


def most_confused(counts: Counts, most: int) -> list[int]:
    """Choose up to `most` labels, in rising order: those most often taken for others, or others for them."""
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    return sorted(np.argsort(-wrong, kind="stable")[:most].tolist())


def most_confused_note(shown: int, classes: int) -> str:
    """A note for a sheet of the `shown` most confused classes; empty where these are all."""
    return f"The {shown} of {classes:,} classes that are confused most" if shown < classes else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """Where the parts of a table stand, in pixels."""

    top: int
    """Height above the cells."""
    margin: int
    """Width at the left of the cells, and height below them."""
    cell: int
    """Side of a cell."""
    rows: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        side = self.rows * self.cell
        return self.margin + side, self.top + side + self.margin

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """The square of a cell, xyxy."""
        x, y = self.margin + column * self.cell, self.top + row * self.cell
        return x, y, x + self.cell, y + self.cell


def _lay_out(names: Sequence[str], font: Font, *, with_note: bool) -> _Layout:
    return _Layout(
        top=NOTE_HEIGHT if with_note else 0,
        margin=2 * PADDING + max(int(font.getlength(name)) for name in names),
        cell=max(CELL_LEAST, min(CELL, TABLE_SIDE // len(names))),
        rows=len(names),
    )


def _draw_cell(
    pen: ImageDraw.ImageDraw, box: tuple[int, int, int, int], count: int, share: float, font: Font
) -> None:
    """Colour a cell by its share of the row, and write its count where that fits."""
    left, top, right, bottom = box
    pen.rectangle((left, top, right - 2, bottom - 2), fill=_mix(share))
    if font.getlength(str(count)) < right - left:
        middle = (left + right) // 2, (top + bottom) // 2
        pen.text(middle, str(count), PAPER if share > 0.5 else INK, font, anchor="mm")


def _mix(share: float) -> Colour:
    red, green, blue = (round(p + (f - p) * share) for p, f in zip(PAPER, FULL, strict=True))
    return red, green, blue


def _upright(text: str, font: Font, length: int, width: int) -> Image.Image:
    """`text` read from bottom to top, ending at the upper edge: [`width` wide, `length` high]."""
    label = Image.new("RGB", (length, width), PAPER)
    ImageDraw.Draw(label).text((length - PADDING, width // 2), text, INK, font, anchor="rm")
    return label.transpose(Image.Transpose.ROTATE_90)
