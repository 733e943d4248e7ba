"""Which Prefect API records a run: the configured one, that of a server which runs, or a temporary one's."""

from __future__ import annotations

import contextlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import DarkroomError
from darkroom.base.files import STATE_FOLDER, make_private_folder, make_state_folder
from darkroom.server import database as prefect_database
from darkroom.server import login
from darkroom.server.clients import API_URL, QUIET_CLIENT, client_of
from darkroom.server.places import DATABASE, runs_page, server_folder
from darkroom.server.serving import CONNECTION
from darkroom.server.sharing import kept_up, shared_url
from darkroom.server.temporary import kept_served, temporary_server
from darkroom.show.output import print_warning

PROBE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Api:
    """A Prefect API, and what leads a user to the pages of its runs."""

    url: str
    where_to_look: str
    problem: str = ""
    """Why the run may stay unrecorded, in a line: the configured server does not answer. Empty: it does."""


@contextlib.contextmanager
def prefect_api(root: Path, remark: Callable[[str], None] = print_warning) -> Iterator[Api]:
    """The Prefect API to record a run of the project at `root` in; this process's client is set to it.

    `remark` gets a line where the project's database had to be mended.

    Raises:
        DarkroomError: The project's database cannot be used, or no server can be started on it.
        OSError: The folder of the database cannot be used, or no server can be started.

    """
    for name, value in QUIET_CLIENT.items():
        os.environ.setdefault(name, value)
    if set_to := configured_api(root):
        yield Api(set_to.url, set_to.url.rstrip("/").removesuffix("/api"), silence_of(set_to))
    elif url := kept_up(root):
        with client_of(server_folder(root), url):
            yield Api(url, runs_page(url))
    elif url := shared_url(server_folder(root)):
        with kept_served(server_folder(root), url), client_of(server_folder(root), url):
            yield Api(url, runs_page(url))
    else:
        make_state_folder(root / STATE_FOLDER)
        make_private_folder(server_folder(root))
        if not os.environ.get(CONNECTION):  # else it is PostgreSQL, say
            for line in prefect_database.prepare(server_folder(root) / DATABASE):
                remark(line)
        with temporary_server(server_folder(root)) as url, client_of(server_folder(root), url):
            yield Api(url, "`darkroom ui` shows all runs so far")


@dataclass(frozen=True, slots=True)
class Configured:
    """The API that Prefect is set to use, and what sets it."""

    url: str
    where: str

    @property
    def mend(self) -> str:
        """How to have Prefect use the project's own server."""
        return f"unset {API_URL}" if self.where == API_URL else "remove that setting"


def configured_api(root: Path) -> Configured | None:
    """What the environment, a profile or one of Prefect's settings files says; None: nothing.

    The project's own profile, which its user chooses for Prefect's commands, is no other server.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if (url := settings.api.url) is None:
        return None
    by_profile = API_URL not in os.environ and url == _profile_url()
    ours = login.profiles_file(server_folder(root))
    if url == kept_up(root) or (by_profile and settings.profiles_path.resolve() == ours.resolve()):
        return None
    if by_profile:
        return Configured(url, f"{settings.profiles_path}: the active profile")
    in_files = "prefect.toml, pyproject.toml or .env in the current folder"
    return Configured(url, API_URL if API_URL in os.environ else in_files)


def _profile_url() -> str | None:
    from prefect.settings import PREFECT_API_URL, load_profiles

    profiles = load_profiles()
    name = os.environ.get("PREFECT_PROFILE") or profiles.active_name
    url = profiles[name].settings.get(PREFECT_API_URL) if name in profiles.names else None
    return None if url is None else str(url)


def require_answer(set_to: Configured) -> None:
    """Ask whether something healthy answers there.

    Raises:
        DarkroomError: Nothing does.

    """
    try:
        with urllib.request.urlopen(f"{set_to.url.rstrip('/')}/health", timeout=PROBE_SECONDS):
            return
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DarkroomError(
            f"{set_to.where}: no Prefect server answers at {set_to.url} ({reason});"
            f" start it, or {set_to.mend} to record the run in the project's folder"
        ) from error


def silence_of(set_to: Configured) -> str:
    """What is wrong where nothing healthy answers there, in a line; empty where something does."""
    try:
        require_answer(set_to)
    except DarkroomError as error:
        return str(error)
    return ""
