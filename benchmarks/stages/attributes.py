"""Compare calibrations of attributes: none, a temperature for all or for each, slopes and offsets.

`python -m benchmarks.stages.attributes` trains a classifier of five attributes of scikit-learn's 1,797
digits, of which a share is turned round, with three seeds. Each calibration is fitted on 300 pictures and
judged on 597 others. `--out FILE` writes what it prints.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import yaml
from sklearn.datasets import load_digits

from benchmarks.machine import describe
from stages.classifier.network import load_classifier, mean_logits
from stages.core.packed import UNCLASSED, load_classification, targets_of
from stages.evaluate.of_classifier.metrics import calibration_error, reliability
from stages.networks.calibration import fitted_binary_temperature, fitted_logistic
from stages.networks.compute import Compute
from stages.train_classifier.stage import main as train

TURNED = {"even": 0.15, "large": 0.05, "loop": 0.1, "one": 0.02, "seven": 0.02}
"""The share of pictures whose attribute is turned round, so that none can be told for certain."""
CUTS = (900, 1200)
"""Where val and the held-out pictures begin."""
SECTION = {
    "network": {"model": "compact", "widths": [[32], [64]], "grid": 2, "features": 64},
    "epochs": 20,
    "batch_size": 32,
    "attributes": "all",
    "mirror": False,
    "views": 1,
    "range_test": {"steps": 2},
}
EXACT = Compute(device=torch.device("cpu"), dtype=torch.float32)

Floats = npt.NDArray[np.float64]
Judged = tuple[float, float]
"""The mean negative logarithm of the truth's probability, and the calibration error."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    judged: dict[str, list[Judged]] = {}
    for seed in range(1, arguments.seeds + 1):
        with tempfile.TemporaryDirectory() as scratch:
            for name, one in calibrations(Path(scratch), seed).items():
                judged.setdefault(name, []).append(one)
    lines = ["| calibration | log loss, by seed | mean | calibration error, mean |", "|---|---|---|---|"]
    for name, each in judged.items():
        losses, errors = zip(*each, strict=True)
        shown = ", ".join(f"{loss:.4f}" for loss in losses)
        lines.append(f"| {name} | {shown} | {np.mean(losses):.4f} | {np.mean(errors):.4f} |")
    head = f"`python -m benchmarks.stages.attributes --seeds {arguments.seeds}` on {describe()}."
    report = "\n".join(["# Calibrating attributes", "", head, "", *lines])
    print(report)
    if arguments.out:
        arguments.out.write_text(report + "\n")


def calibrations(folder: Path, seed: int) -> dict[str, Judged]:
    """How good the probabilities of a training are, by the calibration."""
    pack(folder / "data", seed)
    document = {"compute": {"seed": seed}, "libraries": {}, "train-classifier": SECTION}
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    files = {
        name: folder / name for name in ("model", "metrics", "history", "rates", "samples", "checkpoint")
    }
    train(data=folder / "data", params=folder / "params.yaml", **files)
    network = load_classifier(files["model"])
    logits, truth = {}, {}
    for split in ("val", "test"):
        pictures = load_classification(folder / "data", split, unclassed=True)  # type: ignore[arg-type]
        logits[split] = mean_logits(network, np.asarray(pictures.images), compute=EXACT)
        truth[split] = targets_of(pictures.attributes, network.config["attributes"], len(pictures.labels))
    columns = range(logits["val"].shape[1])
    shared = fitted_binary_temperature(logits["val"], truth["val"])
    each = [
        fitted_binary_temperature(logits["val"][:, [place]], truth["val"][:, [place]]) for place in columns
    ]
    before = torch.sigmoid(logits["val"]).double().numpy()
    plain = torch.sigmoid(logits["test"]).double().numpy()
    lines = [fitted_logistic(before[:, place], truth["val"][:, place] == 1) for place in columns]
    return {
        name: judge(probabilities, truth["test"] == 1)
        for name, probabilities in {
            "none": plain,
            "one temperature": torch.sigmoid(logits["test"] / shared).double().numpy(),
            "a temperature each": torch.sigmoid(logits["test"] / torch.tensor(each)).double().numpy(),
            "slope and offset each": np.stack([lines[at](plain[:, at]) for at in columns], axis=1),
        }.items()
    }


def pack(folder: Path, seed: int) -> None:
    """Digits as preprocess packs pictures without classes."""
    digits, draw = load_digits(), np.random.default_rng(seed)
    images = (digits.images * 255 / 16).round().astype(np.uint8)[..., np.newaxis]
    number = digits.target
    has = {
        "even": number % 2 == 0,
        "large": number >= 5,
        "loop": np.isin(number, [0, 6, 8, 9]),
        "one": number == 1,
        "seven": number == 7,
    }
    parts = np.split(draw.permutation(len(number)), CUTS)
    for split, rows in zip(("train", "val", "test"), parts, strict=True):
        (folder / split).mkdir(parents=True)
        np.save(folder / split / "images.npy", images[rows])
        np.save(folder / split / "labels.npy", np.full(len(rows), UNCLASSED))
        told = {name: column[rows] ^ (draw.random(len(rows)) < TURNED[name]) for name, column in has.items()}
        text = json.dumps({name: column.astype(int).tolist() for name, column in told.items()})
        (folder / split / "attributes.json").write_text(text)
    (folder / "classes.json").write_text("[]")


def judge(probabilities: Floats, truth: npt.NDArray[np.bool_]) -> Judged:
    """Judge the probabilities [N, A] of attributes by whether they are there [N, A]."""
    certain = np.where(truth, probabilities, 1 - probabilities).clip(1e-7)
    steps = reliability(probabilities.astype(np.float64).ravel(), truth.ravel(), bins=15)
    return float(-np.log(certain).mean()), calibration_error(steps, steps["count"])


if __name__ == "__main__":
    main()
