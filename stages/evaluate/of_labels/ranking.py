"""Pictures of train and val in one order, the most contradicted first."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from stages.core.packed import Split


def ranked(contradictions: Mapping[Split, npt.NDArray[np.float64]]) -> list[tuple[Split, int]]:
    """The splits and rows of pictures whose labels are contradicted so strongly, [N] for each split.

    A model contradicts what it was trained on less than other labels, so pictures are ordered by their place
    within their own split: the first tenth holds the first tenth of each.
    """
    places = [
        ((place + 0.5) / len(values), number, split, int(row))
        for number, (split, values) in enumerate(contradictions.items())
        for place, row in enumerate(np.argsort(-values, kind="stable"))
    ]
    return [(split, row) for _, _, split, row in sorted(places, key=lambda one: one[:2])]
