import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from darkroom.server.login import (
    auth_file,
    auth_string,
    client_environment,
    known_url,
    profiles_file,
    write_profile,
)


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


def profile(folder: Path) -> dict[str, str]:
    held = tomllib.loads(profiles_file(folder).read_text())
    found: dict[str, str] = held["profiles"][held["active"]]
    return found


def test_an_empty_file_is_no_string(tmp_path: Path) -> None:
    """Prefect's websockets would take it for none at all, and let everybody in."""
    for content in ("", "\n"):
        auth_file(tmp_path).write_text(content)
        auth_file(tmp_path).chmod(0o644)
        assert len(auth_string(tmp_path)) > 32
        assert mode(auth_file(tmp_path)) == 0o600


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_many_who_make_it_at_once_have_the_same(tmp_path: Path, content: str | None) -> None:
    """In 50 folders, one after the other: a process that was about to write comes late in some of them."""
    folders = [tmp_path / str(number) for number in range(50)]
    for folder in folders:
        folder.mkdir()
        if content is not None:
            auth_file(folder).write_text(content)
    script = "import sys; from pathlib import Path; from darkroom.server.login import auth_string;"
    script += " sys.stdin.readline(); print(*(auth_string(Path(folder)) for folder in sys.argv[1:]))"
    command = [sys.executable, "-c", script, *map(str, folders)]
    many = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    for one in many:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    assert {one.communicate()[0].strip() for one in many} == {" ".join(map(auth_string, folders))}


def test_clients_find_the_string_before_there_was_any_server(tmp_path: Path) -> None:
    environ = client_environment(tmp_path / "prefect")
    assert environ["PREFECT_PROFILES_PATH"] == str(profiles_file(tmp_path / "prefect"))
    assert profile(tmp_path / "prefect") == {"PREFECT_API_AUTH_STRING": auth_string(tmp_path / "prefect")}
    assert mode(tmp_path / "prefect") == 0o700
    assert mode(profiles_file(tmp_path / "prefect")) == 0o600
    assert known_url(tmp_path / "prefect") is None


def test_clients_keep_the_address_and_follow_a_new_string(tmp_path: Path) -> None:
    write_profile(tmp_path, "http://127.0.0.1:4321/api")
    before = auth_string(tmp_path)
    client_environment(tmp_path)
    assert profile(tmp_path)["PREFECT_API_AUTH_STRING"] == before
    auth_file(tmp_path).unlink()
    client_environment(tmp_path)
    assert known_url(tmp_path) == "http://127.0.0.1:4321/api"
    assert profile(tmp_path)["PREFECT_API_AUTH_STRING"] == auth_string(tmp_path) != before


def test_a_damaged_profile_is_written_again(tmp_path: Path) -> None:
    for damaged in (b"not = [toml", b"\xff", b"active = 1\n", b""):
        profiles_file(tmp_path).write_bytes(damaged)
        assert known_url(tmp_path) is None
        client_environment(tmp_path)
        assert profile(tmp_path)["PREFECT_API_AUTH_STRING"] == auth_string(tmp_path)
