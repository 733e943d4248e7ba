"""The test split, once: every figure and picture sheet. Labels of train and val that the models contradict.

In: the folders that preprocess packed, the models that were wanted, and the samples of their trainings. Out:
figures of the classifier, of the detector (COCO's average precision), and of the generator as the classifier
sees it, beside the same figures of real training pictures: no generator can be expected to pass those. Tables
for `dvc plots`; a folder of sheets to look at, and one of what the trainings looked like; a page with all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stages.classifier.network import Classifier, attributes_of, load_classifier
from stages.core.files import write_atomically, write_folder_atomically
from stages.core.libraries import check_libraries
from stages.core.packed import load_classification, load_detection
from stages.core.params import ComputeParams, load_params
from stages.core.tables import write_metrics, write_table
from stages.detector.network import Detector, load_detector
from stages.drawing.sheets import save_png
from stages.drift.reference import write_reference
from stages.evaluate.of_classifier.attributes import ATTRIBUTE_COLUMNS
from stages.evaluate.of_classifier.drift_reference import drift_reference
from stages.evaluate.of_classifier.evaluation import evaluate_classifier
from stages.evaluate.of_detector.evaluation import evaluate_detector
from stages.evaluate.of_generator.evaluation import evaluate_generator, measuring_with
from stages.evaluate.of_labels.evaluation import BOX_COLUMNS, CLASS_COLUMNS, question_labels
from stages.evaluate.params import EvaluateParams
from stages.evaluate.report import Section, read_curve, report_page
from stages.evaluate.result import Evaluation
from stages.evaluate.training_sheets import (
    write_classifier_sheet,
    write_detector_sheet,
    write_generator_sheets,
)
from stages.generator.network import Generator, load_generator
from stages.networks.compute import Compute, prepare
from stages.networks.model_files import is_model, why_no_model
from stages.training.samples import ClassifierSamples, DetectorSamples, GeneratorSamples, read_samples

COLUMNS = {
    "predictions": ("picture", "actual", "predicted", "confidence", "rank", "loss"),
    "attributes": ATTRIBUTE_COLUMNS,
    "reliability": ("confidence", "accuracy", "pictures"),
    "precision_recall": ("recall", "precision"),
    "detection_reliability": ("confidence", "accuracy", "count"),
    "label_errors": CLASS_COLUMNS,
    "box_label_errors": BOX_COLUMNS,
}
"""Columns of the tables of a model that was not wanted."""


def main(
    *,
    classification: Path,
    detection: Path,
    params: Path,
    classifier: Path | None = None,
    detector: Path | None = None,
    generator: Path | None = None,
    classifier_samples: Path | None = None,
    detector_samples: Path | None = None,
    generator_samples: Path | None = None,
    metrics: Path,
    predictions: Path,
    attributes: Path | None = None,
    resampled: Path,
    reliability: Path,
    precision_recall: Path,
    detection_reliability: Path,
    label_errors: Path,
    box_label_errors: Path,
    reference: Path,
    plots: Path,
    training_plots: Path,
    report: Path,
) -> None:
    """Evaluate the models on the test split, and write figures, tables, picture sheets and a report.

    A model that was not wanted or is not named has no figures and no sheets, and its tables have no rows.

    Args:
        classification: Folder of labelled pictures that preprocess packed.
        detection: Folder of pictures with boxes that preprocess packed.
        params: params.yaml.
        classifier: Model file of the classifier.
        detector: Model file of the detector.
        generator: Model file of the generator.
        classifier_samples: Training pictures as the classifier was shown them, which its training left.
        detector_samples: Training pictures as the detector was shown them, which its training left.
        generator_samples: Pictures that the generator drew during its training.
        metrics: JSON file for the figures of all three models.
        predictions: CSV file for what the classifier made of each test picture.
        attributes: CSV file for what the classifier said of each attribute of each test picture.
        resampled: CSV file for the figures in halves of the test pictures, a row for each half.
        reliability: CSV file for the classifier's accuracy by its confidence.
        precision_recall: CSV file for the detector's precision by its recall.
        detection_reliability: CSV file for the share of right detections by their score.
        label_errors: CSV file for the classified pictures of train and val, the most contradicted first.
        box_label_errors: CSV file for the pictures with boxes of train and val, in the same order.
        reference: Safetensors file with what `score` compares the pictures of an inbox with.
        plots: Folder for the picture sheets; what it held before is removed.
        training_plots: Folder for pictures of the trainings; what it held before is removed.
        report: HTML file that shows figures, curves and sheets on one page.

    """
    check_libraries(params)
    values = load_params(params, "evaluate", EvaluateParams)
    compute_params = load_params(params, "compute", ComputeParams)
    compute = prepare(compute_params)
    files = {"classifier": classifier, "detector": detector, "generator": generator}
    absent = {model: why for model, path in files.items() if (why := why_no_model(path)) is not None}
    for model, why in absent.items():
        print(f"evaluate: no {model}: {why}")
    networks = Networks(
        classifier=compute.network(load_classifier(classifier)) if is_model(classifier) else None,
        detector=compute.network(load_detector(detector)) if is_model(detector) else None,
        generator=load_generator(generator) if is_model(generator) else None,
    )
    seed = compute_params.seed
    evaluations = evaluate_models(
        networks, classification, detection, values, compute, classifier_file=classifier, seed=seed
    )
    known = None
    if networks.classifier is not None:
        known = drift_reference(
            networks.classifier, classification, compute, batch_size=values.batch_size, seed=seed
        )
    write_reference(reference, known)
    write_metrics(metrics, {model: found.with_intervals() for model, found in evaluations.items()})
    write_resampled(resampled, evaluations)
    tables = {
        "predictions": predictions,
        "reliability": reliability,
        "precision_recall": precision_recall,
        "detection_reliability": detection_reliability,
        "label_errors": label_errors,
        "box_label_errors": box_label_errors,
    }
    if attributes is not None:
        tables["attributes"] = attributes
    filled = {name: table for found in evaluations.values() for name, table in found.tables.items()}
    for name, path in tables.items():
        write_table(path, filled.get(name, {column: [] for column in COLUMNS[name]}))
    write_sheets(plots, evaluations)
    with write_folder_atomically(training_plots) as folder:
        if networks.classifier is not None and classifier_samples:
            samples = read_samples(classifier_samples, ClassifierSamples)
            write_classifier_sheet(folder, samples, networks.classifier)
        if networks.detector is not None and detector_samples:
            write_detector_sheet(folder, read_samples(detector_samples, DetectorSamples), networks.detector)
        if networks.generator is not None and generator_samples:
            write_generator_sheets(
                folder / "train-gan",
                read_samples(generator_samples, GeneratorSamples),
                networks.generator,
                compute,
                seed=seed,
                milliseconds=values.film_milliseconds,
            )
    write_report(report, evaluations, tables, plots, absent)


@dataclass(frozen=True, kw_only=True, slots=True)
class Networks:
    """The networks of the models; None: it was not wanted."""

    classifier: Classifier | None
    detector: "Detector | None"
    generator: Generator | None


def evaluate_models(
    networks: Networks,
    classification: Path,
    detection: Path,
    params: EvaluateParams,
    compute: Compute,
    *,
    classifier_file: Path | None,
    seed: int,
) -> dict[str, Evaluation]:
    """Measure each network that there is on the test split, and the labels that they contradict.

    `classification` and `detection` are folders that preprocess packed. What is found is given by the name of
    the model, and of contradicted labels as `labels`.

    Raises:
        DataError: The data does not go with the networks.
        ModelError: A network's answers are not finite.

    """
    evaluations = {}
    if networks.classifier is not None:
        unclassed = bool(attributes_of(networks.classifier.config))
        test = load_classification(classification, "test", unclassed=unclassed)
        evaluations["classifier"] = evaluate_classifier(networks.classifier, test, params, compute)
    if networks.detector is not None:
        evaluations["detector"] = evaluate_detector(
            networks.detector, load_detection(detection, "test"), params, compute
        )
    if networks.generator is not None:
        measuring = measuring_with(
            classifier_file,
            networks.classifier,
            params.generation,
            compute,
            batch_size=params.batch_size,
            seed=seed,
        )
        evaluations["generator"] = evaluate_generator(
            networks.generator,
            classification,
            measuring,
            resamples=params.resamples,
            columns=params.sheet_columns,
        )
    if params.label_errors and (networks.classifier or networks.detector):
        evaluations["labels"] = question_labels(
            networks.classifier, networks.detector, classification, detection, params, compute
        )
    return evaluations


def write_resampled(path: Path, evaluations: Mapping[str, Evaluation]) -> None:
    """Write a table with a column for each figure, named `model.figure`, and a row for each half.

    `draw` numbers the rows where there is no model: a table needs a column.
    """
    write_table(
        path,
        {
            f"{model}.{name}": drawn
            for model, found in evaluations.items()
            for name, drawn in found.resampled.items()
        }
        or {"draw": []},
    )


def write_sheets(folder: Path, evaluations: Mapping[str, Evaluation]) -> None:
    """Write every picture sheet as a PNG file, in place of what `folder` held before."""
    with write_folder_atomically(folder) as partial:
        for found in evaluations.values():
            for name, sheet in found.sheets.items():
                save_png(partial / f"{name}.png", sheet.image)


def write_report(
    path: Path,
    evaluations: Mapping[str, Evaluation],
    tables: Mapping[str, Path],
    sheets: Path,
    absent: Mapping[str, str],
) -> None:
    """Write one page with the figures, curves and sheets, from the files `tables` and the folder `sheets`.

    `absent`: why there is no such model, by its name.
    """
    sections = [
        Section(
            title=model.capitalize(),
            figures=found.with_intervals(),
            curves=[read_curve(curve, tables[curve.table]) for curve in found.curves],
            sheets={sheet.caption: sheets / f"{name}.png" for name, sheet in found.sheets.items()},
        )
        for model, found in evaluations.items()
    ]
    notes = [f"No {model} was trained: {why}." for model, why in absent.items()]
    write_atomically(path, report_page("The models on the test split", sections, notes).encode())
