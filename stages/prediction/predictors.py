"""A trained model that is asked about pictures, and its answers.

The code of `preprocess` first brings each picture into the form of the training pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from torch import nn

from stages.classifier.network import Classifier, ask, attributes_of, features_of, thresholds_of
from stages.core.errors import DataError
from stages.core.params import ComputeParams, load_params
from stages.detector.network import Detection, detect
from stages.intake.decoding import decode
from stages.intake.form import Form
from stages.intake.geometry import Pixels, fit_picture, place, unfit_boxes
from stages.networks.compute import Compute, prepare
from stages.prediction.answers import BATCH, DATA, PARAMS, Attribute, Box, Classified, Detected, Unread
from stages.prediction.merging import fuse_boxes, mirrored
from stages.prediction.models import TrainedModel, classifier_of, detector_of
from stages.prediction.neighbours import KnownPictures, known_pictures
from stages.prediction.video import Frame
from stages.sources.preparation import PreprocessParams

Given = str | Path | Pixels | Frame
"""A picture: the path of its file, [H, W, 3] (RGB) or [H, W] in uint8, or a frame of a video."""

MOST_BOXES = 200
"""The most boxes of one picture: the surest are kept."""
SCALES = (0.83, 1.2)
"""Other sizes in which an augmented detector looks at a picture, by the usual one."""
SIDES = 8
"""Sides of pictures in those sizes are multiples of so many pixels, as are most strides of the networks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """A picture in the form that the network takes."""

    name: str
    width: int
    height: int
    pixels: Pixels
    others: tuple[Pixels, ...] = ()
    """The pixels in other sizes, where the model looks at several."""


Found = TypeVar("Found", Classified, Detected)


class _Predictor(Generic[Found]):
    """What both kinds of models have in common."""

    def __init__(self, model: TrainedModel, compute: Compute) -> None:
        self._model, self._compute = model, compute

    @property
    def classes(self) -> list[str]:
        """The names of the classes that the model knows."""
        return list(self._model.config["classes"])

    def predict(self, pictures: Iterable[Given], *, batch: int = BATCH) -> Iterator[Found | Unread]:
        """An answer for each picture, in the order given; `batch` of them go through the network together.

        A picture that cannot be read is no error: its answer says why.

        Raises:
            DataError: An array is no picture.
            ModelError: What the network predicts is not finite.

        """
        ready = (self.in_form(number, given) for number, given in enumerate(pictures, start=1))
        while group := list(islice(ready, batch)):
            readable = [one for one in group if isinstance(one, Ready)]
            answers = iter(self.answers_to(readable) if readable else [])
            yield from (next(answers) if isinstance(one, Ready) else one for one in group)

    @property
    def form(self) -> Form:
        """The form that pictures are brought to."""
        return self._model.form

    @property
    def compute(self) -> Compute:
        """The place where the network computes."""
        return self._compute

    def in_form(self, number: int, given: Given) -> Ready | Unread:
        """A picture as `answers_to` takes it; `number` names an array. One that cannot be read is no error.

        Raises:
            DataError: An array is no picture.

        """
        return in_form(number, given, self.form)

    def answers_to(self, ready: Sequence[Ready]) -> list[Found]:
        """The answers to pictures that are in the model's form; at least one."""
        raise NotImplementedError


class ClassifierPredictor(_Predictor[Classified]):
    """A trained classifier: `load_classifier` makes one."""

    def __init__(
        self, model: TrainedModel, compute: Compute, *, known: KnownPictures | None = None, nearest: int = 0
    ) -> None:
        """Answers name so many of the `known` pictures that are `nearest`."""
        super().__init__(model, compute)
        self.known, self._nearest = known, nearest

    @property
    def network(self) -> Classifier:
        """The network itself."""
        assert isinstance(self._model.network, Classifier)
        return self._model.network

    def answers_to(self, ready: Sequence[Ready]) -> list[Classified]:
        """The classes of pictures that are in the model's form."""
        images = np.stack([one.pixels for one in ready])  # [N, H, W, C]
        found = ask(self.network, images, compute=self._compute)
        rows = zip(ready, found.classes.tolist(), found.attributes.tolist(), strict=True)
        answers = [self._answer(one, row, attributes) for one, row, attributes in rows]
        if self.known is None:
            return answers
        features = features_of(self.network, images, self._compute, len(images))
        nearest = self.known.nearest(features, self._nearest)
        return [replace(answer, nearest=own) for answer, own in zip(answers, nearest, strict=True)]

    @property
    def attributes(self) -> list[str]:
        """The names of the attributes that the model knows."""
        return attributes_of(self._model.config)

    def _answer(self, one: Ready, row: list[float], attributes: list[float]) -> Classified:
        by_class = sorted(zip(self.classes, row, strict=True), key=lambda pair: -pair[1])
        label, probability = by_class[0] if by_class else (None, None)
        thresholds = thresholds_of(self._model.config)
        by_probability = sorted(
            zip(self.attributes, attributes, thresholds, strict=True), key=lambda each: -each[1]
        )
        return Classified(
            picture=one.name,
            width=one.width,
            height=one.height,
            label=label,
            probability=probability,
            probabilities=dict(by_class),
            attributes={
                name: Attribute(probability=share, present=share >= least)
                for name, share, least in by_probability
            },
        )


class DetectorPredictor(_Predictor[Detected]):
    """A trained detector: `load_detector` makes one."""

    @property
    def network(self) -> nn.Module:
        """The network itself."""
        return self._model.network

    def answers_to(self, ready: Sequence[Ready]) -> list[Detected]:
        """What is found in pictures that are in the model's form."""
        images = np.stack([one.pixels for one in ready])
        found = self._found(ready, images, self.form)
        return [self._answer(one, each) for one, each in zip(ready, found, strict=True)]

    def _found(
        self, ready: Sequence[Ready], images: Pixels, form: Form, *, flipped: bool = False
    ) -> list[Detection]:
        """What is found in images [N, H, W, C] of pictures in this form, in pixels of the pictures."""
        found = []
        detections = detect(self._model.network, images, self._compute, len(images))
        for one, (boxes, labels, scores) in zip(ready, detections, strict=True):
            framed = mirrored(boxes, form.width) if flipped else boxes
            corners = unfit_boxes(framed, (one.width, one.height), form.frame, form.fit)
            found.append((corners, labels, scores))
        return found

    def _answer(self, one: Ready, found: Detection) -> Detected:
        corners, labels, scores = found
        boxes = [
            Box(label=self.classes[label], score=float(score), x1=x1, y1=y1, x2=x2, y2=y2)
            for (x1, y1, x2, y2), label, score in zip(corners.tolist(), labels, scores, strict=True)
            if x2 > x1 and y2 > y1  # what lies beside the picture alone is left out
        ]
        return Detected(picture=one.name, width=one.width, height=one.height, boxes=tuple(boxes[:MOST_BOXES]))


class AugmentedDetectorPredictor(DetectorPredictor):
    """A trained detector that looks at each picture in three sizes, and at the mirror image of each.

    Its answers are what `fuse_boxes` makes of the six.
    """

    def in_form(self, number: int, given: Given) -> Ready | Unread:
        """A picture in the sizes that `answers_to` looks at."""
        first = in_form(number, given, self.form)
        if isinstance(first, Unread):
            return first
        others = [in_form(number, given, form) for form in self._other_forms]
        pixels = [one.pixels for one in others if isinstance(one, Ready)]
        return replace(first, others=tuple(pixels))

    def answers_to(self, ready: Sequence[Ready]) -> list[Detected]:
        """What is found in pictures that are in the model's form and in its other sizes."""
        views = zip(*self.views_of(ready), strict=True)
        return [self._answer(one, fuse_boxes(own)) for one, own in zip(ready, views, strict=True)]

    def views_of(self, ready: Sequence[Ready]) -> list[list[Detection]]:
        """What is found in each of the six views, of each picture, in pixels of the pictures."""
        sizes = zip(*((one.pixels, *one.others) for one in ready), strict=True)
        views = []
        for form, pixels in zip([self.form, *self._other_forms], sizes, strict=True):
            images = np.stack(pixels)  # [N, H, W, C]
            views.append(self._found(ready, images, form))
            found = self._found(ready, np.ascontiguousarray(images[:, :, ::-1]), form, flipped=True)
            views.append(found)
        return views

    @property
    def _other_forms(self) -> list[Form]:
        return [
            replace(self.form, height=_side(scale * self.form.height), width=_side(scale * self.form.width))
            for scale in SCALES
        ]


def _side(pixels: float) -> int:
    return max(1, round(pixels / SIDES)) * SIDES


def load_classifier(
    path: str | Path, *, params: str | Path = PARAMS, nearest: int = 0, data: str | Path = DATA
) -> ClassifierPredictor:
    """The classifier in a model file; `params` is the params.yaml that it was trained by.

    Its answers name the `nearest` training pictures, so many of those that preprocess packed in `data`. Their
    features are computed the first time, and kept in .darkroom/features.

    Raises:
        DataError: The training pictures are asked for and are missing or of another form.
        ModelError: The file is no classifier's, or was trained on pictures of another form.
        ParamsError: params.yaml does not fit.

    """
    preprocess, compute = _settings(Path(params))
    model = classifier_of(Path(path), preprocess, compute)
    if not nearest:
        return ClassifierPredictor(model, compute)
    assert isinstance(model.network, Classifier)
    known = known_pictures(model.network, Path(path), Path(data), compute)
    return ClassifierPredictor(model, compute, known=known, nearest=nearest)


def load_detector(
    path: str | Path, *, params: str | Path = PARAMS, augment: bool = False
) -> DetectorPredictor:
    """The detector in a model file; `params` is the params.yaml that it was trained by.

    `augment`: it looks at each picture in three sizes and mirrored: six looks instead of one.

    Raises:
        ModelError: The file is no detector's, or was trained on pictures of another form.
        ParamsError: params.yaml does not fit.

    """
    preprocess, compute = _settings(Path(params))
    kind = AugmentedDetectorPredictor if augment else DetectorPredictor
    return kind(detector_of(Path(path), preprocess, compute), compute)


def _settings(params: Path) -> tuple[PreprocessParams, Compute]:
    preprocess = load_params(params, "preprocess", PreprocessParams)
    return preprocess, prepare(load_params(params, "compute", ComputeParams))


def in_form(number: int, given: Given, form: Form) -> Ready | Unread:
    """A picture as the network takes it; `number` names an array. One that cannot be read is no error.

    Raises:
        DataError: An array is no picture.

    """
    if isinstance(given, Frame):
        return _from_array(given.name, given.pixels, form)
    if isinstance(given, np.ndarray):
        return _from_array(f"#{number}", given, form)
    try:
        decoded = decode(Path(given).read_bytes(), form)
    except OSError as error:
        return Unread(picture=str(given), reason=error.strerror or str(error))
    if decoded.pixels is None:
        return Unread(picture=str(given), reason=f"{', '.join(decoded.oddities)}: {decoded.what}")
    return Ready(name=str(given), width=decoded.width, height=decoded.height, pixels=decoded.pixels)


def _from_array(name: str, array: Pixels, form: Form) -> Ready:
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or (array.ndim == 3 and array.shape[2] not in (1, 3))
    ):
        raise DataError(
            f"picture {name}: {array.dtype} {list(array.shape)} is no picture; give uint8 [H, W, 3] or [H, W]"
        )
    picture = array if array.ndim == 3 else array[:, :, None]
    if picture.shape[2] != form.channels:
        grey = picture if picture.shape[2] == 1 else np.round(picture @ _LUMA)[:, :, None].astype(np.uint8)
        picture = grey if form.channels == 1 else np.repeat(grey, form.channels, axis=2)
    height, width = picture.shape[:2]
    placed = place((width, height), form.frame, form.fit)
    pixels = fit_picture(np.ascontiguousarray(picture), placed, form.frame, form.ground)
    return Ready(name=name, width=width, height=height, pixels=pixels)


_LUMA = np.array([0.299, 0.587, 0.114])
"""Grey of red, green and blue: ITU-R BT.601, as Pillow converts."""
