"""params.yaml as frozen, typed classes. A wrong key or value is refused with the full path of its key.

A missing key has its default, which is written in the class and nowhere else. Two kinds of keys have no
default: those that depend on the user's data (a format, a folder), and the names of variants.
"""

import difflib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from stages.core.errors import ParamsError

AUTO: Any = "auto"
"""Stands for a number in params.yaml that is derived from how many pictures there are to train on."""


class StageParams(BaseModel):
    """Base of every section: frozen, strict about types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    SHORT: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Keys that hold in place of another one: their defaults do not, where the other one is given."""

    MAY_BE_LEFT_OUT: ClassVar[bool] = False
    """Whether the whole section may be; DVC refuses to run a stage that depends on a missing one."""

    @classmethod
    def derived(cls, values: Mapping[str, Any], pictures: int | None) -> Mapping[str, Any]:
        """Values of the keys that are `auto` in `values`; what is not derived stays and is refused.

        `pictures` is how many there are to train on. None: nobody has counted them, as where a benchmark
        reads params.yaml; a section takes the number that its rules were made with.
        """
        del values, pictures
        return {}

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, values: Any, info: ValidationInfo) -> Any:
        if not isinstance(values, dict):
            return values
        values = cls._asking(values)
        for long, keys in cls.SHORT.items():
            if values.get(long) is not None:
                values = dict.fromkeys(keys) | values
        if not _asks(values):
            return values
        return _filled(values, cls.derived(values, (info.context or {}).get("pictures")))

    @classmethod
    def _asking(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`values` with the keys that are left out and `auto` by default, in a section of the section too."""
        asking = dict(values)
        for name, field in cls.model_fields.items():
            if field.default == AUTO:
                asking.setdefault(name, AUTO)
            elif isinstance(field.annotation, type) and issubclass(field.annotation, StageParams):
                within = asking.get(name, {} if field.default_factory else None)
                if isinstance(within, dict) and (filled := field.annotation._asking(within)):
                    asking[name] = filled
        return asking


def _asks(values: dict[str, Any]) -> bool:
    """Whether something is `auto`, in a section of a section too."""
    return any(value == AUTO or (isinstance(value, dict) and _asks(value)) for value in values.values())


def _filled(values: Any, rules: Any) -> Any:
    if isinstance(values, dict) and isinstance(rules, Mapping):
        return {key: _filled(value, rules.get(key, value)) for key, value in values.items()}
    return rules if values == AUTO else values


class ComputeParams(StageParams):
    """Section `compute`: what decides the bits of every stage alike."""

    seed: int = Field(ge=0, lt=2**32, default=0)
    """Every random generator starts from it (numpy's takes 32 bits)."""

    threads: int = Field(ge=1, default=1)
    """Threads of one stage. Another number gives other bits, so it is not taken from the machine."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the processor multiplies it natively, else float32."""

    deterministic: bool = True
    """Whether CUDA may use only kernels that add in a fixed order, which are slower; a CPU always does."""


class WeightsParams(StageParams):
    """Pretrained weights: a file that safetensors or torch.save wrote, by its content."""

    file: str
    """Path of the file from the project's root."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Hash of the file, so that a result says which weights it began with."""


Section = TypeVar("Section", bound=StageParams)


def load_params(path: Path, section: str, cls: type[Section], *, pictures: int | None = None) -> Section:
    """Section `section` of the YAML file at `path` as a `cls`.

    `pictures`: how many there are to train on, by which values that are `auto` are derived.

    Raises:
        ParamsError: The file cannot be read, or a key is missing, unknown or of the wrong type.

    """
    values = _values(path, section, cls)
    try:
        return cls.model_validate(values, context={"pictures": pictures})
    except ValidationError as error:
        raise ParamsError("; ".join(_faults(path, section, cls, values, error))) from None


def faults_in(path: Path, section: str, cls: type[StageParams]) -> list[str]:
    """All that is wrong with a section, a line each.

    Raises:
        ParamsError: The file cannot be read, or has no such section.

    """
    values = _values(path, section, cls)
    try:
        cls.model_validate(values)
    except ValidationError as error:
        return _faults(path, section, cls, values, error)
    return []


def _faults(
    path: Path, section: str, cls: type[StageParams], values: Any, error: ValidationError
) -> list[str]:
    return [_describe(path, section, cls, values, each) for each in error.errors()]


def is_wanted(path: Path, section: str) -> bool:
    """Whether the section holds something; null: its result is not wanted.

    Raises:
        ParamsError: The file cannot be read, or has no such section.

    """
    return _values(path, section) is not None


def _values(path: Path, section: str, cls: type[StageParams] = StageParams) -> Any:
    """What stands in the section of the YAML file."""
    try:
        document = _document(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; `git checkout {path}` brings it back") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if cls.MAY_BE_LEFT_OUT and (document is None or (isinstance(document, dict) and section not in document)):
        return {}
    if not isinstance(document, dict) or section not in document:
        known = list(document) if isinstance(document, dict) else []
        close = _suggestion(section, known)
        raise ParamsError(
            f"{path}: section '{section}' is missing{close}; `{section}: {{}}` takes its defaults"
        )
    return document[section]


@lru_cache(maxsize=1)
def _document(text: str) -> Any:
    """What a YAML text holds; parsed once where one section after another is read of it."""
    return yaml.safe_load(text)


def _describe(path: Path, section: str, cls: type[StageParams], values: Any, error: Any) -> str:
    where = ".".join([section, *map(str, _keys_in(values, error["loc"], error["type"]))])
    if error["type"] == "extra_forbidden":
        known = _keys_at(cls, error["loc"][:-1])
        return f"{path}: {where}: unknown key{_suggestion(str(error['loc'][-1]), known)}"
    if error["type"] == "missing":
        return f"{path}: {where}: missing"
    wrong = error["msg"].removeprefix("Value error, ")  # pydantic's word for what our own validators raise
    whole = error["type"] == "value_error" and isinstance(error["input"], dict)  # the message names its keys
    got = "" if whole else f", got {error['input']!r}"
    return f"{path}: {where}: {wrong[:1].lower()}{wrong[1:]}{got}"


def _keys_in(values: Any, loc: tuple[Any, ...], kind: str) -> list[Any]:
    """`loc` without the names of variants that pydantic puts between the keys of the file."""
    keys: list[Any] = []
    for number, key in enumerate(loc):
        absent = isinstance(values, dict) and key not in values
        if absent and not (number == len(loc) - 1 and kind == "missing"):
            continue
        keys.append(key)
        values = values[key] if isinstance(values, dict | list) and not absent else None
    return keys


def _keys_at(cls: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Field names of the class that `loc` leads to, through nested sections and variants of them."""
    candidates = [cls]
    for key in loc:
        nested = [c.model_fields[key].annotation for c in candidates if key in c.model_fields]
        if nested:
            options = [option for one in nested for option in (one, *get_args(one))]
            candidates = [c for c in options if isinstance(c, type) and issubclass(c, BaseModel)]
        else:  # the name of a variant
            candidates = [c for c in candidates if key in _words(c)]
    return list(candidates[0].model_fields) if len(candidates) == 1 else []


def _words(cls: type[BaseModel]) -> set[Any]:
    """All that may stand in one of its fields of given words."""
    return {word for field in cls.model_fields.values() for word in get_args(field.annotation)}


def _suggestion(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
