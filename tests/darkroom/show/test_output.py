"""Output that is closed, full, a terminal or of another encoding, and names that move its cursor."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from darkroom.cli import main as cli
from tests.darkroom.repositories import make
from tests.darkroom.shapes import Shape

DARKROOM = Path(sys.executable).with_name("darkroom")
EVIL = "a\x1b]52;c;aGk=\x07\u202eb"
SHOWN = r"a\x1b]52;c;aGk=\x07\u202eb"
NOISE = r"\x1b]0;title\x07\x1b[2J\x85\u202e\u2028\u200b"
FULL = "error: standard output: No space left on device; free some space there\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its stages print what would clear a terminal, and so does one's name."""
    folder = tmp_path_factory.mktemp("repository")
    noise = "printf '\\033]0;title\\007\\033[2J\\302\\205\\342\\200\\256\\342\\200\\250\\342\\200\\213\\n'"
    stages = {
        EVIL: {"cmd": f"{noise}; cp in.txt a.txt", "deps": ["in.txt"], "outs": ["a.txt"]},
        "größe": {"cmd": "echo größe > b.txt; false", "deps": ["a.txt"], "outs": ["b.txt"]},
    }
    files: dict[str, str | None] = {"in.txt": "1\n", "dvc.yaml": json.dumps({"stages": stages})}
    return make(folder / "r", Shape("evil", files), folder)


def shell(root: Path, command: str, encoding: str = "utf-8", **more: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "PYTHON", "LC_", "LANG"))}
    env = {**kept, "HOME": str(root.parent), "D": str(DARKROOM), **more}
    words = ["bash", "-c", command]
    return subprocess.run(words, cwd=root, env=env, capture_output=True, encoding=encoding, check=False)


COMMANDS = {"plan": 3, "plan --json": 3, "doctor": 0, "status": 1, "--help": 0}


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_does_the_same_where_its_output_is_closed(root: Path, words: str) -> None:
    for closed in (">&-", ">&- 2>&- <&-"):
        done = shell(root, f"$D {words} {closed}")
        assert (done.returncode, done.stderr) == (COMMANDS[words], "")


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_says_in_a_line_that_its_output_is_full(root: Path, words: str) -> None:
    done = shell(root, f"$D {words} > /dev/full")
    assert (done.returncode, done.stderr) == (2, FULL)
    assert shell(root, f"$D {words} 2> /dev/full").returncode == COMMANDS[words]


@pytest.mark.slow
@pytest.mark.parametrize("words", ["plan nonsense", "plan --nonsense"])
def test_an_error_that_nobody_can_be_told_has_its_exit_code(root: Path, words: str) -> None:
    for redirected in ("2>&-", "2> /dev/full"):
        done = shell(root, f"$D {words} {redirected}")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "word"), [("ascii", r"gr\xf6\xdfe"), ("latin-1", "größe"), ("utf-8", "größe")]
)
def test_any_encoding_will_do(root: Path, encoding: str, word: str) -> None:
    more = {"LC_ALL": "C"} if encoding == "utf-8" else {"PYTHONIOENCODING": encoding}
    done = shell(root, "$D plan", encoding, **more)
    assert (done.returncode, done.stderr) == (3, "")
    assert SHOWN in done.stdout
    assert word in done.stdout


@pytest.mark.slow
def test_a_terminal_gets_no_sequence_but_its_own(root: Path) -> None:
    written = on_terminal(root, "plan")
    assert SHOWN.encode() in written
    assert b"\x1b[1mstage" in written
    assert b"\x1b]" not in written
    assert b"\x07" not in written
    assert "\u202e".encode() not in written


def on_terminal(root: Path, *words: str) -> bytes:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    command = [str(DARKROOM), *words]
    with subprocess.Popen(
        command, cwd=root, env={**env, "TERM": "xterm", "COLUMNS": "120"}, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 1 << 16):
                written += chunk
        except OSError:  # so a terminal says that nobody is at its other end any more
            pass
    os.close(ours)
    return written


@pytest.mark.slow
def test_json_of_any_name_is_json(root: Path) -> None:
    done = shell(root, "$D plan --json", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout)["stages"][0]["name"] == EVIL
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


def test_errors_are_one_line_whatever_they_name(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["plan", "--repo", str(root), "no\n\x1b[2J\u202e"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert r"\x1b[2J\u202e" in said


@pytest.mark.slow
def test_a_run_shows_what_its_stages_print_and_its_log_keeps_it(root: Path) -> None:
    for number, (redirected, code) in enumerate((("", 1), (">&-", 1), ("> /dev/full", 1), ("2>&-", 1))):
        (root / "in.txt").write_text(f"{number}\n")
        done = shell(root, f"$D run {redirected}", PYTHONIOENCODING="ascii")
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert (root / "a.txt").read_text() == f"{number}\n"
        if not redirected:
            assert f"{SHOWN} | {NOISE}" in done.stdout.splitlines()
        if redirected == "> /dev/full":
            assert done.stderr.startswith("darkroom: the run goes on, its output does not: No space left")
    (log,) = {path.read_bytes() for path in root.glob(".darkroom/logs/*/a*.log")}
    assert log == "\x1b]0;title\x07\x1b[2J\x85\u202e\u2028\u200b\n".encode()


@pytest.mark.slow
def test_what_is_called_by_hand_goes_through_the_same(root: Path) -> None:
    assert shell(root, "$D fuse --help > /dev/full").stderr == FULL
    assert shell(root, "$D fuse --help >&-").returncode == 0
    done = shell(root, "$D fuse $'no\\x1b[2J.png' --method average --out o.png")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
