"""Which parts of a dvc.yaml, dvc.lock or .dvc file violate DVC's schema: each problem with its line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from dvc.utils.serialize import parse_yaml_for_update
from dvc.utils.strictyaml import YAMLValidationError

from darkroom.base.text import format_reasons


def problems_of(error: YAMLValidationError) -> str:
    """The file and its first problems, by their lines: `dvc.yaml: line 3: stages.a.cmd: expected str`."""
    found = sorted(set(_problems(error)))
    return f"{os.path.normpath(error.path)}: {format_reasons([said for _, said in found])}"


def _problems(error: YAMLValidationError) -> Iterator[tuple[int, str]]:
    data: Any = None
    with contextlib.suppress(Exception):  # a text that DVC's quicker parser alone takes
        data = parse_yaml_for_update(error.text, error.path)
    for problem in error.exc.errors:
        line, key = _line(data, problem.path), ".".join(map(str, problem.path))
        said = ": ".join(filter(None, [f"line {line}" if line else "", key, problem.error_message]))
        yield line, " ".join(said.split())


def _line(data: Any, keys: Sequence[Any]) -> int:
    """The line of the innermost key that is there, counted from 1; 0: none is known."""
    line = 0
    for key in keys:
        try:
            line = data.lc.data[key][0] + 1
            data = data[key]
        except (AttributeError, LookupError, TypeError):  # a key that is missing, or a scalar
            break
    return line
