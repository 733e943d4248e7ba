import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from darkroom.base.errors import MetaError
from darkroom.base.meta import MetricMeta
from darkroom.repository.products import Product
from darkroom.runs.ended import EndedRun, metrics_of_interest, pictures_among, record_run
from darkroom.runs.engine import run_pipeline
from darkroom.runs.metrics import (
    SHOWN_METRICS_A_GROUP,
    MetricChange,
    Trend,
    flat_figures,
    main_metrics,
    metric_changes,
)
from darkroom.runs.report import RunOptions, RunReport
from darkroom.schedule.events import Outcome, StageFinished
from darkroom.schedule.plan import Plan
from darkroom.show.pages import run_page
from darkroom.show.wording import other_data_remark, other_outs_remark
from tests.darkroom.repositories import git, make
from tests.darkroom.shapes import Shape


def test_figures_are_flattened_with_dots_and_lists_left_out() -> None:
    assert flat_figures({"val": {"loss": 1, "per_class": [1, 2]}, "epochs": 3}) == {
        "val.loss": 1,
        "epochs": 3,
    }


def test_metrics_are_told_by_stage_with_what_is_new_and_what_is_gone() -> None:
    root = Path("/project")
    products = {"train": (Product(root / "train.json", True, False), Product(root / "model", False, False))}
    now = {root / "train.json": {"loss": 1, "f1": 2}, root / "loose.json": {"n": 1}}
    then = {root / "train.json": {"loss": 3, "old": 4}}
    assert list(metric_changes(products, now, then, root)) == [
        MetricChange("train", "loss", 3, 1),
        MetricChange("train", "f1", None, 2),
        MetricChange("train", "old", 4, None),
        MetricChange("loose.json", "n", None, 1),
    ]


def test_what_dvc_yaml_states_decides_whether_a_change_is_better() -> None:
    """Kappa and AUROC rise, Brier's score falls; a map of -1 means that there is none."""
    root = Path("/project")
    meta = MetricMeta(("kappa", "auroc.*", "map*"), ("brier", "auroc.spread"), absent_value=-1)
    products = {"train": (Product(root / "m.json", True, False, meta),)}
    then = {"kappa": 0.6, "brier": 0.2, "auroc": {"cat": 0.8, "spread": 0.1}, "map": 0.5, "map_large": 0.3}
    then |= {"map_small": -1.0, "map_none": -1, "seen": 10, "loss": 2.0, "void": None}
    now = {"kappa": 0.7, "brier": 0.25, "auroc": {"cat": 0.9, "spread": 0.2}, "map": 0.25, "map_large": -1}
    now |= {"map_small": 0.1, "map_none": -1.0, "seen": 5, "loss": 1.0, "void": 0.5}
    changes = list(metric_changes(products, {root / "m.json": now}, {root / "m.json": then}, root))
    assert {change.name: change.trend for change in changes} == {
        "kappa": Trend.BETTER,
        "brier": Trend.WORSE,
        "auroc.cat": Trend.BETTER,
        "auroc.spread": Trend.WORSE,
        "map": Trend.WORSE,
        "map_large": Trend.GONE,
        "map_small": Trend.NEW,
        "map_none": Trend.SAME,
        "seen": Trend.CHANGED,
        "loss": Trend.CHANGED,  # a name alone says nothing
        "void": Trend.NEW,
    }
    assert [(c.now, c.difference) for c in changes if c.name == "map_large"] == [(None, "")]
    assert "map_none" not in [change.name for change in main_metrics(changes)]


def test_what_another_model_measured_is_neither_better_nor_worse() -> None:
    root = Path("/project")
    meta = MetricMeta(("recall", "coverage"), measured_with={"recall": "judge"})
    products = {"evaluate": (Product(root / "m.json", True, False, meta),)}
    then, now = (
        {"recall": 0.5, "coverage": 0.5, "judge": "aa"},
        {"recall": 0.9, "coverage": 0.9, "judge": "bb"},
    )
    changes = list(metric_changes(products, {root / "m.json": now}, {root / "m.json": then}, root))
    assert {change.name: change.trend for change in changes} == {
        "recall": Trend.CHANGED,
        "coverage": Trend.BETTER,
        "judge": Trend.CHANGED,
    }
    now["judge"] = "aa"
    (recall, *_) = metric_changes(products, {root / "m.json": now}, {root / "m.json": then}, root)
    assert recall.trend is Trend.BETTER


def test_a_run_that_leaves_dvc_yaml_broken_is_told_all_the_same(tmp_path: Path) -> None:
    broken = """\
stages:
  breaks: {cmd: "echo 1 > out.txt; echo '[' >> dvc.yaml", outs: [out.txt]}
"""
    root = make(tmp_path / "r", Shape("breaks", {"dvc.yaml": broken}), tmp_path)
    report = run_pipeline(RunOptions(repo=root))
    record = record_run(root, report)
    assert report.outcomes() == {"breaks": Outcome.RAN}
    assert (record.report, record.metrics, record.pictures) == (report, (), ())
    assert record.unread.startswith("dvc.yaml, line ")


def test_pictures_are_found_among_outs_and_in_folders(tmp_path: Path) -> None:
    (tmp_path / "sheets" / "deep").mkdir(parents=True)
    for name in ("a.png", "sheets/deep/b.JPG", "sheets/notes.txt"):
        (tmp_path / name).touch()
    outs = tuple(Product(tmp_path / name, False, False) for name in ("a.png", "sheets", "gone.png"))
    assert [picture.path.name for picture in pictures_among({"draw": outs})] == ["a.png", "b.JPG"]


@pytest.mark.slow
@pytest.mark.parametrize("cached", ["", ": {cache: false}"], ids=["in the cache", "in git"])
@pytest.mark.parametrize("below", ["", "deep"], ids=["at git's root", "below it"])
def test_metrics_stand_beside_those_of_the_last_commit(tmp_path: Path, cached: str, below: str) -> None:
    git(tmp_path, "init")
    root = tmp_path / below
    root.mkdir(exist_ok=True)
    Repo.init(str(root), subdir=bool(below)).close()
    (root / "dvc.yaml").write_text(
        f"stages:\n  train:\n    cmd: cp loss.json out.json\n    deps: [loss.json]\n"
        f"    metrics: [out.json{cached}]\nmetrics: [loose.json]\n"
    )
    (root / "loose.json").write_text('{"n": 1}')
    for loss in (3, 2):
        (root / "loss.json").write_text(f'{{"loss": {loss}}}')
        report = run_pipeline(RunOptions(repo=root))
        assert report.well
        if loss == 3:
            git(tmp_path, "add", "-A")
            git(tmp_path, "commit", "-m", "results")
    assert record_run(root, report).metrics == (
        MetricChange("train", "loss", 3, 2),
        MetricChange("loose.json", "n", 1, 1),
    )


STATED = """\
stages:
  train:
    cmd: cp loss.json out.json
    deps: [loss.json]
    metrics:
      - out.json:
          cache: false
          meta: {lower_is_better: [brier], %s}
"""


def test_dvc_yaml_states_which_way_a_metric_is_better(tmp_path: Path) -> None:
    files = {"dvc.yaml": STATED % "higher_is_better: [kappa]", "loss.json": '{"brier": 3, "kappa": 1}'}
    root = make(tmp_path / "r", Shape("stated", files), tmp_path)
    assert run_pipeline(RunOptions(repo=root)).well
    git(root, "add", "-A")
    git(root, "commit", "-qm", "results")
    (root / "loss.json").write_text('{"brier": 2, "kappa": 0}')
    report = run_pipeline(RunOptions(repo=root))
    assert [(c.name, c.trend) for c in record_run(root, report).metrics] == [
        ("brier", Trend.BETTER),
        ("kappa", Trend.WORSE),
    ]
    (root / "dvc.yaml").write_text(STATED % "higher_is_better: [kappa, brier.*]")
    assert run_pipeline(RunOptions(repo=root)).outcomes() == {"train": Outcome.SKIPPED}


def test_a_wrong_statement_of_a_metric_is_refused_before_anything_runs(tmp_path: Path) -> None:
    files = {"dvc.yaml": STATED % "higher_is_beter: [kappa]", "loss.json": "{}"}
    root = make(tmp_path / "r", Shape("wrong", files), tmp_path)
    with pytest.raises(MetaError) as error:
        run_pipeline(RunOptions(repo=root))
    assert str(error.value) == (
        "dvc.yaml: train.metrics.out.json.meta.higher_is_beter: unknown key; did you mean 'higher_is_better'?"
    )
    assert not (root / "out.json").exists()


def test_pictures_that_were_added_as_data_are_no_results(tmp_path: Path) -> None:
    files = {
        "dvc.yaml": "stages:\n  draw: {cmd: cp raw/in.png out.png, deps: [raw], outs: [out.png]}\n",
        "raw/in.png": "one",
    }
    root = make(tmp_path / "r", Shape("added", files, add=("raw",)), tmp_path)
    report = run_pipeline(RunOptions(repo=root))
    assert (set(report.outcomes()), report.plan.data) == ({"raw.dvc", "draw"}, {"raw.dvc"})
    assert [picture.path.name for picture in record_run(root, report).pictures] == ["out.png"]


@pytest.mark.slow
@pytest.mark.parametrize("cached", ["", ": {cache: false}"], ids=["in the cache", "in git"])
def test_pictures_stand_beside_those_of_the_last_commit(tmp_path: Path, cached: str) -> None:
    """Those of stages that ran, and that became others; nothing is fetched from anywhere."""
    pipeline = f"""\
stages:
  draw: {{cmd: mkdir s && cp in.png s/new.png && cp dvc.yaml s/same.png, deps: [in.png], outs: [s{cached}]}}
  other: {{cmd: cp in2.png other.png, deps: [in2.png], outs: [other.png{cached}]}}
"""
    files = {"dvc.yaml": pipeline, "in.png": "one", "in2.png": "another"}
    root = make(tmp_path / "r", Shape("draws", files), tmp_path)

    def run(content: str) -> dict[Path, bytes]:
        (root / "in.png").write_text(content)
        return dict(record_run(root, run_pipeline(RunOptions(repo=root))).before)

    assert run("one") == {}
    git(root, "add", "-A")
    git(root, "commit", "-qm", "pictures")
    (root / "other.png").unlink()
    (root / "other.png").write_text("edited by hand")
    assert run("two") == {root / "s/new.png": b"one"}
    if not cached:
        for kept in (".dvc/cache", ".dvc/tmp", "../site"):  # as in a new clone
            shutil.rmtree(root / kept)
        assert run("three") == {}


def test_main_metrics_are_few_and_those_with_a_direction_first() -> None:
    changes = [MetricChange("s", f"count_{number}", 1, 1) for number in range(10)]
    changes.append(MetricChange("s", "accuracy", 1, 1, 1))
    shown = list(main_metrics(changes))
    assert len(shown) == SHOWN_METRICS_A_GROUP
    assert shown[0].name == "accuracy"


def test_main_metrics_show_the_least_nested_of_each_group() -> None:
    names = [
        "box.map",
        "box.by_class.cat",
        "box.by_class.dog",
        "made.floor.recall",
        "made.recall",
        "made.seen",
    ]
    shown = main_metrics(MetricChange("s", name, 1, 1) for name in names)
    assert [change.name for change in shown] == ["box.map", "made.recall", "made.seen"]


def test_told_are_metrics_of_stages_that_ran_alone() -> None:
    ended = {"ran": Outcome.RAN, "idle": Outcome.SKIPPED, "edited": Outcome.SKIPPED}
    ended |= {"stopped": Outcome.CANCELLED, "failed": Outcome.FAILED, "waits": Outcome.BLOCKED}
    report = RunReport(
        run="r",
        plan=Plan((), None, ()),
        stages={name: StageFinished(name, outcome) for name, outcome in ended.items()},
        seconds=1.0,
        errors=(),
    )
    changes = (
        MetricChange("ran", "loss", 1, 1),
        MetricChange("idle", "loss", 1, 1),
        MetricChange("edited", "loss", 1, 2),
        MetricChange("stopped", "loss", 1, None),
        MetricChange("failed", "loss", 1, None),
        MetricChange("waits", "loss", 1, 1),
        MetricChange("not of this run", "loss", 1, 2),
        MetricChange("loose.json", "loss", 1, 1),
    )
    record = EndedRun(root=Path(), report=report, metrics=changes, pictures=())
    assert [change.stage for change in metrics_of_interest(record)] == ["ran"]


def test_a_metrics_file_in_a_stages_folder_is_that_stages() -> None:
    """As DVCLive leaves it: dvc.yaml lists the file by itself, and the stage the folder."""
    root = Path("/project")
    products = {"train": (Product(root / "live", False, False),)}
    now = {root / "live/metrics.json": {"loss": 1}, root / "loose.json": {"n": 1}}
    changes = list(metric_changes(products, now, {}, root))
    assert [change.stage for change in changes] == ["train", "loose.json"]


def test_an_out_that_differs_though_its_inputs_do_not_is_told(tmp_path: Path) -> None:
    """A stage of the same inputs that makes another out; what depends on it has a reason to differ."""
    stages = "stages:\n  draw:\n    cmd: cat ../chance > card\n    outs: [card]\n"
    stages += "  play:\n    cmd: cp card played\n    deps: [card]\n    outs: [played]\n"
    root = make(tmp_path / "a", Shape("chance", {"sub/dvc.yaml": stages, "chance": "3"}), tmp_path)
    options = RunOptions(repo=root, force=True, all_pipelines=True)
    assert not record_run(root, run_pipeline(options)).other_outs  # the last commit has no dvc.lock
    git(root, "add", "-A")
    git(root, "commit", "-m", "three")
    assert not record_run(root, run_pipeline(options)).other_outs
    (root / "chance").write_text("4")
    ended = record_run(root, run_pipeline(options))
    assert ended.other_outs == {"sub/dvc.yaml:draw": ("sub/card",)}
    assert "sub/dvc.yaml:draw (sub/card)" in other_outs_remark(ended.other_outs)
    assert "sub/dvc.yaml:draw (sub/card)" in run_page(ended)


def test_on_other_data_no_figure_is_better_or_worse(tmp_path: Path) -> None:
    pipeline = {
        "stages": {
            "count": {
                "cmd": "python -c \"import json, pathlib; n = len(pathlib.Path('raw.txt').read_text());"
                " pathlib.Path('m.json').write_text(json.dumps({'n': n}))\"",
                "deps": ["raw.txt"],
                "metrics": [{"m.json": {"cache": False, "meta": {"higher_is_better": ["n"]}}}],
            }
        }
    }
    root = make(tmp_path / "repo", Shape("data", {"dvc.yaml": yaml.safe_dump(pipeline)}), tmp_path)
    (root / "raw.txt").write_text("one")
    with Repo(str(root)) as repo:
        repo.add(str(root / "raw.txt"))
    assert run_pipeline(RunOptions(repo=root)).well
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "counted")
    (root / "raw.txt").write_text("three")
    with Repo(str(root)) as repo:
        repo.add(str(root / "raw.txt"))
    record = record_run(root, run_pipeline(RunOptions(repo=root)))
    assert record.other_data == ("raw.txt.dvc",)
    assert [(change.now, change.trend) for change in record.metrics] == [(5, Trend.CHANGED)]
    assert "other data than in the last commit (raw.txt.dvc)" in other_data_remark(record.other_data)
