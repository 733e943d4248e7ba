import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_campaign_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults", "--rounds", "4", "--out", str(tmp_path / "page.md")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| corrupt outs committed | 0 |" in (tmp_path / "page.md").read_text()
