"""The only module that imports DVC: one repository, opened to be planned or run.

DVC's `Stage.reproduce` is one piece under DVC's lock. Here it is cut at the stage's command: `begin` is what
comes before it, `finish` what comes after, both made of DVC's own parts. Between the two the lock is free,
and what DVC calls the rwlock says to other DVC processes which paths are in use.

Called from one thread only. The current directory must be the repository's root while a run goes on: DVC's
addresses and its run-cache depend on it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx
from dvc.dependency import RepoDependency
from dvc.dependency.db import AbstractDependency
from dvc.exceptions import CheckoutError, DvcException
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import collect_stages, get_active_graph
from dvc.rwlock import (
    _acquire_read,
    _acquire_write,
    _check_blockers,
    _edit_rwlock,
    _release_read,
    _release_write,
)
from dvc.scm import NoSCM
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError, RunCacheNotSupported
from dvc.stage.run import _enforce_cmd_list, _make_cmd, _pull_missing_deps, get_executable, prepare_kwargs
from dvc.stage.serialize import to_lockfile, to_single_stage_file
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

from flows.errors import RepoError, StageError, UsageError
from flows.events import Outcome
from flows.files import write_text
from flows.ignore_lines import IgnoreLines
from flows.lock_text import LockText
from flows.plan import Node
from flows.resources import parse_meta
from flows.scheduler import Busy, Settled

PROJECT_FILE = "dvc.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which stages, as `dvc repro` selects them, and how they are judged."""

    targets: tuple[str, ...] = ()
    single_item: bool = False
    downstream: bool = False
    all_pipelines: bool = False
    force: bool = False
    pull: bool = False
    no_commit: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A stage whose command must be executed now: outs removed, deps hashed."""

    reasons: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    cwd: Path
    env: Mapping[str, str]


class Workspace:
    """The stages of one run, by name, and what DVC does to them."""

    def __init__(self, folder: Path, selection: Selection) -> None:
        with _mended(f"{folder}: "):
            self._repo = Repo(folder, _wait_for_lock=True)
        self.root = Path(self._repo.root_dir)
        self._folder = Path(folder).absolute()
        self._selection = selection
        self._stages: dict[str, Any] = {}
        self._upstream: dict[str, list[Any]] = {}
        self._recorded: set[str] = set()
        self._records = _Records(self._repo)
        self._in_use = _PathsInUse(self._repo)

    def close(self) -> None:
        """Let go of DVC's files."""
        self._repo.close()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """DVC's repository lock, waited for; nothing of DVC's state is changed without it."""
        with _mended(""), lock_repo(self._repo):
            yield

    def load(self) -> tuple[Node, ...]:
        """The selected stages in DVC's serial order. Needs no lock.

        Raises UsageError for a target that does not exist, RepoError where DVC cannot read the repository.
        """
        with contextlib.chdir(self._folder), _mended(""):
            graph = self._repo.index.graph
            targets = () if self._selection.all_pipelines else self._selection.targets or (PROJECT_FILE,)
            with _mended("", UsageError):
                chosen = [_key(stage) for stage in collect_stages(self._repo, targets)]
        stages = {_key(stage): stage for stage in graph}
        nodes = [stages[key] for key in chosen]
        active = get_active_graph(graph)
        steps = (
            nodes if self._selection.single_item else _serial_order(active, nodes, self._selection.downstream)
        )
        names = {stage: _name(stage) for stage in graph}
        self._stages = {names[stage]: stage for stage in steps}
        self._records.begin(self._stages)
        return tuple(self._nodes(graph, active, names))

    def _nodes(self, graph: Any, active: Any, names: Mapping[Any, str]) -> Iterator[Node]:
        place = {name: at for at, name in enumerate(self._stages)}
        single = self._selection.single_item
        for name, stage in self._stages.items():
            self._upstream[name] = [] if single else list(active.successors(stage))
            needs = [names[other] for other in self._upstream[name] if names[other] in place]
            related = {names[other] for other in (*graph.successors(stage), *graph.predecessors(stage))}
            yield Node(
                name=name,
                needs=tuple(sorted(needs, key=place.__getitem__)),
                after=tuple(sorted(n for n in related - set(needs) if n in place and place[n] < place[name])),
                executes=bool(stage.cmd) and not stage.frozen,
                meta=parse_meta(stage.meta, f"{stage.path_in_repo}: {name}"),
            )

    def peek(self, name: str) -> Settled | None:
        """Settle the stage if it is up to date; None where there is something to do."""
        with _stage_errors(name):
            return self._peek(name)

    def _peek(self, name: str) -> Settled | None:
        stage = self._stages[name]
        if self._selection.force or stage.changed(False, self._upstream[name]):
            return None
        return Settled(Outcome.FROZEN if stage.frozen else Outcome.SKIPPED)

    def begin(self, name: str) -> Settled | Prepared:
        """What `dvc repro` does with a stage before its command, or all of it where no command is executed.

        Raises StageError where DVC cannot go on with it, Busy where another process uses its paths.
        """
        with _stage_errors(name):
            return self._begin(name)

    def _begin(self, name: str) -> Settled | Prepared:
        stage, chosen = self._stages[name], self._selection
        if (settled := self._peek(name)) or (settled := self._pulled(name)):
            return settled
        reasons = why(stage, self._records.known(stage), chosen.force)
        if stage.frozen or not stage.cmd:
            self._repo_run(stage)
            self._records.add(stage)
            return Settled(Outcome.FROZEN if stage.frozen else Outcome.RAN, reasons)
        stage.remove_outs(ignore_remove=False, force=False)
        if not chosen.force and self._restored(stage):
            self._save(stage)
            return Settled(Outcome.RESTORED, reasons)
        self._in_use.take(stage)
        return _prepared(stage, reasons)

    def _pulled(self, name: str) -> Settled | None:
        """With --pull: a stage whose data alone is missing is fetched instead of run."""
        stage = self._stages[name]
        if self._selection.force or not self._selection.pull or stage.changed(True, self._upstream[name]):
            return None
        try:
            self._repo.pull(stage.addressing)
            stage.checkout()
        except CheckoutError:
            return None
        return Settled(Outcome.SKIPPED, ("missing data pulled",))

    def _restored(self, stage: Any) -> bool:
        pull = self._selection.pull
        if pull:
            _pull_missing_deps(stage)
        try:
            self._repo.stage_cache.restore(stage, pull=pull)
        except RunCacheNotFoundError:
            stage.save_deps()
            return False
        return True

    def _repo_run(self, stage: Any) -> None:
        stage.run(no_commit=self._selection.no_commit, force=self._selection.force, pull=self._selection.pull)

    def finish(self, name: str) -> None:
        """Save and commit the outs of a stage whose command ended well.

        Raises StageError where DVC cannot, or where a dep is no longer what the command was started with.
        """
        stage = self._stages[name]
        before = {str(dep): dep.hash_info for dep in stage.deps}
        try:
            with _stage_errors(name):
                stage.save_deps()
                changed = [str(dep) for dep in stage.deps if dep.hash_info != before[str(dep)]]
                if changed and not self._selection.force:
                    raise StageError(f"{', '.join(changed)} changed while it ran: not recorded, run again")
                self._save(stage)
        finally:
            self._in_use.give(stage)

    def abandon(self, name: str) -> None:
        """A stage whose command did not end well: give back what it had in use."""
        self._in_use.give(self._stages[name])

    def _save(self, stage: Any) -> None:
        uncached = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
        stage.save(run_cache=not self._selection.no_commit and not uncached)
        if not self._selection.no_commit:
            stage.commit()
        self._records.add(stage)

    def record(self) -> None:
        """Write what finished since the last time into dvc.lock and .dvc files, in DVC's order."""
        self._records.write()

    def pull_run_cache(self) -> None:
        """With --pull: the remote's run-cache, where there is one."""
        with contextlib.suppress(RunCacheNotSupported):
            self._repo.stage_cache.pull(None)


class _Records:
    """dvc.lock, .dvc and .gitignore files: what a run adds to them, in the order of a serial run."""

    def __init__(self, repo: Any) -> None:
        self._repo = repo
        self._places: dict[Any, int] = {}
        self._pending: list[Any] = []
        self._known: dict[str, set[str]] = {}
        self._new: dict[Path, dict[str, int]] = {}
        self._locks: dict[Path, tuple[LockText, str]] = {}
        self._ignores = IgnoreLines()
        self._ignored = 0

    def begin(self, stages: Mapping[str, Any]) -> None:
        self._places = {stage: place for place, stage in enumerate(stages.values())}

    def known(self, stage: Any) -> bool:
        """Whether the stage was ever recorded."""
        if not isinstance(stage, PipelineStage):
            return True
        if stage.path not in self._known:
            self._known[stage.path] = set(stage.dvcfile.lockfile_contents.get("stages") or ())
        return stage.name in self._known[stage.path]

    def add(self, stage: Any) -> None:
        self._pending.append(stage)
        ignored = self._repo.scm_context.ignored_paths
        fresh, self._ignored = ignored[self._ignored :], len(ignored)
        for folder, count in Counter(Path(path).parent for path in fresh).items():
            file = folder / ".gitignore"
            lines = file.read_text(encoding="utf-8").splitlines()[-count:]
            self._ignores.note(file, lines, self._places[stage])

    def write(self) -> None:
        self._ignores.mend()
        groups: dict[Path, dict[str, Any]] = {}
        for stage in self._pending:
            if isinstance(stage, PipelineStage):
                groups.setdefault(_lock_path(stage), {})[stage.name] = stage
            else:
                write_text(Path(stage.path), dumps_yaml(to_single_stage_file(stage)), self._scratch)
                self._repo.scm_context.track_file(stage.relpath)
        for path, stages in groups.items():
            self._write_lock(path, stages)
        self._pending.clear()

    @property
    def _scratch(self) -> Path:
        return Path(self._repo.tmp_dir)

    def _write_lock(self, path: Path, stages: Mapping[str, Any]) -> None:
        on_disk = path.read_text(encoding="utf-8") if path.exists() else ""
        lock, written = self._locks.get(path, (None, None))
        if lock is None or written != on_disk:
            lock = LockText(on_disk, dumps_yaml, lambda text: parse_yaml_for_update(text, str(path)))
        new = self._new.setdefault(path, {})
        new.update({name: self._places[stage] for name, stage in stages.items() if name not in lock})
        order = [name for name in lock.names if name not in new] + sorted(new, key=new.__getitem__)
        order += [name for name in stages if name not in order]
        entries = {name: to_lockfile(stage)[name] for name, stage in stages.items()}
        text = lock.update(entries, order)
        if text != on_disk:
            write_text(path, text, self._scratch)
            self._repo.scm_context.track_file(os.path.relpath(path))
        self._locks[path] = (lock, text)


class _PathsInUse:
    """DVC's rwlock, held for the stages whose commands run: read on deps, write on outs.

    All entries bear this process's name, as those of DVC's own calls from here do, so they never block each
    other; a path stays in the file until the last stage that uses it is done.
    """

    def __init__(self, repo: Any) -> None:
        self._repo = repo
        self._readers: Counter[str] = Counter()
        self._writers: Counter[str] = Counter()
        self._info = {"pid": os.getpid(), "cmd": " ".join(sys.argv)}

    def take(self, stage: Any) -> None:
        """Raises LockError where another process uses one of the stage's paths."""
        read, write = _paths(stage.deps), _paths(stage.outs)
        with self._edit() as lock:
            _check_blockers(self._repo.tmp_dir, lock, self._info, mode="write", waiters=read + write)
            _check_blockers(self._repo.tmp_dir, lock, self._info, mode="read", waiters=write)
            _acquire_read(lock, self._info, read)
            _acquire_write(lock, self._info, write)
        self._readers.update(read)
        self._writers.update(write)

    def give(self, stage: Any) -> None:
        """Take the stage's paths out, those that no other stage uses."""
        read, write = _paths(stage.deps), _paths(stage.outs)
        self._readers.subtract(read)
        self._writers.subtract(write)
        with self._edit() as lock:
            _release_read(lock, self._info, [path for path in read if self._readers[path] == 0])
            _release_write(lock, self._info, [path for path in write if self._writers[path] == 0])

    def _edit(self) -> Any:
        hardlink = self._repo.config["core"].get("hardlink_lock", False)
        return _edit_rwlock(self._repo.tmp_dir, self._repo.fs, hardlink)


def _paths(items: Iterable[Any]) -> list[str]:
    return [item.fs_path for item in items if not isinstance(item, (RepoDependency, AbstractDependency))]


def why(stage: Any, known: bool, force: bool) -> tuple[str, ...]:
    """In words, what makes DVC run the stage."""
    if not known:
        return ("never run",)
    reasons = ["command changed"] if stage.cmd and stage.changed_stage() else []
    if stage.is_callback or stage.always_changed:
        reasons.append("always runs")
    if not stage.frozen:
        reasons += [line for dep in stage.deps for line in _dep_reasons(dep)]
    reasons += [f"out {path}: {state}" for out in stage.outs for path, state in out.status().items()]
    return tuple(reasons) or (("forced",) if force else ())


def _dep_reasons(dep: Any) -> Iterator[str]:
    for path, state in dep.status().items():
        if isinstance(state, str):
            yield f"dep {path}: {state}"
            continue
        then, now = dep.hash_info.value or {}, dep.read_params()
        for key, change in state.items():
            if change == "modified":
                yield f"param {path}: {key}: {then[key]} -> {now[key]}"
            else:
                yield f"param {path}: {key}: {change}"


def _prepared(stage: Any, reasons: tuple[str, ...]) -> Prepared:
    settings = prepare_kwargs(stage)
    shell = get_executable()
    commands = tuple(tuple(_make_cmd(shell, line)) for line in _enforce_cmd_list(stage.cmd))
    return Prepared(reasons, commands, Path(settings["cwd"]), settings["env"])


def _serial_order(active: Any, nodes: Sequence[Any], downstream: bool) -> list[Any]:
    """DVC's `plan_repro`, with the graph's own order where DVC leaves it to a set's."""
    if not nodes:
        return list(networkx.dfs_postorder_nodes(active))
    walk = active.reverse(copy=False) if downstream else active
    reached = {stage for node in nodes for stage in networkx.dfs_postorder_nodes(walk, node)}
    part = networkx.DiGraph()
    part.add_nodes_from(stage for stage in active if stage in reached)
    part.add_edges_from((a, b) for a in part for b in active.successors(a) if b in reached)
    return list(networkx.dfs_postorder_nodes(part))


def _key(stage: Any) -> tuple[str, str | None]:
    return stage.path_in_repo, getattr(stage, "name", None)


def _name(stage: Any) -> str:
    """As DVC prints it from the repository's root."""
    path, name = _key(stage)
    if name is None:
        return path
    return name if path == PROJECT_FILE else f"{path}:{name}"


def _lock_path(stage: Any) -> Path:
    return Path(stage.path).with_suffix(".lock")


@contextlib.contextmanager
def _mended(prefix: str, kind: Callable[[str], Exception] = RepoError) -> Iterator[None]:
    """DVC's errors as ours: one line."""
    try:
        yield
    except DvcException as error:
        raise kind(prefix + one_line(error)) from error


@contextlib.contextmanager
def _stage_errors(name: str) -> Iterator[None]:
    """What goes wrong with one stage, as one line that starts with its name."""
    try:
        yield
    except LockError as error:
        raise Busy from error
    except Exception as error:  # DVC itself goes on after any error of a stage, its own bugs included
        kind = "" if isinstance(error, (DvcException, StageError, OSError)) else f"{type(error).__name__}: "
        raise StageError(f"{name}: {kind}{one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """The error and what caused it, without line ends."""
    texts = [str(error)]
    while (cause := error.__cause__) is not None:
        error = cause
        if str(error) not in texts[-1]:
            texts.append(str(error))
    return " ".join(": ".join(filter(None, texts)).split())


@dataclass(frozen=True, slots=True)
class Product:
    """One out of a stage: where it lies, and what dvc.yaml says it is."""

    path: Path
    is_metric: bool
    is_plot: bool


def products(folder: Path) -> dict[str, tuple[Product, ...]]:
    """The outs on this host of each stage of the repository, by the stage's name. Needs no lock."""
    with _mended(""), Repo(folder) as repo:
        return {_name(stage): tuple(_products(stage)) for stage in repo.index.stages}


def _products(stage: Any) -> Iterator[Product]:
    for out in stage.outs:
        if out.protocol == "local":
            yield Product(Path(out.fs_path), bool(out.metric), bool(out.plot))


def metrics(folder: Path) -> tuple[dict[Path, Any], dict[Path, Any]]:
    """What the metrics files hold now and in the last commit, by their paths. Needs no lock.

    The second is empty where there is no commit; a file that cannot be read in a revision is left out of it.
    """
    with _mended(""), Repo(folder) as repo, contextlib.chdir(repo.root_dir):
        has_commit = not isinstance(repo.scm, NoSCM) and not repo.scm.no_commits
        shown = repo.metrics.show(revs=["HEAD"] if has_commit else None, hide_workspace=False)
        now, then = (shown.get(revision, {}).get("data", {}) for revision in ("workspace", "HEAD"))
        root = Path(repo.root_dir)
        return tuple(
            {root / path: held["data"] for path, held in files.items() if "data" in held}
            for files in (now, then)
        )
