"""Which stages run on which hosts, as the file .darkroom/pools.yaml of this clone says.

    storage: /shared/darkroom        # a folder that all hosts see, s3://, ssh://, or a remote of DVC's
    pools:
      gpu:
        kind: workers                # hosts that run `darkroom worker --pool gpu`
        stages: [train-*]            # beside those with `meta: {pool: gpu}` in dvc.yaml
        setup: make .venv/.ready     # makes the environment, at the root of each checkout
        wrapper: env PATH=$DVC_ROOT/.venv/bin:$PATH
      cluster:
        kind: slurm
        partition: main
        options: [--account=vision]

None of it is in `cmd`, deps or params: where a stage runs makes no result stale.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from darkroom.base.errors import MetaError, UsageError
from darkroom.base.files import POOLS_FILE, STATE_FOLDER
from darkroom.base.meta import parse_bytes
from darkroom.base.yaml_files import read_yaml
from darkroom.exchange.storages import FolderStorage, Storage, open_storage
from darkroom.runs.report import with_pool
from darkroom.schedule.plan import Node


def _bytes(value: Any) -> int:
    try:
        return parse_bytes(value, "cache")
    except MetaError as error:
        raise ValueError(str(error)) from error


class PoolSettings(BaseModel):
    """What the file says of one pool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["workers", "slurm"] = "workers"
    stages: tuple[str, ...] = ()
    """Names of stages, with * for any text."""
    jobs: int = Field(default=1000, ge=1)
    """The most stages of one run that are submitted at once."""
    setup: str = ""
    wrapper: str = ""
    cache: Annotated[int, BeforeValidator(_bytes)] = 100 * 10**9
    """Bytes that a host keeps of what it has fetched and made; what was not used for longest goes first."""
    partition: str = ""
    options: tuple[str, ...] = ()
    """Further options of `sbatch`."""
    python: str = ""
    """The Python on the cluster's hosts that has darkroom; empty: the one that submits."""


class PoolsFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    storage: str
    """A folder, or an address: `s3://`, `ssh://`, or `remote://NAME` of DVC's."""
    code: str = ""
    """The git repository that the hosts fetch commits from; empty: one in the storage's folder."""
    lost_after: float = Field(default=60.0, gt=0)
    """Seconds of silence after which a host is lost."""
    pools: Mapping[str, PoolSettings] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pools:
    """The pools of one clone, and what the command line says beside."""

    file: PoolsFile
    path: Path
    storage: Storage
    on: str | None = None
    """The pool that all stages go to which name none."""

    def place(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        """The nodes with the pools that execute them.

        Raises:
            UsageError: A stage names a pool that is not there.

        """
        return tuple(with_pool(node, self._pool_of(node)) for node in nodes)

    def lacks(self, md5: str) -> bool:
        """Whether the storage does not hold what has this hash."""
        return self.storage.blobs().lacks(md5)

    @property
    def code(self) -> str:
        """The git repository that the hosts fetch commits from."""
        return self.file.code or str(Path(self.file.storage) / "code.git")

    def _pool_of(self, node: Node) -> str | None:
        if not node.executes:
            return None
        named = node.meta.resources.pool
        by_file = next(
            (
                name
                for name, pool in self.file.pools.items()
                if any(fnmatch.fnmatchcase(node.name, pattern) for pattern in pool.stages)
            ),
            None,
        )
        chosen = self.on or by_file or named
        if chosen is not None and chosen not in self.file.pools:
            raise UsageError(f"{self.path}: there is no pool {chosen!r}, which {node.name} is to run on")
        return chosen


def pools_of(root: Path, on: str | None = None) -> Pools | None:
    """The pools of the repository at `root`; None: the clone has no such file, and nothing asks for it.

    Raises:
        UsageError: The file is wrong, or `on` names a pool that is not in it.

    """
    path = root / STATE_FOLDER / POOLS_FILE
    if not path.exists():
        if on is not None:
            raise UsageError(
                f"--on {on}: {path} is missing, which says what {on!r} is; docs/scaling.md shows one"
            )
        return None
    file = _read(path)
    pools = Pools(file, path, open_storage(file.storage, root), on)
    if not (file.code or isinstance(pools.storage, FolderStorage)):
        raise UsageError(
            f"{path}: code: name a git repository that all hosts reach, such as git@HOST:TEAM/PROJECT.git;"
            f" {file.storage} cannot hold one"
        )
    if on is not None and on not in pools.file.pools:
        known = ", ".join(pools.file.pools) or "none"
        raise UsageError(f"--on {on}: no such pool; {path} has {known}")
    return pools


def _read(path: Path) -> PoolsFile:
    held: Any = read_yaml(path)
    try:
        read = PoolsFile.model_validate(held)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: {where + ': ' if where else ''}{first['msg']}") from error
    clone = path.parent.parent
    code = read.code if not read.code or ":" in read.code else str(clone / Path(read.code).expanduser())
    storage = read.storage if "://" in read.storage else str(clone / Path(read.storage).expanduser())
    return read.model_copy(update={"storage": storage, "code": code})
