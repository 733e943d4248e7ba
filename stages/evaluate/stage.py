"""The test split, once: every figure and picture sheet.

In: the folders that preprocess packed and the three models. Out: figures of the classifier, of the detector
(COCO's average precision), and of the generator as the classifier's features see it, beside the same figures
of real training pictures: no generator can be expected to pass those. Tables for `dvc plots`; a folder of
sheets to look at; one page with all of it.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.classifier.network import Classifier, load_classifier, predict
from stages.core.files import write_atomically, write_folder_atomically, write_json
from stages.core.libraries import check_libraries
from stages.core.packed import ClassificationSplit, load_classification, load_detection
from stages.core.params import ComputeParams, StageParams, load_params
from stages.core.tables import write_table
from stages.detector.average_precision import average_precision, precision
from stages.detector.network import detect, given_proposals, load_detector
from stages.drawing.sheets import CLASSES_MOST, save_png
from stages.evaluate.of_classifier.grad_cam import grad_cam
from stages.evaluate.of_classifier.metrics import (
    Outcomes,
    classification_figures,
    confusion,
    outcome_table,
    outcomes,
    reliability_table,
    resampled_figures,
)
from stages.evaluate.of_classifier.sheets import (
    cams_sheet,
    confusion_sheet,
    most_confused,
    pictures_in,
    predictions_sheet,
    right_and_wrong,
    worst_sheet,
)
from stages.evaluate.of_detector.errors import detection_errors, score_calibration, score_reliability
from stages.evaluate.of_detector.errors import outcomes as outcomes_of_detections
from stages.evaluate.of_detector.resampled import precision_by_recall, resampled_precision
from stages.evaluate.of_detector.sheets import detections_sheet
from stages.evaluate.of_generator.evaluation import GenerationParams, evaluate_generated, measuring
from stages.evaluate.report import Curve, Section, read_curve, report_page
from stages.evaluate.resampling import Resampled, draws, intervals
from stages.evaluate.size import detector_size, network_size
from stages.evaluate.timing import latency, timed
from stages.generator.network import load_generator
from stages.networks.compute import Compute, prepare

Labels = npt.NDArray[np.int64]


class EvaluateParams(StageParams):
    """Section `evaluate`."""

    batch_size: int = Field(ge=1)
    """Pictures that a network sees at once."""

    calibration_bins: int = Field(ge=1)
    """Steps of confidence in the calibration error and in the reliability table."""

    resamples: int = Field(ge=100)
    """Draws of the test pictures, with replacement, for the figures' 95 % intervals."""

    generation: GenerationParams

    sheet_columns: int = Field(ge=2)
    """Pictures of each class on the sheets."""

    score_min: float = Field(ge=0, le=1)
    """Detections at least so sure are drawn, counted by kind of error, and compared with their scores."""

    sheet_scenes: int = Field(ge=1)
    """Scenes on the sheet of detections."""

    sheet_boxes: int = Field(ge=1)
    """Detections on that sheet, at most."""


def main(
    *,
    classification: Path,
    detection: Path,
    params: Path,
    classifier: Path,
    detector: Path,
    generator: Path,
    metrics: Path,
    predictions: Path,
    resampled: Path,
    reliability: Path,
    precision_recall: Path,
    detection_reliability: Path,
    plots: Path,
    report: Path,
) -> None:
    """Evaluate all three models; write `metrics`, the tables, the folder `plots`, and all of it as a page.

    `predictions`: what the classifier made of each test picture. `resampled`: figures of all three, named as
    in `metrics`, in draws of the test pictures, a row each. `report`: the page.
    """
    check_libraries(params)
    values = load_params(params, "evaluate", EvaluateParams)
    seed = (compute_params := load_params(params, "compute", ComputeParams)).seed
    compute = prepare(compute_params)
    network = load_classifier(classifier)
    compute.network(network)
    how = measuring(classifier, network, values.generation, compute, batch_size=values.batch_size, seed=seed)
    with write_folder_atomically(plots) as sheets:
        evaluated = {
            "classifier": evaluate_classifier(
                network,
                classification,
                values,
                compute,
                predictions=predictions,
                table=reliability,
                sheets=sheets,
            ),
            "detector": evaluate_detector(
                detector,
                detection,
                values,
                compute,
                curves=precision_recall,
                table=detection_reliability,
                sheets=sheets,
            ),
            "generator": evaluate_generated(
                load_generator(generator),
                classification,
                how,
                resamples=values.resamples,
                sheets=sheets,
                columns=values.sheet_columns,
            ),
        }
    figures = {
        part: {**found, "intervals": {name: asdict(one) for name, one in intervals(drawn).items()}}
        for part, (found, drawn) in evaluated.items()
    }
    write_json(metrics, figures)
    write_table(
        resampled,
        {f"{part}.{name}": of for part, (_, drawn) in evaluated.items() for name, of in drawn.items()},
    )
    curves = {
        "classifier": [read_curve("how often it is right", reliability, "confidence", "accuracy")],
        "detector": [
            read_curve("boxes", precision_recall, "recall", "precision"),
            read_curve("how often boxes are right", detection_reliability, "confidence", "accuracy"),
            *(
                read_curve(name, precision_recall, "recall", f"precision of {name}")
                for name in figures["detector"]["by_class"]
            ),
        ],
        "generator": [],
    }
    write_report(report, figures, curves, plots)


def evaluate_classifier(
    network: Classifier,
    data: Path,
    params: EvaluateParams,
    compute: Compute,
    *,
    predictions: Path,
    table: Path,
    sheets: Path,
) -> tuple[dict[str, Any], Resampled]:
    """Figures on the test split, and in draws of it; `predictions` a picture; reliability as a `table`."""
    test = load_classification(data, "test")
    with timed("classified", len(test.images)):
        probabilities = predict(network, test.images, compute=compute, batch_size=params.batch_size)
    alone = latency(lambda row: predict(network, test.images[row], compute=compute), len(test.images))
    print(f"one picture alone classified in {alone:.1f} ms (median)")
    found = outcomes(probabilities, test.labels)
    write_table(predictions, outcome_table(found, test.classes))
    write_table(table, reliability_table(found, bins=params.calibration_bins))
    draw_classification(network, test, found, params, compute, sheets)
    figures = classification_figures(found, test.classes, bins=params.calibration_bins)
    drawn = draws(len(test.images), params.resamples)
    return (
        {**asdict(figures), "size": asdict(network_size(network, test.images.shape[1:3]))},
        resampled_figures(found, drawn, classes=len(test.classes), bins=params.calibration_bins),
    )


def draw_classification(
    network: Classifier,
    test: ClassificationSplit,
    found: Outcomes,
    params: EvaluateParams,
    compute: Compute,
    sheets: Path,
) -> None:
    """Confusion; right and wrong pictures of each class, what was looked at in these; worst losses."""
    counts = confusion(found.labels, found.predicted, len(test.classes))
    save_png(sheets / "confusion.png", confusion_sheet(counts, test.classes))
    columns = params.sheet_columns
    rows = right_and_wrong(found, most_confused(counts, CLASSES_MOST), columns)
    shown = np.array(pictures_in(rows), dtype=np.int64)
    heat = grad_cam(
        network, test.images[shown], found.predicted[shown], compute=compute, batch_size=params.batch_size
    )
    save_png(sheets / "predictions.png", predictions_sheet(test, found, rows, columns))
    save_png(sheets / "grad-cam.png", cams_sheet(test, found, rows, columns, heat))
    save_png(sheets / "worst-losses.png", worst_sheet(test, found, columns))


def evaluate_detector(
    path: Path,
    data: Path,
    params: EvaluateParams,
    compute: Compute,
    *,
    curves: Path,
    table: Path,
    sheets: Path,
) -> tuple[dict[str, Any], Resampled]:
    """Figures on the test split, and in draws of it; `curves` of precision by recall; reliability; sheets."""
    test = load_detection(data, "test")
    network = compute.network(load_detector(path))
    given = given_proposals(network.config, "test", len(test.images))
    with timed("searched for items", len(test.images)):
        detections = detect(network, test.images, compute, params.batch_size, given)
    alone = latency(
        lambda row: detect(network, test.images[row], compute, 1, given and given[row]), len(test.images)
    )
    print(f"one picture alone searched in {alone:.1f} ms (median)")
    measured = precision(detections, test.boxes, test.labels, test.classes)
    write_table(curves, precision_by_recall(measured))
    found = outcomes_of_detections(
        detections, test.boxes, test.labels, classes=len(test.classes), score_min=params.score_min
    )
    steps = score_reliability(found, bins=params.calibration_bins)
    write_table(table, steps)
    sheet = detections_sheet(
        test, detections, scenes=params.sheet_scenes, score_min=params.score_min, most=params.sheet_boxes
    )
    save_png(sheets / "detections.png", sheet)
    save_png(sheets / "boxes.png", confusion_sheet(found.confusion, [*test.classes, "(ground)"]))
    figures = {
        **asdict(average_precision(measured)),
        "found": asdict(detection_errors(found)),
        "calibration_error": score_calibration(steps),
        "size": asdict(detector_size(network, test.images[0], compute, None if given is None else given[0])),
    }
    return figures, resampled_precision(measured, draws(len(test.images), params.resamples))


def write_report(path: Path, figures: dict[str, Any], curves: dict[str, list[Curve]], sheets: Path) -> None:
    """One page with all of it, from the files that were written."""
    told = {
        "classifier": {
            "confusion": "What pictures are (rows), and what they were taken for (columns)",
            "predictions": "Of each class the surest that were right, and the surest that were wrong",
            "grad-cam": "The same: the brighter, the more the place spoke for what was found (Grad-CAM)",
            "worst-losses": "The greatest losses: what was found, and what it is not",
        },
        "detector": {
            "detections": "Test pictures with their true boxes, and with what was found",
            "boxes": "What boxes are (rows), and what they were taken for (columns); the ground is no item",
        },
        "generator": {
            "generated": "Generated pictures of each class",
            "generated-confusion": "What was asked for (rows), and what the classifier sees (columns)",
            "generated-nearest": "Generated pictures over their nearest training pictures, with distances",
        },
    }
    sections = [
        Section(
            title=name.capitalize(),
            figures=figures[name],
            curves=curves[name],
            sheets={caption: sheets / f"{sheet}.png" for sheet, caption in captions.items()},
        )
        for name, captions in told.items()
    ]
    write_atomically(path, report_page("The models on the test split", sections).encode())
