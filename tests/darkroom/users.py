"""Other users of the host: real processes with another user id, which only root can start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.places import ROOT

EVE, MALLORY = 65534, 54321

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")

_AS_USER = """
import contextlib, fcntl, json, os, socket, stat, sys, time
from pathlib import Path
from darkroom.gpus.devices import Gpus, declared_devices
from darkroom.gpus.choice import Request
from darkroom.gpus.lease_folder import SharedFolder
from darkroom.gpus.lease_notes import HostLeases, LeaseHolder
from darkroom.gpus.leases import HostDevices
from darkroom.base.locks import FOR_EVER
from darkroom.schedule.pool import Resources

uid, folder = int(sys.argv[1]), Path(sys.argv[2])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
os.umask(0o022)
"""


@contextmanager
def user(uid: int, folder: Path, code: str) -> Iterator[None]:
    """Another user who does something in `folder`, and keeps what is open until the block ends."""
    words = [sys.executable, "-c", f"{_AS_USER}{code}\nprint('done', flush=True)\nsys.stdin.read()"]
    process = subprocess.Popen(
        [*words, str(uid), str(folder)],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "done\n"
        yield
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


def does(uid: int, folder: Path, code: str) -> None:
    """Let another user do something in `folder` and be gone."""
    with user(uid, folder, code):
        pass


@contextmanager
def place_for_all() -> Iterator[Path]:
    """A folder that every user may write in, as /tmp is."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o1777)
        yield folder
