"""Where two files or folders differ first, in the words of their format."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def first_difference(one: Path, other: Path) -> str | None:
    """What differs first: a file of a folder, a key of a JSON file, a tensor of a safetensors file, a byte.

    None: the same content. Reads both whole.
    """
    for path, beside in ((one, other), (other, one)):
        if not path.exists():
            return f"{path} is missing" if beside.exists() else f"{path} and {beside} are missing"
    if one.is_dir() or other.is_dir():
        return _in_folders(one, other)
    data, other_data = one.read_bytes(), other.read_bytes()
    if data == other_data:
        return None
    inside = _INSIDE.get(one.suffix, _in_bytes)
    return inside(data, other_data) or _in_bytes(data, other_data)


def _in_folders(one: Path, other: Path) -> str | None:
    if not (one.is_dir() and other.is_dir()):
        return "a folder here, a file there"
    names = {path.relative_to(base) for base in (one, other) for path in base.rglob("*") if path.is_file()}
    for name in sorted(names):
        if where := first_difference(one / name, other / name):
            return f"{name}: {where}"
    return None


def _in_bytes(one: bytes, other: bytes) -> str:
    pairs = enumerate(zip(one, other, strict=False))
    at = next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
    return f"byte {at} (of {len(one)} and {len(other)})"


def _in_json(one: bytes, other: bytes) -> str | None:
    try:
        return _in_values(json.loads(one), json.loads(other), "")
    except ValueError:
        return None


def _in_values(one: Any, other: Any, key: str) -> str | None:
    """The path of the first key whose values differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = [*one, *(name for name in other if name not in one)]
        for name in names:
            at = f"{key}.{name}" if key else str(name)
            if name not in one or name not in other:
                return f"key {at}: only in one"
            if where := _in_values(one[name], other[name], at):
                return where
        return None
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        if len(one) != len(other):
            return f"key {key}: {len(one)} and {len(other)} items"
        parts = (_in_values(a, b, f"{key}[{at}]") for at, (a, b) in enumerate(zip(one, other, strict=True)))
        return next(filter(None, parts), None)
    return None if one == other else f"key {key}: {one!r} and {other!r}"


def _in_safetensors(one: bytes, other: bytes) -> str | None:
    """The first tensor, in the file's order, whose bytes or place differ."""
    heads = [_safetensors_head(data) for data in (one, other)]
    if None in heads:
        return None
    (tensors, start), (other_tensors, other_start) = heads  # type: ignore[misc]
    if where := _in_values(tensors, other_tensors, "header"):
        return where
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].get("data_offsets", [])):
        begin, end = tensor.get("data_offsets", (0, 0))
        if one[start + begin : start + end] != other[other_start + begin : other_start + end]:
            return f"tensor {name}"
    return None


def _safetensors_head(data: bytes) -> tuple[dict[str, Any], int] | None:
    """What the header says, and where the tensors begin."""
    length = int.from_bytes(data[:8], "little")
    try:
        return json.loads(data[8 : 8 + length]), 8 + length
    except ValueError:
        return None


_INSIDE = {".json": _in_json, ".safetensors": _in_safetensors}
