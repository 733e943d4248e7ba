"""Folders of any files, links, pipes and sockets, and damaged videos: rows and findings, or one line.

The same examples in each run; FUZZ_EXAMPLES=10000 takes so many new ones of each format.
"""

import os
import re
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from stages.by_hand.data import main as darkroom_data
from stages.core.errors import DataError
from stages.core.texts import in_a_line
from stages.preprocess.gathering import gather
from stages.preprocess.readers import read_source
from stages.preprocess.sorting import RunSettings, gathering_for
from stages.sources.params import Policy
from stages.sources.policy import Findings
from tests.stages.param_files import POLICY
from tests.stages.sources.readers import FORM, SOURCES, checked

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
FOLDERS = (
    *("a", "b", "train", "valid", "Test", "seg_train", "seg_test", "images", "labels", "Annotations"),
    *(
        "JPEGImages",
        "ImageSets",
        "Main",
        "__MACOSX",
        ".hidden",
        "line\nbreak",
        "caf\udce9",
        "\u202e",
        "x.png",
    ),
)
NAMES = (
    *("1.png", "2.JPG", "1.txt", "1.xml", "1.json", "data.yaml", "classes.txt", "train.txt", "l.csv"),
    *("v.mp4", "._1.png", "caf\udce9.png", "line\nbreak.png", "1", "a.heic"),
)
CONTENTS = (
    *(b"", b"0 0.5 0.5 0.5 0.5\n", b"train: images\nnames: [a, b]\n", b"file,label\na/1.png,a\nb/1.png,b\n"),
    *(
        b"<annotation><object><name>a</name></object></annotation>",
        b'{"shapes": []}',
        b"1\n2\n",
        b"\xff\xfe\x00",
    ),
)
PARAMS: dict[str, dict[str, Any]] = {
    "image-folder": {"folder": "."},
    "video": {"folder": ".", "every": 1},
    "yolo": {"file": "data.yaml"},
    "pascal-voc": {"folder": ".", "first_pixel": 1, "pictures": ".", "annotations": "."},
    "labelme": {"folder": "."},
    "csv": {"file": "l.csv", "columns": {"picture": "file", "label": "label"}},
}
CLASSIFIED = ("image-folder", "video", "csv")
POLICY_HERE = Policy.model_validate(POLICY | {"path_traversal": "refuse"})


def picture(path: Path, draw: Random) -> None:
    pixels = np.full((20, 40, 3), draw.randrange(256), np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def listening(path: Path, _: Random) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may have a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(here)


KINDS: Sequence[Callable[[Path, Random], None]] = (
    *[picture] * 6,
    *[lambda path, draw: path.write_bytes(draw.choice(CONTENTS)) and None] * 6,
    lambda path, _: os.mkfifo(path),
    listening,
    lambda path, _: path.symlink_to(".."),
    lambda path, _: path.symlink_to(path.name),
    lambda path, _: path.symlink_to("/etc"),
    lambda path, _: path.symlink_to("/etc/passwd"),
    lambda path, _: path.symlink_to("/dev/zero"),
    lambda path, draw: path.symlink_to(Path("../") / draw.choice(FOLDERS)),
    lambda path, _: path.mkdir(),
)


def fill(raw: Path, draw: Random) -> None:
    """Up to sixteen files and other things in folders, some of which are usual."""
    for _ in range(draw.randint(1, 16)):
        folders = draw.choices(FOLDERS, k=draw.choice([0, 1, 1, 2, 2, 3]))
        path = raw.joinpath(*folders, draw.choice(NAMES))
        if any(os.path.lexists(one) and not (one.is_dir() and not one.is_symlink()) for one in path.parents):
            continue  # a file or a link lies where a folder would
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(path):
            draw.choice(KINDS)(path, draw)


def examples(number: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=EXAMPLES or number,
        derandomize=not EXAMPLES,
        database=None,
        phases=[Phase.generate],
        deadline=None,
    )


def read_whole(raw: Path, name: str, params: dict[str, Any], scratch: Path) -> None:
    """Read and decode all that a format finds in a folder, or be refused in one line."""
    task: Any = "classification" if name in CLASSIFIED else "detection"
    source = SOURCES[task].validate_python(FORM | {"format": name, **params})
    run = RunSettings(raw=raw, seed=1, policy=POLICY_HERE, scratch=scratch, cache=None)
    refused = "it is read, and nothing is refused"
    try:
        found = checked(read_source(raw, source, upright=True), raw)
        gather(found, gathering_for(source, task, run), Findings(POLICY_HERE))
    except DataError as error:
        refused = str(error)
    assert re.fullmatch(r".{20,1500}", in_a_line(refused))  # as every stage prints it


@pytest.mark.parametrize("name", [*PARAMS, "darkroom data"])
@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_any_folder_is_read_or_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr("stages.preprocess.sorting.cores", lambda: 0)
    raw = tmp_path / "raw"

    @examples(20)
    @given(seed=st.integers(0, 2**64 - 1))
    def check(seed: int) -> None:
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir()
        fill(raw, Random(seed))
        note(repr(sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*"))))
        if name == "darkroom data":
            code = darkroom_data([str(raw), "--params", str(tmp_path / "params.yaml")])
            said = capsys.readouterr()
            assert code in (0, 2)
            assert said.err.count("\n") == int(code == 2)
            assert (said.out + said.err).replace("\n", "").encode()
        else:
            read_whole(raw, name, PARAMS[name], tmp_path / "scratch")

    check()


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_a_damaged_video_gives_frames_or_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.preprocess.sorting.cores", lambda: 0)
    whole = []
    for codec, suffix in (("MJPG", "avi"), ("mp4v", "mp4"), ("MJPG", "mkv")):
        file = tmp_path / f"whole.{suffix}"
        video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*codec), 10, (48, 32))
        for number in range(8):
            video.write(np.full((32, 48, 3), 30 * number, np.uint8))
        video.release()
        whole.append(file.read_bytes())
    (tmp_path / "raw/a").mkdir(parents=True)

    @examples(20)
    @given(seed=st.integers(0, 2**64 - 1))
    def check(seed: int) -> None:
        draw = Random(seed)
        content = bytearray(draw.choice(whole))
        for _ in range(draw.randint(1, 8)):
            content[draw.randrange(draw.choice([60, 400, len(content)]))] = draw.randrange(256)
        (tmp_path / "raw/a/v.avi").write_bytes(
            content[: draw.choice([len(content), draw.randrange(len(content))])]
        )
        read_whole(
            tmp_path / "raw", "video", {"folder": ".", "every": 2, "shape": [8, 8]}, tmp_path / "scratch"
        )

    check()
