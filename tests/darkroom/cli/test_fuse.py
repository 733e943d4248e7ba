"""`darkroom fuse`: handed on to the stages' own command, in a process of its own."""

import cv2
import numpy as np
import pytest

from darkroom.cli.main import Exit, run_command


@pytest.mark.slow
def test_fuses_and_says_what_is_wrong_in_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stages").mkdir()  # a folder of the user's own, which must not be taken for ours
    (tmp_path / "stages/__init__.py").write_text("raise SystemExit('not this one')")
    for name, value in (("a", 100), ("b", 201)):
        cv2.imwrite(f"{name}.png", np.full((20, 20, 3), value, np.uint8))
    words = ["fuse", "a.png", "b.png", "--method", "average", "--alpha", "0.75", "--out", "c.png"]
    assert run_command(words) == Exit.WELL
    assert (cv2.imread("c.png") == 125).all()
    assert capfd.readouterr() == ("c.png\n", "")
    assert (
        run_command(["fuse", "a.png", "none.png", "--method", "average", "--out", "d.png"])
        == Exit.WRONG_INPUT
    )
    assert capfd.readouterr() == ("", "error: none.png: no such file\n")
