"""`darkroom ui`: Prefect's pages on the project's database, and the links that log a browser in."""

from __future__ import annotations

import html
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from darkroom.base import interpreter
from darkroom.base.errors import DarkroomError
from darkroom.base.files import STATE_FOLDER, make_private_folder, make_state_folder, write_secret
from darkroom.server import login_links
from darkroom.server.places import runs_page, server_folder
from darkroom.server.serving import START_SECONDS, UI_PORT, listen_near, serve
from darkroom.server.sharing import end_recorder, holding_pages, kept_up, shared_url
from darkroom.tracking.recorder_process import deliver_beside

_LOOK_SECONDS = 0.2
_GRAPHICAL = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")

# What a browser gets to open: a file of mode 600, since all accounts of a host see command lines.
_FORWARD = """\
<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={link}">
"""


def show_pages(root: Path, port: int = UI_PORT, *, browser: bool = True) -> None:
    """Serve the pages until Ctrl-C, say where they are, and open them in the user's `browser`, logged in."""
    folder = server_folder(root)
    if not (kept_up(root) or shared_url(folder)):
        print("starting Prefect's server ...", file=sys.stderr, flush=True)

    def announce(url: str, served_here: bool) -> None:
        print(f"all runs of this project: {runs_page(url)}{'  (Ctrl-C ends it)' * served_here}")
        link, minutes = login_links.make(folder, url), login_links.LIFE_SECONDS / 60
        print(f"to log in, once and within {minutes:.0f} minutes: {link}", flush=True)
        if browser and has_browser(os.environ):
            open_browser(folder, url)

    serve_pages(root, announce, port)


def serve_pages(root: Path, announce: Callable[[str, bool], None], port: int = UI_PORT) -> None:
    """Serve Prefect's pages on the project's database until Ctrl-C.

    `announce` gets the API's URL, and whether it is this process that serves it.

    Later runs of the project record in this server, so that the pages are live. Where `darkroom up` or
    another `darkroom ui` serves them already, that is all.

    Raises:
        DarkroomError: Another server of the project hangs.

    """
    make_state_folder(root / STATE_FOLDER)
    folder = server_folder(root)
    make_private_folder(folder)
    give_up = time.monotonic() + START_SECONDS
    while True:
        end_recorder(root)
        with holding_pages(root) as share:
            if share is not None:

                def announce_and_share(url: str) -> None:
                    share(url)
                    announce(url, True)

                serve(folder, listen_near(port), announce_and_share, beside=lambda _: deliver_beside(root))
                return
        if url := kept_up(root) or shared_url(folder):
            announce(url, False)
            return
        if time.monotonic() > give_up:
            raise DarkroomError("another server of this project does not become ready; stop it")
        time.sleep(_LOOK_SECONDS)


def has_browser(environ: Mapping[str, str]) -> bool:
    """Whether there is a screen to open a browser on, or a browser that the user names."""
    return any(environ.get(name) for name in _GRAPHICAL)


def open_browser(folder: Path, url: str) -> None:
    """Open the pages of the server at `url` in the user's browser, logged in."""
    page = folder / "login.html"
    write_secret(page, _FORWARD.format(link=html.escape(login_links.make(folder, url))))
    subprocess.Popen(
        interpreter.python_command("webbrowser", page.resolve().as_uri()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the server
        env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
    )
