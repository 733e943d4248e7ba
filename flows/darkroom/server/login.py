"""The auth string of the project's Prefect server, and the profile from which Prefect's clients read it.

All servers of a project, those of `up`, `ui` and `run`, have the same string. It is made at first use and
stored in two files of mode 600: `auth`, and Prefect's own `profiles.toml`. Clients are given the path of the
profile. The server has the string in its environment. Prefect's worker puts it into the environment of flow
runs, too. The programs that a flow run starts do not get it, so no stage can print it into a log.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import secrets
import tomllib
from pathlib import Path

from darkroom.base.files import make_private_folder, write_secret, write_secret_once

USER = "darkroom"
PROFILE = "darkroom"


def auth_file(folder: Path) -> Path:
    """The file of the string, in the project's folder of Prefect."""
    return folder / "auth"


def profiles_file(folder: Path) -> Path:
    """The file in which Prefect's clients find the server's address and the string."""
    return folder / "profiles.toml"


def auth_string(folder: Path) -> str:
    """The string `user:password`; it is made where there is none yet."""
    return _kept(auth_file(folder), f"{USER}:{secrets.token_urlsafe(32)}")


def encryption_key(folder: Path) -> str:
    """The key by which the server encrypts passwords in its database; Prefect's would stand in there too."""
    return _kept(folder / "key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())


def _kept(path: Path, new: str) -> str:
    kept = _read(path)
    if not kept:  # an empty string would open Prefect's websockets to everybody
        make_private_folder(path.parent)
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of several at once, the first one's string stays
            kept = _read(path)
            if not kept:
                kept = new
                write_secret(path, f"{new}\n")
    path.chmod(0o600)  # whoever widened it
    return kept


def _read(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(encoding="ascii").strip()
    return ""


def write_profile(folder: Path, url: str) -> None:
    """Write the profile in which Prefect's clients find the string, and the server at `url`."""
    write_secret(profiles_file(folder), _profile_text(folder, url))


def _profile_text(folder: Path, url: str | None) -> str:
    address = f'PREFECT_API_URL = "{url}"\n' if url else ""
    return (
        f'active = "{PROFILE}"\n\n[profiles.{PROFILE}]\n{address}'
        f'PREFECT_API_AUTH_STRING = "{auth_string(folder)}"\n'
    )


def known_url(folder: Path) -> str | None:
    """The URL that the server of `darkroom up` had the last time; None: there never was one."""
    return _profile(folder).get("PREFECT_API_URL")


def _profile(folder: Path) -> dict[str, str]:
    """The profile as it is; empty where there is none, or the file is damaged."""
    with contextlib.suppress(FileNotFoundError, tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError):
        profile = tomllib.loads(profiles_file(folder).read_text(encoding="utf-8"))["profiles"][PROFILE]
        return {name: str(value) for name, value in profile.items()}
    return {}


def client_environment(folder: Path) -> dict[str, str]:
    """The variables by which a client of Prefect finds the project's servers; the profile is made here."""
    auth = auth_string(folder)
    write_secret_once(profiles_file(folder), _profile_text(folder, None))
    if _profile(folder).get("PREFECT_API_AUTH_STRING") != auth:  # somebody removed `auth` to have another
        write_secret(profiles_file(folder), _profile_text(folder, known_url(folder)))
    chosen = {"PREFECT_PROFILE": PROFILE} if "PREFECT_PROFILE" in os.environ else {}  # it would be another's
    return {"PREFECT_PROFILES_PATH": str(profiles_file(folder)), **chosen}
