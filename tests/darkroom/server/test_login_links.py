import os
import threading
import time
from pathlib import Path

from darkroom.server import login_links

URL = "http://127.0.0.1:4200/api"


def made(folder: Path) -> str:
    link = login_links.make(folder, URL)
    address, _, token = link.partition("#")
    assert address == "http://127.0.0.1:4200/darkroom/login"
    return token


def test_a_token_is_taken_once(tmp_path: Path) -> None:
    first, second = made(tmp_path), made(tmp_path)
    assert first != second
    assert login_links.take(tmp_path, first)
    assert not login_links.take(tmp_path, first)
    assert login_links.take(tmp_path, second)


def test_what_was_never_made_is_not_taken(tmp_path: Path) -> None:
    assert not login_links.take(tmp_path, "guessed")  # before there is any
    token = made(tmp_path)
    for wrong in ("", "guessed", token[:-1], "../links", "\0", "é"):
        assert not login_links.take(tmp_path, wrong)
    assert login_links.take(tmp_path, token)


def test_one_that_is_too_old_is_not_taken_and_is_cleared_away(tmp_path: Path) -> None:
    token, forgotten = made(tmp_path), made(tmp_path)
    files = list((tmp_path / "links").iterdir())
    assert len(files) == 2
    long_ago = time.time() - login_links.LIFE_SECONDS - 1
    for file in files:
        os.utime(file, (long_ago, long_ago))
    assert not login_links.take(tmp_path, token)
    made(tmp_path)
    assert len(list((tmp_path / "links").iterdir())) == 1
    assert not login_links.take(tmp_path, forgotten)


def test_nobody_else_can_look_for_them_and_the_folder_holds_no_token(tmp_path: Path) -> None:
    token = made(tmp_path)
    assert (tmp_path / "links").stat().st_mode & 0o777 == 0o700
    (file,) = (tmp_path / "links").iterdir()
    assert token not in file.name + file.read_text()


def test_links_are_made_while_old_ones_go(tmp_path: Path) -> None:
    login_links.make(tmp_path, URL)
    files, stop = tmp_path / "links", threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for number in range(20):
                (files / str(number)).touch()
            for number in range(20):
                (files / str(number)).unlink()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(100):
            login_links.make(tmp_path, URL)
    finally:
        stop.set()
        other.join()
