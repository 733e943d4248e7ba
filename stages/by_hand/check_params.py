"""Prints everything that is wrong with params.yaml, a line each, before a stage of the pipeline starts.

dvc.yaml names it under `meta.check_params`. So no outs are removed for a stage that would refuse its
parameters.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from stages.core.cli import EXIT_USER_ERROR, run_stage
from stages.core.errors import StageError
from stages.core.libraries import check_libraries
from stages.core.params import ComputeParams, StageParams, faults_in, is_wanted
from stages.evaluate.params import EvaluateParams
from stages.fuse.params import FuseParams
from stages.sources.preparation import PreprocessParams
from stages.train_classifier.params import TrainClassifierParams
from stages.train_detector.params import TrainDetectorParams
from stages.train_gan.params import TrainGanParams
from stages.training.params import CheckpointParams

SECTIONS: Mapping[str, type[StageParams]] = {
    "compute": ComputeParams,
    "checkpoints": CheckpointParams,
    "preprocess": PreprocessParams,
    "train-classifier": TrainClassifierParams,
    "train-detector": TrainDetectorParams,
    "train-gan": TrainGanParams,
    "evaluate": EvaluateParams,
    "fuse": FuseParams,
}
"""The sections that the stages of dvc.yaml read."""

MAY_BE_NULL = {"train-classifier", "train-detector", "train-gan"}
"""Sections that are null where their result is not wanted."""

LIBRARIES = (
    "albumentations",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "pywavelets",
    "safetensors",
    "scipy",
    "torch",
    "torchvision",
)
"""Libraries of the stages whose versions are compared here: none of them is imported for it."""


def main(*, params: Path) -> None:
    """Say all that is wrong with the parameters of the pipeline's stages; exit code 2 if something is.

    Args:
        params: params.yaml.

    """
    if faults := list(faults_of(params)):
        print(*(f"error: {fault}" for fault in faults), sep="\n", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


def faults_of(params: Path) -> Iterator[str]:
    """All that is wrong, a line each; that something is wrong with the file as a whole comes once."""
    said = set()
    wanted = sections_of(params.parent / "dvc.yaml") or set(SECTIONS)
    for section, cls in SECTIONS.items():
        if section not in wanted:
            continue
        try:
            found = (
                []
                if section in MAY_BE_NULL and not is_wanted(params, section)
                else faults_in(params, section, cls)
            )
        except StageError as error:
            found = [str(error)]
        for fault in found:
            if fault not in said:
                said.add(fault)
                yield fault
    try:
        check_libraries(params, later=LIBRARIES)
    except StageError as error:
        if str(error) not in said:
            yield str(error)


def sections_of(pipeline: Path) -> set[str]:
    """The sections that the stages of a dvc.yaml list, and `checkpoints`; none where it cannot be read."""
    try:
        stages = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"].values()
        listed = {str(key).partition(".")[0] for stage in stages for key in stage.get("params", [])}
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return set()
    return listed | {"checkpoints"}


if __name__ == "__main__":
    run_stage(main)
