"""Reads the user's YAML files. Anything wrong with a file becomes an error of one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from darkroom.base.errors import UsageError, explain_os_error


class YamlError(UsageError):
    """The file cannot be read, or is no YAML."""


def read_yaml(path: Path) -> Any:
    """What the file holds.

    Raises:
        YamlError: The file cannot be read or is no YAML; the message names it and the line.

    """
    try:
        return yaml.safe_load(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise YamlError(explain_os_error(error, path)) from error
    except UnicodeDecodeError as error:
        raise YamlError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}:" if error.problem_mark else ""
        raise YamlError(f"{path}:{line} {error.problem or error.context}; mend it there") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date like 2026-13-45 is a ValueError
        raise YamlError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
