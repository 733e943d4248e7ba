"""Files of annotations as text, JSON, YAML or XML, however they are damaged; numbers and names in them.

Python's own parsers end in a dozen ways: nesting too deep, integers too long to be shown, surrogates that no
file can hold. Here each of them is one line that names the file.
"""

import json
import math
import re
import reprlib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from stages.core.errors import DataError
from stages.intake.folders import open_file

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
LONGEST = 30  # digits: a longer integer is none that counts or measures anything here
LONGEST_NAME = 255  # bytes between two slashes
FARTHEST = 1e9  # px: what lies beyond is no place in a picture, and float32 cannot hold much more
ENCODING = re.compile(rb"<\?xml[^>]*encoding=[\"']([A-Za-z0-9._-]+)[\"']")
CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def shown(value: Any) -> str:
    """A value of a file in a few words, for messages."""
    return _SHORT.repr(value)


def number(value: Any) -> float | None:
    """The finite number that a cell, a word or a JSON value states; None: it states none."""
    if isinstance(value, str):
        text = value.strip()
        value = float(text) if NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of 400 digits
        return None


def whole(value: Any) -> int | None:
    """The whole number that a value states, 3.0 and "3" included; None: it states none."""
    stated = number(value)
    return int(stated) if stated is not None and stated.is_integer() and abs(stated) < FARTHEST else None


def edges(values: Any) -> list[float] | None:
    """The numbers of a list, each of them a place in a picture; None: one is no such number."""
    if not isinstance(values, list | tuple):
        return None
    numbers = []
    for value in values:
        one = value if type(value) is float else number(value)
        if one is None or not abs(one) <= FARTHEST:  # nor is NaN
            return None
        numbers.append(one)
    return numbers


def wrong_name(value: Any) -> str | None:
    """What is wrong with the name of a class or a file, or None."""
    if not isinstance(value, str) or not value.strip():
        return "is empty" if value in (None, "") or isinstance(value, str) else f"{shown(value)} is no text"
    if CONTROL.search(value):
        return f"{shown(value)} has characters that no name can have"
    if any(len(part.encode()) > LONGEST_NAME for part in re.split(r"[/\\]", value)):
        return f"{shown(value)} is longer than the name of a file can be"
    return None


def read_text(path: Path, encoding: str | None = None) -> str:
    """Read a text file; without an `encoding` in UTF-8, or in UTF-16 where the file begins with its mark.

    Raises:
        DataError: No such file, or it is in another encoding.

    """
    try:
        with open_file(path) as file:
            content = file.read()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; section preprocess of params.yaml names it") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode(encoding or ("utf-16" if marked else "utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}: line {line}: byte {error.start} is no {error.encoding.upper()}; save it as UTF-8"
        ) from None


def read_json(path: Path) -> Any:
    """Read a JSON file; integers of more than 4,300 digits become floats.

    Raises:
        DataError: No such file, or no JSON.

    """
    return parse_json(read_text(path), path.as_posix())


def parse_json(text: str, where: str) -> Any:
    """Parse JSON; `where` names it in messages.

    Raises:
        DataError: It is no JSON.

    """
    try:
        try:
            return json.loads(text, object_pairs_hook=_object)
        except json.JSONDecodeError:
            raise
        except ValueError:  # an integer of more digits than Python reads; to look at each takes longer
            return json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: line {error.lineno}, column {error.colno}: no JSON") from None
    except _RepeatedKeyError as error:
        raise DataError(f"{where}: {error}") from None
    except RecursionError:
        raise DataError(f"{where}: no annotations: its lists are nested too deep") from None


class _RepeatedKeyError(Exception):
    """A mapping has a key twice: parsers keep one of its values, and which one the file does not say."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The mapping of an object's keys, none of which stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        key = _repeated([key for key, _ in pairs])
        beside = ", ".join(
            f"{name} {shown(found[name])}" for name in ("id", "name", "file_name") if name in found
        )
        holder = f"the object with {beside}" if beside else "one object"
        raise _RepeatedKeyError(f"the key {shown(key)} stands there twice in {holder}; remove one")
    return found


def _repeated(keys: Iterable[Any]) -> Any:
    """The first key that stands there twice."""
    return next(key for key, times in Counter(keys).items() if times > 1)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST else float(digits)


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        DataError: No such file, or no YAML.

    """
    try:
        return yaml.load(read_text(path), _YamlLoader)
    except _RepeatedKeyError as error:
        raise DataError(f"{path}: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise DataError(f"{path}: {line}no YAML") from None
    except (yaml.YAMLError, ValueError, OverflowError):  # a character, or an integer of 5,000 digits
        raise DataError(f"{path}: no YAML: a character or number in it cannot be read") from None
    except RecursionError:
        raise DataError(f"{path}: no YAML: its lists are nested too deep") from None


class _YamlLoader(yaml.SafeLoader):
    """Refuses keys that stand twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        plain = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        written = [(key.tag, key.value) for key in plain if key.tag != "tag:yaml.org,2002:merge"]
        if len(set(written)) < len(written):
            tag_and_key = _repeated(written)
            line = [key for key in plain if (key.tag, key.value) == tag_and_key][1].start_mark.line + 1
            key = shown(tag_and_key[1])
            raise _RepeatedKeyError(f"line {line}: the key {key} stands there twice; remove one")
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class _Builder(ET.TreeBuilder):
    """Names lose their namespaces: `{http://...}object` is an object."""

    def start(self, tag: str, attrs: dict[str, str]) -> ET.Element:
        return super().start(tag.rpartition("}")[2], attrs)

    def end(self, tag: str) -> ET.Element:
        return super().end(tag.rpartition("}")[2])


def read_xml(path: Path) -> ET.Element:
    """Read an XML file; a document type that it names is not looked up.

    Raises:
        DataError: It cannot be read, is no XML, or declares entities; the message does not name the file.

    """
    try:
        with open_file(path) as file:
            content = file.read().lstrip(b" \t\r\n")  # some programs begin with an empty line
    except OSError as error:
        raise DataError(f"{error.strerror}") from None
    try:
        try:
            return _parse_xml(content)
        except (LookupError, ValueError):  # GBK and others of several bytes, which the parser does not know
            named = ENCODING.match(content)
            return _parse_xml(content.decode(named[1].decode() if named else "utf-8"))
    except ET.ParseError as error:
        line, column = error.position
        raise DataError(f"no XML: line {line}, column {column + 1}") from None
    except (LookupError, ValueError):
        raise DataError("no XML: its encoding is unknown; save it as UTF-8") from None


def _parse_xml(content: bytes | str) -> ET.Element:
    if isinstance(content, str):
        declared = "<!ENTITY" in content
    else:
        declared = b"<!ENTITY" in content.replace(b"\0", b"")  # in UTF-16 too
    if declared:
        # They may unfold without end, or read other files.
        raise DataError("entities that are declared (<!ENTITY) have no place in an annotation; remove them")
    return ET.fromstring(content, ET.XMLParser(target=_Builder()))
