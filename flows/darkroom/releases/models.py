"""Models from commits, brought to this machine: those of releases, and those of the last scheduled run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import RepoError, UsageError
from darkroom.base.files import STATE_FOLDER, make_state_folder, models_folder, write_bytes
from darkroom.base.git import git
from darkroom.releases.gate import PARAMS_FILE, RELEASED, read_gate
from darkroom.releases.releases import known_versions, released_version
from darkroom.repository.commits import opened_commit
from darkroom.repository.products import artifacts_of

SCHEDULED = "darkroom/retrain"
"""The branch on which the scheduled flows leave their results where prefect.yaml names no other."""


@dataclass(frozen=True, slots=True)
class CommittedModel:
    """A model of a commit, as files on this machine."""

    model: Path
    params: Path
    """The params.yaml that the model was trained by."""
    name: str
    """What it is, in words: `release v0.2.0`."""


def fetch_model(root: Path, artifact: str, version: str) -> CommittedModel:
    """The model that dvc.yaml calls `artifact`, as a release holds it: from the cache or the DVC remote.

    It is kept in the state folder, where the next call finds it.

    Raises:
        UsageError: There is no such release or no such artifact.
        RepoError: Neither cache nor remote has the model.

    """
    gate, artifacts = read_gate(root), artifacts_of(root)
    if artifact not in artifacts:
        there = ", ".join(artifacts) or "none"
        raise UsageError(f"--release: dvc.yaml names no artifact {artifact}; it names: {there}")
    name = gate.release if gate else artifact
    versions = known_versions(root, name)
    if version not in versions:
        there = ", ".join(versions) or "none"
        raise UsageError(f"--release: there is no release {name} {version}; there are: {there}")
    return _brought(
        root,
        versions[version],
        artifacts[artifact].path,
        name=f"release {version}",
        origin=f"{name} {version}",
    )


def released_model(root: Path, artifact: str) -> CommittedModel | None:
    """The model that is released now; None: none is, or dvc.yaml does not name it among its artifacts.

    Raises:
        RepoError: Neither cache nor remote has the model.

    """
    if not git(root, "for-each-ref", "--count=1", "refs/tags/*#*", fails=""):  # reading dvc.yaml takes longer
        return None
    gate = read_gate(root)
    name, stage = (gate.release, gate.stage) if gate else (artifact, RELEASED)
    release = released_version(root, name, stage)
    if release is None or artifact not in (artifacts := artifacts_of(root)):
        return None
    said = f"release {release.version}"
    return _brought(
        root, release.commit, artifacts[artifact].path, name=said, origin=f"{name} {release.version}"
    )


def scheduled_model(root: Path, artifact: str) -> CommittedModel | None:
    """The model of the last scheduled run; None: there was none, or dvc.yaml does not name the artifact.

    Raises:
        RepoError: Neither cache nor remote has the model.

    """
    commit = git(root, "rev-parse", "--verify", "--quiet", f"refs/heads/{SCHEDULED}", fails="")
    if not commit or artifact not in (artifacts := artifacts_of(root)):
        return None
    said = f"the last results on the branch {SCHEDULED} ({commit[:12]})"
    return _brought(root, commit, artifacts[artifact].path, name=said, origin=SCHEDULED)


def _brought(root: Path, commit: str, path: str, *, name: str, origin: str) -> CommittedModel:
    folder = models_folder(root) / commit
    found = CommittedModel(folder / Path(path).name, folder / PARAMS_FILE, name)
    if not (found.model.exists() and found.params.exists()):
        with opened_commit(root, commit) as opened:
            try:
                contents = {found.params: opened.read(PARAMS_FILE), found.model: opened.read(path)}
            except RepoError as error:
                raise RepoError(f"{origin}: {error}") from error
        make_state_folder(root / STATE_FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            write_bytes(file, content)
    return found
