"""The table: product, independent value, difference."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A figure, and what another computation makes of it."""

    figure: str
    product: float
    independent: float
    by: str
    """The library or the paper behind the independent value."""

    @property
    def difference(self) -> float:
        """Without a sign."""
        return abs(self.product - self.independent)


def compared(
    prefix: str, product: Mapping[str, Any], independent: Mapping[str, float], by: str | Mapping[str, str]
) -> list[Row]:
    """A row for each independent figure, by its name in `product`."""
    return [
        Row(
            figure=f"{prefix}.{name}",
            product=float(product[name]),
            independent=float(value),
            by=by if isinstance(by, str) else by[name],
        )
        for name, value in independent.items()
    ]


def table(rows: Iterable[Row]) -> list[str]:
    """The rows as Markdown."""
    lines = ["| figure | product | independent | difference | by |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.figure} | {row.product:.6g} | {row.independent:.6g} | {row.difference:.1e} | {row.by} |"
        for row in rows
    ]
    return lines


def greatest(rows: Sequence[Row]) -> str:
    """The row that differs most, in words."""
    if not rows:
        return "No figure was compared.\n"
    worst = max(rows, key=lambda row: row.difference)
    return f"{len(rows)} figures; the greatest difference is {worst.difference:.1e}, in {worst.figure}.\n"
