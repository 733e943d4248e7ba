"""DVC's errors as ours."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterator

from dvc.dirs import site_cache_dir
from dvc.exceptions import DvcException

from flows.errors import RepoError, explain

_COLOUR = re.compile(r"\x1b\[[\d;]*m")


@contextlib.contextmanager
def mended(prefix: str, kind: Callable[[str], Exception] = RepoError) -> Iterator[None]:
    """DVC's errors as ours: one line."""
    try:
        yield
    except DvcException as error:
        raise kind(prefix + one_line(error)) from error
    except OSError as error:
        raise kind(prefix + explain(error)) from error
    except sqlite3.Error as error:  # of the file hashes that DVC remembers
        raise kind(f"{prefix}DVC's database in {site_cache_dir()}: {error}") from error


def one_line(error: BaseException) -> str:
    """The error and what caused it, without line ends and colours."""
    texts = [str(error)]
    while (cause := error.__cause__) is not None:
        error = cause
        if str(error) not in texts[-1]:
            texts.append(str(error))
    return " ".join(_COLOUR.sub("", ": ".join(filter(None, texts))).split())
