"""A user of one task alone, by params alone: the stages without work end at once, the others do theirs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from stages.networks.model_files import why_no_model
from tests.conftest import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SPLIT = {"val": 0.15, "test": 0.2, "group_pattern": None, "near_duplicates": None}
FORM = {"classes": None, "shape": [32, 32], "channels": 3, "fit": "stretch", "ground": 0, "split": SPLIT}
FOLDER = {"format": "image-folder", "folder": ".", **FORM}
COCO = {"format": "coco", "annotations": {"all": "boxes.json"}, "pictures": ".", **FORM, "shape": [64, 64]}
USERS: dict[str, dict[str, Any]] = {
    "classifier": {"classification": FOLDER, "detection": None, "null": ["train-gan"]},
    "generator": {"classification": FOLDER, "detection": None, "null": ["train-classifier"]},
    "detector": {"classification": None, "detection": COCO, "null": []},
}


def write_pictures(folder: Path) -> None:
    """120 pictures of two classes, a bright or a dark square on grey, and their boxes."""
    draw, images, annotations = np.random.default_rng(0), [], []
    for number in range(120):
        name = ("dark", "bright")[number % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(100, 150, (64, 64, 3), dtype=np.uint8)
        x, y = draw.integers(4, 34, 2).tolist()
        pixels[y : y + 24, x : x + 24] = 240 if number % 2 else 20
        Image.fromarray(pixels).save(folder / name / f"{number}.png")
        images.append({"id": number, "file_name": f"{name}/{number}.png", "width": 64, "height": 64})
        annotations.append({"image_id": number, "category_id": number % 2, "bbox": [x, y, 24, 24]})
    categories = [{"id": 0, "name": "dark"}, {"id": 1, "name": "bright"}]
    document = {"images": images, "categories": categories, "annotations": annotations}
    (folder / "boxes.json").write_text(json.dumps(document))


@pytest.mark.parametrize("wanted", USERS)
def test_one_task_goes_through_all_stages(wanted: str, clone: Callable[[str], Path]) -> None:
    folder, user = clone("alone"), USERS[wanted]
    write_pictures(folder / "data/raw/mine")
    run(folder, "dvc", "add", "data/raw/mine")
    run(folder, "dvc", "remove", "data/raw/fashion-mnist.dvc")
    params: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text())
    params["raw"] = "data/raw/mine"
    params["preprocess"] |= {key: user[key] for key in ("classification", "detection")}
    params |= dict.fromkeys(user["null"])
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    done = run(folder, "darkroom", "run")
    assert "6 stages ran" in done.stdout
    models = {kind: why_no_model(folder / f"data/models/{kind}.safetensors") for kind in USERS}
    assert [kind for kind, why in models.items() if why is None] == [wanted]
    evaluated = json.loads((folder / "data/metrics/evaluate.json").read_text())
    assert list(evaluated) == [wanted, *(["labels"] if wanted != "generator" else [])]
    fused = json.loads((folder / "data/metrics/fuse.json").read_text())
    assert set(fused) == {"detector": {"scenes"}, "classifier": {"focus", "exposure"}}.get(
        wanted, {"focus", "exposure", "generated"}
    )
    page = (folder / "data/reports/evaluate.html").read_text()
    assert page.count(" was trained: ") == 2
    changed = run(folder, "git", "diff", "--name-only").stdout.split()
    assert [name for name in changed if not name.startswith(("data/", "dvc.lock"))] == ["params.yaml"]
    assert "up to date" in run(folder, "dvc", "status").stdout
    assert run(folder, "dvc", "metrics", "show").returncode == 0
