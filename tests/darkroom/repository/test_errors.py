"""Odd files of a repository: one line that says what is wrong and where, and the documented exit code."""

import contextlib
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.utils.strictyaml import YAMLValidationError
from dvc_objects.fs import known_implementations

from darkroom.base.errors import RepoError
from darkroom.cli import main as cli
from darkroom.runs.engine import make_plan, run_pipeline
from darkroom.runs.report import RunOptions
from darkroom.workspace import workspace
from darkroom.workspace.workspace import Workspace
from tests.darkroom.repositories import contents, make, serial_repro
from tests.darkroom.shapes import Shape
from tests.places import ROOT

PIPELINE = """\
stages:
  one:
    cmd: cat raw.txt > one.txt
    deps: [raw.txt]
    params: [lr]
    outs: [one.txt]
  two:
    cmd: cat one.txt > two.txt
    deps: [one.txt]
    outs: [two.txt]
"""
CONFLICT = "<<<<<<< HEAD\nlr: 1\n=======\nlr: 2\n>>>>>>> other\n"
DEEP = "[" * 3000 + "]" * 3000
Errors = Callable[..., str]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository all of whose stages are up to date."""
    files = {"dvc.yaml": PIPELINE, "params.yaml": "lr: start\n", "raw.txt": "raw\n"}
    folder = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        root = make(folder / "r", Shape("odd", files, add=("raw.txt",)), folder)
        assert serial_repro(root)
    return root


@pytest.fixture
def root(recorded: Path, tmp_path: Path) -> Path:
    return shutil.copytree(recorded, tmp_path / "r", symlinks=True)


@pytest.fixture
def error_of(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Errors:
    """What `darkroom plan` says, once it is sure that it is one line."""
    monkeypatch.chdir(root)

    def plan(*words: str, code: int = 2) -> str:
        assert cli.run_command(["plan", *words]) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err.removeprefix("error: ").strip()

    return plan


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("dvc.yaml", b"vars: &v\n  - x: *v\n" + PIPELINE.encode(), "dvc.yaml: DVC cannot read it"),
        ("dvc.yaml", b"stages:\n  a: {matrix: {}, cmd: echo}\n", "dvc.yaml: a"),
        ("dvc.yaml", b"stages:\n  a: \0\n", "'dvc.yaml', YAML file structure is corrupted"),
        ("dvc.yaml", b"\xff\xfe", "'dvc.yaml', is not valid utf-8"),
        ("dvc.yaml", f"stages:\n  a: {{cmd: {DEEP}}}\n".encode(), "dvc.yaml: "),
        ("dvc.lock", b"}{", "dvc.lock, line 1: cannot be parsed"),
        ("dvc.lock", b"[1, 2]", "dvc.lock: expected a dictionary"),
        ("dvc.lock", b"", "dvc.lock: schema: required key not provided"),
        ("dvc.lock", CONFLICT.encode(), "dvc.lock: there are merge conflicts in it; mend it"),
        ("raw.txt.dvc", b"outs: 3\n", "raw.txt.dvc: line 1: outs: expected a list"),
        ("raw.txt.dvc", b"a: [\n", "raw.txt.dvc, line 2: cannot be parsed"),
        ("params.yaml", f"lr: {DEEP}\n".encode(), "params.yaml: DVC cannot read it"),
        ("params.yaml", b"lr: &a [*a]\n", "params.yaml: DVC cannot read it"),
        ("params.yaml", b"lr: " + b"9" * 6000, "params.yaml: DVC fails on it: ValueError"),
        ("params.yaml", CONFLICT.encode(), "params.yaml, line 2: cannot be parsed"),
        (".dvc/config", b"garbage\n", ".dvc/config: config file error"),
        (".dvc/config", b"[core]\n    nonsense = 1\n", ".dvc/config: config file error: extra keys"),
        (".dvc/config", b"\xff\xfe", ".dvc/config: config file error"),
        (".dvcignore", b"\xff\xfe", ".dvcignore: DVC fails on it: UnicodeDecodeError"),
        (".git/config", b"[[[\n", ".git/config: DVC fails on it: ValueError"),
    ],
)
def test_an_odd_file_is_named_in_one_line(
    root: Path, error_of: Errors, file: str, content: bytes, said: str
) -> None:
    (root / file).write_bytes(content)
    assert said in error_of()


@pytest.mark.parametrize("file", ["dvc.lock", "params.yaml", ".dvc/config", ".dvcignore"])
def test_a_folder_in_the_place_of_a_file_is_one_line(root: Path, error_of: Errors, file: str) -> None:
    (root / file).unlink()
    (root / file).mkdir()
    assert file in error_of()


@pytest.mark.parametrize(
    ("scheme", "package"),
    [("gs", "gs"), ("azure", "azure"), ("hdfs", "hdfs"), ("oss", "oss"), ("webdavs", "webdav")],
)
def test_a_missing_plugin_is_named(root: Path, error_of: Errors, scheme: str, package: str) -> None:
    address = f"{scheme}://host/data"
    (root / "dvc.yaml").write_text(PIPELINE.replace("[raw.txt]", f"['{address}']"))
    assert error_of() == (
        f"dvc.yaml: {address}: DVC reads it by a package of its own: "
        f"pip install dvc-{package}, or 'darkroom[{package}]'"
    )


def test_a_missing_plugin_of_a_remote_is_named(root: Path, error_of: Errors) -> None:
    (root / ".dvc/config").write_text("[core]\n    remote = r\n['remote \"r\"']\n    url = gs://bucket/x\n")
    said = error_of("--pull")
    assert said.startswith("--pull: gs://bucket/x: ")
    assert said.endswith("pip install dvc-gs, or 'darkroom[gs]'")


def test_each_plugin_of_dvc_is_an_extra() -> None:
    said = [entry["err"].split("'")[1] for entry in known_implementations.values() if "err" in entry]
    plugins = {name.removeprefix("dvc-") for name in said if name.startswith("dvc-")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert plugins <= project["project"]["optional-dependencies"].keys()


def test_each_problem_of_a_file_has_its_line(root: Path, error_of: Errors) -> None:
    (root / "dvc.yaml").write_text("stages:\n  a:\n    cmd: 3\n    deps: x\n  b:\n    outs: 4\n")
    assert error_of() == (
        "dvc.yaml: line 3: stages.a.cmd: expected str; line 4: stages.a.deps: expected a list; "
        "line 5: stages.b.cmd: required key not provided; and 1 more"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"1"', "1", '"1" -> 1'),
        ("1", '"1"', '1 -> "1"'),
        ("true", '"true"', 'true -> "true"'),
        ("1.5", '"1.5"', '1.5 -> "1.5"'),
        ("null", '"null"', 'null -> "null"'),
        ('""', "null", '"" -> null'),
        ("[1, 2]", "['1', 2]", '[1, 2] -> ["1", 2]'),
        ("a b", "a  b", '"a b" -> "a  b"'),
        ("x" * 200 + "1", "x" * 200 + "2", f'...{"x" * 15}1" -> ...{"x" * 15}2"'),
    ],
)
def test_a_changed_parameter_shows_its_type(root: Path, before: str, after: str, said: str) -> None:
    (root / "params.yaml").write_text(f"lr: {before}\n")
    assert serial_repro(root)
    (root / "params.yaml").write_text(f"lr: {after}\n")
    plan = make_plan(RunOptions(repo=root))
    assert plan.stages[1].reasons == (f"param params.yaml: lr: {said}",)


def test_data_that_is_gone_is_told_how_to_get(root: Path) -> None:
    (root / "raw.txt").unlink()
    in_cache = "raw.txt: no such file; it is in DVC's cache: dvc checkout raw.txt.dvc"
    assert run_pipeline(RunOptions(repo=root)).errors == (f"raw.txt.dvc: {in_cache}",)
    assert run_pipeline(RunOptions(repo=root, targets=("one",), single_item=True)).errors == (
        f"one: {in_cache}",
    )
    shutil.rmtree(root / ".dvc/cache/files/md5")
    gone = "raw.txt.dvc: raw.txt: no such file; "
    none = f"{gone}put it there again: DVC's cache has no copy of raw.txt.dvc's"
    assert run_pipeline(RunOptions(repo=root)).errors == (none,)
    (root / ".dvc/config").write_text("[core]\n    remote = r\n['remote \"r\"']\n    url = ../remote\n")
    pull = f"{gone}dvc pull raw.txt.dvc, or put it there again"
    assert run_pipeline(RunOptions(repo=root)).errors == (pull,)
    with (root / "raw.txt.dvc").open("a") as file:
        file.write("meta:\n  sources: {url: 'http://example.org/{name}'}\n")
    fetch = f"{gone}dvc pull raw.txt.dvc, darkroom fetch, or put it there again"
    assert run_pipeline(RunOptions(repo=root)).errors == (fetch,)


def test_a_fault_of_ours_is_none_of_the_user(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr(Workspace, "_chosen", eval("lambda *_: {}['gone']", vars(workspace)))
    assert cli.run_command(["plan"]) == 70
    said = capsys.readouterr().err
    assert said.startswith(
        "error: darkroom itself failed: KeyError: 'gone' (darkroom.workspace.workspace, line "
    )
    assert said.count("\n") == 1
    monkeypatch.setenv("DARKROOM_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli.run_command(["plan"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo '}{' > dvc.lock", "dvc.lock, line 1: cannot be parsed: "),
        ("echo '[1, 2]' > dvc.lock", "dvc.lock: expected a dictionary"),
        ("echo text > dvc.lock", "dvc.lock: expected a dictionary"),
        (r"printf '\377\376' > dvc.lock", "unable to read: 'dvc.lock', is not valid utf-8"),
        ("cp conflict dvc.lock", "dvc.lock: there are merge conflicts in it; mend it"),
        ("cp five dvc.lock", "dvc.lock: line 2: stages.one: expected a dictionary"),
        ("rm dvc.lock; mkdir dvc.lock", "dvc.lock"),
    ],
)
def test_a_lock_that_becomes_something_else_ends_the_run_in_one_line(
    root: Path, command: str, said: str
) -> None:
    (root / "conflict").write_text(CONFLICT)
    (root / "five").write_text("schema: '2.0'\nstages: {one: 5}\n")
    (root / "dvc.yaml").write_text(PIPELINE.replace("cat one.txt", f"{command}; cat one.txt"))
    serial = shutil.copytree(root, root.with_name("serial"), symlinks=True)
    with contextlib.suppress(YAMLValidationError):  # what DVC leaves, its next run may refuse
        assert not (serial_repro(serial) and serial_repro(serial))
    with pytest.raises(RepoError) as raised:
        run_pipeline(RunOptions(repo=root))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (root / "two.txt").read_text() == "raw\n"


@pytest.mark.parametrize("command", ["rm dvc.lock", "mv dvc.lock other; ln -s other dvc.lock"])
def test_a_lock_that_is_removed_or_linked_ends_as_dvc_leaves_it(root: Path, command: str) -> None:
    (root / "dvc.yaml").write_text(PIPELINE.replace("cat one.txt", f"{command}; cat one.txt"))
    serial = shutil.copytree(root, root.with_name("serial"), symlinks=True)
    assert serial_repro(serial)
    assert run_pipeline(RunOptions(repo=root)).well
    assert contents(root) == contents(serial)
