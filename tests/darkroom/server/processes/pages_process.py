"""`darkroom ui` as a process of its own, and what it prints."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.places import ROOT

# Its project needs no repository here.
PAGES = """
import sys
from pathlib import Path
from darkroom.service import ui
ui.show_pages(Path(sys.argv[1]), port=0, browser=sys.argv[2] == "browser")
"""


@dataclass(frozen=True, slots=True)
class Pages:
    """What it says: where the runs are, and a link that logs in."""

    process: subprocess.Popen[str]
    address: str
    link: str

    @property
    def url(self) -> str:
        return self.address.partition("/v2/")[0] + "/api"


def start(
    root: Path, browser: str | None = None, environ: Mapping[str, str] = os.environ
) -> subprocess.Popen[str]:
    """Start it; `browser` is the command of the user's."""
    hidden = ("PREFECT_", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    env = {name: value for name, value in environ.items() if not name.startswith(hidden)}
    if browser:
        env["BROWSER"] = browser
    command = [sys.executable, "-c", PAGES, str(root), "browser" if browser else "none"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT)


def read(process: subprocess.Popen[str]) -> Pages:
    """What it prints first."""
    assert process.stdout is not None
    address, link = (re.search(r"http://\S+", process.stdout.readline()) for _ in range(2))
    assert address is not None
    assert link is not None
    return Pages(process, address.group(), link.group())


@contextlib.contextmanager
def pages_process(
    root: Path, browser: str | None = None, environ: Mapping[str, str] = os.environ
) -> Iterator[Pages]:
    with start(root, browser, environ) as process:
        try:
            yield read(process)
        finally:
            process.kill()
