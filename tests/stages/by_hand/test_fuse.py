import csv

import numpy as np
import pytest
import torch
from PIL import Image

from stages.by_hand.fuse import main
from stages.classifier.network import build_classifier
from stages.fusion.files import read_picture, write_picture
from stages.fusion.methods import laplacian
from stages.networks.model_files import save_model
from tests.stages.fusion.scenery import half_blurred, moved, scenery


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A scene sharp on its left (a.png) and on its right (b.png), and what does not go with them."""
    monkeypatch.chdir(tmp_path)
    scene = scenery()
    left, right = half_blurred(scene)
    pictures = {"a": left, "b": right, "truth": scene, "small": scene[:40], "moved": moved(left, across=9)}
    pictures |= {"hill_1": left, "hill_2": right}
    for name, picture in pictures.items():
        write_picture(tmp_path / f"{name}.png", picture)
    write_picture(tmp_path / "a16.png", left.astype(np.uint16) * 257)
    item = np.full((30, 30, 4), 255, np.uint8)
    item[..., :3] = scene[:30, :30]
    Image.fromarray(item).save(tmp_path / "item.png")
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


def fuse(words, capsys):
    """The exit code and what was said."""
    code = main(words.split())
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.mark.parametrize("method", ["average", "maximum", "laplacian", "wavelet", "exposure", "guided"])
def test_two_pictures_become_one(folder, capsys, method):
    assert fuse(f"a.png b.png --method {method} --out new/c.png", capsys) == (0, "new/c.png\n")
    assert read_picture(folder / "new/c.png").shape == (120, 160, 3)


def test_the_picture_is_the_methods_own(folder, capsys):
    fuse("a.png b.png --method laplacian --levels 3 --out c.png", capsys)
    sources = np.stack([read_picture(folder / name) for name in ("a.png", "b.png")])
    assert (read_picture(folder / "c.png") == laplacian(sources, 3)).all()
    fuse("a.png b.png --method average --alpha 1 --out c.png", capsys)
    assert (read_picture(folder / "c.png") == sources[0]).all()


def test_sixteen_bits_stay_and_a_moved_picture_is_aligned(folder, capsys):
    words = "a16.png moved.png --method laplacian --registration features --out c.tif"
    assert fuse(words, capsys)[0] == 0
    assert read_picture(folder / "c.tif").dtype == np.uint16


def test_features_of_a_classifier_of_grey_pictures_weigh_colour(folder, capsys):
    torch.manual_seed(0)
    grey = {
        "classes": ["x"],
        "mean": [0.5],
        "std": [0.3],
        "size": [28, 28],
        "network": {"model": "compact", "widths": [[4]], "grid": 1, "features": 4},
        "views": 1,
    }
    save_model(folder / "model.safetensors", build_classifier(grey), kind="classifier", config=grey)
    assert fuse("a.png b.png --method features --classifier model.safetensors --out c.png", capsys)[0] == 0
    assert read_picture(folder / "c.png").shape == (120, 160, 3)


def test_a_cut_out_in_a_scene_and_a_mosaic(folder, capsys):
    assert fuse("a.png item.png --method poisson --at 60,50 --out c.png", capsys)[0] == 0
    changed = (read_picture(folder / "c.png") != read_picture(folder / "a.png")).any(axis=2)
    assert changed[50:80, 60:90].mean() > 0.9
    assert not changed[:40].any()
    assert (
        fuse("a.png b.png truth.png --method mosaic --columns 2 --target a16.png --out d.png", capsys)[0] == 0
    )
    assert read_picture(folder / "d.png").shape == (240, 320, 3)


def test_groups_by_manifest_and_by_pattern_with_their_figures(folder, capsys):
    (folder / "groups.csv").write_text("group,picture,truth\nhill,a.png,truth.png\nhill,b.png,\n")
    words = "--manifest groups.csv --method guided --out fused --figures figures.csv"
    assert fuse(words, capsys) == (0, "fused: 1 pictures\n")
    with (folder / "figures.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["group"] == "hill"
    assert float(row["truth_psnr"]) > 30
    assert fuse(". --pattern (.+)_[12].png --method guided --out by_name", capsys)[0] == 0
    assert (read_picture(folder / "by_name/hill.png") == read_picture(folder / "fused/hill.png")).all()


@pytest.mark.parametrize("out", ["a.png", "../{}/a.png", "link.png", "t.png", "m.png"])
def test_what_is_read_is_not_overwritten(folder, capsys, out):
    (folder / "link.png").symlink_to("a.png")
    (folder / "t.png").write_bytes((folder / "b.png").read_bytes())
    (folder / "m.png").write_bytes(b"a model")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    words = {
        "t.png": "a.png b.png --method mosaic --columns 2 --target t.png",
        "m.png": "a.png b.png --method features --classifier m.png",
    }.get(out, "a.png b.png --method laplacian")
    name = out.format(folder.name)
    code, said = fuse(f"{words} --out {name}", capsys)
    assert (code, said) == (2, f"error: {name}: is read and would be overwritten; write to another name\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("rows", "words", "message"),
    [
        (["x/y", "x_y"], "", "groups x/y and x_y: both would be written as x_y; rename one"),
        (["..", "x"], "", "group ..: no file can be named so"),
        (["a", "x"], "--out .", "a.png: is read and would be overwritten"),
        (["x", "y"], "--figures b.png", "b.png: is read and would be overwritten"),
        (["x", "y"], "--figures c/y.png", "c/y.png: is read and would be overwritten"),
        (["x", "y:small"], "", "small.png: 160 x 40 pixels, but"),
        (["x", "y:moved"], "", "moved.png: seems moved against"),
    ],
)
def test_of_several_groups_all_are_right_or_nothing_is_written(folder, capsys, rows, words, message):
    named = [row.partition(":") for row in rows]
    lines = [f"{name},a.png\n{name},{other or 'b'}.png" for name, _, other in named]
    (folder / "groups.csv").write_text("\n".join(["group,picture", *lines]))
    before = {path: path.read_bytes() for path in folder.rglob("*")}
    code, said = fuse(f"--manifest groups.csv --method average --out c {words}", capsys)
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.rglob("*")} == before


@pytest.mark.parametrize("method", ["average", "maximum", "laplacian", "wavelet", "exposure", "guided"])
@pytest.mark.parametrize("registration", ["check", "none"])
def test_the_smallest_pictures_are_fused(folder, capsys, method, registration):
    for name, shape in {"dot": (1, 1, 3), "line": (1, 5, 1), "spot": (3, 2, 3)}.items():
        write_picture(folder / f"{name}.png", np.full(shape, 7, np.uint8))
        words = f"{name}.png {name}.png --method {method} --registration {registration} --out c.png"
        assert fuse(words, capsys) == (0, "c.png\n")
        assert (read_picture(folder / "c.png") == 7).all()


@pytest.mark.parametrize("registration", ["ecc", "features"])
def test_the_smallest_pictures_say_nothing_of_motion(folder, capsys, registration):
    write_picture(folder / "dot.png", np.full((1, 1, 3), 7, np.uint8))
    code, said = fuse(f"dot.png dot.png --method average --registration {registration} --out c.png", capsys)
    assert (code, said.count("\n")) == (2, 1)
    assert "dot.png: cannot be aligned with dot.png" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "a.png small.png --method laplacian",
            "small.png: 160 x 40 pixels, but a.png has 160 x 120; scale or",
        ),
        ("a.png b.png --method laplace", "Invalid value for '--method': 'laplace' is not one of 'average',"),
        ("a.png b.png", "Missing option '--method'"),
        ("a.png none.png --method laplacian", "none.png: no such file"),
        ("a.png text.png --method laplacian", "text.png: no picture that can be read"),
        ("a.png item.png --method laplacian", "item.png: has transparency"),
        ("a.png moved.png --method laplacian", "moved.png: seems moved against a.png by"),
        ("a.png --method laplacian", "1 pictures: give two or more"),
        ("a.png b.png --method features", "--method features: asks for a --classifier"),
        ("a.png b.png --method features --classifier m.safetensors", "m.safetensors: no such model"),
        ("a.png b.png --method features --classifier a.png", "a.png: not a safetensors file"),
        ("a.png b.png --method average --alpha 2", "Invalid value for '--alpha'"),
        ("a.png b.png --method average --weights 0.5,x", "Invalid value for --weights: '0.5,x' is no list"),
        ("a.png b.png --method average --weights 0.5,0.4", "weights must sum to 1, these sum to 0.9"),
        ("a.png b.png --method average --weights 1", "1 weights for 2 pictures"),
        ("a.png b.png --method average --alpha 1 --weights 1", "--alpha: is for two pictures and without"),
        ("a.png b.png --method laplacian --levels 9", "9 levels are too many for pictures of 160 x 120"),
        ("a.png b.png --method laplacian --figures f.csv", "--figures: asks for groups"),
        ("a.png item.png --method poisson", "--method poisson: asks for a scene, a cut-out"),
        ("a.png b.png --method poisson --at 1,1", "b.png: has no alpha channel"),
        ("a16.png item.png --method poisson --at 9,9", "poisson computes with 8 bits"),
        ("a.png item.png --method poisson --at 150,9", "item.png: the cut-out at 150,9 does not lie inside"),
        ("a.png b.png --method mosaic", "--method mosaic: asks for --columns"),
        ("a.png b.png --method mosaic --columns 100000", "--columns: 100000 columns and 1 rows of 160 x"),
        ("a.png b.png --method mosaic --columns 200 --target a.png", "--columns: 200 columns and 200 rows"),
        (
            "a.png b.png --method laplacian --weights .5,.4",
            "--weights: is of no use to --method laplacian, only to average; leave it out",
        ),
        ("a.png b.png --method guided --levels 50", "--levels: is of no use to --method guided, only to la"),
        ("a.png b.png --method guided --alpha .5", "--alpha: is of no use"),
        ("a.png b.png --method average --at 1,2", "--at: is of no use"),
        ("a.png b.png --method average --target a.png", "--target: is of no use"),
        ("a.png b.png --method average --columns 3", "--columns: is of no use"),
        ("a.png b.png --method average --classifier a.png", "--classifier: is of no use"),
        ("a.png b.png --method mosaic --columns 3 --registration ecc", "--registration: is of no use to"),
        ("a.png --manifest g.csv --method laplacian", "a.png: --manifest names the pictures; leave this"),
        ("a.png b.png truth.png --method average --alpha .5", "--method average: 2 weights for 3 pictures"),
        ("--manifest g.csv --method laplacian", "g.csv: no such file"),
        ("--manifest g.csv --pattern (.) --method laplacian", "--manifest and --pattern: give one of them"),
        ("--manifest g.csv --method mosaic", "--method mosaic: works on pictures, not on groups"),
        ("a.png --pattern (.) --method laplacian", "--pattern: asks for the folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(folder, capsys, words, message):
    code, said = fuse(f"{words} --out c.png", capsys)
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not (folder / "c.png").exists()
