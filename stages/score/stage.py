"""New pictures of an inbox through trained models: predictions as Parquet and COCO JSON, drawn pictures.

in   the folder `inbox`, the model files, params.yaml of the commit that they were trained at
out  the folder `out`, as stages/score/predictions.py describes it; figures of this run as JSON
run  python -m stages.score --help

Each picture is brought into the form that the models were trained on, by the code of `preprocess`. Each input
gets one row, whenever this is killed. One that cannot be read gets its row with the reason. Without a
classifier, or where it was trained on crops of boxes, pictures get no label; without a detector no boxes.
"""

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from stages.classifier.network import Classifier, predict
from stages.core.errors import DataError, ParamsError
from stages.core.files import write_atomically, write_json
from stages.core.params import StageParams, load_params
from stages.detector.network import detect
from stages.intake.decoding import Decoded, decode
from stages.intake.geometry import Pixels, unfit_boxes
from stages.score.drawing import drawn, jpeg
from stages.score.inbox import Input, Look, look, taken
from stages.score.models import Models, load_models
from stages.score.predictions import Predictions, Row, opened

DEATHS = 3  # at one picture: no chance any more, and others wait behind it
TOLD = 50  # set aside or drawn pictures that the figures name


class ScoreParams(StageParams):
    """Section `score`."""

    batch: int = Field(ge=1)
    """Pictures kept in one step, and shown to the networks together."""

    max_megabytes: int = Field(ge=1)
    """Of a picture's file; larger ones are set aside."""

    drawn_score_min: float = Field(ge=0, le=1)
    """Boxes with lower scores are not drawn."""

    drawn_side: int = Field(ge=64)
    """The longer side that larger pictures are brought to before they are drawn on, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """An input as the networks take it."""

    given: Input
    reason: str | None
    """Why it is set aside."""
    decoded: tuple[Decoded | None, Decoded | None] = (None, None)
    """For the classifier and for the detector."""
    view: Decoded | None = None
    """To be drawn on."""


@dataclass(slots=True)
class Told:
    """Figures of this run."""

    scored: int = 0
    set_aside: list[dict[str, str]] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    boxes: Counter[str] = field(default_factory=Counter)
    drawn: list[str] = field(default_factory=list)


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

    """
    values = load_params(params, "score", ScoreParams)
    require_apart(inbox, out)
    told = Told()
    try:
        with opened(out) as predictions:
            seen = look(inbox, predictions.knows, quiet_seconds)
            if seen.candidates:
                models = load_models(params, classifier, detector, release)
                score_new(seen, models, predictions, values, told)
            if figures:
                write_json(figures, figures_of(told, seen, release, len(predictions)))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else f"{out}: "
        raise DataError(f"{where}{error.strerror}; what was kept before stays, the rest waits") from error
    print(f"{told.scored} scored, {len(told.set_aside)} set aside, {len(seen.waiting)} not quiet yet")
    if seen.links:
        print(
            f"{len(seen.links)} left alone, {seen.links[0]} first:"
            " a link, a pipe or a device is never opened; put a copy of the picture there"
        )


def figures_of(told: Told, seen: Look, release: str, kept: int) -> dict[str, Any]:
    """What was done in this run, and how many inputs have their rows in all."""
    return {
        "release": release,
        "scored": told.scored,
        "set_aside": len(told.set_aside),
        "reasons": told.set_aside[:TOLD],
        "waiting": len(seen.waiting),
        "others": seen.others,
        "links": seen.links[:TOLD],
        "labels": dict(told.labels.most_common()),
        "boxes": dict(told.boxes.most_common()),
        "drawn": told.drawn,
        "all": kept,
    }


def require_apart(inbox: Path, out: Path) -> None:
    """Raise ParamsError where one folder lies in the other: what is drawn would be scored again."""
    one, other = inbox.resolve(), out.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise ParamsError(f"{inbox}, {out}: one lies in the other; keep inbox and predictions apart")


def score_new(seen: Look, models: Models, predictions: Predictions, params: ScoreParams, told: Told) -> None:
    """Score what is new, some pictures at a time; only what becomes of a picture is kept in memory."""
    new = (
        one
        for one in taken(seen.candidates, params.max_megabytes << 20, seen)
        if not predictions.holds(one.file.name, one.digest)
    )
    ready = (make_ready(one, models, predictions, params) for one in new)
    while batch := list(islice(ready, params.batch)):
        score(batch, models, predictions, params, told)
        print(f"{told.scored} scored, {len(told.set_aside)} set aside", flush=True)


def score(
    ready: Sequence[Ready], models: Models, predictions: Predictions, params: ScoreParams, told: Told
) -> None:
    """Predict, draw and set aside; what is kept last are the rows, with which it is done."""
    first, now = predictions.next_id, datetime.datetime.now(tz=datetime.UTC)
    rows = [_row(number, one, now) for number, one in enumerate(ready, start=first)]
    scored = [(row, one) for row, one in zip(rows, ready, strict=True) if one.reason is None]
    if scored:
        _classify(scored, models)
        _find(scored, models)
    for row, one in zip(rows, ready, strict=True):
        place = predictions.place(
            models.about, "drawn" if one.reason is None else "set_aside", row["id"], row["name"]
        )
        if one.reason is None:
            place = place.with_name(f"{place.name}.jpg")
            view, classes = _pixels(one.view), models.about["box_labels"]
            picture = jpeg(drawn(view, row, classes, params.drawn_score_min))
            write_atomically(place, picture, _mode(one.given))
            told.drawn = [*told.drawn, str(place)][:TOLD]
        else:
            _set_aside(place, one)
    predictions.add(rows, models.about)
    told.scored += len(scored)
    told.set_aside += [{"name": row["name"], "why": row["set_aside"]} for row in rows if row["set_aside"]]
    told.labels.update(row["label"] for row, _ in scored if row["label"] is not None)
    for row, _ in scored:
        sure = zip(row["box_labels"], row["box_scores"], strict=True)
        told.boxes.update(name for name, sureness in sure if sureness >= params.drawn_score_min)


def make_ready(given: Input, models: Models, predictions: Predictions, params: ScoreParams) -> Ready:
    """Decode an input for each network, or say why that cannot be."""
    if given.content is None:
        size = f"{given.file.size >> 20} MB, score.max_megabytes is {params.max_megabytes}"
        return Ready(given=given, reason=f"too large: {size}")
    with predictions.trying(given.file.name, given.digest) as died:
        if died < DEATHS:
            return _decoded(given, given.content, models, params)
    return Ready(given=given, reason=f"the process that read it was killed, {died} times")


def _decoded(given: Input, content: bytes, models: Models, params: ScoreParams) -> Ready:
    both = [decode(content, m.form) if m else None for m in (models.classifier, models.detector)]
    known = next(one for one in both if one is not None)
    view = None
    if known.pixels is not None:
        form = next(model.form for model in (models.classifier, models.detector) if model)
        scale = min(1.0, params.drawn_side / max(known.width, known.height))
        width, height = (max(1, round(side * scale)) for side in (known.width, known.height))
        view = decode(content, replace(form, width=width, height=height, channels=3, fit="stretch"))
    for one in (*both, view):
        if one is not None and one.pixels is None:
            return Ready(given=given, reason=f"{', '.join(one.oddities)}: {one.what}")
    return Ready(given=replace(given, content=None), reason=None, decoded=(both[0], both[1]), view=view)


def _row(number: int, one: Ready, now: datetime.datetime) -> Row:
    known = next((decoded for decoded in one.decoded if decoded), None)
    return {
        "id": number,
        "name": one.given.file.name,
        "sha256": one.given.digest,
        "bytes": one.given.file.size,
        "changed_ns": one.given.file.changed_ns,
        "scored_at": now,
        "set_aside": one.reason,
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


def _classify(scored: Sequence[tuple[Row, Ready]], models: Models) -> None:
    """Write labels into the rows."""
    if (model := models.classifier) is None:
        return
    assert isinstance(model.network, Classifier)
    images = np.stack([_pixels(one.decoded[0]) for _, one in scored])  # [N, H, W, C]
    probabilities = predict(model.network, images, compute=models.compute).numpy()  # [N, K]
    for (row, _), of in zip(scored, probabilities, strict=True):
        best = int(of.argmax())
        row |= {
            "label": model.config["classes"][best],
            "probability": float(of[best]),
            "probabilities": of.tolist(),
        }


def _find(scored: Sequence[tuple[Row, Ready]], models: Models) -> None:
    """Write boxes into the rows, the surest first; what lies beside the picture alone is left out."""
    if (model := models.detector) is None:
        return
    images = np.stack([_pixels(one.decoded[1]) for _, one in scored])  # [N, H, W, C]
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


def _set_aside(place: Path, one: Ready) -> None:
    """A copy of the file, unless it is too large, and the reason beside it."""
    if one.given.content is not None:
        write_atomically(place, one.given.content, _mode(one.given))
    text = f"{one.given.file.name}: {one.reason}\n"
    write_atomically(place.with_name(f"{place.name}.txt"), text.encode())


def _mode(given: Input) -> int:
    """What is made of a picture may be read by those who may read the picture, and by its maker."""
    return given.file.mode & 0o666 | 0o600
