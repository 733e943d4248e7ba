"""Checks whether the pictures of a group are aligned, and aligns them."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from stages.core.errors import DataError
from stages.fusion.params import Registration
from stages.fusion.pixels import Floats, Pictures, eight_bits, grey

Grey = npt.NDArray[np.uint8]

SHIFT = 1.0
"""Pixels: what is moved by less fuses as if it were not."""
ALIKE = 0.8
"""Correlation, at least, of pictures of one scene that lie on each other, in other light or other focus."""

STEPS, PRECISION = 200, 1e-5
"""ECC ends after so many steps, or when one makes the pictures no more alike than that."""
POINTS = 2000
MATCHES = 10
"""How many points must agree: four numbers are estimated from them."""
REPROJECTION = 2.0
"""Pixels by which points that agree may miss each other."""

LOOKED_AT = 640
"""Pixels of the longer side that points are looked for in, where pictures are only checked."""
TURNED = 0.01
"""Share of the longer side: if no corner moves as far, a picture counts neither as turned nor as scaled."""
SEEN = 0.25
"""The least share of the picture that must be in both for their likeness to say anything."""
SMALLEST = 8
"""Pixels of a side that say something of a motion."""


def align(sources: Pictures, names: Sequence[str], registration: Registration) -> Pictures:
    """Sources [S, H, W, C], all but the first moved onto the first; `names` are theirs in errors.

    What lies beyond a moved picture's border is its border, drawn out.

    Raises:
        DataError: `check` finds one moved; `ecc` and `features` find no motion that lays one on the first.

    """
    if registration == "none":
        return sources
    reference, *others = grey(sources)
    if registration == "check":
        for name, other in zip(names[1:], others, strict=True):
            _refuse_moved(reference, other, names[0], name)
        return sources
    find = _by_ecc if registration == "ecc" else _by_features
    motions = []
    for name, other in zip(names[1:], others, strict=True):
        if (motion := find(reference, other)) is None:
            raise DataError(
                f"{name}: cannot be aligned with {names[0]} by {registration}; do they show one scene?"
            )
        motions.append(motion)
    return np.stack([sources[0], *(_move(*pair) for pair in zip(sources[1:], motions, strict=True))])


def shift_between(first: Grey, second: Grey) -> tuple[float, float]:
    """Measure how far `second` [H, W] is moved, in pixels (across, down); (0, 0) if in doubt.

    Found by phase correlation and believed where the pictures are alike then, and more so than before.
    """
    if min(first.shape) < SMALLEST:
        return 0.0, 0.0
    a, b = first.astype(np.float32), second.astype(np.float32)
    window = cv2.createHanningWindow(a.shape[::-1], cv2.CV_32F)
    (across, down), _ = cv2.phaseCorrelate(a - a.mean(), b - b.mean(), window)
    dx, dy = round(across), round(down)
    height, width = a.shape
    if max(2 * abs(dx) - width, 2 * abs(dy) - height) >= 0:  # hardly anything in common
        return 0.0, 0.0
    here = a[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
    there = b[max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    return (across, down) if _correlation(here, there) > max(ALIKE, _correlation(a, b)) else (0.0, 0.0)


def turn_between(first: Grey, second: Grey) -> tuple[float, float] | None:
    """Measure the angle by which `second` [H, W] is turned, in degrees, and its scale; None if in doubt.

    Found by points that both have (see `_by_features`), and believed as `shift_between` believes.
    """
    a, b = (_at_most(LOOKED_AT, picture) for picture in (first, second))
    if (motion := _by_features(a, b)) is None:
        return None
    height, width = a.shape
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], dtype=np.float32)
    farthest = np.linalg.norm(corners @ motion[:, :2].T + motion[:, 2] - corners, axis=1).max()
    seen = _move(np.ones((height, width, 1), np.uint8), motion, cv2.BORDER_CONSTANT)[..., 0] > 0
    if farthest < TURNED * max(a.shape) or seen.mean() < SEEN:
        return None
    there = eight_bits(_move(b[..., np.newaxis], motion)[..., 0])
    if _correlation(a[seen], there[seen]) <= max(ALIKE, _correlation(a, b)):
        return None
    cosine, sine = motion[:, 0]
    return float(np.degrees(np.arctan2(sine, cosine))), float(np.hypot(cosine, sine))


def _at_most(side: int, picture: Grey) -> Grey:
    """A grey picture [H, W], shrunk where its longer side has more pixels."""
    share = min(1.0, side / max(picture.shape))
    width, height = (max(1, round(share * length)) for length in picture.shape[::-1])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _refuse_moved(reference: Grey, other: Grey, reference_name: str, name: str) -> None:
    across, down = shift_between(reference, other)
    if float(np.hypot(across, down)) >= SHIFT:
        raise DataError(
            f"{name}: seems moved against {reference_name} by {across:.1f} pixels across and {down:.1f} "
            "down; register by ecc or features, or by none to take them as they are"
        )
    if (turn := turn_between(reference, other)) is not None:
        degrees, scale = turn
        raise DataError(
            f"{name}: seems moved against {reference_name}, turned by {degrees:.1f} degrees and scaled "
            f"{scale:.2f} times; register by features, or by none to take them as they are"
        )


def _correlation(first: Grey | Floats, second: Grey | Floats) -> float:
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def _by_ecc(reference: Grey, other: Grey) -> Floats | None:
    """Motion [2, 3] from the reference's pixels to the other's: moved and turned.

    Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient
    maximization" (2008); it starts from the shift that phase correlation finds.
    """
    start = np.eye(2, 3, dtype=np.float32)
    start[:, 2] = shift_between(reference, other)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, PRECISION)
    try:
        alike, motion = cv2.findTransformECC(reference, other, start, cv2.MOTION_EUCLIDEAN, criteria)
    except cv2.error:  # it does not converge
        return None
    return np.asarray(motion, dtype=np.float32) if alike > ALIKE else None


def _by_features(reference: Grey, other: Grey) -> Floats | None:
    """Motion [2, 3] from the reference's pixels to the other's: moved, turned and scaled.

    SIFT's points (Lowe 2004), each side's nearest of the other, the motion that most agree on.
    """
    sift = cv2.SIFT.create(POINTS)
    (here, of_here), (there, of_there) = (sift.detectAndCompute(one, None) for one in (reference, other))
    if not here or not there:
        return None
    matches = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(of_here, of_there)
    if len(matches) < MATCHES:
        return None
    start = np.array([here[match.queryIdx].pt for match in matches], dtype=np.float32)
    end = np.array([there[match.trainIdx].pt for match in matches], dtype=np.float32)
    cv2.setRNGSeed(0)  # it draws samples
    motion, agree = cv2.estimateAffinePartial2D(start, end, ransacReprojThreshold=REPROJECTION)
    return None if motion is None or agree.sum() < MATCHES else np.asarray(motion, dtype=np.float32)


def _move(picture: Pictures, motion: Floats, border: int = cv2.BORDER_REPLICATE) -> Pictures:
    """A picture [H, W, C] as seen from the reference."""
    height, width = picture.shape[:2]
    moved = cv2.warpAffine(
        picture,
        motion,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    return moved.reshape(picture.shape).astype(picture.dtype, copy=False)
