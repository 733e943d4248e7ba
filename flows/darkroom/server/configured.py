"""Which Prefect API the user has set, and whether it answers.

The settings are read as Prefect reads them, but without the second that its import takes. A test compares the
result with Prefect's own settings.
"""

from __future__ import annotations

import contextlib
import http.client
import tomllib
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom.base.errors import DarkroomError, explain_os_error
from darkroom.server import login
from darkroom.server.clients import API_URL
from darkroom.server.places import server_folder
from darkroom.server.sharing import kept_up

PROBE_SECONDS = 5
_FILES = "prefect.toml, pyproject.toml or .env in the current folder"
_TESTING = ("PREFECT_TEST_MODE", "PREFECT_UNIT_TEST_MODE", "PREFECT_TESTING_UNIT_TEST_MODE",
            "PREFECT_TESTING_TEST_MODE")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Configured:
    """The API that Prefect is set to use, and what sets it."""

    url: str
    where: str

    @property
    def mend(self) -> str:
        """How to have Prefect use the project's own server."""
        return f"unset {API_URL}" if self.where == API_URL else "remove that setting"


def configured_api(root: Path, environ: Mapping[str, str]) -> Configured | None:
    """What the environment, a profile or one of Prefect's settings files says; None: nothing.

    The project's own profile, which its user chooses for Prefect's commands, is no other server.

    Raises:
        DarkroomError: A settings file cannot be read.

    """
    found = _found(environ)
    if found is None or found.url == kept_up(root):
        return None
    if found.where not in (API_URL, _FILES):
        path = profiles_path(environ)
        assert path is not None
        if path.resolve() == login.profiles_file(server_folder(root)).resolve():
            return None
    return found


def _found(environ: Mapping[str, str]) -> Configured | None:
    if url := environ.get(API_URL):
        return Configured(url, API_URL)
    if url := _in_files(("api", "url"), API_URL):
        return Configured(url, _FILES)
    if any(environ.get(name) for name in _TESTING):
        return None
    path = profiles_path(environ)
    if path is None or not path.exists():
        return None
    profiles = _read_toml(path)
    active = environ.get("PREFECT_PROFILE") or profiles.get("active")
    url = _at(profiles, "profiles", str(active), API_URL)
    return Configured(url, f"{path}: the active profile") if url else None


def profiles_path(environ: Mapping[str, str]) -> Path | None:
    """The file in which Prefect finds the user's profiles; None: it has only its own, which name no API."""
    if given := environ.get("PREFECT_PROFILES_PATH") or _in_files(
        ("profiles_path",), "PREFECT_PROFILES_PATH"
    ):
        return Path(given)
    if home := environ.get("PREFECT_HOME"):
        return Path(home) / "profiles.toml"
    with contextlib.suppress(RuntimeError):  # there is no home
        return Path("~/.prefect/profiles.toml").expanduser()
    return None


def _in_files(keys: tuple[str, ...], variable: str) -> str:
    """What the current folder's files say, as Prefect looks through them; empty: nothing."""
    if Path(".env").is_file():
        from dotenv import dotenv_values

        try:
            held = dotenv_values(".env")
        except OSError as error:
            raise DarkroomError(explain_os_error(error, ".env")) from error
        except UnicodeDecodeError as error:
            raise DarkroomError(f".env: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
        if value := held.get(variable):
            return value
    for name, before in (("prefect.toml", ()), ("pyproject.toml", ("tool", "prefect"))):
        if Path(name).is_file() and (value := _at(_read_toml(Path(name)), *before, *keys)):
            return value
    return ""


def _at(found: Mapping[str, Any], *keys: str) -> str:
    value: Any = found
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return str(value) if value else ""


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DarkroomError(explain_os_error(error, path)) from error
    except ValueError as error:
        raise DarkroomError(f"{path}: {' '.join(str(error).split())}") from error


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
