"""A server that ends with its owner, as tests and benchmarks need it."""

import subprocess
import sys
from pathlib import Path

import pytest

from darkroom.base.errors import DarkroomError
from darkroom.server.configured import Configured, require_answer
from tests.darkroom.waiting import wait_for

OWNER = """
import sys, time
from pathlib import Path
from tests.darkroom.server.processes.temporary import temporary_server
with temporary_server(Path(sys.argv[1])) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def answers(url: str) -> bool:
    try:
        require_answer(Configured(url, "here"))
    except DarkroomError:
        return False
    return True


@pytest.mark.slow
def test_a_temporary_server_ends_with_its_owner_even_when_that_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        assert answers(url), (tmp_path / "server.log").read_text()
        owner.kill()
    assert wait_for(lambda: not answers(url))
    assert (tmp_path / "prefect.db").exists()
