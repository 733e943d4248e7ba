"""Links that log a browser in, once each. Whoever can read the project's folder can make them.

A link holds a token. Each unused token is a file, named by the token's hash, in a folder that only its owner
can read. Using the token removes the file, so if two try, only one succeeds.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from pathlib import Path

from darkroom.base.files import make_private_folder

LIFE_SECONDS = 600.0
PATH = "/darkroom/login"
RUNS_PAGE = "/v2/runs?hide-subflows=true"
"""The page that a link leads to: the runs without their stages. Prefect's older pages draw no graphs."""

_FOLDER = "links"


def make(folder: Path, url: str) -> str:
    """A new link for the server whose API is at `url` and whose folder is `folder`.

    The token is the link's fragment, which browsers send to nobody.
    """
    links = folder / _FOLDER
    make_private_folder(links)
    for path in links.iterdir():
        with contextlib.suppress(FileNotFoundError):  # it is used just now
            if _age(path) > LIFE_SECONDS:
                path.unlink()
    token = secrets.token_urlsafe(32)
    _file(folder, token).touch(mode=0o600)
    return f"{url.removesuffix('/api')}{PATH}#{token}"


def take(folder: Path, token: str) -> bool:
    """Use up a token. False: it was used, is too old, or never was one."""
    path = _file(folder, token)
    try:
        fresh = _age(path) <= LIFE_SECONDS
        path.unlink()
    except FileNotFoundError:
        return False
    return fresh


def _file(folder: Path, token: str) -> Path:
    return folder / _FOLDER / hashlib.sha256(token.encode()).hexdigest()


def _age(path: Path) -> float:
    """Seconds since the file was made."""
    return time.time() - path.stat().st_mtime
