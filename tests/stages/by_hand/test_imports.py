"""What the check of params.yaml and the help of each command may import: nobody waits for the rest."""

import re
import subprocess
import sys

import pytest

from tests.places import ROOT

LARGE = {
    "PIL",
    "albumentations",
    "cv2",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pywt",
    "safetensors",
    "scipy",
    "sklearn",
    "torch",
    "torchvision",
    "yaml",
}


def imported(*words: str) -> set[str]:
    """The large packages that a command of the stages imports."""
    command = [sys.executable, "-X", "importtime", "-m", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    names = re.findall(r"^import time:.*\|\s*(\w+)", done.stderr, re.M)
    assert "click" in names
    return set(names) & LARGE


@pytest.mark.parametrize(
    "words",
    [["fuse"], ["generate"], ["data"], ["params"], ["export"], ["repair"]]
    + [["predict", kind] for kind in ("classify", "detect", "explain")],
    ids=" ".join,
)
def test_help_imports_nothing_large(words: list[str]) -> None:
    assert not imported(f"stages.by_hand.{words[0]}", *words[1:], "--help")


@pytest.mark.slow
def test_the_check_imports_what_reads_params_alone() -> None:
    assert imported("stages.by_hand.check_params", "--params", "params.yaml") <= {"pydantic", "yaml"}


@pytest.mark.slow
def test_the_list_of_parameters_imports_no_more() -> None:
    assert imported("stages.by_hand.params", "train-gan") <= {"pydantic", "yaml"}
