"""The check that nothing outlives its test, on tests that leave something."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LEAVES = {
    "a thread": "threading.Thread(target=time.sleep, args=(60,), name='left', daemon=True).start()",
    "a child": "subprocess.Popen(['sleep', '61'])",
    "a process of a session of its own whose parent has ended": (
        "subprocess.run(['sh', '-c', 'setsid sleep 62 > /dev/null 2>&1 &'], check=True)"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("leaves", LEAVES.values(), ids=list(LEAVES))
def test_what_a_test_leaves_running_fails_it_and_is_named(leaves: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from tests import leftovers\n"
        "from tests.conftest import _nothing_outlives_its_test\n"
        "leftovers.PATIENCE_SECONDS = 0.5\n"
    )
    (tmp_path / "test_it.py").write_text(
        f"import subprocess, threading, time\n\ndef test_it():\n    {leaves}\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command += [f"--rootdir={tmp_path}", "-c", "/dev/null", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "outlived the test: " in done.stdout
    assert "thread left" in done.stdout or "sleep 6" in done.stdout
    for pid in re.findall(r"process (\d+): sleep", done.stdout):
        os.kill(int(pid), signal.SIGKILL)
