"""The campaign's page: what was shot at, when, and what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.machine import describe
from tests.faults.campaign import Campaign, Life
from tests.faults.checks import KINDS


def page(campaign: Campaign, lives: Sequence[Life], seconds: float) -> str:
    """Markdown."""
    shots = [shot for life in lives for shot in life.shots]
    rounds = sum(life.rounds for life in lives)
    counted = sum((life.counted for life in lives), Counter[str]())
    signals = sorted({shot.signal for shot in shots})
    return "\n".join(
        [
            "# The fault campaign",
            "",
            f"`python -m tests.faults --rounds {campaign.rounds} --seed {campaign.seed}`"
            f" with `{campaign.tool}` on {describe()}:",
            f"{len(shots)} signals in {rounds} runs of {len(lives)} repositories' lives, {seconds / 60:.1f}"
            f" minutes, {campaign.at_once} lives at once.",
            "",
            *_table(["sent to", *signals], _crossed([(shot.target, shot.signal) for shot in shots], signals)),
            "",
            *_table(["at the moment", *signals], _crossed([(s.moment, s.signal) for s in shots], signals)),
            "",
            *_table(
                ["what went on", "how often"],
                [
                    *Counter(f"lives that started with {life.start}" for life in lives).items(),
                    ("runs hit that did the rest all the same", counted["done all the same"]),
                    ("runs hit that ended early", counted["ended early"]),
                    ("runs left alone", counted["undisturbed"]),
                    ("times that two runs were at work at once", counted["two at once"]),
                    ("stages' commands executed", counted["begin"]),
                    ("trainings taken up from a checkpoint", counted["resume"]),
                    ("runs that showed a stack trace of their own", counted["stack trace shown"]),
                ],
            ),
            "",
            *_table(["found", "how often"], _findings(lives)),
            "",
        ]
    )


def _findings(lives: Sequence[Life]) -> list[tuple[str, int]]:
    counted = Counter(finding.kind for life in lives for finding in life.findings)
    return [(kind, counted[kind]) for kind in KINDS]


def _crossed(pairs: Sequence[tuple[str, str]], columns: Sequence[str]) -> list[tuple[object, ...]]:
    counted = Counter(pairs)
    return [(row, *(counted[row, column] for column in columns)) for row in sorted({p[0] for p in pairs})]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(map(str, row))} |" for row in (head, *rows)]
    return [lines[0], f"|{'---|' * len(head)}", *lines[1:]]
