"""Where a detector looks: networks whose answer depends on a place that is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stages.core.packed import load_detection
from stages.detector.network import Detection, detect, load_detector
from stages.networks.compute import Compute
from stages.prediction.saliency import Heat, Masks, box_saliency
from tests.stages.train_detector.test_stage import train, write_data

SIZE = (48, 64)
TARGET: Detection = (
    np.array([[8, 8, 24, 24], [40, 20, 60, 44]], dtype=np.float32),
    np.array([0, 1]),
    np.array([0.9, 0.8], dtype=np.float32),
)
CLUES = ((12, 12, 18, 18), (24, 44, 30, 50))
"""Top, left, bottom and right of what each of the boxes hangs on; the second one's is not at its middle."""
COMPUTE = Compute(device=torch.device("cpu"), dtype=torch.float32)


class ByClues(nn.Module):
    """Finds each box of `TARGET` as surely as its clue is bright."""

    config: dict[str, object] = {}  # noqa: RUF012 - as a detector has it

    def forward(self, images: list[Tensor], _given: object) -> list[dict[str, Tensor]]:
        boxes, labels = torch.from_numpy(TARGET[0]), torch.from_numpy(TARGET[1]) + 1
        found = []
        for image in images:
            bright = [image[:, top:bottom, left:right].mean() for top, left, bottom, right in CLUES]
            found.append({"boxes": boxes, "labels": labels, "scores": torch.stack(bright)})
        return found


class Blind(nn.Module):
    """Finds nothing."""

    config: dict[str, object] = {}  # noqa: RUF012 - as a detector has it

    def forward(self, images: list[Tensor], _given: object) -> list[dict[str, Tensor]]:
        nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "scores": torch.zeros(0)}
        return [nothing for _ in images]


def picture() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Dark, with a bright patch where the clues are, and one that no box hangs on."""
    drawn = np.full((*SIZE, 3), 10, np.uint8)
    for top, left, bottom, right in (*CLUES, (2, 52, 10, 60)):
        drawn[top:bottom, left:right] = 240
    return drawn


def saliency(network: nn.Module, *, batch: int = 50, masks: Masks = Masks(count=400)) -> Heat:  # noqa: B008
    return box_saliency(network, picture(), TARGET, masks=masks, compute=COMPUTE, batch=batch)


def test_the_hottest_place_of_each_box_is_what_it_hangs_on() -> None:
    heats = saliency(ByClues())
    assert heats.shape == (2, *SIZE)
    assert heats.min() == 0
    assert heats.max() == 1
    for heat, (top, left, bottom, right) in zip(heats, CLUES, strict=True):
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        assert top <= y < bottom
        assert left <= x < right
        elsewhere = heat[2:10, 52:60].mean()  # as bright, and no clue
        assert heat[top:bottom, left:right].mean() > 2 * elsewhere


def test_the_same_seed_gives_the_same_bytes_whatever_the_batch() -> None:
    first, again, other = saliency(ByClues()), saliency(ByClues()), saliency(ByClues(), batch=7)
    assert first.tobytes() == again.tobytes()
    np.testing.assert_allclose(other, first, atol=1e-6)
    assert saliency(ByClues(), masks=Masks(count=400, seed=1)).tobytes() != first.tobytes()


@pytest.mark.parametrize("count", [1, 30])
def test_a_box_that_is_never_found_again_has_no_hot_place(count: int) -> None:
    assert not saliency(Blind(), masks=Masks(count=count)).any()


@pytest.mark.slow
def test_a_trained_detector_looks_at_what_it_finds(tmp_path: Path) -> None:
    """The pointing game (Zhang et al. 2016): how often the hottest place lies in the box."""
    write_data(tmp_path / "data")
    out = train(tmp_path / "data", tmp_path / "out", epochs=40, validate_every=40, augmentations=[])
    val = load_detection(tmp_path / "data", "val")
    network = load_detector(out / "model.safetensors")
    hits = []
    for image, found in zip(val.images, detect(network, val.images, COMPUTE, 8), strict=True):
        target: Detection = (found[0][:3], found[1][:3], found[2][:3])
        sure = target[2] > 0.3
        target = (target[0][sure], target[1][sure], target[2][sure])
        heats = box_saliency(network, image, target, masks=Masks(count=150), compute=COMPUTE, batch=50)
        for (x1, y1, x2, y2), heat in zip(target[0], heats, strict=True):
            y, x = np.unravel_index(heat.argmax(), heat.shape)
            hits.append(x1 - 1 <= x <= x2 and y1 - 1 <= y <= y2)
    assert len(hits) >= 5
    assert np.mean(hits) >= 0.8
