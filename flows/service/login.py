"""The string that opens the project's Prefect server, and the profile by which Prefect's clients find both.

The string is made at first use and stands in two files of mode 600, `auth` and Prefect's own `profiles.toml`.
Clients are given the profile's path. The server, and by Prefect's worker the processes of flow runs, have the
string in their environment; what those start has not, so that no stage can print it into a log.
"""

from __future__ import annotations

import base64
import os
import secrets
import tomllib
from pathlib import Path

from flows.files import write_secret

USER = "darkroom"
PROFILE = "darkroom"


def auth_file(folder: Path) -> Path:
    """Where the string stands, in the project's folder of Prefect."""
    return folder / "auth"


def profiles_file(folder: Path) -> Path:
    """Where Prefect's clients find address and string."""
    return folder / "profiles.toml"


def auth_string(folder: Path) -> str:
    """`user:password`, made where there is none yet."""
    return _kept(auth_file(folder), f"{USER}:{secrets.token_urlsafe(32)}")


def encryption_key(folder: Path) -> str:
    """By which the server encrypts passwords in its database; Prefect's own key would stand in there too."""
    return _kept(folder / "key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())


def _kept(path: Path, new: str) -> str:
    if not path.exists():
        write_secret(path, f"{new}\n")
    path.chmod(0o600)  # whoever widened it
    return path.read_text(encoding="ascii").strip()


def write_profile(folder: Path, url: str) -> None:
    """Have Prefect's clients find the server at `url`."""
    text = (
        f'active = "{PROFILE}"\n\n[profiles.{PROFILE}]\n'
        f'PREFECT_API_URL = "{url}"\nPREFECT_API_AUTH_STRING = "{auth_string(folder)}"\n'
    )
    write_secret(profiles_file(folder), text)


def known_url(folder: Path) -> str | None:
    """Where the server was the last time; None: never."""
    try:
        held = tomllib.loads(profiles_file(folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return str(held["profiles"][PROFILE]["PREFECT_API_URL"])


def client_environment(folder: Path) -> dict[str, str]:
    """By what a client of Prefect finds the project's server and may use it: the path of a file."""
    chosen = {"PREFECT_PROFILE": PROFILE} if "PREFECT_PROFILE" in os.environ else {}  # it would be another's
    return {"PREFECT_PROFILES_PATH": str(profiles_file(folder)), **chosen}
