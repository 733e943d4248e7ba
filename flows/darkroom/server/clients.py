"""The settings of Prefect's client: for a while in this process, or for another process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from darkroom.server import login

API_URL = "PREFECT_API_URL"
CREDENTIALS = ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY")

# What a run needs of Prefect's client: no console lines of its own, no usage statistics.
QUIET_CLIENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
}


def client_of(folder: Path, url: str) -> contextlib.AbstractContextManager[None]:
    """Point this process's Prefect client at the server of ours at `url` whose folder is `folder`."""
    return client_set_to(url, login.client_environment(folder))


def environment_of(folder: Path, url: str) -> dict[str, str]:
    """The variables that point the Prefect client of another process at the server at `url`."""
    return {API_URL: url, **login.client_environment(folder)}


@contextlib.contextmanager
def client_set_to(url: str, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Point this process's Prefect client, all its threads, at `url`; `settings` are more of Prefect's."""
    from prefect.context import refresh_global_settings_context

    meanwhile = {API_URL: url, **settings}
    found = {name: os.environ.get(name) for name in (*meanwhile, *CREDENTIALS)}
    before = {name: value for name, value in found.items() if value is not None}
    for name in CREDENTIALS:  # another server's, that would go before the profile's
        os.environ.pop(name, None)
    os.environ.update(meanwhile)
    refresh_global_settings_context()
    try:
        yield
    finally:
        for name in meanwhile:
            os.environ.pop(name, None)
        os.environ.update(before)
        refresh_global_settings_context()
