"""The libraries whose versions decide a result: params.yaml lists them, and a stage refuses other versions.

`python -m stages.core.libraries --params params.yaml` writes the installed versions into that file.
"""

import sys
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml
from pydantic import ConfigDict, Field

from stages.core.cli import run_stage
from stages.core.errors import LibraryError
from stages.core.files import write_atomically
from stages.core.params import StageParams, load_params

IMPORTED_AS = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pywavelets": "pywt",
    "scikit-learn": "sklearn",
}
"""The name that a library is imported by, where it differs from the one that it is installed under."""


class LibraryParams(StageParams):
    """Section `libraries`: versions by the name that a library is installed under."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)


def check_libraries(params: Path, *, later: Collection[str] = ()) -> dict[str, str]:
    """Versions of the libraries of section `libraries` that this process has imported: as they should be.

    `later` are names of others, as in the section, that it will import.

    Raises:
        LibraryError: One is installed in another version.

    """
    wanted = load_params(params, "libraries", LibraryParams).__pydantic_extra__
    used = {
        name: number
        for name, number in wanted.items()
        if name in later or IMPORTED_AS.get(name, name) in sys.modules
    }
    others = [
        f"{name} is installed in version {installed(name)}, libraries.{name} asks for {number}"
        for name, number in used.items()
        if installed(name) != number
    ]
    if others:
        raise LibraryError(
            f"{params}: {'; '.join(others)}: install what it asks for (`make run` does), "
            f"or change it to what is there: python -m stages.core.libraries --params {params}"
        )
    return used


def installed(library: str) -> str:
    """The version, without what says for which accelerator it was built; "none" where there is none."""
    try:
        return version(library).partition("+")[0]
    except PackageNotFoundError:
        return "none"


def main(*, params: Path) -> None:
    """Write the installed versions into section `libraries` of params.yaml; all else stays, comments too.

    Args:
        params: params.yaml.

    Raises:
        ParamsError: The file cannot be read, or the section is missing or not one of versions.

    """
    load_params(params, "libraries", LibraryParams)
    text = params.read_text(encoding="utf-8")
    for name, version_node in reversed(_entries(text, "libraries")):  # from the end: earlier places stay
        start, end = version_node.start_mark.index, version_node.end_mark.index
        text = f'{text[:start]}"{installed(name)}"{text[end:]}'
    write_atomically(params, text.encode())


def _entries(text: str, section: str) -> list[tuple[str, yaml.Node]]:
    """The keys of a section of a YAML text with the nodes of their values, which know their places in it."""
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(document, yaml.MappingNode)  # it was read as one before
    *_, entries = (value.value for key, value in document.value if key.value == section)
    return [(key.value, value) for key, value in entries]


if __name__ == "__main__":
    run_stage(main)
