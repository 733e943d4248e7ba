"""Pictures in the documents: terminals, photographs fused by `darkroom fuse`, and results of the main job.

    make tour

The project of docs/quickstart.md is made in a temporary folder and run there. The results are those in
data/plots; where `make run` has left none, docs/tour.png stays as it is.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image, ImageFilter
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.places import ROOT

COLUMNS = 96
PHOTOGRAPH = (330, 220)
GAP = 6
RESULTS = {"evaluate/detections": 446, "evaluate/generated": 466, "fuse/exposure": 328}
"""Sheets in data/plots, and how many rows of pixels are shown of each, from the top: whole cells."""
QUICKSTART = ROOT / "docs/quickstart.md"
IDENTITY = {f"GIT_{who}_{what}": "tour" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""Of rich's pictures: it would fetch a font from another host."""
CONTROL = re.compile(r"(\n|\r|\x1b\[2K|\x1b\[1A|\x1b\[\?25[lh])")


def fences_of(page: Path, language: str = "") -> list[str]:
    """The page's blocks of code in this language."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    return [token.content for token in tokens if token.type == "fence" and token.info == language]


def write_quickstart(folder: Path) -> None:
    """Write the files that the quickstart shows; its commands for git, DVC and params.yaml are not run."""
    prepare, train = fences_of(QUICKSTART, "python")
    (pipeline,) = fences_of(QUICKSTART, "yaml")
    for name, text in {"prepare.py": prepare, "train.py": train, "dvc.yaml": pipeline}.items():
        (folder / name).write_text(text)


def printed(folder: Path, command: str) -> str:
    """What the command prints on a terminal of COLUMNS columns, colours included."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    terminal = {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    quiet = {"DARKROOM_SERVER_SECONDS": "0", "DVC_NO_ANALYTICS": "1"}
    env = os.environ | IDENTITY | terminal | quiet | {"PATH": programs}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return on_screen(done.stdout.decode())


def on_screen(output: str) -> str:
    """What is left on the screen once the lines that a live display erases are erased."""
    lines, row = [""], 0
    for part in CONTROL.split(output):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\x1b[1A":
            row -= 1
        elif not CONTROL.fullmatch(part):
            lines[row] += part
    return "\n".join(line.rstrip() for line in lines).rstrip()


def draw(name: str, title: str, folder: Path, commands: list[str]) -> None:
    """Run the commands in the folder and write docs/NAME with what a terminal shows."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        for command in commands:
            console.print(Text(f"$ {command}", style="bold"))
            if said := printed(folder, command):
                console.print(Text.from_ansi(said))
    svg = console.export_svg(title=title, theme=MONOKAI, unique_id=name)
    (ROOT / "docs" / f"{name}.svg").write_text(FONT_FACE.sub("", svg), encoding="utf-8")


def draw_photographs(folder: Path) -> None:
    """Blur one half of each of scikit-learn's two photographs, then the other, and fuse the two."""
    from sklearn.datasets import load_sample_image  # takes seconds, and the tests of this file need none

    rows = []
    for name in ("flower.jpg", "china.jpg"):
        photograph = Image.fromarray(load_sample_image(name)).resize(PHOTOGRAPH)
        blurred = photograph.filter(ImageFilter.GaussianBlur(4))
        middle = PHOTOGRAPH[0] // 2
        for half, box in {"left": (0, 0, middle, PHOTOGRAPH[1]), "right": (middle, 0, *PHOTOGRAPH)}.items():
            sharp_in_half = blurred.copy()
            sharp_in_half.paste(photograph.crop(box), box)
            sharp_in_half.save(folder / f"{half}.png")
        printed(folder, "darkroom fuse left.png right.png --method guided --out fused.png")
        rows.append([Image.open(folder / f"{one}.png").convert("RGB") for one in ("left", "right", "fused")])
    sheet = Image.new("RGB", (3 * PHOTOGRAPH[0] + 2 * GAP, 2 * PHOTOGRAPH[1] + GAP), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (x * (PHOTOGRAPH[0] + GAP), y * (PHOTOGRAPH[1] + GAP)))
    sheet.save(ROOT / "docs/photographs.jpg", quality=88)


def draw_results(plots: Path) -> None:
    """Lay the upper parts of three sheets of the main job below each other, equally wide."""
    parts = [
        sheet.crop((0, 0, sheet.width, shown)).convert("RGB")
        for name, shown in RESULTS.items()
        for sheet in [Image.open(plots / f"{name}.png")]
    ]
    width = min(part.width for part in parts)
    parts = [
        part.resize((width, round(part.height * width / part.width)), Image.Resampling.LANCZOS)
        for part in parts
    ]
    sheet = Image.new("RGB", (width, sum(part.height + GAP for part in parts) - GAP), "white")
    y = 0
    for part in parts:
        sheet.paste(part, (0, y))
        y += part.height + GAP
    sheet.quantize(256).save(ROOT / "docs/tour.png", optimize=True)


def main() -> None:
    """Draw all pictures."""
    if (plots := ROOT / "data/plots").joinpath("evaluate").is_dir():
        draw_results(plots)
    with tempfile.TemporaryDirectory() as temporary:
        draw_photographs(Path(temporary))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_quickstart(folder)
        _, setup, *_ = fences_of(QUICKSTART)
        printed(folder, setup)
        draw("terminal-help", "the commands", folder, ["darkroom --help"])
        draw("terminal-run", "a first run", folder, ["darkroom plan", "darkroom run"])
        printed(folder, "git add -A && git commit -m 'First results'")
        change = "sed -i 's/0.1/0.2/' params.yaml"
        draw("terminal-change", "a changed parameter", folder, [change, "darkroom plan", "darkroom run"])


if __name__ == "__main__":
    main()
