import errno
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stages.core.errors import DataError
from stages.intake.folders import names_below, read_file, way_out
from tests.places import ROOT


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"content")
    return path


def test_files_come_before_folders_each_in_order_and_what_systems_leave_is_nobodys(tmp_path):
    for name in (
        "b/2.png",
        "b/10.png",
        "z.png",
        "a/deep/1.png",
        "__MACOSX/1.png",
        ".hidden/1.png",
        "b/._2.png",
    ):
        write(tmp_path / name)
    assert list(names_below(tmp_path)) == ["z.png", "a/deep/1.png", "b/10.png", "b/2.png"]
    assert list(names_below(tmp_path, skipped=["a", "2.png"])) == ["z.png", "b/10.png", "b/2.png"]


def test_links_to_folders_are_named_and_never_followed(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name / "1.png")
        (tmp_path / name / "up").symlink_to("..")
        (tmp_path / name / "itself").symlink_to("itself")
    assert list(names_below(tmp_path)) == [
        f"{folder}/{name}" for folder in "ab" for name in ("1.png", "itself", "up")
    ]


def test_a_very_deep_folder_is_an_error_that_names_it(tmp_path):
    place = os.open(tmp_path, os.O_RDONLY)
    for _ in range(60):  # deeper than a path may be long
        os.mkdir("d" * 100, dir_fd=place)
        deeper = os.open("d" * 100, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = deeper
    os.close(place)
    with pytest.raises(DataError, match="File name too long"):
        list(names_below(tmp_path))


@pytest.mark.parametrize(
    ("target", "outside"),
    [
        ("inside/1.png", False),
        ("../out/1.png", True),
        ("../cache/files/md5/ab/" + "0f" * 15, False),
        ("gone.png", False),
    ],
)
def test_links_to_files_may_lead_into_the_raw_folder_or_dvcs_cache(tmp_path, target, outside):
    raw = tmp_path / "raw"
    for path in ("inside/1.png", "../out/1.png", "../cache/files/md5/ab/" + "0f" * 15):
        write(raw / path)
    (raw / "link.png").symlink_to(target)
    assert bool(way_out(raw / "link.png", raw)) is outside


def test_a_file_within_a_linked_folder_lies_where_the_link_leads(tmp_path):
    write(tmp_path / "out/1.png")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/folder").symlink_to(tmp_path / "out")
    assert way_out(tmp_path / "raw/folder/1.png", tmp_path / "raw") == str(tmp_path / "out/1.png")
    (tmp_path / "other").symlink_to(tmp_path / "out")  # the raw folder itself may be a link
    assert way_out(tmp_path / "other/1.png", tmp_path / "other") is None


def test_what_is_no_file_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path has to be short
    os.mkfifo("pipe.jpg")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.jpg")
        for name, what in (
            ("pipe.jpg", "a pipe"),
            ("socket.jpg", "a socket"),
            (".", "a folder"),
            ("/dev/zero", "a device"),
        ):
            with pytest.raises(OSError, match=what):
                read_file(Path(name), 100)


def test_a_file_is_read_up_to_a_size(tmp_path):
    file = write(tmp_path / "1.png")
    assert read_file(file, 7) == b"content"
    with pytest.raises(OSError, match="larger than") as raised:
        read_file(file, 6)
    assert raised.value.errno == errno.EFBIG


AS_NOBODY = """
import os, sys
from pathlib import Path
from stages.intake.folders import names_below
if os.getuid() == 0:  # whom no permission stops
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
os.chdir("/")
list(names_below(Path(sys.argv[1])))
"""


def test_a_folder_that_may_not_be_read_is_named():
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        closed = Path(folder, "closed")
        closed.mkdir(mode=0)
        command = [sys.executable, "-c", AS_NOBODY, folder]
        ended = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert f"DataError: {closed}: Permission denied: make it a folder that can be read" in ended.stderr
