"""The detector on the test split: figures, tables and picture sheets."""

from dataclasses import asdict

import pandas as pd

from stages.core.packed import DetectionSplit
from stages.detector.average_precision import average_precision, precision
from stages.detector.network import Detector, detect, given_proposals
from stages.evaluate.drawing import confusion_sheet
from stages.evaluate.of_detector.errors import (
    detection_errors,
    detection_outcomes,
    score_calibration,
    score_reliability,
)
from stages.evaluate.of_detector.resampled import precision_by_recall, resampled_precision
from stages.evaluate.of_detector.sheets import detections_sheet
from stages.evaluate.params import EvaluateParams
from stages.evaluate.resampling import halves
from stages.evaluate.result import Evaluation, Sheet, TableCurve
from stages.evaluate.size import detector_size
from stages.evaluate.timing import latency, timed
from stages.networks.compute import Compute


def evaluate_detector(
    network: Detector, test: DetectionSplit, params: EvaluateParams, compute: Compute
) -> Evaluation:
    """Measure a detector, which is on `compute`'s device, on the test split.

    Its tables are `precision_recall`, with precision at 101 values of recall, and `detection_reliability`,
    with a row for each step of the score.

    Raises:
        ModelError: The detector takes proposals from a file that is missing or another one.
        DataError: That file has no proposals for these pictures.

    """
    proposals = given_proposals(network.config, "test", len(test.images))
    with timed("searched for items", len(test.images)):
        detections = detect(network, test.images, compute, params.batch_size, proposals)
    alone = latency(
        lambda row: detect(network, test.images[row], compute, 1, proposals and proposals[row]),
        len(test.images),
    )
    print(f"one picture alone searched in {alone:.1f} ms (median)")
    measured = precision(detections, test.boxes, test.labels, test.classes)
    outcomes = detection_outcomes(
        detections, test.boxes, test.labels, classes=len(test.classes), score_min=params.score_min
    )
    reliability = score_reliability(outcomes, bins=params.calibration_bins)
    figures = asdict(average_precision(measured))
    first = None if proposals is None else proposals[0]
    return Evaluation(
        figures={
            **figures,
            "found": asdict(detection_errors(outcomes)),
            "calibration_error": score_calibration(reliability),
            "size": asdict(detector_size(network, test.images[0], compute, first)),
        },
        resampled=resampled_precision(measured, halves(len(test.images), params.resamples)),
        shares=dict.fromkeys(("map", "map50", "map75"), sum(measured.boxes)),
        tables={
            "precision_recall": pd.DataFrame(precision_by_recall(measured)),
            "detection_reliability": reliability,
        },
        curves=[
            TableCurve(title="boxes", table="precision_recall", x="recall", y="precision"),
            TableCurve(
                title="how often boxes are right; on the dashed line scores mean what they say",
                table="detection_reliability",
                x="confidence",
                y="accuracy",
                diagonal=True,
            ),
            *(
                TableCurve(title=name, table="precision_recall", x="recall", y=f"precision of {name}")
                for name in figures["by_class"]
            ),
        ],
        sheets={
            "detections": Sheet(
                caption="Test pictures with their true boxes, and with what was found",
                image=detections_sheet(
                    test,
                    detections,
                    scenes=params.sheet_scenes,
                    score_min=params.score_min,
                    most=params.sheet_boxes,
                ),
            ),
            "boxes": Sheet(
                caption="What boxes are (rows), and what they were taken for (columns); "
                "the ground is no item. Doubles and boxes that are badly placed stand in the table alone",
                image=confusion_sheet(
                    outcomes.confusion,
                    [*test.classes, "(ground)"],
                    "Test boxes. What they are (rows), and what they were taken for (columns)",
                ),
            ),
        },
    )
