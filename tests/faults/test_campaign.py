import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT

ROUNDS = 4
LIVED = re.compile(r"life \d+: (\d+) rounds")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_campaign_that_is_ended_early_tells_what_it_saw_and_found_nothing(tmp_path: Path) -> None:
    place = tmp_path / "page.md"
    command = [sys.executable, "-m", "tests.faults", "--rounds", "1000", "--out", str(place)]
    campaign = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert campaign.stdout is not None
    said, rounds = "", 0
    while rounds < ROUNDS and (line := campaign.stdout.readline()):
        said += line
        rounds += sum(map(int, LIVED.findall(line)))
    campaign.send_signal(signal.SIGINT)
    said += campaign.communicate()[0]
    assert campaign.returncode == 1, said
    assert "of 1000 rounds in the time given" in said
    page = place.read_text()
    lived = LIVED.findall(said)
    assert f" signals in {sum(map(int, lived))} runs of {len(lived)} repositories' lives" in page
    found = page[page.index("| found | how often |") :].splitlines()[2:]
    assert len(found) >= 10
    assert all(row.endswith(" | 0 |") for row in found if row)
