"""The models of releases, brought to this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from darkroom.base.errors import RepoError, UsageError
from darkroom.base.files import STATE_FOLDER, make_state_folder, write_bytes
from darkroom.releases.gate import PARAMS_FILE, read_gate
from darkroom.releases.releases import known_versions
from darkroom.repository.commits import opened_commit
from darkroom.repository.products import artifacts_of


@dataclass(frozen=True, slots=True)
class ReleasedModel:
    """Files of a release on this machine."""

    model: Path
    params: Path
    """The params.yaml that the model was trained by."""


def fetch_model(root: Path, artifact: str, version: str) -> ReleasedModel:
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
    path = artifacts[artifact].path
    folder = root / STATE_FOLDER / "released" / versions[version]
    found = ReleasedModel(folder / Path(path).name, folder / PARAMS_FILE)
    if not (found.model.exists() and found.params.exists()):
        with opened_commit(root, versions[version]) as commit:
            try:
                contents = {found.params: commit.read(PARAMS_FILE), found.model: commit.read(path)}
            except RepoError as error:
                raise RepoError(f"{name} {version}: {error}") from error
        make_state_folder(root / STATE_FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in contents.items():
            write_bytes(file, content)
    return found
