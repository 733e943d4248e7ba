"""The test split, once: every figure and picture sheet.

In: the folders that preprocess packed, the three models, and the samples of their trainings. Out: figures of
the classifier, of the detector (COCO's average precision), and of the generator as the classifier's features
see it, beside the same figures of real training pictures: no generator can be expected to pass those. Tables
for `dvc plots`; a folder of sheets to look at, and one of what the trainings looked like; a page with all.
"""

from collections.abc import Mapping
from pathlib import Path

from stages.classifier.network import load_classifier
from stages.core.files import write_atomically, write_folder_atomically, write_json
from stages.core.libraries import check_libraries
from stages.core.packed import load_classification, load_detection
from stages.core.params import ComputeParams, load_params
from stages.core.tables import write_table
from stages.detector.network import load_detector
from stages.drawing.sheets import save_png
from stages.evaluate.of_classifier.evaluation import evaluate_classifier
from stages.evaluate.of_detector.evaluation import evaluate_detector
from stages.evaluate.of_generator.evaluation import evaluate_generator, measuring_with
from stages.evaluate.params import EvaluateParams
from stages.evaluate.report import Section, read_curve, report_page
from stages.evaluate.result import Evaluation
from stages.evaluate.training_sheets import (
    write_classifier_sheet,
    write_detector_sheet,
    write_generator_sheets,
)
from stages.generator.network import load_generator
from stages.networks.compute import prepare
from stages.training.samples import ClassifierSamples, DetectorSamples, GeneratorSamples, read_samples


def main(
    *,
    classification: Path,
    detection: Path,
    params: Path,
    classifier: Path,
    detector: Path,
    generator: Path,
    classifier_samples: Path,
    detector_samples: Path,
    generator_samples: Path,
    metrics: Path,
    predictions: Path,
    resampled: Path,
    reliability: Path,
    precision_recall: Path,
    detection_reliability: Path,
    plots: Path,
    training_plots: Path,
    report: Path,
) -> None:
    """Evaluate all three models on the test split, and write figures, tables, picture sheets and a report.

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
        resampled: CSV file for the figures in draws of the test pictures, a row for each draw.
        reliability: CSV file for the classifier's accuracy by its confidence.
        precision_recall: CSV file for the detector's precision by its recall.
        detection_reliability: CSV file for the share of right detections by their score.
        plots: Folder for the picture sheets; what it held before is removed.
        training_plots: Folder for pictures of the trainings; what it held before is removed.
        report: HTML file that shows figures, curves and sheets on one page.

    """
    check_libraries(params)
    values = load_params(params, "evaluate", EvaluateParams)
    compute_params = load_params(params, "compute", ComputeParams)
    compute = prepare(compute_params)
    network = compute.network(load_classifier(classifier))
    measuring = measuring_with(
        classifier,
        network,
        values.generation,
        compute,
        batch_size=values.batch_size,
        seed=compute_params.seed,
    )
    evaluations = {
        "classifier": evaluate_classifier(
            network, load_classification(classification, "test"), values, compute
        ),
        "detector": evaluate_detector(
            compute.network(load_detector(detector)), load_detection(detection, "test"), values, compute
        ),
        "generator": evaluate_generator(
            load_generator(generator),
            classification,
            measuring,
            resamples=values.resamples,
            columns=values.sheet_columns,
        ),
    }
    write_json(metrics, {model: found.with_intervals() for model, found in evaluations.items()})
    write_resampled(resampled, evaluations)
    tables = {
        "predictions": predictions,
        "reliability": reliability,
        "precision_recall": precision_recall,
        "detection_reliability": detection_reliability,
    }
    for found in evaluations.values():
        for name, table in found.tables.items():
            write_table(tables[name], table)
    write_sheets(plots, evaluations)
    with write_folder_atomically(training_plots) as folder:
        write_classifier_sheet(folder, read_samples(classifier_samples, ClassifierSamples), network)
        write_detector_sheet(folder, read_samples(detector_samples, DetectorSamples), load_detector(detector))
        write_generator_sheets(
            folder / "train-gan",
            read_samples(generator_samples, GeneratorSamples),
            load_generator(generator),
            compute,
            seed=compute_params.seed,
            milliseconds=values.film_milliseconds,
        )
    write_report(report, evaluations, tables, plots)


def write_resampled(path: Path, evaluations: Mapping[str, Evaluation]) -> None:
    """Write a table with a column for each figure, named `model.figure`, and a row for each draw."""
    write_table(
        path,
        {
            f"{model}.{name}": drawn
            for model, found in evaluations.items()
            for name, drawn in found.resampled.items()
        },
    )


def write_sheets(folder: Path, evaluations: Mapping[str, Evaluation]) -> None:
    """Write every picture sheet as a PNG file, in place of what `folder` held before."""
    with write_folder_atomically(folder) as partial:
        for found in evaluations.values():
            for name, sheet in found.sheets.items():
                save_png(partial / f"{name}.png", sheet.image)


def write_report(
    path: Path, evaluations: Mapping[str, Evaluation], tables: Mapping[str, Path], sheets: Path
) -> None:
    """Write one page with the figures, curves and sheets, from the files `tables` and the folder `sheets`."""
    sections = [
        Section(
            title=model.capitalize(),
            figures=found.with_intervals(),
            curves=[read_curve(curve.title, tables[curve.table], curve.x, curve.y) for curve in found.curves],
            sheets={sheet.caption: sheets / f"{name}.png" for name, sheet in found.sheets.items()},
        )
        for model, found in evaluations.items()
    ]
    write_atomically(path, report_page("The models on the test split", sections).encode())
