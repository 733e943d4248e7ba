"""A detector trained on BCCD, and the pictures that it is asked about."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.stages.detectors import BCCD, bccd_settings, packed
from benchmarks.stages.training import params, train
from stages.core.packed import DetectionSplit, Split, load_detection, load_sources

MODEL = "faster-rcnn"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A detector with its data."""

    model: Path
    params: Path
    data: Path
    raw: Path

    def pictures(self, split: Split) -> tuple[list[Path], DetectionSplit]:
        """The files of a split's pictures, and the pictures as they are packed."""
        sources = load_sources(self.data, split)
        assert sources is not None
        names = [Path(source.picture).with_suffix(".jpg").name for source in sources]
        return [self.raw / "JPEGImages" / name for name in names], load_detection(self.data, split)


def parser_of(text: str | None) -> argparse.ArgumentParser:
    """The options that the benchmarks share."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bccd", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=BCCD["train-detector"]["epochs"])
    parser.add_argument("--kept", type=Path, help="a folder that keeps the detector")
    parser.add_argument("--out", type=Path)
    return parser


def trained_on(raw: Path, folder: Path, epochs: int) -> Trained:
    """A detector of benchmarks/stages/bccd.yaml; one that is in the folder already is taken as it is."""
    document = settings(epochs)
    folder.mkdir(parents=True, exist_ok=True)
    trained = folder / f"trained-{epochs}"
    if not (folder / "detection/classes.json").is_file():
        packed(raw, folder)
    if not (trained / "model").is_file():
        seed = document["compute"]["seed"]
        train("train-detector", document["train-detector"], folder / "detection", trained, seed=seed)
    (folder / "asked.yaml").write_text(yaml.safe_dump(document))
    return Trained(model=trained / "model", params=folder / "asked.yaml", data=folder / "detection", raw=raw)


def settings(epochs: int) -> dict[str, Any]:
    """params.yaml for BCCD."""
    document = params()
    document["preprocess"] |= BCCD["preprocess"]
    document["train-detector"] |= bccd_settings([MODEL])[MODEL] | {"epochs": epochs}
    return document
