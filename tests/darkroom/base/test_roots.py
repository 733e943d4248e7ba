"""The root of a repository is where DVC finds it, and what is none is said in DVC's words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dvc.exceptions import NotDvcRepoError
from dvc.repo import Repo

from darkroom.base.errors import UsageError
from darkroom.base.roots import root_of


def by_dvc(folder: Path) -> str:
    try:
        return Repo.find_root(os.path.realpath(folder))
    except NotDvcRepoError as error:
        return str(error)


def ours(folder: Path) -> str:
    try:
        return str(root_of(folder))
    except UsageError as error:
        return str(error).removeprefix(f"{folder}: ")


def test_it_is_found_where_dvc_finds_it(tmp_path: Path) -> None:
    inner, file = tmp_path / "outer/a/inner", tmp_path / "outer/.dvc-file"
    for folder in (tmp_path / "outer/.dvc", inner / ".dvc", inner / "b", tmp_path / "none"):
        folder.mkdir(parents=True)
    file.touch()
    (tmp_path / "link").symlink_to(inner / "b")
    places = (tmp_path / "outer", tmp_path / "outer/a", inner / "b", tmp_path / "link")
    for place in (*places, tmp_path / "none", tmp_path / "missing", file):
        assert ours(place) == by_dvc(place)
    assert root_of(tmp_path / "link") == inner


def test_what_is_in_no_repository_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="you are not inside of a DVC repository") as error:
        root_of(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: ")
    assert "\n" not in str(error.value)
