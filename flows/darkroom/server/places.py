"""The files of a project's servers, and their addresses."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

from darkroom.base.files import STATE_FOLDER
from darkroom.server import login_links

LOOPBACK = "127.0.0.1"
DATABASE = "prefect.db"


def server_folder(root: Path) -> Path:
    """The folder in which the project whose root is `root` keeps Prefect's database."""
    return root / STATE_FOLDER / "prefect"


def port_of(url: str) -> int:
    """The port in an address of a server of ours."""
    port = urllib.parse.urlsplit(url).port
    assert port is not None
    return port


def runs_page(url: str) -> str:
    """The address of the list of runs on a server of ours."""
    return url.removesuffix("/api") + login_links.RUNS_PAGE
