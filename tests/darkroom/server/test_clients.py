"""The settings of Prefect's client while it is set to one of our servers, and after."""

import os
from pathlib import Path

import pytest
from prefect.settings import get_current_settings

from darkroom.server import login
from darkroom.server.clients import client_of


def test_another_servers_credentials_are_set_aside_for_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "team:secret")
    with client_of(tmp_path, "http://127.0.0.1:9/api"):
        auth = get_current_settings().api.auth_string
        assert auth is not None
        assert auth.get_secret_value() == login.auth_string(tmp_path)
        # What a stage inherits: the path of a file, no string.
        assert login.auth_string(tmp_path) not in os.environ.values()
    assert os.environ["PREFECT_API_AUTH_STRING"] == "team:secret"
    assert "PREFECT_PROFILES_PATH" not in os.environ


def test_a_variable_that_somebody_else_removes_meanwhile_stays_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with client_of(tmp_path, "http://127.0.0.1:9/api"):
        del os.environ["PREFECT_API_URL"]
        del os.environ["PREFECT_PROFILES_PATH"]
    assert "PREFECT_API_URL" not in os.environ
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:8/api")
    with client_of(tmp_path, "http://127.0.0.1:9/api"):
        del os.environ["PREFECT_API_URL"]
    assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:8/api"
