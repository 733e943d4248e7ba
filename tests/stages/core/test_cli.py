import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core.cli import run_stage
from stages.core.errors import DataError


@pytest.fixture(autouse=True)
def restore():
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def invoke(monkeypatch, main, *arguments):
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    with pytest.raises(SystemExit) as raised:
        run_stage(main)
    return raised.value.code


def test_arguments_arrive_as_paths(monkeypatch):
    received = {}

    def main(*, data: Path, model_file: Path) -> None:
        received.update(data=data, model_file=model_file)

    assert invoke(monkeypatch, main, "--model-file", "m", "--data", "d") == 0
    assert received == {"data": Path("d"), "model_file": Path("m")}


def test_missing_argument_is_named(monkeypatch, capsys):
    def main(*, data: Path) -> None:
        pytest.fail("must not run")

    assert invoke(monkeypatch, main) == 2
    assert capsys.readouterr().err == "error: Missing option '--data'.\n"


def test_unknown_option_is_one_line(monkeypatch, capsys):
    def main(*, data: Path) -> None:
        pytest.fail("must not run")

    assert invoke(monkeypatch, main, "--data", "d", "--date", "d") == 2
    assert capsys.readouterr().err.startswith("error: No such option")


def test_what_is_not_given_has_its_default(monkeypatch):
    received = {}

    def main(*, cache: Path | None = None, release: str = "", seconds: float = 60.0) -> None:
        received.update(cache=cache, release=release, seconds=seconds)

    assert invoke(monkeypatch, main) == 0
    assert received == {"cache": None, "release": "", "seconds": 60.0}
    assert invoke(monkeypatch, main, "--cache", "c", "--release", "v1", "--seconds", "0.5") == 0
    assert received == {"cache": Path("c"), "release": "v1", "seconds": 0.5}


def test_number_that_is_none_is_one_line(monkeypatch, capsys):
    def main(*, seconds: float = 60.0) -> None:
        pytest.fail("must not run")

    assert invoke(monkeypatch, main, "--seconds", "soon") == 2
    assert capsys.readouterr().err == ("error: Invalid value for '--seconds': 'soon' is not a valid float.\n")


def test_help_is_the_docstring(monkeypatch, capsys):
    def main(*, data: Path, seconds: float = 60.0) -> None:
        """Do the work.

        It takes an hour.

        Args:
            data: The pictures, of which there are so many that the line which
                tells of them does not end.
            seconds: How long to wait.

        Raises:
            DataError: There are none.

        """

    assert invoke(monkeypatch, main, "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Do the work. It takes an hour. Options:" in said
    assert "--data PATH The pictures, of which there are so many that the line which tells of" in said
    assert "--seconds FLOAT How long to wait. [default: 60.0]" in said
    assert "Raises" not in said
    assert "DataError" not in said


def test_broken_file_is_not_taken_for_the_end_of_the_input(monkeypatch):
    def main() -> None:
        raise EOFError("compressed file ended")

    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(EOFError):
        run_stage(main)


def test_users_error_is_one_line(monkeypatch, capsys):
    def main() -> None:
        raise DataError("labels: row 7: label 12 of 10")

    monkeypatch.delenv("DARKROOM_TRACEBACK", raising=False)
    assert invoke(monkeypatch, main) == 2
    assert capsys.readouterr().err == "error: labels: row 7: label 12 of 10\n"


def test_stack_trace_when_asked_for(monkeypatch):
    def main() -> None:
        raise DataError("labels: row 7")

    monkeypatch.setenv("DARKROOM_TRACEBACK", "1")
    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(DataError):
        run_stage(main)


def test_mistake_in_the_program_is_not_hidden(monkeypatch):
    def main() -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(KeyError):
        run_stage(main)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stage_at_once(number):
    code = """
import time
from stages.core.cli import run_stage
def main() -> None:
    print("running", flush=True)
    time.sleep(60)
run_stage(main)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == -number
    assert said == b""
