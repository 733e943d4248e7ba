"""Filling the missing part of a picture: from its surroundings, or with another picture that is made to fit.

Pictures are uint8 or uint16 [H, W, C], C 1 or 3; what is missing is a mask bool [H, W]. Known pixels stay as
they are.
"""

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve

from stages.fusion.pixels import Pictures, peak

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

FLAGS = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}


def filled(
    picture: Pictures, missing: Mask, method: Literal["telea", "navier-stokes"], radius: float
) -> Pictures:
    """The picture with its missing part painted in from what surrounds it, by OpenCV.

    telea: A. Telea 2004, "An image inpainting technique based on the fast marching method"; navier-stokes: M.
    Bertalmio et al. 2001, "Navier-Stokes, fluid dynamics, and image and video inpainting". Both continue
    edges and suit scratches, letters and small spots. `radius`: how far in pixels they look.
    """
    mask = missing.astype(np.uint8)
    if picture.dtype == np.uint8:
        painted = cv2.inpaint(picture, mask, radius, FLAGS[method])
    else:  # OpenCV takes 16 bits channel by channel
        channels = [
            cv2.inpaint(np.ascontiguousarray(picture[..., channel]), mask, radius, FLAGS[method])
            for channel in range(picture.shape[2])
        ]
        painted = np.stack(channels, axis=-1)
    return np.where(missing[..., None], painted.reshape(picture.shape), picture)


def blended(picture: Pictures, drawn: Pictures, missing: Mask) -> Pictures:
    """The picture with its missing part taken from `drawn` [H, W, C], without a seam.

    What the two differ by at the hole's edge is continued into the hole as smoothly as can be and added: so
    colours meet, and the drawn details stay. That is P. Pérez et al. 2003, "Poisson image editing", by its
    membrane (Z. Farbman et al. 2009, "Coordinates for instant image cloning").
    """
    difference = membrane(picture.astype(np.float64) - drawn, missing)
    mended = np.rint(drawn + difference).clip(0, peak(picture)).astype(picture.dtype)
    return np.where(missing[..., None], mended, picture)


def membrane(values: Floats, missing: Mask) -> Floats:
    """The values [H, W, C], in the missing part continued so that each is the mean of its neighbours.

    Beyond the picture's edge nothing pulls. At least one pixel must be known.
    """
    height, width = missing.shape
    numbers = np.full(missing.shape, -1)
    numbers[missing] = np.arange(missing.sum())
    own_rows, own_columns = np.nonzero(missing)
    count = len(own_rows)
    neighbours, bounds = np.zeros(count), np.zeros((count, values.shape[2]))
    rows, columns = [np.arange(count)], [np.arange(count)]
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        y, x = own_rows + down, own_columns + right
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = y.clip(0, height - 1), x.clip(0, width - 1)
        unknown, known = inside & missing[y, x], inside & ~missing[y, x]
        neighbours += inside
        bounds[known] += values[y[known], x[known]]
        rows.append(np.flatnonzero(unknown))
        columns.append(numbers[y[unknown], x[unknown]])
    weights = [neighbours, *(np.full(len(part), -1.0) for part in rows[1:])]
    places = np.concatenate(rows), np.concatenate(columns)
    laplacian = coo_array((np.concatenate(weights), places), shape=(count, count)).tocsc()
    continued = values.copy()
    continued[missing] = spsolve(laplacian, bounds).reshape(count, -1)
    return continued
