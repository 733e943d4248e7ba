"""Fetches raw data from DVC, else from the sources in the .dvc file's own `meta`, and checks its hashes.

A .dvc file under data/raw says what its files are (`outs`) and where to get them:

    meta:
      sources:
        debian: {package: dataset-fashion-mnist, path: "/usr/share/datasets/fashion-mnist/{name}.gz"}
        url: http://example.org/{name}.gz

RawDataError              also: the .dvc file cannot be used
├── WrongFileError        a file does not have the promised hash
└── NoSourceError         no source had the files
"""

import os
import reprlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from darkroom.base import interpreter
from darkroom.base.errors import DarkroomError
from darkroom.base.git import environment_without_repository
from darkroom.base.yaml_files import YamlError, read_yaml
from darkroom.raw_data.sources import (
    DebianSource,
    FileUnavailableError,
    FolderSource,
    Source,
    SourceUnavailableError,
    WebSource,
    WrongContentError,
    file_md5,
    write_checked,
)

IN_PLACE = "in place"
FOLDER_VARIABLE = "DARKROOM_DATA"

Remark = Callable[[str], None]


class RawDataError(DarkroomError):
    """Raw data cannot be had as the .dvc file promises it."""


class WrongFileError(RawDataError):
    """A file's hash is not the pinned one."""


class NoSourceError(RawDataError):
    """No source gave a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A file of raw data that is there now, and where it came from."""

    path: Path
    origin: str
    """The origin for people: "in place", "DVC's cache", a folder, a package, an address."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # a .dvc file has keys that only DVC reads


_Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Out(_Section):
    path: _Text
    md5: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]  # a folder's hash ends in .dir
    size: Annotated[int, Field(ge=0, strict=True)] | None = None


class _DebianPackage(_Section):
    package: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
    path: Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f\x7f]+$")]


class _Sources(_Section):
    model_config = ConfigDict(frozen=True, extra="forbid")

    debian: _DebianPackage | None = None
    url: Annotated[str, StringConstraints(pattern=r"^(?i:https?)://[^\x00-\x20\x7f]+$")] | None = None


class _Meta(_Section):
    sources: _Sources


class _DvcFile(_Section):
    wdir: _Text = "."
    outs: Annotated[list[_Out], Field(min_length=1)]
    meta: _Meta


def fetch_all(repo: Path, *, folder: Path | None = None, remark: Remark = lambda _: None) -> list[Fetched]:
    """Obtain the files of every .dvc file under data/raw of `repo` that names sources.

    `folder` is one that the user names, else the one in DARKROOM_DATA: it may hold the files as they are
    or gzipped. `remark` is told, in one line each, which source failed and why.

    Raises:
        RawDataError: A file is wrong, or no source has it; what was obtained before stays.

    """
    named = os.environ.get(FOLDER_VARIABLE)
    folder = folder or (Path(named) if named else None)
    if folder is not None and not folder.is_dir():
        raise RawDataError(f"{folder}: no such folder; name one that holds the raw files")
    return [
        fetched
        for dvc_file in sorted((repo / "data" / "raw").glob("**/*.dvc"))
        if dvc_file.is_file()
        for fetched in fetch_dvc_file(dvc_file, repo=repo, folder=folder, remark=remark)
    ]


def fetch_dvc_file(
    dvc_file: Path, *, repo: Path, folder: Path | None = None, remark: Remark = lambda _: None
) -> list[Fetched]:
    """Obtain the files of one .dvc file; none where it names no sources. See `fetch_all`."""
    pinned = _read(dvc_file)
    if pinned is None:
        return []
    wanted = {_place(repo, dvc_file, pinned.wdir, out): out for out in pinned.outs}
    origins = {path: IN_PLACE for path, out in wanted.items() if _is_in_place(path, out.md5)}
    for origin, path in _from_dvc(dvc_file, repo, wanted, remark):
        origins[path] = origin
    sources = _sources(pinned.meta.sources, folder)
    missing = {path: out for path, out in wanted.items() if path not in origins}
    for source, path in _from_sources(sources, missing, remark):
        origins[path] = str(source)
    lacking = [path.name for path in wanted if path not in origins]
    if lacking:
        raise NoSourceError(f"{dvc_file}: nothing gave {', '.join(lacking)}: {_ways(pinned.meta.sources)}")
    _tell_dvc(dvc_file, repo)
    return [Fetched(path=path, origin=origins[path]) for path in wanted]


def _read(dvc_file: Path) -> _DvcFile | None:
    """The .dvc file, or None where it names no sources."""
    try:
        document = read_yaml(dvc_file)
    except YamlError as error:
        raise RawDataError(f"{error}; `git checkout` brings the committed one back") from None
    if not isinstance(document, dict):
        raise RawDataError(f"{dvc_file}: is no .dvc file: `outs` are missing; `git checkout` brings it back")
    meta = document.get("meta")
    if not isinstance(meta, dict) or "sources" not in meta:
        return None
    try:
        return _DvcFile.model_validate(document)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        got = reprlib.repr(problem["input"])
        raise RawDataError(f"{dvc_file}: {where}: {problem['msg']}, got {got}; mend it there") from None


def _place(repo: Path, dvc_file: Path, folder: str, out: _Out) -> Path:
    """The path at which an out belongs.

    Raises:
        RawDataError: That is not in the repository.

    """
    path = Path(os.path.normpath(dvc_file.parent / folder / out.path))
    if not path.parent.resolve().is_relative_to(repo.resolve()):
        raise RawDataError(f"{dvc_file}: {out.path}: leaves the repository; mend the path")
    return path


def _is_in_place(path: Path, md5: str) -> bool:
    """Whether the file is there; one that is there and wrong is the user's, so it is never replaced."""
    if not os.path.lexists(path):
        return False
    if not path.is_file():
        raise WrongFileError(f"{path}: is no file; move it and `darkroom fetch` obtains the file")
    if (got := file_md5(path)) != md5:
        raise WrongFileError(
            f"{path}: md5 is {got}, expected {md5}; delete or move it and `darkroom fetch` obtains it anew"
        )
    return True


def _from_dvc(
    dvc_file: Path, repo: Path, wanted: dict[Path, _Out], remark: Remark
) -> Iterator[tuple[str, Path]]:
    """Let DVC bring what is missing, from its cache, then from a remote; what it brought, and from where."""
    for origin, command in (("DVC's cache", "checkout"), ("a DVC remote", "pull")):
        missing = {path: out.md5 for path, out in wanted.items() if not path.exists()}
        if not missing or (command == "pull" and not _dvc(repo, "remote", "list").stdout.strip()):
            return
        # not --quiet: then DVC does not say either what went wrong
        result = _dvc(repo, command, "--allow-missing", str(dvc_file.resolve()))
        if result.returncode != 0:
            remark(f"{origin}: {_printed_error(result)}")
        for path, md5 in missing.items():
            if not path.exists():
                if command == "pull" and result.returncode == 0:
                    remark(f"{origin}: lacks {path.name}")
            elif (got := file_md5(path)) == md5:
                yield origin, path
            else:
                path.unlink()
                remark(f"{origin}: gave a wrong {path.name}: md5 is {got}, expected {md5}")


def _sources(named: _Sources, folder: Path | None) -> list[Source]:
    sources: list[Source] = [FolderSource(folder)] if folder is not None else []
    if named.debian is not None:
        sources.append(DebianSource(package=named.debian.package, path=named.debian.path))
    if named.url is not None:
        sources.append(WebSource(named.url))
    return sources


def _from_sources(
    sources: list[Source], missing: dict[Path, _Out], remark: Remark
) -> Iterator[tuple[Source, Path]]:
    """Ask each source in turn for what the ones before it did not give; what it gave."""
    missing = dict(missing)
    with tempfile.TemporaryDirectory(prefix="darkroom-") as scratch:
        for source in sources:
            try:
                for path, out in list(missing.items()):
                    if _obtain(source, path, out, Path(scratch), remark):
                        del missing[path]
                        yield source, path
            except SourceUnavailableError as error:
                remark(f"{source}: {error}")


def _obtain(source: Source, path: Path, out: _Out, scratch: Path, remark: Remark) -> bool:
    """Whether the source gave the file. Only what the user names is not passed over when it is wrong."""
    try:
        with source.open(path.name, scratch, out.size) as stream:
            write_checked(stream, path, out.md5, out.size)
    except WrongContentError as error:
        message = f"{source}: gave a wrong {path.name}: {error}"
        if isinstance(source, FolderSource):
            raise WrongFileError(f"{message}; replace it, or leave the folder out") from None
        remark(message)
    except FileUnavailableError as error:
        remark(f"{source}: {error}")
    else:
        return True
    return False


def _tell_dvc(dvc_file: Path, repo: Path) -> None:
    """Put the files into DVC's cache where they are not yet, so that status is clean and push works."""
    target = str(dvc_file.resolve())
    if _dvc(repo, "status", "--quiet", target).returncode == 1:  # changed; another code: DVC is busy
        result = _dvc(repo, "commit", "--force", target)
        if result.returncode != 0:
            raise RawDataError(f"{dvc_file}: DVC does not take the files: {_printed_error(result)}")


def _dvc(repo: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = interpreter.python_command("dvc", *arguments)
    env = environment_without_repository(os.environ)
    return subprocess.run(
        command, cwd=repo, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _printed_error(failed: subprocess.CompletedProcess[str]) -> str:
    from darkroom.repository.errors import printed_error  # with all of DVC, which nothing else here needs

    return printed_error(failed.stderr)


def _ways(sources: _Sources) -> str:
    """What a user can do when no source gave a file."""
    ways = ["name a folder that holds them, gzipped or not (`darkroom fetch --from FOLDER`)"]
    if sources.debian is not None:
        ways.append(f"install the Debian package {sources.debian.package}")
    if sources.url is not None:
        ways.append(f"make {sources.url.partition('{name}')[0]} reachable")
    return ", or ".join([*ways, "configure a DVC remote that has them (`dvc remote add`)"])
