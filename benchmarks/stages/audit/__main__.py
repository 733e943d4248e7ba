"""Compute every figure that evaluate and fuse print once more, by other means, and set both side by side.

`python -m benchmarks.stages.audit` reads what `make run` leaves in data/ (`--data` names another folder of
that layout); what is not there is left out by name. `--photographs FOLDER` compares the methods of fusion and
their figures on the pictures there, too. `--out FILE` writes what it prints. Exit code 1: a figure differs by
more than `--most`, or a method by more than a grey level on average.
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.stages.audit.classifier import audit_classifier
from benchmarks.stages.audit.detector import audit_detector
from benchmarks.stages.audit.fusion import METHODS, audit_fused, audit_photographs
from benchmarks.stages.audit.generator import audit_generator
from benchmarks.stages.audit.table import Row, greatest, table
from benchmarks.stages.training import ROOT
from stages.classifier.network import load_classifier
from stages.core.packed import load_classification, load_detection
from stages.core.params import ComputeParams, load_params
from stages.detector.network import detect, given_proposals, load_detector
from stages.evaluate.of_generator.evaluation import measuring_with
from stages.evaluate.params import EvaluateParams
from stages.generator.network import load_generator
from stages.networks.compute import prepare

MOST = 2e-3  # what float32 leaves of VIF where a picture is burnt out; all else agrees to 1e-4
MOST_GREY = 1.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--most", type=float, default=MOST)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    parts, absent = of_pipeline(arguments.data, arguments.params)
    if arguments.photographs:
        parts["fusion of photographs"] = audit_photographs(arguments.photographs)
    report = ["# Figures computed once more\n", f"`python -m benchmarks.stages.audit` on {describe()}.\n"]
    report += [f"Left out, {path} is not there.\n" for path in absent]
    for title, rows in parts.items():
        measured = [row for row in rows if METHODS not in row.figure]
        methods = [row for row in rows if METHODS in row.figure]
        report += [f"\n## {title}\n", greatest(measured), *table(measured)]
        if methods:
            report += ["\nMethods against their papers, in grey levels of 255:\n", *table(methods)]
    print("\n".join(report))
    if arguments.out:
        arguments.out.write_text("\n".join(report) + "\n")
    return int(any(off(row, arguments.most) for rows in parts.values() for row in rows))


def off(row: Row, most: float) -> bool:
    return not row.difference <= (MOST_GREY if METHODS in row.figure else most)


def of_pipeline(data: Path, params: Path) -> tuple[dict[str, list[Row]], list[Path]]:
    """The rows of what is in the folder, by title, and the files that are not there."""
    values, computing = (
        load_params(params, "evaluate", EvaluateParams),
        load_params(params, "compute", ComputeParams),
    )
    compute = prepare(computing)
    evaluate, fuse = data / "metrics/evaluate.json", data / "metrics/fuse.json"
    models = {name: data / f"models/{name}.safetensors" for name in ("classifier", "detector", "generator")}
    predictions, fused = data / "predictions/classifier.csv", data / "fused"
    absent = [path for path in (evaluate, fuse, predictions, fused, *models.values()) if not path.exists()]
    parts: dict[str, list[Row]] = {}
    figures = json.loads(evaluate.read_text()) if evaluate.exists() else {}
    if "classifier" in figures and predictions.exists():
        parts["classifier"] = audit_classifier(
            figures["classifier"], predictions, bins=values.calibration_bins
        )
    if "detector" in figures and models["detector"].exists():
        detector = compute.network(load_detector(models["detector"]))
        scenes = load_detection(data / "prepared/detection", "test")
        proposals = given_proposals(detector.config, "test", len(scenes.images))
        found = detect(detector, scenes.images, compute, values.batch_size, proposals)
        parts["detector"] = audit_detector(figures["detector"], found, scenes)
    if "generator" in figures and models["generator"].exists() and models["classifier"].exists():
        measuring = measuring_with(
            models["classifier"],
            compute.network(load_classifier(models["classifier"])),
            values.generation,
            compute,
            batch_size=values.batch_size,
            seed=computing.seed,
        )
        test = load_classification(data / "prepared/classification", "test")
        generator = load_generator(models["generator"])
        parts["generator"] = audit_generator(figures["generator"], generator, test, measuring)
    if fuse.exists() and fused.exists():
        kinds = [path.name for path in sorted(fused.iterdir()) if (path / "sources.npy").exists()]
        parts["fusion"] = audit_fused(json.loads(fuse.read_text()), fused, kinds)
    return parts, absent


if __name__ == "__main__":
    sys.exit(main())
