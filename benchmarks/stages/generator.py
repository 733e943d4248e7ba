"""Compare generators: the settings of benchmarks/stages/generators.yaml side by side, several seeds each.

`python -m benchmarks.stages.generator` trains the default with three seeds, one after the other, and measures
each against the val split with data/models/classifier.safetensors: the test split decides nothing. What it
needs is what `darkroom run evaluate` leaves. `--settings default minilm --phrasings` asks each for 2 x 50
things in words that no class has (benchmarks/stages/phrasings.yaml). `--calibration` shows how the figures
tell failures made of real pictures. `--quick` tries all of it on few pictures in one epoch; `--out FILE`
writes what it prints.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from benchmarks.machine import describe
from benchmarks.stages.training import PARAMS, ROOT, few_pictures, params, spread, train
from stages.by_hand.generate import ask, draw
from stages.classifier.network import load_classifier
from stages.core.errors import StageError
from stages.core.packed import ClassificationSplit, load_classification
from stages.core.params import ComputeParams, load_params
from stages.evaluate.of_generator.evaluation import (
    Measuring,
    compare,
    evaluate_generator,
    measuring_with,
    sample,
)
from stages.evaluate.params import EvaluateParams
from stages.generator.network import Generator, load_generator
from stages.networks.compute import prepare

SETTINGS = yaml.safe_load((ROOT / "benchmarks/stages/generators.yaml").read_text())
PHRASINGS = yaml.safe_load((ROOT / "benchmarks/stages/phrasings.yaml").read_text())
SEED = 20260101
DRAWN = 20  # pictures of each phrasing
FIGURES = {
    "conditional_accuracy": ".4f",
    "frechet_distance": ".3f",
    "kernel_distance": ".4f",
    "precision": ".3f",
    "recall": ".3f",
    "density": ".3f",
    "coverage": ".3f",
    "accuracy_trained_on_it": ".4f",
    "nearest_distance": ".1f",
    "memorised": ".4f",
}
QUICK = {"epochs": 1, "failure": {"recall_min": 0.0}}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One training."""

    figures: dict[str, Any]
    cpu_seconds: float
    understood: Mapping[str, "Understood"]
    """By list of phrasings."""


@dataclass(frozen=True, kw_only=True)
class Understood:
    """What became of the phrasings."""

    right: int
    """Of which most pictures are of the class that was meant."""
    refused: int
    """With a word that is not known."""
    wrong: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["default"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--phrasings", action="store_true")
    parser.add_argument("--calibration", action="store_true")
    parser.add_argument("--data", type=Path, default=ROOT / "data/prepared/classification")
    parser.add_argument("--classifier", type=Path, default=ROOT / "data/models/classifier.safetensors")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = few_pictures(arguments.data, folder / "data") if arguments.quick else arguments.data
        measuring = measure_with(arguments.classifier, quick=arguments.quick)
        trained = ["--settings", *arguments.settings, "--seeds", str(arguments.seeds)]  # no paths
        chosen = ["--calibration"] if arguments.calibration else trained
        chosen += [f"--{name}" for name in ("phrasings", "quick") if getattr(arguments, name)]
        title = "What the figures make of failures" if arguments.calibration else "Generators side by side"
        report = [
            f"# {title}\n",
            f"`python -m benchmarks.stages.generator {' '.join(chosen)}` on {describe()}.\n",
            f"Features of the classifier with sha256 {measuring.sha256[:16]}...; one core.\n",
        ]
        if arguments.calibration:
            report += calibration(
                load_classification(data, "val"), load_classification(data, "train"), measuring
            )
        else:
            judged = {
                name: [
                    judge(
                        data,
                        folder / f"{name}-{seed}",
                        name,
                        measuring,
                        seed=SEED + seed,
                        quick=arguments.quick,
                    )
                    for seed in range(arguments.seeds)
                ]
                for name in arguments.settings
            }
            report += table(judged)
            report += understood(judged) if arguments.phrasings else []
    print("\n".join(report))
    if arguments.out:
        arguments.out.write_text("\n".join(report) + "\n")


def measure_with(classifier: Path, *, quick: bool) -> Measuring:
    """The classifier, and section `evaluate` of params.yaml."""
    values = load_params(PARAMS, "evaluate", EvaluateParams)
    generation = values.generation
    if quick:
        score = generation.score.model_copy(update={"pictures": 500, "epochs": 1})
        generation = generation.model_copy(update={"samples_per_class": 50, "score": score})
    compute = prepare(load_params(PARAMS, "compute", ComputeParams))
    network = compute.network(load_classifier(classifier))
    return measuring_with(classifier, network, generation, compute, batch_size=values.batch_size, seed=SEED)


def judge(data: Path, folder: Path, name: str, measuring: Measuring, *, seed: int, quick: bool) -> Judged:
    """Train with params.yaml, what the settings change in it, and the seed; measure what was trained."""
    changed = SETTINGS[name] if not quick else merged(SETTINGS[name], QUICK)
    section = merged(params()["train-gan"], changed)
    cost = train("train-gan", section, data, folder, seed=seed)
    generator = load_generator(folder / "model")
    evaluation = evaluate_generator(
        generator, data, replace(measuring, seed=seed), resamples=1, columns=10, split="val"
    )
    understood = {which: ask_all(generator, measuring, phrasings) for which, phrasings in PHRASINGS.items()}
    return Judged(figures=evaluation.figures, cpu_seconds=cost.cpu_seconds, understood=understood)


def merged(values: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with what is changed, nested keys one by one; what names another variant is taken whole."""
    result = dict(values)
    for key, value in changed.items():
        old = result.get(key)
        nested = isinstance(old, Mapping) and isinstance(value, Mapping) and "name" not in value
        result[key] = merged(old, value) if nested else value
    return result


def ask_all(generator: Generator, measuring: Measuring, phrasings: Mapping[str, Sequence[str]]) -> Understood:
    """Every phrasing asked for; right: the classifier takes most of its pictures for what was meant."""
    classes: list[str] = generator.config["classes"]
    right, refused, wrong = 0, 0, []
    for label, name in enumerate(classes):
        for phrasing in phrasings.get(name, []):
            try:
                pictures = draw(generator, ask(generator, phrasing, {}), DRAWN, seed=SEED)
            except StageError:
                refused += 1
                continue
            taken = np.bincount(measuring.predict(pictures), minlength=len(classes))
            if taken.argmax() == label:
                right += 1
            else:
                wrong.append(f"{phrasing} -> {classes[taken.argmax()]}")
    return Understood(right=right, refused=refused, wrong=tuple(wrong))


def calibration(val: ClassificationSplit, train: ClassificationSplit, measuring: Measuring) -> list[str]:
    """The figures of real pictures and of failures made of them, against the val split."""
    random = np.random.default_rng(SEED)
    real, _ = sample(val, measuring.params.samples_per_class, random)
    good, labels = sample(train, measuring.params.samples_per_class, random)
    few = np.concatenate([np.flatnonzero(labels == label)[:5] for label in range(len(val.classes))])
    collapsed = few[random.integers(0, len(few), len(good))]
    blurred = np.stack([cv2.blur(image, (3, 3)).reshape(image.shape) for image in good])
    kept = labels > 0
    cases = {
        "real training pictures (the floor)": (good, labels),
        f"without {val.classes[0]}": (good[kept], labels[kept]),
        f"collapsed to {len(few)} pictures": (good[collapsed], labels[collapsed]),
        "PCA-64 reconstruction": (by_components(good, 64), labels),
        "3x3 blur": (blurred, labels),
        "pure noise": (random.integers(0, 256, good.shape, dtype=np.uint8), labels),
    }
    shown = [
        name for name in FIGURES if name not in ("accuracy_trained_on_it", "nearest_distance", "memorised")
    ]
    lines = [f"| set | {' | '.join(shown)} |", "|---" * (len(shown) + 1) + "|"]
    for name, found in zip(cases, compare(measuring, real, list(cases.values())), strict=True):
        lines.append(f"| {name} | {' | '.join(format(found.figures[key], FIGURES[key]) for key in shown)} |")
    return lines


def by_components(images: np.ndarray, number: int) -> np.ndarray:
    """Pictures [N, H, W, C] made of their first principal components alone."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    _, _, directions = np.linalg.svd(flat - mean, full_matrices=False)
    kept = directions[:number]
    return (
        np.clip((flat - mean) @ kept.T @ kept + mean, 0, 255).round().astype(np.uint8).reshape(images.shape)
    )


def table(judged: Mapping[str, Sequence[Judged]]) -> list[str]:
    """A column for each settings, and one for real pictures."""
    floors = [one.figures["floor"] for each in judged.values() for one in each]

    def row(what: str, figure: Callable[[Judged], float], form: str, floor: str) -> str:
        cells = [spread([figure(one) for one in each], form) for each in judged.values()]
        return f"| {what} | {' | '.join(cells)} | {floor} |"

    lines = [
        f"| mean (least to greatest of the seeds) | {' | '.join(judged)} | real pictures |",
        "|---" * (len(judged) + 2) + "|",
    ]
    for name, form in FIGURES.items():
        floor = spread([one[name] for one in floors], form)
        lines.append(row(name, lambda one, name=name: one.figures[name], form, floor))
    return [*lines, row("CPU seconds to train", lambda one: one.cpu_seconds, ".0f", "")]


def understood(judged: Mapping[str, Sequence[Judged]]) -> list[str]:
    """How many of the phrasings give what was meant, and which do not."""
    lines = [
        "\n## Held-out phrasings\n",
        f"Right: of {DRAWN} pictures most are taken for what was meant. Refused: an unknown word.\n",
        "| settings, seed | list | right | wrong | refused |",
        "|---|---|---|---|---|",
    ]
    for name, each in judged.items():
        for seed, one in enumerate(each):
            for which, found in one.understood.items():
                figures = f"{found.right} | {len(found.wrong)} | {found.refused}"
                lines.append(f"| {name}, {seed} | {which} | {figures} |")
    for name, each in judged.items():
        for which, found in each[0].understood.items():
            if found.wrong:
                lines.append(f"\n{name}, {which} list, wrong: {'; '.join(found.wrong)}.")
    return lines


if __name__ == "__main__":
    main()
