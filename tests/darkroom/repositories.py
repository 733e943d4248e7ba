"""Making DVC repositories for tests, running them by serial `dvc repro`, and comparing two of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from dvc.exceptions import ReproductionError
from dvc.repo import Repo
from dvc.repo.scm_context import SCMContext

from tests.darkroom.shapes import Shape, write


def git(folder: Path, *words: str) -> str:
    """Run git with an author of its own; what it prints."""
    author = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(
        ["git", *author, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def make(folder: Path, shape: Shape, outside: Path) -> Path:
    """The repository in `folder`, committed; returns DVC's root."""
    root = folder / shape.root
    root.mkdir(parents=True)
    git(folder, "init")
    Repo.init(str(root), subdir=bool(shape.root)).close()
    put(root, shape.files, outside)
    _age(root)
    if shape.add:
        with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
            repo.add(list(shape.add))
    git(folder, "add", "-A")
    git(folder, "commit", "-m", "start")
    return root


def _age(root: Path) -> None:
    """Let the files be an hour old, so that git sees an edit of equal size within the same second.

    Git compares whole seconds, and leaves it to who writes the index to mark the doubtful entries: DVC's
    autostage does not.
    """
    then = time.time() - 3600
    for path in root.rglob("*"):
        if path.is_file() and ".git" not in path.relative_to(root).parts:
            os.utime(path, (then, then))


def put(root: Path, files: dict[str, str | None], outside: Path) -> None:
    """Write the files; {outside} in names and texts stands for the folder outside."""

    def fill(text: str | None) -> str | None:
        return None if text is None else text.replace("{outside}", str(outside))

    write(root, {fill(name) or "": fill(text) for name, text in files.items()})


def serial_repro(root: Path, **options: object) -> bool:
    """`dvc repro` in this process. False: a stage failed.

    Without DVC's roll-back of .gitignore lines after a failure: it takes away those of stages that are done.
    """
    with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo, _no_rollback():
        try:
            repo.reproduce(**options)
        except ReproductionError:
            return False
    return True


@contextlib.contextmanager
def _no_rollback() -> Iterator[None]:
    with patch.object(SCMContext, "ignore_remove", lambda *_: None):
        yield


def contents(root: Path) -> dict[str, str]:
    """Every file with mode and content, and git's status."""
    return {**files(root), "git status": git(root, "status", "--porcelain", "--untracked-files=all")}


def files(root: Path) -> dict[str, str]:
    """Every file with mode and content, but for git's own, DVC's temporary ones and the logs."""
    kept = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if ".git" in parts or ".darkroom" in parts or parts[:2] == (".dvc", "tmp") or path.is_dir():
            continue
        readable = path.name in (".gitignore", "dvc.lock") or path.suffix == ".dvc"
        data = path.read_bytes()
        text = data.decode(errors="surrogateescape") if readable else hashlib.md5(data).hexdigest()
        kept["/".join(parts)] = f"{path.stat().st_mode:o} {path.is_symlink()} {text}"
    return kept
