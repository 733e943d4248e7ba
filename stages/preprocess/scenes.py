"""Detection scenes composed of classified pictures: items on textured grounds, with exact boxes."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from stages.core.errors import ParamsError
from stages.sources.composed import SceneParams

BAR_SECONDS = 10  # between two lines of progress that no terminal shows
TRIES = 12
"""Places tried for an item before it is left out: more find room only in scenes already crowded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenes:
    """Composed pictures with the boxes of their items."""

    images: npt.NDArray[np.uint8]
    """[M, S, S, C]."""
    boxes: list[npt.NDArray[np.float32]]
    """A scene's boxes [K, 4]: xyxy, absolute pixels."""
    labels: list[npt.NDArray[np.int64]]
    """A scene's labels [K]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    """An item cut to its tight box."""

    color: npt.NDArray[np.float32]
    """[h, w, C], already multiplied by `alpha`."""
    alpha: npt.NDArray[np.float32]
    """[h, w, 1]."""

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        return self.alpha[..., 0] >= 0.5  # [h, w]


def compose_scenes(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    *,
    count: int,
    params: SceneParams,
    seed: int,
) -> Scenes:
    """`count` scenes of the pictures [N, H, W, C] with `labels` [N]; the seed decides every pixel.

    An item is a picture's pixels above `mask_threshold`; its box is the tight box of those pixels as
    pasted, covered or not. Every picture is used once before any is used again.

    Raises:
        ParamsError: The largest item would not fit into a scene.

    """
    largest, side = params.largest_item(images.shape[1:3]), params.side_for(images.shape[1:3])
    if largest > side:
        raise ParamsError(
            f"preprocess.detection.side: {side} px cannot hold items of {largest} px "
            f"({max(images.shape[1:3])} px pictures times scale_max {params.scale_max}): "
            "raise side or lower scale_max"
        )
    rng = np.random.default_rng(seed)
    order = _endless_permutations(rng, len(images))
    scenes = np.empty((count, side, side, images.shape[3]), dtype=np.uint8)
    boxes, scene_labels = [], []
    pace = 0.1 if sys.stderr.isatty() else BAR_SECONDS
    for scene in tqdm(scenes, "scenes", leave=False, mininterval=pace, maxinterval=pace, delay=pace):
        chosen = [next(order) for _ in range(rng.integers(params.items_min, params.items_max + 1))]
        canvas = _background(rng, side, images.shape[3])
        placed = _place_items(rng, canvas, images, chosen, params)
        scene[:] = np.rint(canvas)
        boxes.append(np.array([box for _, box in placed], dtype=np.float32).reshape(-1, 4))
        scene_labels.append(np.array([labels[index] for index, _ in placed], dtype=np.int64))
    return Scenes(images=scenes, boxes=boxes, labels=scene_labels)


def _endless_permutations(rng: np.random.Generator, length: int) -> Iterator[int]:
    while True:
        yield from rng.permutation(length).tolist()


def _place_items(
    rng: np.random.Generator,
    canvas: npt.NDArray[np.float32],
    images: npt.NDArray[np.uint8],
    chosen: list[int],
    params: SceneParams,
) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Paste the chosen pictures into `canvas` [S, S, C]; those that found room, each with its box."""
    owner = np.full(canvas.shape[:2], -1)  # which item a pixel shows
    sizes: list[int] = []  # pixels of each item placed so far
    placed = []
    for index in chosen:
        item = _cut_out(rng, images[index], params)
        if item is None:
            continue
        position = _find_room(rng, owner, sizes, item.mask, params.min_visible)
        if position is None:
            continue
        x, y = position
        height, width = item.mask.shape
        window = canvas[y : y + height, x : x + width]
        window[:] = item.color + (1 - item.alpha) * window
        owner[y : y + height, x : x + width][item.mask] = len(sizes)
        sizes.append(int(item.mask.sum()))
        placed.append((index, (x, y, x + width, y + height)))
    return placed


def _find_room(
    rng: np.random.Generator,
    owner: npt.NDArray[np.int64],
    sizes: list[int],
    mask: npt.NDArray[np.bool_],
    min_visible: float,
) -> tuple[int, int] | None:
    """A random place (x, y) where `mask` leaves enough of every earlier item visible."""
    height, width = mask.shape
    visible = np.bincount(owner.ravel() + 1, minlength=len(sizes) + 1)[1:]  # [items placed]
    for _ in range(TRIES):
        x = int(rng.integers(owner.shape[1] - width + 1))
        y = int(rng.integers(owner.shape[0] - height + 1))
        covered = owner[y : y + height, x : x + width][mask] + 1
        hidden = np.bincount(covered, minlength=len(sizes) + 1)[1:]
        if np.all(visible - hidden >= min_visible * np.array(sizes)):
            return x, y
    return None


def _cut_out(rng: np.random.Generator, image: npt.NDArray[np.uint8], params: SceneParams) -> _Item | None:
    """The picture's item at a random size and brightness; None where nothing is above the threshold."""
    scale = np.exp(rng.uniform(np.log(params.scale_min), np.log(params.scale_max)))
    brightness = rng.uniform(params.brightness_min, params.brightness_max)
    belongs = (image.max(axis=2, keepdims=True) > params.mask_threshold).astype(np.float32)
    # What does not belong is black, so the resized picture is the color times alpha: no dark fringe.
    color = _resize(np.clip(image * belongs * np.float32(brightness), 0, 255), scale)
    alpha = _resize(belongs, scale)
    rows, columns = np.nonzero(alpha[..., 0] >= 0.5)
    if len(rows) == 0:
        return None
    tight = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return _Item(color=color[tight], alpha=alpha[tight])


def _resize(image: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.float32]:
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    # Averaging areas keeps thin parts of shrunken items; it does not interpolate when enlarging.
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), dtype=np.float32)
    return resized.reshape(height, width, image.shape[2])  # cv2 drops a single channel


def _background(rng: np.random.Generator, size: int, channels: int) -> npt.NDArray[np.float32]:
    """A texture between two random colors, [S, S, C]."""
    texture = TEXTURES[rng.integers(len(TEXTURES))](rng, size)[..., None]
    low, high = rng.uniform(0, 255, (2, channels)).astype(np.float32)
    return np.asarray(low + (high - low) * texture, dtype=np.float32)


def _plane(rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    """Distance in pixels along a random direction, from the scene's centre: [S, S]."""
    angle = rng.uniform(0, 2 * np.pi)
    along = np.arange(size, dtype=np.float32) - (size - 1) / 2
    plane = along[:, None] * np.sin(angle) + along[None, :] * np.cos(angle)
    return np.asarray(plane, dtype=np.float32)


def _gradient(rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    return np.asarray(np.clip(_plane(rng, size) / size + 0.5, 0, 1), dtype=np.float32)


def _stripes(rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    period = rng.uniform(4, size / 2)
    return np.asarray(0.5 + 0.5 * np.sin(_plane(rng, size) * (2 * np.pi / period)), dtype=np.float32)


def _checks(rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    period = rng.uniform(8, size / 2)
    angle = rng.uniform(0, np.pi / 2)
    along = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * np.float32(2 * np.pi / period)
    u = along[:, None] * np.sin(angle) + along[None, :] * np.cos(angle)
    v = along[:, None] * np.cos(angle) - along[None, :] * np.sin(angle)
    return np.asarray(np.sin(u) * np.sin(v) > 0, dtype=np.float32)


def _noise(rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    """Noise of one random grain, from single pixels to blotches of a third of the scene."""
    cells = int(np.exp(rng.uniform(np.log(3), np.log(size))))
    grain = rng.random((cells, cells), dtype=np.float32)
    resized = cv2.resize(grain, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(resized, 0, 1), dtype=np.float32)


def _clouds(rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    """Noise of several grains at once, the coarser the stronger."""
    layers = [cv2.resize(rng.random((n, n), dtype=np.float32), (size, size)) / n for n in (3, 6, 12, 24)]
    clouds = np.sum(layers, axis=0)
    return np.asarray((clouds - clouds.min()) / (clouds.max() - clouds.min()), dtype=np.float32)


TEXTURES = (_gradient, _stripes, _checks, _noise, _clouds)
