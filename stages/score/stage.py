"""Shows new pictures of an inbox to trained models: predictions as Parquet and COCO JSON, drawn pictures.

in   the folder `inbox`, the model files, params.yaml of the commit at which the models were trained
out  the folder `out`, as stages/score/predictions.py describes it; figures of this run as JSON
run  python -m stages.score --help

The code of `preprocess` brings each picture into the form of the training pictures. Each input gets one row,
even if this stage is killed at any time. The row of a picture that cannot be read has the reason. Pictures
get no label if there is no classifier, or if it was trained on crops of boxes. They get no boxes if there is
no detector. With a reference it also says whether the latest pictures are still like the
training pictures.
"""

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from stages.classifier.network import Classifier, ask, attributes_of, features_of, thresholds_of
from stages.core.errors import DataError, ParamsError
from stages.core.files import write_atomically
from stages.core.params import load_params
from stages.core.tables import write_metrics
from stages.core.texts import in_a_line
from stages.detector.network import detect
from stages.drift.reference import Features, read_reference
from stages.intake.decoding import decode
from stages.intake.form import Decoded
from stages.intake.geometry import Pixels, unfit_boxes
from stages.prediction.models import TrainedModels, load_models
from stages.score.drawing import drawn, jpeg
from stages.score.inbox import Input, Look, look, taken
from stages.score.params import ScoreParams
from stages.score.predictions import Predictions, Row, opened
from stages.score.recent import Drift, RecentFeatures

DEATHS = 3  # at one picture: no chance any more, and others wait behind it
NAMED_MOST = 50  # set aside or drawn pictures that the figures name at most


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedInput:
    """An input in the form that the networks take."""

    given: Input
    reason: str | None
    """Why the input is set aside; None: it is not."""
    decoded: tuple[Decoded | None, Decoded | None] = (None, None)
    """The picture for the classifier and for the detector; None: there is no such network."""
    view: Decoded | None = None
    """The picture that results are drawn on; None where it is set aside."""


@dataclass(slots=True)
class ScoreTally:
    """What this run has done so far."""

    scored: int = 0
    set_aside: list[dict[str, str]] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    attributes: Counter[str] = field(default_factory=Counter)
    boxes: Counter[str] = field(default_factory=Counter)
    drawn: list[str] = field(default_factory=list)
    drift: Drift | None = None
    """How far the last pictures lie from the training pictures; None: nothing to compare, or too few."""


def main(
    *,
    inbox: Path,
    out: Path,
    params: Path,
    classifier: Path | None = None,
    detector: Path | None = None,
    release: str = "",
    quiet_seconds: float = 60.0,
    figures: Path | None = None,
    reference: Path | None = None,
) -> None:
    """Show new pictures of an inbox to trained models, each once, and keep what they predict.

    Args:
        inbox: Folder that others put pictures into; nothing in it is changed.
        out: Folder for predictions as Parquet and COCO JSON, and for drawn pictures; they are added to it.
        params: File with the section `score`.
        classifier: Model file of the classifier; without one no picture is classified.
        detector: Model file of the detector; without one nothing is looked for in a picture.
        release: Name of the models in the tables of predictions.
        quiet_seconds: How long a picture must have been unchanged: it may still be on its way.
        figures: JSON file for how many pictures were scored, set aside and left to wait.
        reference: File of the training pictures' features that `evaluate` wrote; without one nobody looks
            whether the pictures have become others.

    """
    values = load_params(params, "score", ScoreParams)
    require_apart(inbox, out)
    tally = ScoreTally()
    try:
        with opened(out) as predictions:
            seen = look(inbox, predictions.knows, quiet_seconds)
            if seen.candidates:
                models = load_models(params, classifier, detector, release)
                recent = recent_features(out, reference, models)
                score_new(seen, models, predictions, values, tally, recent)
            if figures:
                write_metrics(figures, figures_of(tally, seen, release, len(predictions)))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else f"{out}: "
        raise DataError(f"{where}{error.strerror}; what was kept before stays, the rest waits") from error
    print(f"{tally.scored} scored, {len(tally.set_aside)} set aside, {len(seen.waiting)} not quiet yet")
    if tally.drift:
        print(tally.drift)
    if seen.links:
        print(
            f"{len(seen.links)} left alone, {in_a_line(seen.links[0])} first:"
            " a link, a pipe or a device is never opened; put a copy of the picture there"
        )


def figures_of(tally: ScoreTally, seen: Look, release: str, kept: int) -> dict[str, Any]:
    """State what was done in this run, and how many inputs have rows in all, as JSON values."""
    return {
        "release": release,
        "scored": tally.scored,
        "set_aside": len(tally.set_aside),
        "reasons": tally.set_aside[:NAMED_MOST],
        "waiting": len(seen.waiting),
        "others": seen.others,
        "links": seen.links[:NAMED_MOST],
        "labels": dict(tally.labels.most_common()),
        **({"attributes": dict(tally.attributes.most_common())} if tally.attributes else {}),
        "boxes": dict(tally.boxes.most_common()),
        "drawn": tally.drawn,
        "drift": {**asdict(tally.drift), "left": tally.drift.left} if tally.drift else None,
        "all": kept,
    }


def require_apart(inbox: Path, out: Path) -> None:
    """Refuse folders of which one lies in the other: what is drawn would be scored as a new picture.

    Raises:
        ParamsError: One folder lies in the other.

    """
    first, second = inbox.resolve(), out.resolve()
    if first.is_relative_to(second) or second.is_relative_to(first):
        raise ParamsError(f"{inbox}, {out}: one lies in the other; keep inbox and predictions apart")


def recent_features(out: Path, reference: Path | None, models: TrainedModels) -> RecentFeatures | None:
    """The features of the pictures scored last; None: there is nothing to compare them with."""
    if reference is None or models.classifier is None or (known := read_reference(reference)) is None:
        return None
    return RecentFeatures(out / ".recent.safetensors", known)


def score_new(
    seen: Look,
    models: TrainedModels,
    predictions: Predictions,
    params: ScoreParams,
    tally: ScoreTally,
    recent: RecentFeatures | None,
) -> None:
    """Score the new pictures in batches; only what becomes of a picture is kept in memory."""
    new = (
        given
        for given in taken(seen.candidates, params.max_megabytes << 20, seen)
        if not predictions.holds(given.file.version, given.digest)
    )
    ready = (make_ready(given, models, predictions, params) for given in new)
    while batch := list(islice(ready, params.batch)):
        score(batch, models, predictions, params, tally, recent)
        print(f"{tally.scored} scored, {len(tally.set_aside)} set aside", flush=True)


def score(
    ready: Sequence[PreparedInput],
    models: TrainedModels,
    predictions: Predictions,
    params: ScoreParams,
    tally: ScoreTally,
    recent: RecentFeatures | None,
) -> None:
    """Predict, draw and set aside; the rows are written last, and with them the inputs are done."""
    first, now = predictions.next_id, datetime.datetime.now(tz=datetime.UTC)
    rows = [_row(number, item, now) for number, item in enumerate(ready, start=first)]
    scored = [(row, item) for row, item in zip(rows, ready, strict=True) if item.reason is None]
    if scored:
        _classify(scored, models)
        _find(scored, models)
    for row, item in zip(rows, ready, strict=True):
        kind = "drawn" if item.reason is None else "set_aside"
        place = predictions.place(models.about, kind, row["id"], row["name"])
        if item.reason is None:
            place = place.with_name(f"{place.name}.jpg")
            view, classes = _pixels(item.view), models.about["box_labels"]
            picture = jpeg(drawn(view, row, classes, params.drawn_score_min))
            write_atomically(place, picture, _mode(item.given))
            tally.drawn = [*tally.drawn, str(place)][:NAMED_MOST]
        else:
            _set_aside(place, item)
    predictions.add(rows, models.about)
    if recent is not None and scored:
        recent.add(features_in([ready for _, ready in scored], models))
        tally.drift = recent.drift()
    tally.scored += len(scored)
    tally.set_aside += [{"name": row["name"], "why": row["set_aside"]} for row in rows if row["set_aside"]]
    tally.labels.update(row["label"] for row, _ in scored if row["label"] is not None)
    for row, _ in scored:
        tally.attributes.update(row.get("attributes") or ())
        sure = zip(row["box_labels"], row["box_scores"], strict=True)
        tally.boxes.update(name for name, sureness in sure if sureness >= params.drawn_score_min)


def make_ready(
    given: Input, models: TrainedModels, predictions: Predictions, params: ScoreParams
) -> PreparedInput:
    """Decode an input for each network, or state why it is set aside."""
    if given.content is None:
        size = f"{given.file.size >> 20} MB, score.max_megabytes is {params.max_megabytes}"
        return PreparedInput(given=given, reason=f"too large: {size}")
    with predictions.trying(given.file.name, given.digest) as died:
        if died < DEATHS:
            return _decoded(given, given.content, models, params)
    return PreparedInput(given=given, reason=f"the process that read it was killed, {died} times")


def _decoded(given: Input, content: bytes, models: TrainedModels, params: ScoreParams) -> PreparedInput:
    both = [decode(content, m.form) if m else None for m in (models.classifier, models.detector)]
    known = next(decoded for decoded in both if decoded is not None)
    view = None
    if known.pixels is not None:
        form = next(model.form for model in (models.classifier, models.detector) if model)
        scale = min(1.0, params.drawn_side / max(known.width, known.height))
        width, height = (max(1, round(side * scale)) for side in (known.width, known.height))
        view = decode(content, replace(form, width=width, height=height, channels=3, fit="stretch"))
    for decoded in (*both, view):
        if decoded is not None and decoded.pixels is None:
            return PreparedInput(given=given, reason=f"{', '.join(decoded.oddities)}: {decoded.what}")
    return PreparedInput(
        given=replace(given, content=None), reason=None, decoded=(both[0], both[1]), view=view
    )


def _row(number: int, ready: PreparedInput, now: datetime.datetime) -> Row:
    known = next((decoded for decoded in ready.decoded if decoded), None)
    return {
        "id": number,
        "name": ready.given.file.name,
        "sha256": ready.given.digest,
        "bytes": ready.given.file.size,
        "changed_ns": ready.given.file.changed_ns,
        "scored_at": now,
        "set_aside": ready.reason,
        "width": known.width if known else None,
        "height": known.height if known else None,
        "oddities": list(known.oddities) if known else None,
        "label": None,
        "probability": None,
        "probabilities": None,
        "boxes": [] if known else None,
        "box_labels": [] if known else None,
        "box_scores": [] if known else None,
    }


def _classify(scored: Sequence[tuple[Row, PreparedInput]], models: TrainedModels) -> None:
    """Write labels and attributes into the rows."""
    if (model := models.classifier) is None:
        return
    assert isinstance(model.network, Classifier)
    images = np.stack([_pixels(ready.decoded[0]) for _, ready in scored])  # [N, H, W, C]
    found = ask(model.network, images, compute=models.compute)
    if classes := model.config["classes"]:
        for (row, _), by_class in zip(scored, found.classes.numpy(), strict=True):
            best = int(by_class.argmax())
            row |= {
                "label": classes[best],
                "probability": float(by_class[best]),
                "probabilities": by_class.tolist(),
            }
    if names := attributes_of(model.config):
        least = thresholds_of(model.config)
        for (row, _), shares in zip(scored, found.attributes.tolist(), strict=True):
            by_probability = sorted(zip(names, shares, least, strict=True), key=lambda one: -one[1])
            row |= {
                "attributes": [name for name, share, threshold in by_probability if share >= threshold],
                "attribute_probabilities": shares,
            }


def features_in(ready: Sequence[PreparedInput], models: TrainedModels) -> Features:
    """What the classifier, which there is, makes of pictures before it decides: [N, F]."""
    assert models.classifier is not None
    assert isinstance(models.classifier.network, Classifier)
    images = np.stack([_pixels(one.decoded[0]) for one in ready])  # [N, H, W, C]
    return features_of(models.classifier.network, images, models.compute, len(images))


def _find(scored: Sequence[tuple[Row, PreparedInput]], models: TrainedModels) -> None:
    """Write boxes into the rows, the surest first; what lies beside the picture alone is left out."""
    if (model := models.detector) is None:
        return
    images = np.stack([_pixels(ready.decoded[1]) for _, ready in scored])  # [N, H, W, C]
    found = detect(model.network, images, models.compute, len(images))
    for (row, _), (framed, labels, scores) in zip(scored, found, strict=True):
        boxes = unfit_boxes(framed, (row["width"], row["height"]), model.form.frame, model.form.fit)
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        row |= {
            "boxes": boxes[inside].tolist(),
            "box_labels": [model.config["classes"][label] for label in labels[inside]],
            "box_scores": scores[inside].tolist(),
        }


def _pixels(decoded: Decoded | None) -> Pixels:
    assert decoded is not None
    assert decoded.pixels is not None
    return decoded.pixels


def _set_aside(place: Path, ready: PreparedInput) -> None:
    """Write a copy of the file, unless it is too large, and the reason beside it."""
    if ready.given.content is not None:
        write_atomically(place, ready.given.content, _mode(ready.given))
    text = f"{ready.given.file.name}: {ready.reason}\n"
    write_atomically(place.with_name(f"{place.name}.txt"), text.encode())


def _mode(given: Input) -> int:
    """The mode of files made from a picture: readable for those who may read the picture, and for us."""
    return given.file.mode & 0o666 | 0o600
