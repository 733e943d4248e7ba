"""A made-up scene with shapes of all sizes, for tests of what looks at pictures."""

import cv2
import numpy as np


def scenery(height=120, width=160, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(
            rng.random((n * height // width, n, channels)), (width, height), interpolation=cv2.INTER_CUBIC
        )
        for n in (6, 14, 40)
    ]
    scene = sum(
        layer.reshape(height, width, channels) * w for layer, w in zip(layers, (3, 2, 1), strict=True)
    )
    scene = (scene - scene.min()) / (scene.max() - scene.min())
    for _ in range(12):
        centre = tuple(int(v) for v in rng.integers(0, (width, height)))
        colour = rng.random(channels).tolist()
        scene = np.ascontiguousarray(scene)
        cv2.circle(scene, centre, int(rng.integers(3, 12)), colour, -1)
    return (scene.reshape(height, width, channels) * 255).astype(np.uint8)


def moved(picture, degrees=0.0, across=0.0, down=0.0, scale=1.0):
    height, width, channels = picture.shape
    motion = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    motion[:, 2] += across, down
    turned = cv2.warpAffine(
        picture, motion, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    return turned.reshape(height, width, channels)


def half_blurred(picture, sigma=2.5):
    blurred = cv2.GaussianBlur(picture, (0, 0), sigma).reshape(picture.shape)
    middle = picture.shape[1] // 2
    left, right = picture.copy(), blurred.copy()
    left[:, middle:], right[:, middle:] = blurred[:, middle:], picture[:, middle:]
    return np.stack([left, right])
