import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from darkroom.runs.ended import PICTURES_A_FOLDER, EndedRun, Picture
from darkroom.runs.metrics import SHOWN_METRICS_A_GROUP, MetricChange
from darkroom.runs.report import RunReport
from darkroom.schedule.events import Outcome, StageFinished
from darkroom.schedule.plan import Action, Plan, PlannedStage
from darkroom.show import pages as artifacts
from darkroom.show.markdown import markdown_table
from darkroom.show.wording import headline


def report(outcomes: dict[str, Outcome], needs: dict[str, tuple[str, ...]] | None = None) -> RunReport:
    stages = tuple(PlannedStage(name, Action.RUN, (), (needs or {}).get(name, ()), None) for name in outcomes)
    ended = {
        name: StageFinished(name, outcome, ("dep in.txt: modified",), 2.0 if outcome is Outcome.RAN else 0.0)
        for name, outcome in outcomes.items()
    }
    return RunReport(run="r", plan=Plan(stages, None, ()), stages=ended, seconds=12.0, errors=())


def record(
    root: Path, ran: RunReport, metrics: tuple[MetricChange, ...] = (), pictures: tuple[Path, ...] = ()
) -> EndedRun:
    return EndedRun(
        root=root,
        report=ran,
        metrics=metrics,
        pictures=tuple(Picture("draw", path) for path in pictures),
    )


def noise(path: Path, side: int) -> Path:
    Image.effect_noise((side, side), 80).convert("RGB").save(path)
    return path


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("train-gan", "train-gan"),
        ("sub/dvc.yaml:Prep@a_1", "sub-dvc-yaml-prep-a-1"),
        ("Größe", "gr-e"),
        ("@", "unnamed"),
    ],
)
def test_slugs_are_keys_that_prefect_takes(name: str, key: str) -> None:
    assert artifacts.slug(name) == key
    assert re.fullmatch(r"[a-z0-9-]+", key)


def test_stages_that_differ_in_a_sign_have_keys_of_their_own() -> None:
    stages = ["train-gan", "train_gan", "train/gan", "Train-gan", "train@gan"]
    for key_of, last in ((artifacts.metrics_key, "metrics"), (artifacts.progress_key, "progress")):
        keys = [key_of("Pro_ject", stage) for stage in stages]
        assert len(set(keys)) == len(stages)
        assert keys[0] == f"pro-ject-train-gan-{last}"
        assert all(artifacts.slug(key) == key for key in keys)


def test_a_table_of_metrics_has_figures_changes_and_words() -> None:
    assert artifacts.metrics_table([MetricChange("train", "val.loss", 0.5, 0.25, -1)]) == [
        {"metric": "val.loss", "now": "0.25", "last commit": "0.5", "change": "-0.25", "in words": "better"}
    ]


def test_the_headline_counts_what_went_wrong_first() -> None:
    ran = report({"a": Outcome.SKIPPED, "b": Outcome.RAN, "c": Outcome.FAILED, "d": Outcome.BLOCKED})
    assert headline(ran) == "1 stage failed, 1 not started, 1 ran, 1 up to date, in 12 s"


def test_cells_cannot_break_a_table() -> None:
    table = markdown_table(("a", "b"), [("x|y", "two\nlines"), ("<b>", "")])
    assert table.splitlines() == ["| a | b |", "| --- | --- |", "| x\\|y | two lines |", "| &lt;b> |  |"]


def test_the_graph_has_the_edges_states_and_times() -> None:
    ran = report({"a": Outcome.SKIPPED, "b": Outcome.RAN}, {"b": ("a", "not-in-the-run")})
    lines = artifacts.graph_section(ran).splitlines()
    assert '  n0["a<br/>skipped"]:::skipped' in lines
    assert '  n1["b<br/>ran · 2.0 s"]:::ran' in lines
    assert [line for line in lines if "-->" in line] == ["  n0 --> n1"]
    assert [line.split()[1] for line in lines if "classDef" in line] == ["ran", "skipped"]


def test_a_graph_of_many_stages_shows_only_those_that_did_something() -> None:
    outcomes = {f"s{number}": Outcome.SKIPPED for number in range(artifacts.GRAPH_STAGES)}
    graph = artifacts.graph_section(report(outcomes | {"late": Outcome.RAN}))
    assert "late" in graph
    assert "s1" not in graph
    everything = artifacts.graph_section(report(dict.fromkeys((*outcomes, "late"), Outcome.RAN)))
    assert everything == f"Too many stages ran ({artifacts.GRAPH_STAGES + 1}) to draw their graph."


def test_a_long_table_of_stages_keeps_those_that_did_something() -> None:
    outcomes = {f"s{number}": Outcome.SKIPPED for number in range(artifacts.ROWS + 5)}
    table = artifacts.stages_table(report(outcomes | {"late": Outcome.FAILED}))
    assert table.splitlines()[2].startswith("| late | failed |")
    assert "and 6 more" in table


def test_the_page_says_what_ran_why_and_against_what(tmp_path: Path) -> None:
    ran = report({"train": Outcome.RAN})
    page = artifacts.run_page(
        record(tmp_path / "project", ran, (MetricChange("train", "accuracy", 0.5, 0.75, 1),))
    )
    assert page.startswith("# project: 1 stage ran, in 12 s\n")
    assert "| train | ran | 2.0 s | dep in.txt: modified |" in page
    assert "| train | accuracy | 0.5 | 0.75 | +0.25 | better |" in page
    assert "## Pictures" not in page


def test_of_many_metrics_the_page_has_the_main_ones_and_counts_the_others(tmp_path: Path) -> None:
    changes = [MetricChange("train", "map", 0.5, 0.75, 1)]
    changes += [MetricChange("train", f"by_class.c{number}.map.low", 1, 2) for number in range(300)]
    page = artifacts.run_page(record(tmp_path, report({"train": Outcome.RAN}), tuple(changes)))
    assert "| train | map | 0.5 | 0.75 | +0.25 | better |" in page
    assert page.count("| train | by_class") == SHOWN_METRICS_A_GROUP
    assert "294 metrics more: in the stages' own tables" in page


def test_small_pictures_are_embedded_as_they_are(tmp_path: Path) -> None:
    picture = noise(tmp_path / "a.png", 16)
    uri = artifacts.data_uri(picture)
    assert uri is not None
    kind, data = uri.split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == picture.read_bytes()


@pytest.mark.slow
def test_large_pictures_are_scaled_down_into_the_bound(tmp_path: Path) -> None:
    picture = noise(tmp_path / "a.png", 1000)
    assert picture.stat().st_size > artifacts.PICTURE_BYTES
    uri = artifacts.data_uri(picture)
    assert uri is not None
    content = base64.b64decode(uri.split(",")[1])
    assert len(content) <= artifacts.PICTURE_BYTES
    with Image.open(io.BytesIO(content)) as shown:
        assert 400 <= min(shown.size) < 1000


def test_what_is_no_picture_or_no_longer_fits_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"x" * (artifacts.PICTURE_BYTES + 1))
    small = noise(tmp_path / "small.png", 8)
    large = noise(tmp_path / "large.png", 64)
    monkeypatch.setattr(artifacts, "PAGE_PICTURE_BYTES", len(artifacts.data_uri(small) or ""))
    page = artifacts.run_page(record(tmp_path, report({"draw": Outcome.RAN}), (), (broken, large, small)))
    assert page.count("data:image/png") == 1
    assert "![small.png](data:" in page
    assert "Not shown here, too large or not readable: `broken.png`, `large.png`." in page


def test_of_a_folder_full_of_pictures_the_first_are_shown(tmp_path: Path) -> None:
    many = [noise(tmp_path / f"{number:03}.png", 8) for number in range(PICTURES_A_FOLDER + 3)]
    page = artifacts.run_page(record(tmp_path, report({"draw": Outcome.RAN}), (), tuple(many)))
    assert page.count("data:image/png") == PICTURES_A_FOLDER


def test_a_picture_stands_beside_what_it_was_as_long_as_both_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = noise(tmp_path / "a.png", 8), noise(tmp_path / "b.png", 8)
    then = noise(tmp_path / "then.png", 8).read_bytes()
    drawn = record(tmp_path, report({"draw": Outcome.RAN}), (), (first, second))
    both = replace(drawn, before={first: then, second: then})
    uri = f"data:image/png;base64,{base64.b64encode(then).decode()}"
    page = artifacts.run_page(both)
    assert page.count("| Last commit | Now |") == 2
    assert f"| ![a.png, last commit]({uri}) | ![a.png](data:" in page
    monkeypatch.setattr(artifacts, "PAGE_PICTURE_BYTES", int(3.5 * len(uri)))
    page = artifacts.run_page(both)
    assert page.count("| Last commit | Now |") == 1
    assert "\n![b.png](data:" in page
