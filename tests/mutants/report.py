"""The page of a set: how many faults each module got, and how many of them were noticed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.machine import describe


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleFaults:
    """What became of the faults in one module, or in all of them."""

    module: str
    tried: int
    noticed: int
    """By a test or by the type check."""
    equivalent: int
    """Not noticed, and listed as faults that change nothing."""

    @property
    def unknown(self) -> int:
        """Neither noticed nor listed."""
        return self.tried - self.noticed - self.equivalent

    @property
    def share(self) -> float:
        """Of the faults tried those that were noticed."""
        return self.noticed / max(1, self.tried)


def total(modules: Iterable[ModuleFaults]) -> ModuleFaults:
    """The sums."""
    found = list(modules)
    return ModuleFaults(
        module="all",
        tried=sum(one.tried for one in found),
        noticed=sum(one.noticed for one in found),
        equivalent=sum(one.equivalent for one in found),
    )


def page(name: str, modules: Sequence[ModuleFaults], unknown: Sequence[str], left_out: int) -> str:
    """Markdown; `unknown` are the faults that are neither noticed nor listed, `left_out` were not tried."""
    rows = [
        f"| {one.module} | {one.tried:,} | {one.noticed:,} ({one.share:.1%}) | {one.equivalent} |"
        f" {one.unknown} |"
        for one in (*modules, total(modules))
    ]
    return "\n".join(
        [
            f"# Small faults in {name}",
            "",
            f"`python -m tests.mutants {name}` on {describe()}.",
            "A fault is noticed if a quick test or the type check fails. Equivalent ones change nothing that",
            "could be noticed; [equivalent.toml](../../../tests/mutants/equivalent.toml) has the reasons.",
            *(
                [f"{left_out:,} more faults, in these and in other modules, were not tried."]
                if left_out
                else []
            ),
            "",
            "| module | faults | noticed | equivalent | neither |",
            "|---|---|---|---|---|",
            *rows,
            "",
            *(["Neither noticed nor listed:", "", *(f"- {one}" for one in unknown), ""] if unknown else []),
        ]
    )
