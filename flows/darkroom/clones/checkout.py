"""A commit of another repository, checked out in a folder of its own, with its submodules.

The project's repository may be a shallow or a partial clone, or borrow objects from another one. Its
submodules may have submodules, at commits that only the checkout of the source has.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from darkroom.base.git import GitError, git, require_address

SUBMODULE_MODE = "160000"
LARGE_FILES = r"^filter\.lfs\."


class CloneError(GitError):
    """The clone cannot be made, brought up to date, or its results not be committed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submodule:
    """A repository inside another one."""

    name: str
    path: str
    """The submodule's path, from the root of the repository that it is in."""
    commit: str
    addresses: tuple[str, ...]
    """The addresses that may have the commit, asked in turn."""


def bring_to_newest(folder: Path, source: str, revision: str) -> str:
    """Make the clone where it is missing, and check out the newest commit; returns that.

    Raises:
        CloneError: A submodule cannot be checked out.
        GitError: The source has no such revision, or cannot be asked.

    """
    _make(folder)
    if (local := _local(source)) is not None:
        _borrow(folder, local)
    fetch_revision(folder, source, revision)
    commit = git(folder, "rev-parse", "FETCH_HEAD^{commit}")
    new = commit != git(folder, "rev-parse", "--quiet", "--verify", "HEAD", fails="")
    _check_out(folder, commit, clean=new)
    _fill_submodules(folder, source, clean=new)
    return commit


def fetch_revision(folder: Path, source: str, revision: str) -> None:
    """Fetch a revision, which is FETCH_HEAD then.

    Raises:
        GitError: The source has no such revision, or cannot be asked.

    """
    # Version 2 gives any commit that there is; a shallow clone's history is taken as far as it goes.
    words = ("--quiet", "--no-tags", "--update-shallow", "--no-recurse-submodules", "--", source, revision)
    git(folder, "-c", "protocol.version=2", "fetch", *words)


def _make(folder: Path) -> None:
    """An empty repository, unless there is one that git can read."""
    if not (folder / ".git").is_dir() or git(folder, "rev-parse", "--git-dir", fails="broken") == "broken":
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "--quiet")
    git(folder, "config", "core.hooksPath", "/dev/null")  # the user's own are not for these
    (folder / ".git" / "index.lock").unlink(missing_ok=True)  # of a git that was killed; nobody else is here


def _check_out(folder: Path, commit: str, *, clean: bool) -> None:
    """Let the folder be the commit; `clean`: without what a run of another commit has left."""
    gone = set(_links(folder, "HEAD")) - set(_links(folder, commit))
    for path in gone:
        shutil.rmtree(folder / path, ignore_errors=True)
    if clean:
        git(folder, "clean", "--quiet", "--force", "--force", "-d", fails="")
    git(folder, "checkout", "--quiet", "--force", "--detach", commit)


def _local(source: str) -> Path | None:
    """The folder that an address means; None: it is on another host."""
    path = Path(source.removeprefix("file://"))
    return path.absolute() if path.is_dir() else None


def _borrow(folder: Path, local: Path) -> None:
    """Share the objects of a partial clone, which cannot hand on its history, and of its large files."""
    borrowed = folder / ".git" / "objects" / "info" / "alternates"
    promisors = git(local, "config", "--get-regexp", r"^remote\..*\.promisor$", "true", fails="")
    for line in promisors.splitlines():
        name = line.split(" ")[0].removeprefix("remote.").removesuffix(".promisor")
        borrowed.write_text(f"{Path(local, git(local, 'rev-parse', '--git-path', 'objects')).resolve()}\n")
        kept = git(local, "config", "--get", f"remote.{name}.partialclonefilter", fails="blob:none")
        git(folder, "config", f"remote.{name}.url", _remote(local, name))
        git(folder, "config", f"remote.{name}.promisor", "true")
        git(folder, "config", f"remote.{name}.partialclonefilter", kept)
    if git(local, "config", "--get-regexp", LARGE_FILES, fails=""):
        store = Path(local, git(local, "rev-parse", "--git-path", "lfs")).resolve()
        git(folder, "config", "lfs.storage", str(store))
        if address := _remote(local, _default_remote(local)):
            git(folder, "config", "remote.origin.url", address)


def _fill_submodules(folder: Path, source: str, *, clean: bool) -> None:
    """Check out the submodules, and theirs.

    Raises:
        CloneError: One cannot be checked out; the message names it.

    """
    for one in _submodules(folder, source):
        place = folder / one.path
        if place.is_symlink() or not place.parent.resolve().is_relative_to(folder.resolve()):
            raise CloneError(f"{place}: a link in place of the submodule {one.name}; remove {folder}")
        try:
            _make(place)
            origin = _obtain(place, one, on_this_host=_local(source) is not None)
            new = one.commit != git(place, "rev-parse", "--quiet", "--verify", "HEAD", fails="")
            _check_out(place, one.commit, clean=clean or new)
        except GitError as error:
            raise CloneError(
                f"submodule {one.path}: {error}; `git submodule update --init` in the project fetches it,"
                f" `git config submodule.{one.name}.update none` there leaves it out"
            ) from error
        _fill_submodules(place, origin, clean=clean or new)


def _obtain(place: Path, one: Submodule, *, on_this_host: bool) -> str:
    """Fetch the submodule's commit; the address that is its source.

    Raises:
        GitError: No address has the commit.

    """
    problem = GitError("no address is known")
    for address in one.addresses:
        try:
            if (local := _local(address)) is not None:
                if not on_this_host:  # where code from elsewhere names them, this host's folders are not read
                    raise GitError(f"{address}: is a folder of this host, and the source is not")
                _borrow(place, local)
            if not _has(place, one.commit):
                _fetch_commit(place, address, one.commit)
        except GitError as error:
            problem = error
        else:
            return address
    raise problem


def _fetch_commit(place: Path, address: str, commit: str) -> None:
    """Servers of old give what their branches hold alone.

    Raises:
        GitError: The address does not have the commit.

    """
    try:
        fetch_revision(place, address, commit)
    except GitError:
        with contextlib.suppress(GitError):
            fetch_revision(place, address, "+refs/*:refs/source/*")
        if not _has(place, commit):
            raise


def _has(folder: Path, commit: str) -> bool:
    return git(folder, "cat-file", "-e", f"{commit}^{{commit}}", fails="no") != "no"


def _links(folder: Path, commit: str) -> dict[str, str]:
    """The commits of the submodules of a commit, by path."""
    listed = git(folder, "ls-tree", "-r", "-z", commit, fails="")
    entries = (entry.split("\t", 1) for entry in listed.split("\0") if entry.startswith(SUBMODULE_MODE))
    return {path: about.split(" ")[2] for about, path in entries}


def _submodules(folder: Path, source: str) -> Iterator[Submodule]:
    """The submodules of the commit that is checked out, but those that the source's settings leave out."""
    links, local = _links(folder, "HEAD"), _local(source)
    base = (_remote(local, _default_remote(local)) if local else "") or source
    for name, settings in _modules(folder).items() if links else ():
        path = settings.get("path", "")
        if path not in links:
            continue
        own = {key: _setting(local, f"submodule.{name}.{key}") for key in ("url", "update")}
        if (own["update"] or settings.get("update")) == "none":
            continue
        addresses = [own["url"] or resolve_address(settings.get("url", ""), base)]
        if local is not None and (local / path / ".git").exists() and _has(local / path, links[path]):
            addresses.insert(0, str(local / path))
        for address in addresses:
            require_address(f"submodule {path}", address)
        yield Submodule(name=name, path=path, commit=links[path], addresses=tuple(filter(None, addresses)))


def _modules(folder: Path) -> dict[str, dict[str, str]]:
    """The sections of .gitmodules, by the submodules' names."""
    words = ("config", "--null", "--blob=HEAD:.gitmodules", "--get-regexp", r"^submodule\.")
    found: dict[str, dict[str, str]] = {}
    for entry in git(folder, *words, fails="").split("\0"):
        key, _, value = entry.partition("\n")
        if match := re.fullmatch(r"submodule\.(.*)\.(\w+)", key, re.DOTALL):
            found.setdefault(match[1], {})[match[2]] = value
    return found


def _setting(local: Path | None, key: str) -> str:
    return git(local, "config", "--get", key, fails="") if local else ""


def _default_remote(local: Path) -> str:
    """The remote that addresses of submodules are relative to."""
    names = git(local, "remote", fails="").splitlines()
    return names[0] if len(names) == 1 else "origin"


def _remote(local: Path, name: str) -> str:
    """A remote's address; a path of it from the root on. Empty: there is no such remote."""
    address = git(local, "config", "--get", f"remote.{name}.url", fails="")
    return str((local / address).resolve()) if address and (local / address).exists() else address


def resolve_address(address: str, base: str) -> str:
    """An address as .gitmodules has it: `../other.git` is beside the repository at `base`."""
    if not address.startswith(("./", "../")):
        return address
    base = base.rstrip("/")
    while address.startswith(("./", "../")):
        step, _, address = address.partition("/")
        if step == "..":
            cut = max(base.rfind("/"), base.rfind(":"))
            base, sign = base[: max(cut, 0)], base[cut : cut + 1] if cut >= 0 else ""
            if sign == ":":
                return f"{base}:{address}"
    return f"{base}/{address}".rstrip("/")
