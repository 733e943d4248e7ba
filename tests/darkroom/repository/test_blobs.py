"""Blobs: stored by DVC's own hashes, and what is damaged or gone is never taken for them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from unittest.mock import patch

import pytest
from dvc.repo import Repo

from darkroom.repository.blobs import Blob, BlobGoneError, BlobStore, UnfitError, prune_folder
from darkroom.repository.opening import opened, remove_half_written
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape

FILES = {"data/b/c.txt": "c\n", "data/a.txt": "a\n", "data/é.txt": "e\n"}


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore.in_folder(tmp_path / "store")


def test_hashes_and_places_are_those_of_dvc(tmp_path: Path, store: BlobStore) -> None:
    root = make(
        tmp_path / "repo", Shape("data", {**FILES, "dvc.yaml": "stages: {}\n"}, add=("data",)), tmp_path
    )
    blob = store.put(root / "data")
    with contextlib.closing(Repo(str(root))) as repo:
        (out,) = repo.index.outs
        assert (out.hash_info.value, out.meta.size) == (blob.md5, blob.size)
    found = {path.relative_to(tmp_path / "store").as_posix() for path in (tmp_path / "store").rglob("*")}
    cached = {path.relative_to(root / ".dvc/cache").as_posix() for path in (root / ".dvc/cache").rglob("*")}
    assert found == cached


def test_a_folder_comes_back_as_it_was_and_is_fetched_once(tmp_path: Path, store: BlobStore) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    blob = store.put(tmp_path / "data")
    cache = BlobStore.in_folder(tmp_path / "cache")
    fetched = [store.place(blob, tmp_path / f"copy{number}", cache) for number in range(2)]
    assert fetched == [blob.size, 0]
    for number in range(2):
        assert store.put(tmp_path / f"copy{number}") == blob
        for name in FILES:
            copy = tmp_path / f"copy{number}" / name.removeprefix("data/")
            assert copy.stat().st_mode == (tmp_path / name).stat().st_mode


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/tmp/out"])
def test_a_folder_puts_no_file_outside_of_itself(name: str, tmp_path: Path, store: BlobStore) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    listing = json.dumps([{"md5": store.put(file).md5, "relpath": name}]).encode()
    oid = hashlib.md5(listing).hexdigest() + ".dir"
    place = tmp_path / "store/files/md5" / oid[:2] / oid[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(listing)
    with pytest.raises(BlobGoneError, match="outside of its folder"):
        store.place(Blob(oid, 7), tmp_path / "into/folder")
    assert not list(tmp_path.rglob("out"))


@pytest.mark.parametrize("entry", [{"relpath": "a"}, {"md5": "aa/etc", "relpath": "a"}, 7], ids=str)
def test_a_listing_with_anything_but_hashes_is_refused(
    entry: object, tmp_path: Path, store: BlobStore
) -> None:
    listing = json.dumps([entry]).encode()
    oid = hashlib.md5(listing).hexdigest() + ".dir"
    place = tmp_path / "store/files/md5" / oid[:2] / oid[2:]
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(listing)
    with pytest.raises(BlobGoneError, match="is no list of files"):
        store.place(Blob(oid, 7), tmp_path / "into/folder")


def test_a_hash_is_no_path(tmp_path: Path, store: BlobStore) -> None:
    own = tmp_path / "own.txt"
    own.write_text("mine\n")
    with pytest.raises(ValueError, match="is no hash"):
        store.place(Blob(f"aa{own}", 5), tmp_path / "copy")
    assert own.read_text() == "mine\n"


def test_names_may_be_as_long_as_the_file_system_takes(tmp_path: Path, store: BlobStore) -> None:
    file = tmp_path / "data" / ("n" * 255)
    file.parent.mkdir()
    file.write_text("content")
    store.place(store.put(file.parent), tmp_path / "copy")
    assert (tmp_path / "copy" / file.name).read_text() == "content"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, store: BlobStore) -> None:
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data/pipe")
    with pytest.raises(UnfitError, match="a named pipe, which DVC cannot keep"):
        store.put(tmp_path / "data")


def test_an_executable_file_stays_one(tmp_path: Path, store: BlobStore) -> None:
    script = tmp_path / "run.sh"
    script.write_text("true\n")
    script.chmod(0o755)
    store.place(store.put(script), tmp_path / "copy.sh")
    assert (tmp_path / "copy.sh").stat().st_mode & 0o111


def test_a_pruned_store_keeps_what_was_used_last(tmp_path: Path, store: BlobStore) -> None:
    blobs = []
    for number in range(4):
        file = tmp_path / f"file{number}"
        file.write_text(f"{number}" * 100)
        blobs.append(store.put(file))
        place = tmp_path / "store/files/md5" / blobs[-1].md5[:2] / blobs[-1].md5[2:]
        os.utime(place, (1000 + number, 1000 + number))
    other = BlobStore.in_folder(tmp_path / "other")
    assert other.place(blobs[0], tmp_path / "copy", store) == 0, "it is used, and so the newest"
    assert prune_folder(tmp_path / "store", 399) == 100
    assert [store.lacks(blob.md5) for blob in blobs] == [False, True, False, False]
    assert prune_folder(tmp_path / "store", 0) == 300
    assert all(store.lacks(blob.md5) for blob in blobs)


def test_what_is_gone_or_damaged_is_said_and_stored_anew(tmp_path: Path, store: BlobStore) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    blob = store.put(file)
    stored = tmp_path / "store/files/md5" / blob.md5[:2] / blob.md5[2:]
    stored.write_text("other")
    with pytest.raises(BlobGoneError, match="damaged"):
        store.place(blob, tmp_path / "copy")
    with pytest.raises(BlobGoneError, match="not in the storage any more"):
        store.place(blob, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    store.put(file)
    store.place(blob, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "content"


def test_what_a_killed_run_has_half_received_is_removed_by_the_next(tmp_path: Path, store: BlobStore) -> None:
    text = "stages: {a: {cmd: echo a > sub/a, outs: [sub/a]}}\n"
    root = make(tmp_path / "repo", Shape("one", {"dvc.yaml": text, "sub/b": ""}), tmp_path)
    (tmp_path / "a").write_text("a\n")
    blob = store.put(tmp_path / "a")
    if not (child := os.fork()):
        with patch("darkroom.repository.blobs.blob_of_file", lambda _: os._exit(9)):
            store.place(blob, root / "sub/a")
    os.waitpid(child, 0)
    assert len(list((root / "sub").iterdir())) == 2
    with opened(root) as repo:
        remove_half_written(repo)
    assert [path.name for path in (root / "sub").iterdir()] == ["b"]
