"""The origin of results: the commit, the versions, the machine, and the released models."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from darkroom.base.errors import DarkroomError
from darkroom.base.git import git
from darkroom.gpus.devices import host_gpus
from darkroom.releases.gate import RELEASED, Gate
from darkroom.releases.releases import Release, released_version
from darkroom.repository.products import Artifact
from darkroom.repository.recorded.revisions import Recorded, RecordedFile
from darkroom.schedule.pool import host_cpus, host_memory

PACKAGES = ("darkroom", "dvc", "prefect", "numpy", "torch", "torchvision", "scikit-learn", "tensorflow")
"""The packages whose versions are told where they are installed beside darkroom."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """What one must know to make the same results again."""

    commit: str
    """The hash; empty where git holds none."""
    subject: str
    edits: int
    """The files that git knows and that differ from the commit."""
    versions: Mapping[str, str]
    machine: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """What is to be known of a model."""

    name: str
    """The model's name under `artifacts` in dvc.yaml."""
    artifact: Artifact
    file: RecordedFile | None
    """The model's file as dvc.lock records it; None: it is not made yet."""
    release: Release | None
    stage: str
    """The stage that makes it; empty where none does."""
    params: Mapping[str, object]
    """The parameters of the stage's section, with dots."""
    data: Mapping[str, RecordedFile]


def provenance_of(root: Path, environ: Mapping[str, str]) -> Provenance:
    """Find where the workspace's results come from, as far as this machine knows."""
    commit, _, subject = git(root, "log", "-1", "--format=%H %s", fails="").partition(" ")
    edits = git(root, "status", "--porcelain", "--untracked-files=no", fails="").splitlines()
    return Provenance(
        commit=commit,
        subject=subject,
        edits=len(edits),
        versions={"python": platform.python_version(), **_versions()},
        machine={
            "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
            "processor": _processor(),
            "cores": str(host_cpus()),
            "memory": f"{host_memory() / 1e9:.1f} GB",
            "GPUs": _gpus(environ),
        },
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _gpus(environ: Mapping[str, str]) -> str:
    try:
        devices = host_gpus(environ).devices
    except DarkroomError:  # of a variable that `darkroom doctor` tells of
        return "unknown"
    return ", ".join(f"{device.model}, {device.memory / 1e9:.0f} GB" for device in devices) or "none"


def model_cards(
    root: Path,
    artifacts: Mapping[str, Artifact],
    now: Recorded,
    made_by: Mapping[str, str],
    gate: Gate | None,
) -> list[ModelCard]:
    """A card for each model among the artifacts: those of the type `model`, and those of no type.

    `made_by`: the stages that make files, by their paths.
    """
    stage_of_release = gate.stage if gate else RELEASED
    return [
        ModelCard(
            name=name,
            artifact=one,
            file=now.files.get(one.path),
            release=released_version(root, name, stage_of_release) if now.commit or _has_git(root) else None,
            stage=made_by.get(one.path, ""),
            params=_section(now.params, made_by.get(one.path, "")),
            data={
                path: now.files[path] for path in _data(now, made_by.get(one.path, "")) if path in now.files
            },
        )
        for name, one in artifacts.items()
        if one.type in ("", "model")
    ]


def _has_git(root: Path) -> bool:
    return bool(git(root, "rev-parse", "--git-dir", fails=""))


def _data(now: Recorded, stage: str) -> Sequence[str]:
    return sorted({path for file in now.metrics.values() if file.stage == stage for path in file.data})


def _section(params: Mapping[str, object], stage: str) -> Mapping[str, object]:
    """The parameters under the stage's own name: that a stage's section is called so is a habit, no rule."""
    for held in params.values():
        if isinstance(held, Mapping) and isinstance(held.get(stage), Mapping):
            return dict(held[stage])
    return {}
