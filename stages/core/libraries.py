"""The libraries whose versions decide a result: params.yaml names them, and a stage refuses others.

`python -m stages.core.libraries --params params.yaml` writes into it the versions that are installed.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import ConfigDict, Field

from stages.core.cli import run_stage
from stages.core.errors import LibraryError
from stages.core.files import write_atomically
from stages.core.params import StageParams, load_params

IMPORTED_AS = {"opencv-python-headless": "cv2", "pillow": "PIL", "scikit-learn": "sklearn"}
"""Where the name differs from the one that it is installed under."""


class LibraryParams(StageParams):
    """Section `libraries`: versions by the name that a library is installed under."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)


def check_libraries(params: Path) -> dict[str, str]:
    """Versions of the libraries of section `libraries` that this process has imported: as they should be.

    Raises:
        LibraryError: one is installed in another version.

    """
    wanted = load_params(params, "libraries", LibraryParams).__pydantic_extra__
    used = {name: number for name, number in wanted.items() if IMPORTED_AS.get(name, name) in sys.modules}
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
    """Write the installed versions into section `libraries` of PARAMS; all else stays, comments too."""
    names = load_params(params, "libraries", LibraryParams).__pydantic_extra__
    text = params.read_text(encoding="utf-8")
    before, section, after = re.split(r"(^libraries:.*\n(?:[ #].*\n|\n)*)", text, maxsplit=1, flags=re.M)
    for name in names:
        line = re.compile(rf"^( +{re.escape(name)}:) *[^\s#]+", re.MULTILINE)
        section = line.sub(rf'\g<1> "{installed(name)}"', section, count=1)
    write_atomically(params, f"{before}{section}{after}".encode())


if __name__ == "__main__":
    run_stage(main)
