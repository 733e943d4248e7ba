"""Looks at an inbox, each as the flow does it: releases by GTO's tags, models from DVC's cache."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from dvc.repo import Repo
from PIL import Image
from prefect import get_client

from darkroom.base.errors import UsageError
from darkroom.deployments.score import score
from darkroom.releases.releases import make_release
from tests.darkroom.repositories import git, make
from tests.darkroom.shapes import Shape
from tests.stages.small_models import params_for_models, save_models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("one_server")]

ARTIFACTS = {
    "classifier": {"path": "models/classifier.safetensors"},
    "eye": {"path": "models/detector.safetensors"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with two models in DVC's cache, none of them released."""
    files = {
        "dvc.yaml": yaml.safe_dump({"artifacts": ARTIFACTS}),
        "params.yaml": yaml.safe_dump(params_for_models()),
        ".gitignore": "/inbox\n/scored\n",
    }
    root = make(tmp_path / "project", Shape("score", files), tmp_path)
    models = save_models(root / "models")
    with contextlib.chdir(root), contextlib.closing(Repo(str(root))) as repo:
        repo.add([str(model) for model in models])
    git(root, "add", "-A")
    git(root, "commit", "-m", "models")
    for model in models:
        model.unlink()  # the released ones come from the cache
    (root / "inbox").mkdir()
    return root


def put(root: Path, *names: str) -> None:
    draw = np.random.default_rng(len(names))
    for name in names:
        Image.fromarray(draw.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(root / "inbox" / name)


def look(root: Path, **words: Any) -> str:
    given = {"inbox": "inbox", "out": "scored", "release": "pictures", "detector": "eye", "quiet_minutes": 0}
    with contextlib.chdir(root):
        return str(score(**{**given, **words}))


def release_pictures(root: Path) -> None:
    make_release(root, "pictures", "prod", git(root, "rev-parse", "HEAD").strip(), "better")


def pages() -> list[str]:
    with get_client(sync_client=True) as client:
        return [str(one.data) for one in client.read_artifacts() if one.key == "project-score"]


def test_looks_before_a_release_and_by_two_of_them(root: Path) -> None:
    put(root, "a.png", "b.png")
    (root / "inbox/c.png").write_text("corrupt")
    assert look(root) == "nothing is released as pictures for prod yet; the pictures wait"
    release_pictures(root)
    # What is not committed yet, or not released, decides nothing.
    (root / "params.yaml").write_text("nothing: here")
    with pytest.raises(
        UsageError, match=r"detector: nobody is no artifact in dvc\.yaml of v0\.1\.0 .*there: classifier, eye"
    ):
        look(root, detector="nobody")
    assert look(root) == "2 pictures scored by pictures@v0.1.0, 1 set aside"
    rows = pd.read_parquet(root / "scored/predictions")
    assert rows["name"].tolist() == ["a.png", "b.png", "c.png"]
    assert rows["label"].notna().tolist() == [True, True, False]
    assert len(list((root / "scored/drawn").glob("*/*.jpg"))) == 2
    (page,) = pages()
    assert "| c.png | unreadable: cannot identify image file |" in page
    assert page.count("](data:image/jpeg;base64,") == 2
    assert look(root) == "nothing is new"
    assert len(pages()) == 1

    git(root, "checkout", "params.yaml")
    (root / "notes").write_text("newer")
    git(root, "add", "-A")
    git(root, "commit", "-m", "newer")
    release_pictures(root)
    put(root, "d.png")
    assert look(root) == "1 picture scored by pictures@v0.2.0, 0 set aside"
    assert pd.read_parquet(root / "scored/predictions")["name"].tolist() == [
        "a.png",
        "b.png",
        "c.png",
        "d.png",
    ]
    assert not (root / "models/classifier.safetensors").exists()


def test_whose_releases_must_be_said(root: Path) -> None:
    with pytest.raises(UsageError, match=r"release: params\.yaml has no gate"):
        look(root, release="")
    gate = {"release": "pictures", "stage": "shop", "metrics": {"m.json:a": {}}}
    (root / "params.yaml").write_text(yaml.safe_dump({"gate": gate}))
    assert look(root, release="") == "nothing is released as pictures for shop yet; the pictures wait"
