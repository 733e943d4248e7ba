import subprocess
import sys

import pytest

from tests.places import ROOT

LOCK = """\
schema: '2.0'
stages:
  a:
    cmd: a
    deps:
    - path: {dep}
      hash: md5
      md5: {dep_md5}
    outs:
    - path: one.txt
      hash: md5
      md5: aaaa
    - path: {second}
      hash: md5
      md5: {second_md5}
"""
SAME = {"dep": "code.py", "dep_md5": "1111", "second": "two.txt", "second_md5": "bbbb"}


@pytest.mark.parametrize(
    ("changed", "allowed", "code", "said"),
    [
        ({}, [], 0, "2 of 2 outputs are equal"),
        ({"dep": "code", "dep_md5": "2222.dir"}, [], 0, "2 of 2 outputs are equal"),
        ({"second_md5": "cccc"}, [], 1, "1 of 2 outputs are equal"),
        ({"second_md5": "cccc"}, ["two.txt"], 0, "1 of 2 outputs are equal"),
        ({"second": "three.txt"}, ["two.txt"], 1, "1 of 3 outputs are equal"),
    ],
)
def test_outputs_are_compared_and_deps_are_not(tmp_path, changed, allowed, code, said):
    (tmp_path / "old").write_text(LOCK.format(**SAME))
    (tmp_path / "new").write_text(LOCK.format(**{**SAME, **changed}))
    command = [sys.executable, "-m", "benchmarks.darkroom.outputs", tmp_path / "old", tmp_path / "new"]
    words = [word for path in allowed for word in ("--allow", path)]
    done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (code, said)
