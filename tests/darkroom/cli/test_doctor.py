"""What `darkroom doctor` says of a host with and without devices, and while runs hold them and wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from darkroom.cli.doctor import examination_lines, examine_host
from darkroom.cli.main import run_command
from tests.darkroom import repositories
from tests.darkroom.shapes import Shape
from tests.darkroom.waiting import wait_for
from tests.places import ROOT


def test_a_host_without_a_gpu(tmp_path: Path) -> None:
    found = examine_host({"DARKROOM_GPUS": "", "DARKROOM_LEASES": str(tmp_path / "leases")})
    assert found.problems == ()
    lines = list(examination_lines(found))
    assert "no GPU: stages that ask for one run on the CPU" in lines
    assert lines[-1] == "nothing is wrong with this host"
    assert not (tmp_path / "leases").exists()
    assert {"python", "darkroom", "dvc", "prefect", "NVIDIA driver"} == set(found.versions)


def test_devices_and_what_hides_them(tmp_path: Path) -> None:
    environ = {"DARKROOM_GPUS": "a:16GB,b:8GB", "DARKROOM_LEASES": str(tmp_path / "leases")}
    found = examine_host({**environ, "CUDA_VISIBLE_DEVICES": "b,c"})
    lines = list(examination_lines(found))
    assert "a (declared): 16.0 GB, 16.0 GB free, hidden by CUDA_VISIBLE_DEVICES" in lines
    assert "b (declared): 8.0 GB, 8.0 GB free" in lines
    (problem,) = found.problems
    assert problem.startswith("CUDA_VISIBLE_DEVICES=b,c shows 1 device of 2 named")
    assert examine_host({**environ, "CUDA_VISIBLE_DEVICES": "-1"}).problems == ()


def test_what_is_wrong_is_said_and_decides_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("DARKROOM_GPUS", "1x16GB")
    monkeypatch.setenv("DARKROOM_LEASES", str(tmp_path / "leases"))
    assert run_command(["doctor"]) == 0
    assert f"leases are in {tmp_path / 'leases'}" in capsys.readouterr().out
    (tmp_path / "file").touch()
    monkeypatch.setenv("DARKROOM_LEASES", str(tmp_path / "file"))
    assert run_command(["doctor"]) == 1
    wrong = f"{tmp_path / 'file'}: is no folder; GPU leases need a folder: remove it or set DARKROOM_LEASES"
    assert f"wrong: {wrong}" in capsys.readouterr().out
    assert run_command(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == [wrong]


PIPELINE = """
stages:
  {name}:
    cmd: until [ -e "{gate}" ]; do sleep 0.05; done
    meta: {{resources: {{gpu: 1, gpu_memory: 10GB}}}}
"""
RUN = """
from darkroom.schedule.events import StageWaits
from darkroom.runs.engine import RunOptions, run_pipeline
def observe(event):
    if isinstance(event, StageWaits):
        print(event.stage, event.reason, flush=True)
raise SystemExit(0 if run_pipeline(RunOptions(), observe=observe).well else 1)
"""


def held_or_awaited(env: dict[str, str]) -> list[Any]:
    found = examine_host(env).to_json()
    return [*found["devices"][0]["leases"], *found["waiting"]]


@pytest.mark.slow
def test_who_holds_and_who_waits_and_on_whom(tmp_path: Path) -> None:
    outside = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    ours = {"DARKROOM_GPUS": "1x16GB", "DARKROOM_LEASES": str(tmp_path / "leases"), "PYTHONPATH": str(ROOT)}
    env, gate = {**outside, **ours}, tmp_path / "gate"
    runs = []
    for name in ("first", "second"):
        text = PIPELINE.format(name=name, gate=gate)
        root = repositories.make(tmp_path / name, Shape(name, {"dvc.yaml": text}), tmp_path)
        words = [sys.executable, "-c", RUN]
        runs.append(subprocess.Popen(words, cwd=root, env=env, stdout=subprocess.PIPE, text=True))
        assert wait_for(lambda: len(held_or_awaited(env)) == len(runs), 60)
    found = examine_host(env).to_json()
    (lease,) = found["devices"][0]["leases"]
    assert (lease["bytes"], lease["holder"]["pid"], lease["holder"]["stage"]) == (
        10**10,
        runs[0].pid,
        "first",
    )
    assert lease["holder"]["repository"] == str(tmp_path / "first")
    (waiter,) = found["waiting"]
    assert (waiter["pid"], waiter["stage"], waiter["gpu_memory"]) == (runs[1].pid, "second", 10**10)
    assert runs[1].stdout is not None
    said = runs[1].stdout.readline()
    assert said.startswith(f"second gpu-0 (held by first of {tmp_path / 'first'} since ")
    gate.touch()
    assert [run.wait(60) for run in runs] == [0, 0]
    assert runs[1].stdout.read() == ""
    assert examine_host(env).to_json()["devices"][0]["leases"] == []
    for run in runs:
        assert run.stdout is not None
        run.stdout.close()
