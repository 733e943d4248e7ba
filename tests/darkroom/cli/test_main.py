"""The command as a user runs it: as a process of its own, in a real repository."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from darkroom.cli import main as cli
from darkroom.reporting.outbox import waiting_outboxes
from darkroom.server.places import server_folder
from tests.darkroom.repositories import contents, git, make, put, serial_repro
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import alive, wait_for

OneLine = Callable[[list[str], str], None]

DVC_YAML = """
stages:
  copy:
    cmd: cp in.txt out.txt
    deps: [in.txt]
    outs: [out.txt]
  check:
    cmd: sh check.sh
    deps: [out.txt, check.sh]
    outs: [checked.txt]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init")
    dvc(folder, "init", "-q")
    (folder / "dvc.yaml").write_text(DVC_YAML)
    (folder / "in.txt").write_text("good\n")
    (folder / "check.sh").write_text("echo checking; cp out.txt checked.txt\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-m", "start")
    return folder


def environment(home: Path) -> dict[str, str]:
    """That of a user with a fresh home: no Prefect profile."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {"HOME": str(home)}


def dvc(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def darkroom(root: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("darkroom"), *words],
        cwd=root,
        env=environment(root.parent) | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def recorded(root: Path) -> list[tuple[str, str]]:
    """Names and states of the flow runs in the project's own database."""
    with closing(sqlite3.connect(server_folder(root) / "prefect.db")) as database:
        return sorted(database.execute("select name, state_type from flow_run"))


def rows(output: str) -> list[str]:
    return [" ".join(line.split()) for line in output.splitlines()]


@pytest.mark.slow
def test_without_a_server_it_works_at_once_quietly_and_once(root: Path) -> None:
    assert darkroom(root, "plan").returncode == 3
    first = darkroom(root, "run", DARKROOM_SERVER_SECONDS="1")
    assert (first.returncode, first.stderr) == (0, "")
    assert "check │ checking" in first.stdout
    assert "2 stages ran, in " in first.stdout
    assert "`darkroom ui` shows all runs so far" in first.stdout
    assert wait_for(lambda: not waiting_outboxes(root), 240)  # nobody has waited for it
    expected = [("check", "COMPLETED"), ("copy", "COMPLETED"), ("project", "COMPLETED")]
    assert recorded(root) == expected
    assert dvc(root, "status").strip() == "Data and pipelines are up to date."
    second = darkroom(root, "run")
    assert (second.returncode, second.stderr) == (0, "")
    assert rows(second.stdout) == [
        "copy: up to date",
        "check: up to date",
        "nothing to run: 2 stages up to date",
    ]
    assert darkroom(root, "plan").returncode == 0
    unrecorded = darkroom(root, "run", "--force", "--no-record", DARKROOM_SERVER_SECONDS="1")
    assert (unrecorded.returncode, unrecorded.stderr) == (0, "")
    assert "2 stages ran, in " in unrecorded.stdout
    assert "pages: " not in unrecorded.stdout
    assert waiting_outboxes(root) == []
    assert recorded(root) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("DARKROOM_PATIENCE", "long"), ("DARKROOM_PATIENCE", "-1"), ("DARKROOM_SERVER_SECONDS", "nan")],
)
def test_what_is_no_number_of_seconds_is_one_line(root: Path, name: str, value: str) -> None:
    done = darkroom(root, "run", **{name: value})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {name}: {value}: a number of seconds is needed")
    assert not (root / "out.txt").exists()


@pytest.mark.slow
def test_a_failing_stage_is_exit_code_1_with_its_last_lines(root: Path) -> None:
    (root / "check.sh").write_text("echo no such thing >&2; exit 3\n")
    done = darkroom(root, "run")
    assert done.returncode == 1
    said = rows(done.stdout)
    assert said[said.index("the last lines of check:") + 1] == "no such thing"
    assert "error: check: failed with exit code 3" in said
    assert "Traceback" not in done.stdout + done.stderr
    (folder,) = [line.removeprefix("logs: ") for line in said if line.startswith("logs: ")]
    assert (root / folder / "check.log").read_text().endswith("no such thing\n")
    assert (root / "out.txt").read_text() == "good\n"


@pytest.mark.slow
def test_an_edited_out_of_a_frozen_stage_alone_is_recorded_as_by_dvc(tmp_path: Path) -> None:
    pipeline = "stages:\n  ice: {cmd: cp in.txt ice.txt, deps: [in.txt], outs: [ice.txt], frozen: false}\n"
    shape = Shape("frozen", {"dvc.yaml": pipeline, "in.txt": "1\n"})
    serial, parallel = (make(tmp_path / name, shape, tmp_path) for name in ("serial", "parallel"))
    for copy in (serial, parallel):
        serial_repro(copy)
        put(copy, {"dvc.yaml": pipeline.replace("false", "true"), "ice.txt": "by hand\n"}, tmp_path)
    assert rows(darkroom(parallel, "run", "--dry").stdout)[-1].startswith(
        "1 stage to record as it lies there"
    )
    for out, code, said in (("by hand\n", 0, "1 stage frozen"), (None, 1, "ice.txt: no such file")):
        for copy in (serial, parallel):
            put(copy, {"ice.txt": out}, tmp_path)
        assert cli.run_command(["plan", "--repo", str(parallel)]) == (code or 3)
        assert serial_repro(serial) == (code == 0)
        done = darkroom(parallel, "run")
        assert done.returncode == code
        assert said in done.stdout
        assert contents(parallel) == contents(serial)
        assert cli.run_command(["plan", "--repo", str(parallel)]) == code


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_running_stage_and_keeps_what_has_finished(
    root: Path, number: signal.Signals
) -> None:
    (root / "check.sh").write_text("echo $$ > ../pid; echo started; exec sleep 600\n")
    command = [Path(sys.executable).with_name("darkroom"), "run"]
    with subprocess.Popen(
        command,
        cwd=root,
        env=environment(root.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "started" in line:
                    break
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "what has finished is kept; Ctrl-C again ends it now" in err
    assert "stopped: 1 of 2 stages are done and kept; `darkroom run` goes on from there" in err
    assert "1 stage stopped, 1 ran" in out
    assert not alive(int((root.parent / "pid").read_text()))
    assert "copy" in (root / "dvc.lock").read_text()


GOES_ON = "the run goes on, its output does not"


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True], ids=["run | head", "run 2>&1 | head"])
def test_a_run_goes_on_where_nobody_reads_its_output_any_more(root: Path, both: bool) -> None:
    waits = "while [ ! -e ../left ]; do sleep .05; done"
    (root / "check.sh").write_text(f"echo 1; {waits}; echo 2; sleep .2; echo 3; cp out.txt checked.txt\n")
    with subprocess.Popen(
        [Path(sys.executable).with_name("darkroom"), "run"],
        cwd=root,
        env=environment(root.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if both else subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        (root.parent / "left").touch()
        said = "" if both else process.stderr.read()  # type: ignore[union-attr]
    assert process.returncode == 0
    assert (root / "checked.txt").read_text() == "good\n"
    if not both:
        assert said.splitlines()[0] == f"darkroom: {GOES_ON}: Broken pipe; its logs have the whole"


@pytest.mark.slow
@pytest.mark.parametrize("words", ["plan", "plan --json", "doctor"])
def test_who_leaves_early_hears_no_more(root: Path, words: str) -> None:
    command = f"{Path(sys.executable).with_name('darkroom')} {words}"
    environ = environment(root.parent)
    # `true` is gone when something is written
    piped = ["bash", "-c", f"(sleep .2; {command}) | true; echo ${{PIPESTATUS[0]}}"]
    done = subprocess.run(piped, cwd=root, env=environ, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


def test_a_target_that_does_not_exist_is_one_line(root: Path) -> None:
    done = darkroom(root, "run", "nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "nonsense" in done.stderr
    assert done.stderr.count("\n") == 1


ONE = "stages:\n  a: {cmd: echo, outs: [a.txt]}\n"
TWO = "stages:\n  a: {cmd: echo, deps: [%s], outs: [%s]}\n  b: {cmd: echo, deps: [a.txt], outs: [%s]}\n"


@pytest.mark.parametrize(
    ("dvc_yaml", "words", "said"),
    [
        pytest.param(None, [], "dvc.yaml' does not exist", id="no pipeline"),
        pytest.param("stages:\n  a: {cmd: [\n", [], "dvc.yaml, line 3: cannot be parsed: ", id="yaml"),
        pytest.param(
            "stages:\n  a: {command: echo}\n", [], "line 2: stages.a.command: extra keys", id="schema"
        ),
        pytest.param("stages:\n  a: {cmd: 'echo ${b}'}\n", [], "Could not find 'b'", id="template"),
        pytest.param(TWO % ("b.txt", "a.txt", "b.txt"), [], "dependency and an output", id="cycle"),
        pytest.param(TWO % ("in.txt", "o.txt", "o.txt"), [], "'o.txt' is specified in", id="out twice"),
        pytest.param(TWO % ("in.txt", "d", "d/o.txt"), [], "overlap", id="out in an out"),
        pytest.param(ONE, ["b"], "'b'", id="target"),
        pytest.param(ONE, ["sub/dvc.yaml:a"], "sub/dvc.yaml' does not exist", id="target's file"),
        pytest.param("vars: [{day: 2020-01-01}]\n" + ONE, [], "Unsupported value of type 'date'", id="date"),
        pytest.param(ONE.replace("}", ", meta: {timeout: soon}}"), [], "a.meta.timeout", id="meta"),
    ],
)
def test_an_odd_repository_is_one_line(
    tmp_path: Path, dvc_yaml: str | None, words: list[str], said: str, is_one_line: OneLine
) -> None:
    root = make(tmp_path / "r", Shape("odd", {} if dvc_yaml is None else {"dvc.yaml": dvc_yaml}), tmp_path)
    is_one_line(["run", "--repo", str(root), *words], said)


def test_merge_conflicts_in_the_lock_are_one_line(tmp_path: Path, is_one_line: OneLine) -> None:
    sides = "<<<<<<< HEAD\nschema: '2.0'\n=======\nschema: '2.0'\n>>>>>>> other\n"
    root = make(tmp_path / "r", Shape("merge", {"dvc.yaml": ONE, "dvc.lock": sides}), tmp_path)
    is_one_line(["plan", "--repo", str(root)], "dvc.lock: there are merge conflicts in it; mend it")


@pytest.mark.parametrize("folder", ["none", "missing", "dvc.lock"])
def test_a_folder_without_a_repository_is_one_line(tmp_path: Path, folder: str, is_one_line: OneLine) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "dvc.lock").touch()
    is_one_line(["run", "--repo", str(tmp_path / folder)], str(tmp_path / folder))


def test_a_bad_name_for_an_experiment_is_one_line(tmp_path: Path, is_one_line: OneLine) -> None:
    root = make(tmp_path / "r", Shape("named", {"dvc.yaml": ONE}), tmp_path)
    is_one_line(["run", "--repo", str(root), "--experiment", "a b"], "--experiment: Invalid exp name a b")
    assert not (root / "a.txt").exists()


@pytest.fixture
def is_one_line(capsys: pytest.CaptureFixture[str]) -> OneLine:
    """Whether the command ends with code 2 and one line that holds what it should say."""

    def check(words: list[str], said: str) -> None:
        assert cli.run_command(words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert said in err
        assert err.count("\n") == 1

    return check


@pytest.mark.slow
def test_the_plan_as_json_starts_no_server(root: Path) -> None:
    done = darkroom(root.parent, "plan", "--json", "--repo", str(root))
    assert done.returncode == 3
    assert [stage["name"] for stage in json.loads(done.stdout)["stages"]] == ["copy", "check"]
    assert not server_folder(root).exists()


def test_a_dry_run_says_what_would_run_and_runs_nothing(root: Path) -> None:
    done = darkroom(root, "run", "--dry")
    assert done.returncode == 0
    assert rows(done.stdout)[1].startswith("copy run")
    assert not (root / "out.txt").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--nonsense"], "No such option '--nonsense'"),
        (["nonsense"], "No such command 'nonsense'"),
        (["run", "--jobs", "0"], "'--jobs' / '-j': 0 is not in the range x>=1"),
    ],
)
def test_a_wrong_word_is_one_line(words: list[str], said: str, is_one_line: OneLine) -> None:
    is_one_line(words, said)


def test_help_lists_every_command_once_on_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 45
    listed = [name for names in cli.GROUPS.values() for name in names]
    assert sorted(listed) == sorted(cli.app.commands)
    assert [
        line.split()[0] for line in lines if line.startswith("  ") and line.split()[0] in listed
    ] == listed


@pytest.mark.slow
def test_a_run_is_quiet_or_tells_programs_and_debugs_on_request(root: Path) -> None:
    told = darkroom(root, "run", "--no-record", "--json")
    assert (told.returncode, told.stderr) == (0, "")
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["run-started", "run-finished"]
    ended = [event for event in events if event["event"] == "stage-finished"]
    assert [(event["stage"], event["outcome"]) for event in ended] == [("copy", "ran"), ("check", "ran")]
    again = darkroom(root, "run", "--no-record", "--json")
    started, finished = map(json.loads, again.stdout.splitlines())
    assert [started["event"], finished["event"]] == ["run-started", "run-finished"]
    assert [stage["action"] for stage in started["plan"]["stages"]] == ["skip", "skip"]
    (root / "check.sh").write_text("echo no such thing; exit 3\n")
    failed = darkroom(root, "run", "--no-record", "--quiet")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "error: check: failed with exit code 3\n"
    usual, whole = (
        darkroom(root, "run", "--no-record", "--force", "-s", "copy", *more).stdout
        for more in ((), ("--verbose",))
    )
    assert "copy ran" in " ".join(usual.split())
    assert "copy ran" in " ".join(whole.split())
    misspelt = darkroom(root, "plan", "chek")
    assert misspelt.stderr.endswith("; did you mean 'check'?\n")
    assert darkroom(root, "plan", "chek", "--debug").stderr.startswith("Traceback")
