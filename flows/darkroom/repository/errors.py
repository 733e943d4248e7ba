"""The boundary between DVC's code and darkroom's: whatever DVC raises becomes an error of one line.

No list of DVC's exceptions is used: an odd file makes its parsers raise anything, such as an AssertionError
or a RecursionError. An exception that darkroom's own code raised is not changed, so a fault of darkroom stays
visible as one.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dvc.config import Config
from dvc.dirs import site_cache_dir
from dvc.dvcfile import FileMixin
from dvc.exceptions import DvcException
from dvc.fs import RemoteMissingDepsError
from dvc.parsing import DataResolver
from dvc.stage.exceptions import StageNotFound
from dvc.utils.serialize import ParseError
from dvc.utils.strictyaml import YAMLSyntaxError, YAMLValidationError

from darkroom.base.errors import RepoError, UsageError, explain_os_error, frames_outside, is_own
from darkroom.base.yaml_files import read_yaml
from darkroom.repository.invalid import problems_of

_PRINTED = "ERROR: "
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_PLUGIN = re.compile(r"requires '(dvc-(\w+))' to be installed")


@contextlib.contextmanager
def mended(prefix: str = "", kind: Callable[[str], Exception] = RepoError) -> Iterator[None]:
    """Raise what DVC raises as an error of ours; as a decorator too. It wraps little but DVC's calls."""
    try:
        yield
    except OSError as error:
        raise kind(prefix + explain_os_error(error)) from error
    except Exception as error:
        if is_own(error):
            raise
        raise kind(prefix + error_line(error)) from error


def error_line(error: BaseException) -> str:
    """What is wrong, where, and what mends it, in one line."""
    return next(filter(None, map(_exact_reason, _chain(error))), None) or _with_place(error)


def _suggested_stage(error: StageNotFound) -> str:
    """The stage of the file whose name is most alike; its names are read anew: the error has none."""
    try:
        names = list(read_yaml(Path(error.file))["stages"])
    except (UsageError, KeyError, TypeError):
        return ""
    close = difflib.get_close_matches(error.name, map(str, names), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def printed_error(output: str) -> str:
    """The error in what a `dvc` command has printed to its standard error, without what stands around it."""
    lines = output.strip().splitlines() or ["it failed without a word"]
    errors = [line.removeprefix(_PRINTED) for line in lines if line.startswith(_PRINTED)]
    return (errors or lines)[-1]


def one_line(error: BaseException) -> str:
    """The error and what caused it, without line ends and colours."""
    texts = [""]
    for link in _chain(error):
        if str(link) not in texts[-1]:
            texts.append(str(link))
    return " ".join(_COLOUR.sub("", ": ".join(filter(None, texts))).split())


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def _exact_reason(error: BaseException) -> str | None:
    """The reason of an error that knows more than it says: where in a file, or the mend."""
    match error:
        case StageNotFound():
            return f"{error}{_suggested_stage(error)}"
        case RemoteMissingDepsError():
            return _missing_plugin(error, str(error.protocol), " ".join(error.missing_deps))
        case ImportError() if found := _PLUGIN.search(str(error)):
            return _missing_plugin(error, found[2], found[1])
        case YAMLValidationError():
            return problems_of(error)
        case YAMLSyntaxError() if error.hint:
            mend = "mend it; of dvc.lock either side will do, what does not fit is run again"
            return f"{_from_here(error.relpath)}: there are merge conflicts in it; {mend}"
        case ParseError():
            return _unparsed(error)
        case sqlite3.Error():  # of the file hashes that DVC remembers
            return f"DVC's database in {site_cache_dir()}: {error}; remove that folder, DVC makes it anew"
    return None


def _missing_plugin(error: BaseException, scheme: str, lacking: str) -> str:
    values = [value for frame in reversed(frames_outside(error)) for value in frame.f_locals.values()]
    texts = [value.get("url") if isinstance(value, Mapping) else value for value in values]
    address = next((text for text in texts if isinstance(text, str) and "://" in text), f"{scheme}://")
    where = f"{place}: {address}" if (place := place_of(error)) else address
    return f"{where}: DVC reads it by a package of its own: pip install {lacking}, or 'darkroom[{scheme}]'"


def _unparsed(error: ParseError) -> str | None:
    """The place where a parser gave up in a file that is no YAML, JSON or TOML, if that is known."""
    cause = error.__cause__
    mark = getattr(cause, "problem_mark", None)  # of a MarkedYAMLError
    line = getattr(cause, "lineno", None) if mark is None else mark.line + 1
    if line is None:
        return None
    problem = getattr(cause, "problem", None) or getattr(cause, "msg", None) or str(cause)
    return " ".join(f"{_from_here(error.path)}, line {line}: cannot be parsed: {problem}".split())


def _with_place(error: BaseException) -> str:
    """The error's own words, after the file that DVC was at where they do not name it."""
    said, place = one_line(error), place_of(error)
    if isinstance(error, RecursionError):
        said = "DVC cannot read it: it is nested too deeply, or holds itself"
    elif not isinstance(error, DvcException):
        said = f"DVC fails{' on it' if place else ''}: {type(error).__name__}{f': {said}' if said else ''}"
    elif place and place.partition(":")[0] in said:
        return said
    return f"{place}: {said}" if place else said


def place_of(error: BaseException) -> str | None:
    """The file that DVC had in hand when it raised, and the part of it if that is known."""
    for frame in reversed(frames_outside(error)):
        if found := _in_hand(frame.f_locals):
            return found
    return None


def _in_hand(values: Mapping[str, Any]) -> str | None:
    """The file that one of DVC's functions works on, by its variables."""
    it, path = values.get("self", values.get("dvcfile")), values.get("path")
    if isinstance(it, Config):
        there = [file for file in it.files.values() if Path(file).exists()]
        path = it.files.get(str(values.get("level")), there[0] if len(there) == 1 else None)
    if isinstance(path, str | os.PathLike) and Path(path).is_file():
        return _from_here(path)
    if not isinstance(it, FileMixin | DataResolver):
        return None
    file, part = _from_here(it.relpath), values.get("name")
    return f"{file}: {part}" if isinstance(part, str) else file


def _from_here(path: str | os.PathLike[str]) -> str:
    """A path below the current directory from there on, another one whole."""
    short = os.path.relpath(path)
    return str(Path(path).absolute()) if short.startswith(os.pardir) else short
