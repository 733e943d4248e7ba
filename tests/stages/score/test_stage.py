"""An inbox through models with random weights; the program is killed wherever it can be."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from pycocotools.coco import COCO

from stages.classifier.network import (
    Classifier,
    build_classifier,
    features_of,
    load_classifier,
    predict,
)
from stages.core.errors import DataError, ModelError, ParamsError
from stages.core.packed import load_classification
from stages.core.params import ComputeParams
from stages.drift.reference import make_reference, write_reference
from stages.intake.decoding import decode
from stages.networks.compute import prepare
from stages.networks.model_files import save_model
from stages.prediction.models import load_models
from stages.preprocess.stage import main as preprocess
from stages.score import predictions
from stages.score.inbox import look, taken
from stages.score.stage import main
from tests.stages.param_files import COMPUTE
from tests.stages.small_models import BOX_LABELS, CLASSIFIER, LABELS, params_for_models, save_models

SCENES = {
    "format": "composed",
    "count": {"train": 2, "val": 1, "test": 1},
    "side": 40,
    "items_min": 1,
    "items_max": 1,
    "scale_min": 1.0,
    "scale_max": 1.0,
    "brightness_min": 1.0,
    "brightness_max": 1.0,
    "min_visible": 0.1,
    "mask_threshold": 8,
}


class Scoring:
    """An inbox, models, and what comes of them."""

    def __init__(self, folder: Path, models: tuple[Path, Path], **score: Any) -> None:
        self.inbox, self.out, self.params = folder / "inbox", folder / "out", folder / "params.yaml"
        self.models = models
        self.inbox.mkdir()
        self.draw = np.random.default_rng(0)
        values = params_for_models()
        values["score"] |= score
        self.params.write_text(yaml.safe_dump(values))

    def put(self, name: str, size: tuple[int, int] = (50, 30)) -> Path:
        """A picture that nobody has seen before."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = self.draw.integers(0, 200, 3)
        pixels = self.draw.integers(0, 56, (size[1], size[0], 3)) + colour
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        return path

    def words(self) -> dict[str, Any]:
        return {
            "inbox": self.inbox,
            "out": self.out,
            "params": self.params,
            "classifier": self.models[0],
            "detector": self.models[1],
        }

    def run(self, *, quiet_seconds: float = 0, **words: Any) -> pd.DataFrame:
        main(**{**self.words(), "release": "pictures@v0.1.0", "quiet_seconds": quiet_seconds, **words})
        return self.rows()

    def rows(self) -> pd.DataFrame:
        return pd.read_parquet(self.out / "predictions")

    def coco(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted((self.out / "coco").glob("*.json"))]

    def beside(self, kind: str) -> dict[int, list[str]]:
        """Names of files by the id that they belong to."""
        files: dict[int, list[str]] = {}
        for path in sorted(self.out.glob(f"{kind}/*/*")):
            number, _, name = path.name.partition("-")
            files.setdefault(int(number), []).append(name)
        return files

    def require_whole(self) -> None:
        """Each picture of the inbox has its row, its place in COCO's file, and its drawing or its reason."""
        rows = self.rows()
        assert Counter(rows["name"]) == Counter(
            path.relative_to(self.inbox).as_posix() for path in self.inbox.rglob("*") if path.is_file()
        )
        assert list(rows["id"]) == list(range(1, len(rows) + 1))
        scored = rows[rows["set_aside"].isna()]
        images = [image for file in self.coco() for image in file["images"]]
        assert [image["id"] for image in images] == list(scored["id"])
        assert [image["file_name"] for image in images] == list(scored["name"])
        assert list(self.beside("drawn")) == list(scored["id"])
        assert list(self.beside("set_aside")) == [i for i in rows["id"] if i not in list(scored["id"])]
        assert not list(self.out.rglob("*.partial"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def scoring(tmp_path: Path, models: tuple[Path, Path]) -> Scoring:
    return Scoring(tmp_path, models)


@pytest.mark.slow
def test_pictures_are_shown_to_the_networks_as_in_training(tmp_path: Path, models: tuple[Path, Path]) -> None:
    scoring = Scoring(tmp_path, models)
    for label in LABELS:
        for number in range(8):
            ending = "jpg" if number % 2 else "png"
            scoring.put(f"pictures/{label}/{number}.{ending}", size=(30 + 5 * number, 90 - 6 * number))
    values = params_for_models()
    values["preprocess"]["detection"] = SCENES
    scoring.params.write_text(yaml.safe_dump(values))
    named = {name: tmp_path / name for name in ("classification", "detection", "metrics", "sheet", "report")}
    preprocess(raw=scoring.inbox, params=scoring.params, **named)
    compute = prepare(ComputeParams.model_validate(COMPUTE))
    trained_on = [
        load_classification(tmp_path / "classification", split).images for split in ("train", "val", "test")
    ]
    network = compute.network(load_classifier(models[0]))
    expected = predict(network, np.concatenate(trained_on), compute=compute).numpy()
    found = np.stack(scoring.run()["probabilities"].to_list())
    assert expected.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(
        found[found[:, 0].argsort()], expected[expected[:, 0].argsort()], rtol=1e-4, atol=1e-6
    )


def test_what_is_told_of_a_picture(scoring: Scoring) -> None:
    scoring.put("in/a folder/wide.png", size=(200, 100))
    (row,) = scoring.run().to_dict("records")
    assert (row["name"], row["width"], row["height"]) == ("in/a folder/wide.png", 200, 100)
    assert row["label"] == LABELS[int(np.argmax(row["probabilities"]))]
    assert row["probability"] == max(row["probabilities"])
    assert len(row["boxes"]) == len(row["box_labels"]) == len(row["box_scores"]) > 0
    (path,) = (scoring.out / "coco").glob("*.json")
    coco = COCO(path)
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == BOX_LABELS
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[row["id"]])):
        x, y, width, height = annotation["bbox"]
        assert 0 <= x < x + width <= 200
        assert 0 <= y < y + height <= 100
    (drawn,) = (scoring.out / "drawn").glob("*/*")
    with Image.open(drawn) as picture:
        assert picture.width > 200


@pytest.mark.parametrize("classes", [LABELS, []])
def test_attributes_are_told_and_begin_another_file(
    classes: list[str], scoring: Scoring, tmp_path: Path
) -> None:
    scoring.put("a.png")
    scoring.run()
    config = CLASSIFIER | {"classes": classes, "attributes": ["wet", "old"], "thresholds": [0.0, 1.0]}
    model = tmp_path / "attributes.safetensors"
    save_model(model, build_classifier(config), kind="classifier", config=config)
    scoring.put("b.png")
    scoring.run(classifier=model)
    scoring.put("c.png")
    figures = tmp_path / "figures.json"
    scoring.run(classifier=model, figures=figures)
    scoring.require_whole()
    first, second = sorted((scoring.out / "predictions").glob("*.parquet"))
    assert "attributes" not in pd.read_parquet(first).columns
    rows = pd.read_parquet(second)
    assert [list(one) for one in rows["attributes"]] == [["wet"], ["wet"]]
    assert all(len(one) == 2 and 0 < min(one) <= max(one) < 1 for one in rows["attribute_probabilities"])
    assert rows["label"].notna().all() == bool(classes)
    assert [image["attributes"] for image in scoring.coco()[1]["images"]] == [["wet"], ["wet"]]
    assert json.loads(figures.read_text())["attributes"] == {"wet": 1}


def test_corrupt_pictures_are_set_aside_and_stop_nothing(scoring: Scoring, tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg", "z.png"):
        scoring.put(name)
    (scoring.inbox / "empty.png").touch()
    (scoring.inbox / "text.jpg").write_text("no picture")
    (scoring.inbox / "cut.jpg").write_bytes(scoring.put("b.jpg").read_bytes()[:-300])
    noise = scoring.put("b.jpg").read_bytes()
    (scoring.inbox / "flipped.png").write_bytes(scoring.put("a.png").read_bytes()[:60] + noise)
    Image.new("L", (1001, 1000)).save(scoring.inbox / "bomb.png")
    (scoring.inbox / "large.png").write_bytes(bytes(3 << 20))
    (scoring.inbox / os.fsdecode(b"\xff.png")).write_bytes(scoring.put("a.png").read_bytes())
    (scoring.inbox / f"{'long' * 60}.png").write_bytes(scoring.put("z.png").read_bytes())
    figures = tmp_path / "figures.json"
    rows = scoring.run(figures=figures).set_index("name")
    assert sorted(rows.index[rows["set_aside"].isna()]) == [
        "\\xff.png", "a.png", "b.jpg", f"{'long' * 60}.png", "z.png",
    ]  # fmt: skip
    reasons = rows["set_aside"].dropna()
    assert reasons["cut.jpg"].startswith("truncated: ")
    assert reasons["empty.png"].startswith("unreadable: ")
    assert reasons["text.jpg"].startswith("unreadable: ")
    assert reasons["bomb.png"] == "bomb: 1001 x 1000 pixels, max_pixels is 1000000"
    assert reasons["large.png"] == "too large: 3 MB, score.max_megabytes is 1"
    aside = scoring.beside("set_aside")
    assert aside[rows["id"]["cut.jpg"]] == ["cut.jpg", "cut.jpg.txt"]
    assert aside[rows["id"]["large.png"]] == ["large.png.txt"]
    told = json.loads(figures.read_text())
    assert (told["scored"], told["set_aside"], told["all"]) == (5, 6, 11)
    assert {one["name"] for one in told["reasons"]} == set(reasons.index)
    assert len(scoring.run()) == 11


def test_an_input_is_a_name_and_a_content(scoring: Scoring) -> None:
    first = scoring.put("a.png")
    scoring.run()
    (scoring.inbox / "copy.png").write_bytes(first.read_bytes())
    assert list(scoring.run()["name"]) == ["a.png", "copy.png"]
    first.touch()
    first.chmod(0o600)
    assert len(scoring.run()) == 2
    before = first.read_bytes()
    scoring.put("a.png")
    rows = scoring.run()
    assert list(rows["name"]) == ["a.png", "copy.png", "a.png"]
    assert rows["sha256"].nunique() == 2
    first.write_bytes(before)
    assert len(scoring.run()) == 3


def test_what_may_still_be_written_waits(scoring: Scoring, capsys: pytest.CaptureFixture[str]) -> None:
    path = scoring.put("a.png")
    os.utime(path, (0, 0))  # as copying with its times does at the end
    main(**scoring.words(), quiet_seconds=3600)
    assert not (scoring.out / "predictions").exists()
    assert "1 not quiet yet" in capsys.readouterr().out
    assert len(scoring.run()) == 1


def test_what_is_no_picture_by_its_name_or_hidden_is_left_alone(scoring: Scoring, tmp_path: Path) -> None:
    scoring.put("a.png")
    (scoring.inbox / "notes.txt").write_text("x")
    (scoring.inbox / ".b.png.Xy12").write_text("of a copy under way")
    (scoring.inbox / "gone.png").symlink_to("nowhere.png")
    (scoring.inbox / "folder.png").mkdir()
    assert list(scoring.run(figures=tmp_path / "f.json")["name"]) == ["a.png"]
    assert json.loads((tmp_path / "f.json").read_text())["others"] == 1


def test_links_and_special_files_are_left_alone_and_said(
    scoring: Scoring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    Image.new("RGB", (50, 30)).save(secret / "private.png")
    (secret / "shadow").write_text("root's own")
    scoring.put("plain.png")
    (scoring.inbox / "link.png").symlink_to(secret / "private.png")
    (scoring.inbox / "text.png").symlink_to(secret / "shadow")
    (scoring.inbox / "hard.png").hardlink_to(secret / "private.png")
    (scoring.inbox / "folder.png").symlink_to(secret)
    (scoring.inbox / "round").symlink_to(scoring.inbox)
    os.mkfifo(scoring.inbox / "pipe.png")
    assert list(scoring.run()["name"]) == ["plain.png"]
    assert (
        "6 left alone, folder.png first: a link, a pipe or a device is never opened"
        in capsys.readouterr().out
    )
    assert not (scoring.out / "set_aside").exists()


@pytest.mark.parametrize("at", ["file", "folder"])
def test_a_link_put_in_place_after_the_look_is_not_followed(tmp_path: Path, at: str) -> None:
    inbox, secret = tmp_path / "inbox", tmp_path / "secret"
    for folder in (inbox / "a", secret):
        folder.mkdir(parents=True)
        (folder / "one.png").write_bytes(b"1")
    seen = look(inbox, lambda _: False, -1)
    if at == "file":
        (inbox / "a/one.png").unlink()
        (inbox / "a/one.png").symlink_to(secret / "one.png")
    else:
        (inbox / "a").rename(tmp_path / "was")
        (inbox / "a").symlink_to(secret)
    assert not list(taken(seen.candidates, 100, seen))
    assert seen.waiting == ["a/one.png"]


def test_what_is_made_of_a_private_picture_is_private(scoring: Scoring) -> None:
    scoring.put("mine.png").chmod(0o600)
    scoring.put("ours.png").chmod(0o644)
    (scoring.inbox / "odd.png").write_bytes(b"no picture")
    (scoring.inbox / "odd.png").chmod(0o640)
    umask = os.umask(0o022)
    try:
        scoring.run()
    finally:
        os.umask(umask)
    modes = {path.name.partition("-")[2]: path.stat().st_mode & 0o777 for path in scoring.out.glob("*/*/*-*")}
    assert modes == {"mine.png.jpg": 0o600, "ours.png.jpg": 0o644, "odd.png": 0o640, "odd.png.txt": 0o644}


def test_another_release_or_many_rows_begin_another_file(
    scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        scoring.put(f"{number}.png")
    monkeypatch.setattr(predictions, "FULL", 4)
    scoring.run()
    assert [len(file["images"]) for file in scoring.coco()] == [6, 1]
    scoring.put("7.png")
    scoring.run(release="pictures@v0.2.0")
    releases = [file["info"]["release"] for file in scoring.coco()]
    assert releases == ["pictures@v0.1.0", "pictures@v0.1.0", "pictures@v0.2.0"]
    scoring.require_whole()


def test_one_model_alone(scoring: Scoring) -> None:
    scoring.put("a.png")
    (row,) = scoring.run(detector=None).to_dict("records")
    assert row["label"] in LABELS
    assert len(row["boxes"]) == 0
    scoring.put("b.png")
    assert scoring.run(classifier=None)["label"].isna().tolist() == [False, True]


by_fork = pytest.mark.skipif(
    torch.cuda.is_available(), reason="a process that has used CUDA cannot fork another that does"
)


def killed(work: Callable[[], Any], at: int) -> bool:
    """Do the work in a process that is killed before it makes its file number `at`. False: it made fewer."""
    child = os.fork()
    if child == 0:
        replace, made = Path.replace, 0

        def replace_or_die(self: Path, target: Path) -> Path:
            nonlocal made
            made += 1
            if made == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(self, target)

        Path.replace = replace_or_die  # type: ignore[method-assign]
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.slow
@by_fork
def test_killed_before_any_file_is_there_each_input_gets_one_row(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    for at in range(1, 30):
        folder = tmp_path / str(at)
        folder.mkdir()
        scoring = Scoring(folder, models, batch=2)
        for name in ("a.png", "b.png", "d.png"):
            scoring.put(name)
        (scoring.inbox / "c.png").write_text("corrupt")
        was_killed = killed(scoring.run, at)
        scoring.put("0.png")  # comes before what was half done
        scoring.run()
        scoring.require_whole()
        if not was_killed:
            break
    assert at > 9  # three drawings, two files of one set aside, twice two of a batch, and the last run


@by_fork
def test_killed_as_soon_as_its_rows_are_there_nothing_is_missing(scoring: Scoring) -> None:
    scoring.put("a.png")
    scoring.put("b.png")
    assert killed(scoring.run, 4)  # two drawings, the rows, and not COCO's file
    assert len(scoring.rows()) == 2
    assert not scoring.coco()
    scoring.run()
    scoring.require_whole()


@by_fork
def test_a_picture_that_kills_is_set_aside_at_last(scoring: Scoring) -> None:
    scoring.put("a.png")
    scoring.put("b.png")
    for _ in range(3):
        assert killed_while_decoding(scoring)
    rows = scoring.run()
    assert rows["set_aside"][0] == "the process that read it was killed, 3 times"
    assert rows["set_aside"].isna().tolist() == [False, True]


def killed_while_decoding(scoring: Scoring) -> bool:
    child = os.fork()
    if child == 0:
        from stages.score import stage as score

        score.decode = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        try:
            scoring.run()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.slow
def test_the_program_killed_at_any_time_and_started_again(tmp_path: Path, models: tuple[Path, Path]) -> None:
    scoring = Scoring(tmp_path, models, batch=1)
    for number in range(40):
        scoring.put(f"{number:02d}.png")
    (scoring.inbox / "13.png").write_text("corrupt")
    words = [f"--{key}={value}" for key, value in scoring.words().items()]
    command = [sys.executable, "-m", "stages.score", *words, "--quiet-seconds=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.kill()
    assert program.returncode == -signal.SIGKILL
    assert 0 < len(scoring.rows()) < 41
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    scoring.require_whole()


def test_two_at_once_are_refused(scoring: Scoring) -> None:
    scoring.put("a.png")
    with predictions.opened(scoring.out), pytest.raises(DataError, match="another process scores into it"):
        scoring.run()


def test_bad_input_is_one_line(scoring: Scoring, tmp_path: Path) -> None:
    scoring.put("a.png")
    with pytest.raises(DataError, match=r"none: no such folder; make it"):
        scoring.run(inbox=tmp_path / "none")
    with pytest.raises(ParamsError, match=r"one lies in the other"):
        scoring.run(out=scoring.inbox / "out")
    with pytest.raises(ParamsError, match=r"--classifier, --detector: give at least one"):
        scoring.run(classifier=None, detector=None)
    with pytest.raises(ModelError, match=r"holds a detector, a classifier was asked for"):
        scoring.run(classifier=scoring.models[1])
    values = yaml.safe_load(scoring.params.read_text())
    values["preprocess"]["classification"]["shape"] = [20, 20]
    scoring.params.write_text(yaml.safe_dump(values))
    with pytest.raises(ModelError, match=r"trained on pictures of 16 x 20 x 3, section preprocess says 20"):
        scoring.run()
    (scoring.out / "predictions").mkdir()
    (scoring.out / "predictions/000001.parquet").write_text("torn")
    with pytest.raises(DataError, match=r"000001\.parquet: no file of predictions"):
        scoring.run()


def bytes_read() -> int:
    """What this process has read up to now, from whatever file."""
    return int(Path("/proc/self/io").read_text().splitlines()[0].split()[1])


def opening_reads(out: Path) -> int:
    before = bytes_read()
    with predictions.opened(out):
        return bytes_read() - before


def filled(out: Path, parts: int) -> None:
    """Rows as of a run that scored that many files full of pictures."""
    about = {"release": "r", "labels": [], "box_labels": []}
    with predictions.opened(out) as kept:
        for _ in range(parts):
            numbers = range(kept.next_id, kept.next_id + predictions.FULL)
            kept.add([row(number) for number in numbers], about)


def row(number: int) -> dict[str, Any]:
    known = {
        "id": number,
        "name": f"{number}.png",
        "sha256": f"{number:064x}",
        "bytes": 9,
        "changed_ns": number,
    }
    return known | {"set_aside": "a row", "boxes": [], "box_labels": [], "box_scores": []}


@pytest.mark.slow
def test_a_look_reads_the_last_file_alone_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "FULL", 50)
    filled(tmp_path / "few", 2)
    filled(tmp_path / "many", 30)
    opening_reads(tmp_path / "few")
    few, many = opening_reads(tmp_path / "few"), opening_reads(tmp_path / "many")
    assert many < 1.5 * few
    (tmp_path / "many/.seen.sqlite").unlink()
    assert opening_reads(tmp_path / "many") > 5 * few  # all of them, once
    assert opening_reads(tmp_path / "many") < 1.5 * few


@pytest.mark.parametrize("broken", [b"", b"no database", None])
def test_the_files_alone_say_what_has_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bytes | None
) -> None:
    monkeypatch.setattr(predictions, "FULL", 3)
    filled(tmp_path, 3)
    if broken is None:
        (tmp_path / ".seen.sqlite").unlink()
        (tmp_path / ".seen.sqlite").mkdir()  # where none can be written
    else:
        (tmp_path / ".seen.sqlite").write_bytes(broken)
    with predictions.opened(tmp_path) as kept:
        assert all(
            kept.knows((f"{n}.png", 9, n)) and kept.holds((f"{n}.png", 9, n), f"{n:064x}") for n in (1, 9)
        )
        assert not kept.knows(("1.png", 9, 2))
        assert not kept.holds(("1.png", 9, 1), f"{2:064x}")


def test_a_file_of_predictions_that_is_gone_or_another_is_no_longer_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "FULL", 3)
    filled(tmp_path, 4)
    first, second = (tmp_path / f"predictions/00000{n}.parquet" for n in (1, 2))
    second.unlink()
    table = predictions.pq.read_table(first)
    predictions.pq.write_table(table.slice(0, 1), first)
    with predictions.opened(tmp_path) as kept:
        assert [n for n in range(1, 13) if kept.knows((f"{n}.png", 9, n))] == [1, 7, 8, 9, 10, 11, 12]
        assert [n for n in range(1, 13) if kept.holds((f"{n}.png", 9, 0), f"{n:064x}")] == [
            1,
            7,
            8,
            9,
            10,
            11,
            12,
        ]


def test_a_file_that_was_touched_is_read_once_more_and_never_again(scoring: Scoring) -> None:
    scoring.put("a.png")
    scoring.run()
    large = scoring.inbox / "a.png"
    large.chmod(0o640)  # its time of change is another now
    assert len(scoring.run()) == 1
    with predictions.opened(scoring.out) as kept:
        assert look(scoring.inbox, kept.knows, 0).candidates == []
    assert len(scoring.run()) == 1


@pytest.mark.slow
def test_pictures_that_have_become_others_are_told(
    scoring: Scoring, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = load_models(scoring.params, *scoring.models, "")
    assert models.classifier is not None
    assert isinstance(models.classifier.network, Classifier)
    known = []
    for number in range(200):
        decoded = decode(scoring.put(f"{number}.png").read_bytes(), models.classifier.form)
        known.append(decoded.pixels)
        (scoring.inbox / f"{number}.png").unlink()
    features = features_of(models.classifier.network, np.stack(known), models.compute, 50)
    path, figures = tmp_path / "reference.safetensors", tmp_path / "figures.json"
    write_reference(path, make_reference(features[:100], features[100:], seed=0))

    def drift_after(numbers: range) -> dict[str, Any] | None:
        for number in numbers:
            scoring.put(f"{number}.png")
        scoring.run(reference=path, figures=figures)
        found: dict[str, Any] | None = json.loads(figures.read_text())["drift"]
        return found

    assert drift_after(range(49)) is None, "too few to say anything"
    alike = drift_after(range(49, 60))
    assert alike is not None
    assert (alike["pictures"], alike["left"]) == (50, False)
    assert "are like the training pictures" in capsys.readouterr().out
    for number in range(100, 150):
        white = np.full((30, 50, 3), 255, dtype=np.uint8)
        white[number % 30] = 0
        Image.fromarray(white).save(scoring.inbox / f"{number}.png")
    other = drift_after(range(0))
    assert other is not None
    assert other["left"]
    assert other["distance"] > other["furthest"] >= other["usual"] > 0
    assert "the last 100 pictures are unlike the training pictures" in capsys.readouterr().out
    scoring.put("later.png")
    scoring.run(figures=figures)
    assert json.loads(figures.read_text())["drift"] is None, "without a reference nobody looks"
