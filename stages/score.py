"""New pictures of an inbox through trained models: predictions as Parquet and COCO JSON, drawn pictures.

in   the folder `inbox`, the model files, params.yaml of the commit that they were trained at
out  the folder `out`, as stages/predictions.py describes it; figures of this run as JSON
run  python -m stages.score --help

Each picture is brought into the form that the models were trained on, by the code of `preprocess`. Each input
gets one row, whenever this is killed. One that cannot be read gets its row with the reason. Without a
classifier, or where it was trained on crops of boxes, pictures get no label; without a detector no boxes.
"""

import datetime
import io
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import Field
from torch import nn

from stages.checkpoints import load_model, write_atomically, write_json
from stages.command import run_stage
from stages.compute import Compute, prepare
from stages.decoding import Decoded, Form, decode
from stages.errors import DataError, LibraryError, ModelError, ParamsError
from stages.geometry import Pixels, unfit_boxes
from stages.inbox import Input, Look, look, taken
from stages.libraries import check_libraries
from stages.models.classifier import Classifier, build_classifier, predict
from stages.models.detector import build_detector, detect
from stages.params import ComputeParams, StageParams, load_params
from stages.predictions import Predictions, Row, opened
from stages.preparation import ComposedParams, PreprocessParams, form_of
from stages.sheets import PALETTE, draw_boxes, image_grid
from stages.sources.crops import CropsParams

DRAWN_LEAST = 256  # px: smaller pictures are enlarged until their captions can be read
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
class Model:
    """A trained network and the form of the pictures that it was trained on."""

    network: nn.Module
    config: dict[str, Any]
    form: Form


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """What pictures are shown to."""

    classifier: Model | None
    detector: Model | None
    compute: Compute
    release: str

    @property
    def about(self) -> dict[str, Any]:
        """What is told of the models beside their predictions."""
        labels = [model.config["classes"] if model else [] for model in (self.classifier, self.detector)]
        return {"release": self.release, "labels": labels[0], "box_labels": labels[1]}


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
    """Score the pictures of INBOX that are new and have been quiet for QUIET_SECONDS; add them to OUT.

    `release` names the models in the tables; `figures` is a file for what was done.
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


def figures_of(told: Told, seen: Look, release: str, kept: int) -> dict[str, Any]:
    """What was done in this run, and how many inputs have their rows in all."""
    return {
        "release": release,
        "scored": told.scored,
        "set_aside": len(told.set_aside),
        "reasons": told.set_aside[:TOLD],
        "waiting": len(seen.waiting),
        "others": seen.others,
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


def load_models(params: Path, classifier: Path | None, detector: Path | None, release: str) -> Models:
    """The models, and how their pictures are prepared.

    Raises:
        ParamsError: neither is given, or params.yaml does not fit.
        ModelError: a file that is no such model, or was trained on pictures of another form.

    """
    if classifier is None and detector is None:
        raise ParamsError("--classifier, --detector: give at least one of them")
    how = load_params(params, "preprocess", PreprocessParams)
    compute = prepare(load_params(params, "compute", ComputeParams))
    try:
        check_libraries(params)
    except LibraryError as error:  # no reason to let pictures wait
        print(f"warning: predictions may differ in their last digits: {error}", file=sys.stderr)
    classified = how.classification
    by_whole = classifier is not None and not isinstance(classified, CropsParams)
    if detector is None and not by_whole:
        raise ParamsError(
            "--classifier: it was trained on crops of boxes; give a --detector, which finds them"
        )
    return Models(
        classifier=_classifier(classifier, how, compute) if classifier and by_whole else None,
        detector=_detector(detector, how, compute) if detector else None,
        compute=compute,
        release=release,
    )


def _classifier(path: Path, how: PreprocessParams, compute: Compute) -> Model:
    network, config = _load(path, "classifier", build_classifier, compute)
    trained = (*config["size"], len(config["mean"]))
    assert not isinstance(how.classification, CropsParams)
    form = form_of(how.classification, how.policy, trained)
    _require_form(path, form, trained)
    return Model(network=network, config=config, form=form)


def _detector(path: Path, how: PreprocessParams, compute: Compute) -> Model:
    network, config = _load(path, "detector", build_detector, compute)
    params = how.detection
    height, width = [params.side] * 2 if isinstance(params, ComposedParams) else params.shape
    trained = (height, width, config["channels"])
    form = form_of(params, how.policy, trained)
    _require_form(path, form, trained)
    return Model(network=network, config=config, form=form)


def _load(
    path: Path, kind: str, build: Callable[[dict[str, Any]], nn.Module], compute: Compute
) -> tuple[nn.Module, dict[str, Any]]:
    """The network on its device, and the config that it was built from."""
    held: dict[str, Any] = {}

    def build_and_keep(config: dict[str, Any]) -> nn.Module:
        held.update(config)
        return build(config)

    network = load_model(path, kind=kind, build=build_and_keep)
    return compute.network(network), held


def _require_form(path: Path, form: Form, trained: tuple[int, int, int]) -> None:
    asked = (form.height, form.width, form.channels)
    if asked != trained:
        raise ModelError(
            f"{path}: was trained on pictures of {' x '.join(map(str, trained))}, section preprocess says"
            f" {' x '.join(map(str, asked))}; run the pipeline and release again"
        )


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
            write_atomically(place, jpeg(drawn(row, one, models, params)))
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


def drawn(row: Row, one: Ready, models: Models, params: ScoreParams) -> Image.Image:
    """The picture with the boxes that are sure enough, its label under it."""
    view = _pixels(one.view)
    sure = [n for n, sureness in enumerate(row["box_scores"]) if sureness >= params.drawn_score_min]
    scale = np.array([view.shape[1] / row["width"], view.shape[0] / row["height"]] * 2)
    boxes = np.array([row["boxes"][n] for n in sure]).reshape(-1, 4) * scale
    captions = [f"{row['box_labels'][n]} {row['box_scores'][n]:.2f}" for n in sure]
    known = models.about["box_labels"]
    colours = [PALETTE[known.index(row["box_labels"][n]) % len(PALETTE)] for n in sure]
    enlarged = max(1, DRAWN_LEAST // max(view.shape[:2]))
    picture = draw_boxes(view, boxes, captions, enlarged, colours)
    if row["label"] is None:
        return picture
    return image_grid([np.asarray(picture)], 1, titles=[f"{row['label']} {row['probability']:.2f}"])


def jpeg(image: Image.Image) -> bytes:
    """The picture as the content of a file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _set_aside(place: Path, one: Ready) -> None:
    """A copy of the file, unless it is too large, and the reason beside it."""
    if one.given.content is not None:
        write_atomically(place, one.given.content)
    text = f"{one.given.file.name}: {one.reason}\n"
    write_atomically(place.with_name(f"{place.name}.txt"), text.encode())


if __name__ == "__main__":
    run_stage(main)
