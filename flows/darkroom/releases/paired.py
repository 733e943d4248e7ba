"""Two models on the same pictures: how certain the difference of a metric is.

The models are compared picture by picture, or on the same draws of pictures, so that hard pictures do not
blur the difference. For a mean over the pictures (accuracy, loss) the values of the single pictures are
enough. Any other metric (F1, average precision, a distance) must have been measured on several draws of the
pictures.
"""

from __future__ import annotations

import io
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from darkroom.base.errors import RepoError
from darkroom.base.text import format_figure
from darkroom.repository.commits import opened_commit

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

SEED = 0
SAME_FIGURE = 5e-3
"""What a metric may be off the mean of its pictures, as a share of it: it may have been rounded."""

_BLOCK = 5_000_000  # numbers that are drawn at once
_MEAN = re.compile(r"(\w+)(?:\s*(==|!=|<=|>=|<|>)\s*(\w+|-?\d+(?:\.\d+)?))?")
_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


class Pictures(BaseModel):
    """The place where a metric's figure of each picture is found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    results: Annotated[str, Field(min_length=1)]
    """A CSV file with a row a picture, always in the same order; or with a row a half of the pictures."""
    mean: Annotated[str, Field(pattern=f"^{_MEAN.pattern}$")] | None = None
    """What the metric is the mean of: a column, or a comparison: `actual == predicted`, `rank <= 5`."""
    draws: Annotated[str, Field(min_length=1)] | None = None
    """The column that holds the metric as it is in halves of the pictures, the same ones for both models.

    Every second is the other half of the one before.
    """
    of: Annotated[str, Field(min_length=1)]
    """The test data, a file or folder: by pictures two models are compared where it is the same for both."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Pictures:
        if (self.mean is None) == (self.draws is None):
            raise ValueError("either `mean` or `draws` tells what of the results is compared")
        return self


class NotPairedError(Exception):
    """Why two models cannot be compared picture by picture."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's figures of each picture, or draw of the pictures."""

    figures: Floats
    """[N], in the order of the test data; or [R]."""
    tested: Mapping[str, str]
    """The hashes of the files of the test data."""
    metric: float
    """The metric over all test pictures, as the metrics file has it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The new metric less the released one, with its interval."""

    change: float
    low: float
    high: float
    by: str
    """How many pictures, or draws of them, the interval is made from."""
    confidence: float

    def __str__(self) -> str:
        share, low, high = f"{100 * self.confidence:g} %", format_figure(self.low), format_figure(self.high)
        return f"{share} interval of the change {low} to {high}, {self.by}"


def measure_model(root: Path, commit: str, wanted: Pictures, metric: float | None) -> Measured:
    """What a commit holds of its model, whose metric must be the mean of it.

    Raises:
        NotPairedError: The commit lacks the metric or its results, or the metric is not their mean.

    """
    try:
        with opened_commit(root, commit) as held:
            tested, content = held.hashes(wanted.of), held.read(wanted.results)
    except RepoError as error:
        raise NotPairedError(f"{commit[:12]}: {error}") from error
    figures = figures_of(content, wanted)
    if metric is None:
        raise NotPairedError(f"{commit[:12]}: it has no such metric")
    mean = float(figures.mean()) if len(figures) else math.nan
    if wanted.draws is None and not math.isclose(mean, metric, rel_tol=SAME_FIGURE, abs_tol=1e-9):
        raise NotPairedError(
            f"{commit[:12]}: the mean of {wanted.mean} is {format_figure(mean)},"
            f" the metric {format_figure(metric)}"
        )
    return Measured(figures, tested, metric)


def difference_of(
    wanted: Pictures, then: Measured, now: Measured, *, confidence: float, resamples: int
) -> Difference:
    """The change from `then` to `now`, by what `wanted` says of the pictures: their draws, or means of them.

    Raises:
        NotPairedError: The two cannot be compared picture by picture.

    """
    if wanted.draws is not None:
        return difference_in_draws(then, now, confidence=confidence)
    return difference_of_means(then, now, confidence=confidence, resamples=resamples)


def difference_of_means(then: Measured, now: Measured, *, confidence: float, resamples: int) -> Difference:
    """The change from `then` to `now` on the same pictures.

    The interval is the paired bootstrap's, by percentiles: pictures are resampled with replacement (Efron
    1979).

    Raises:
        NotPairedError: The test pictures or their number differ, or there are fewer than two.

    """
    from scipy import stats  # a second, which no other run need spend

    if then.tested != now.tested:
        raise NotPairedError("the test pictures are others than the released model's")
    if len(then.figures) != len(now.figures) or len(now.figures) < 2:
        raise NotPairedError(f"{len(now.figures)} results against {len(then.figures)}")
    changes = now.figures - then.figures
    interval = stats.bootstrap(
        (changes,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, _BLOCK // len(changes)),
        vectorized=True,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    by = f"{len(changes):,} pictures"
    return Difference(float(changes.mean()), float(interval.low), float(interval.high), by, confidence)


def difference_in_draws(then: Measured, now: Measured, *, confidence: float) -> Difference:
    """The change of the metric, whose standard deviation is that of the changes in draws of the pictures.

    Two draws that follow each other are the two halves of the pictures. Half the difference of their changes
    deviates as the change does from one test set to the next (McCarthy, "Pseudo-replication: half samples",
    1969).

    Raises:
        NotPairedError: The test pictures or the draws differ, or there are too few draws.

    """
    if then.tested != now.tested:
        raise NotPairedError("the test pictures are others than the released model's")
    if len(then.figures) != len(now.figures):
        raise NotPairedError(f"{len(now.figures)} draws against {len(then.figures)}")
    changes = now.figures - then.figures
    pairs = changes[: len(changes) // 2 * 2].reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    if pairs.size < (least := math.ceil(2 / (1 - confidence))):
        raise NotPairedError(f"{pairs.size} draws are too few for such an interval: {least} at least")
    change = now.metric - then.metric
    reach = (
        NormalDist().inv_cdf((1 + confidence) / 2)
        * float(np.sqrt(np.mean((pairs[:, 0] - pairs[:, 1]) ** 2)))
        / 2
    )
    by = f"{pairs.size:,} halves of the pictures"
    return Difference(change, change - reach, change + reach, by, confidence)


def figures_of(content: bytes, wanted: Pictures) -> Floats:
    """What the metric is the mean of, for each picture [N]; or it in each draw [R], nan where undefined.

    Raises:
        NotPairedError: The results have no such column, or no number in every row.

    """
    import pandas as pd

    column, sign, other = (wanted.draws, "", "") if wanted.mean is None else _parts(wanted.mean)
    try:
        table = pd.read_csv(io.BytesIO(content), na_filter=wanted.mean is None)
        found = table[column] if not sign else _COMPARED[sign](table[column], _operand(table, other))
        figures: Floats = found.to_numpy(dtype=np.float64)
    except (KeyError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        missing = isinstance(error, KeyError)
        raise NotPairedError(f"{wanted.results}: {f'no column {said}' if missing else said}") from error
    if wanted.mean is not None and not np.isfinite(figures).all():
        raise NotPairedError(f"{wanted.results}: {wanted.mean} is no number in every row")
    return figures


def _parts(mean: str) -> tuple[str, str, str]:
    """Column, sign and other side, the last two empty where the mean is the column's."""
    found = _MEAN.fullmatch(mean)
    assert found is not None  # as `Pictures` has it
    column, sign, other = found.groups(default="")
    return column, sign, other


def _operand(table: pd.DataFrame, text: str) -> Any:
    """A number, or a column."""
    return float(text) if text[0].isdigit() or text[0] == "-" else table[text]
