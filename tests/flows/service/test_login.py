import tomllib
from pathlib import Path

from flows.service.login import auth_file, auth_string, known_url, profiles_file, write_profile


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_string_is_made_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    first = auth_string(tmp_path)
    user, _, password = first.partition(":")
    assert user == "darkroom"
    assert len(password) >= 32
    assert auth_string(tmp_path) == first
    assert mode(auth_file(tmp_path)) == 0o600


def test_a_file_that_was_opened_to_others_is_closed_again(tmp_path: Path) -> None:
    auth_string(tmp_path)
    auth_file(tmp_path).chmod(0o644)
    auth_string(tmp_path)
    assert mode(auth_file(tmp_path)) == 0o600


def test_each_project_has_a_string_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert auth_string(tmp_path / "a") != auth_string(tmp_path / "b")


def test_the_profile_leads_to_the_server(tmp_path: Path) -> None:
    assert known_url(tmp_path) is None
    write_profile(tmp_path, "http://127.0.0.1:4321/api")
    held = tomllib.loads(profiles_file(tmp_path).read_text())
    assert held["profiles"][held["active"]] == {
        "PREFECT_API_URL": "http://127.0.0.1:4321/api",
        "PREFECT_API_AUTH_STRING": auth_string(tmp_path),
    }
    assert mode(profiles_file(tmp_path)) == 0o600
    assert known_url(tmp_path) == "http://127.0.0.1:4321/api"
