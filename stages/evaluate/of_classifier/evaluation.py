"""The classifier on the test split: figures, tables and picture sheets."""

from dataclasses import asdict, replace

import numpy as np
from torch import Tensor

from stages.classifier.network import Classifier, ask, attributes_of, predict, thresholds_of
from stages.core.packed import UNCLASSED, ClassificationSplit, targets_of
from stages.drawing.sheets import CLASSES_MOST
from stages.evaluate.drawing import confusion_sheet, most_confused
from stages.evaluate.of_classifier.attributes import (
    AttributeOutcomes,
    attribute_figures,
    attribute_sheet,
    attribute_table,
    resampled_attributes,
)
from stages.evaluate.of_classifier.grad_cam import grad_cam
from stages.evaluate.of_classifier.metrics import (
    ClassificationOutcomes,
    classification_figures,
    classification_outcomes,
    confusion,
    outcome_table,
    reliability_table,
    resampled_figures,
)
from stages.evaluate.of_classifier.sheets import (
    cams_sheet,
    pictures_in,
    predictions_sheet,
    right_and_wrong,
    worst_sheet,
)
from stages.evaluate.params import EvaluateParams
from stages.evaluate.resampling import halves
from stages.evaluate.result import Evaluation, Sheet, TableCurve
from stages.evaluate.size import network_size
from stages.evaluate.timing import latency, timed
from stages.networks.compute import Compute


def evaluate_classifier(
    network: Classifier, test: ClassificationSplit, params: EvaluateParams, compute: Compute
) -> Evaluation:
    """Measure a classifier, which is on `compute`'s device, on the test split.

    Its tables are `predictions`, with a row for each test picture that has a class, and `reliability`, with a
    row for each step of confidence; of a classifier that tells attributes also `attributes`, with a row for
    each picture and attribute. Pictures without a class stand behind the others.

    Raises:
        DataError: The test split has no pictures.

    """
    with timed("classified", len(test.images)):
        found = ask(network, test.images, compute=compute, batch_size=params.batch_size)
    alone = latency(lambda row: predict(network, test.images[row], compute=compute), len(test.images))
    print(f"one picture alone classified in {alone:.1f} ms (median)")
    size = {"size": asdict(network_size(network, test.images.shape[1:3]))}
    parts = []
    if network.config["classes"]:
        parts.append(_of_classes(network, test, found.classes, params, compute))
    if attributes_of(network.config):
        parts.append(_of_attributes(network, test, found.attributes, params))
    return Evaluation(
        figures={**{name: one for part in parts for name, one in part.figures.items()}, **size},
        resampled={name: one for part in parts for name, one in part.resampled.items()},
        shares={name: one for part in parts for name, one in part.shares.items()},
        tables={name: one for part in parts for name, one in part.tables.items()},
        curves=[one for part in parts for one in part.curves],
        sheets={name: one for part in parts for name, one in part.sheets.items()},
    )


def _of_classes(
    network: Classifier,
    test: ClassificationSplit,
    probabilities: Tensor,
    params: EvaluateParams,
    compute: Compute,
) -> Evaluation:
    """Figures of the classes, on the pictures that have one."""
    count = int((test.labels != UNCLASSED).sum())
    if count < len(test.labels):
        probabilities = probabilities[:count]
        test = replace(test, images=test.images[:count], labels=test.labels[:count])
    outcomes = classification_outcomes(probabilities, test.labels)
    figures = classification_figures(outcomes, test.classes, bins=params.calibration_bins)
    drawn = halves(len(test.images), params.resamples)
    return Evaluation(
        figures=asdict(figures),
        resampled=resampled_figures(outcomes, drawn, classes=len(test.classes), bins=params.calibration_bins),
        shares=dict.fromkeys(("accuracy", "top5_accuracy", "macro_f1"), len(test.images)),
        tables={
            "predictions": outcome_table(outcomes, test.classes),
            "reliability": reliability_table(outcomes, bins=params.calibration_bins),
        },
        curves=[
            TableCurve(
                title="how often it is right; on the dashed line its confidence means what it says",
                table="reliability",
                x="confidence",
                y="accuracy",
                diagonal=True,
            )
        ],
        sheets=classifier_sheets(network, test, outcomes, params, compute),
    )


def _of_attributes(
    network: Classifier, test: ClassificationSplit, probabilities: Tensor, params: EvaluateParams
) -> Evaluation:
    """Figures of the attributes, on all pictures."""
    names = attributes_of(network.config)
    found = AttributeOutcomes(
        names=names,
        probabilities=probabilities.double().numpy(),
        targets=targets_of(test.attributes, names, len(test.labels)),
        thresholds=np.array(thresholds_of(network.config)),
    )
    figures = attribute_figures(found, bins=params.calibration_bins)
    if unmeasured := [name for name in names if name not in figures["by_attribute"]]:
        print(f"no test picture is known to have: {', '.join(unmeasured)}")
    measured = bool(figures["by_attribute"])
    drawn = halves(len(test.labels), params.resamples) if measured else ()
    caption = "Of each attribute the surest that were rightly found, and the surest wrong answers"
    sheet = attribute_sheet(test.images, found, params.sheet_columns) if measured else None
    return Evaluation(
        figures=figures,
        resampled=resampled_attributes(found, drawn) if measured else {},
        shares=dict.fromkeys(("attribute_map", "attribute_macro_f1"), len(test.labels)),
        tables={"attributes": attribute_table(found)},
        curves=[],
        sheets={} if sheet is None else {"attributes": Sheet(caption=caption, image=sheet)},
    )


def classifier_sheets(
    network: Classifier,
    test: ClassificationSplit,
    outcomes: ClassificationOutcomes,
    params: EvaluateParams,
    compute: Compute,
) -> dict[str, Sheet]:
    """Draw the confusion table, right and wrong pictures of each class, Grad-CAM, and the worst losses."""
    counts = confusion(outcomes.labels, outcomes.predicted, len(test.classes))
    columns = params.sheet_columns
    rows = right_and_wrong(outcomes, most_confused(counts, CLASSES_MOST), columns)
    shown = np.array(pictures_in(rows), dtype=np.int64)
    heat = grad_cam(
        network,
        test.images[shown],
        outcomes.predicted[shown],
        compute=compute,
        batch_size=params.batch_size,
    )
    confused = "What pictures are (rows), and what they were taken for (columns)"
    return {
        "confusion": Sheet(
            caption=confused,
            image=confusion_sheet(counts, test.classes, f"Test pictures. {confused}"),
        ),
        "predictions": Sheet(
            caption="Of each class the surest that were right, and the surest that were wrong",
            image=predictions_sheet(test, outcomes, rows),
        ),
        "grad-cam": Sheet(
            caption="The same: the more orange, the more the place spoke for what was found (Grad-CAM)",
            image=cams_sheet(test, outcomes, rows, heat),
        ),
        "worst-losses": Sheet(
            caption="The greatest losses: what was found, and what is true",
            image=worst_sheet(test, outcomes, columns),
        ),
    }
