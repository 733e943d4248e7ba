"""Random signals to all processes at all moments of runs of a real DVC repository, some of two runs at once.

SIGKILL, SIGTERM, SIGINT and SIGHUP, and SIGSTOP with SIGCONT or SIGKILL after it. Some stages leave daemons.

    python -m tests.faults [--rounds 200] [--minutes 20] [--seed N] [--life N] [--out PAGE]

A life whose end or way was not as it must be is kept, with its seed, and the exit code is 1.
Ctrl-C ends it early: lives that go on are lived to their end, and the page tells of all so far.
"""

import shutil
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from random import SystemRandom

import click

from tests.faults.campaign import TOOLS, Campaign, Life
from tests.faults.report import page
from tests.faults.repository import make_starts

SAID = 5  # findings of a life; one cause has many


@click.command()
@click.option(
    "--rounds", default=200, show_default=True, help="How many runs are hit by at least one signal."
)
@click.option("--minutes", default=19.0, show_default=True, help="After so many minutes no round begins.")
@click.option("--seed", type=int, help="The seed; a random one if not given, and printed.")
@click.option("--life", type=int, help="Run this life alone, to see it again.")
@click.option("--tool", type=click.Choice(list(TOOLS)), default="darkroom", help="What runs the pipelines.")
@click.option("--out", type=click.Path(path_type=Path), help="The file for the page.")
def main(
    rounds: int, minutes: float, seed: int | None, life: int | None, tool: str, out: Path | None
) -> None:
    """Run the campaign, print its page, and write it if `--out` names a file."""
    begun = time.monotonic()
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="darkroom-faults-"))
    print(f"seed {seed}, in {folder}", flush=True)
    campaign = Campaign(
        seed=seed,
        rounds=rounds,
        deadline=begun + minutes * 60,
        folder=folder,
        starts=make_starts(folder),
        tool=tool,
        numbers=count(1) if life is None else iter([life]),
    )
    lives = campaign.run(_say)
    text = page(campaign, lives, time.monotonic() - begun)
    print(text)
    if out:
        out.write_text(text)
    _end(campaign, lives, enough=life is not None or campaign.disturbed >= rounds)


def _say(life: Life) -> None:
    print(f"life {life.number}: {life.rounds} rounds, {len(life.shots)} signals", flush=True)
    for finding in life.findings[:SAID]:
        print(f"  {finding.kind}: {finding.what}", flush=True)
    if life.kept:
        print(f"  {len(life.findings)} findings: {life.kept}/findings.txt", flush=True)


def _end(campaign: Campaign, lives: list[Life], *, enough: bool) -> None:
    if any(life.findings for life in lives):
        print(f"kept: {campaign.folder}; a life again: --seed {campaign.seed} --life N")
        sys.exit(1)
    shutil.rmtree(campaign.folder)
    if not enough:
        print(f"{campaign.disturbed} of {campaign.rounds} rounds in the time given")
        sys.exit(1)


if __name__ == "__main__":
    main()
