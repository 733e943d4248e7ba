"""The only module that imports DVC: one repository, opened to be planned or run.

DVC's `Stage.reproduce` is one piece under DVC's lock. Here it is cut at the stage's command: `begin` is what
comes before it, `finish` what comes after, both made of DVC's own parts. Between the two the lock is free,
and what DVC calls the rwlock says to other DVC processes which paths are in use.

Called from one thread only. The current directory must be the repository's root while a run goes on: DVC's
addresses and its run-cache depend on it.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any

import dulwich.ignore
import dvc.rwlock
from dvc.dependency import RepoDependency
from dvc.dependency.db import AbstractDependency
from dvc.exceptions import CheckoutError, DvcException
from dvc.lock import LockError, make_lock
from dvc.repo import Repo
from dvc.repo.reproduce import collect_stages, get_active_graph
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK
from dvc.scm import NoSCM
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError, RunCacheNotSupported
from dvc.stage.loader import StageLoader
from dvc.stage.run import _enforce_cmd_list, _make_cmd, _pull_missing_deps, get_executable, prepare_kwargs
from dvc.stage.serialize import to_lockfile, to_single_stage_file
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from pathspec.patterns.gitwildmatch import GitWildMatchPattern

from flows import stage_lock
from flows.dvc.errors import mended, one_line
from flows.dvc.experiments import new_experiment, paths_of_experiment
from flows.dvc.graph import PROJECT_FILE, Selection, graph_of, key_of, lock_file, name_of, serial_order
from flows.dvc.judging import Seen, edited, only_missing, own_reasons, state_of_dep, why
from flows.errors import StageError, UsageError, explain
from flows.events import Outcome
from flows.experiment import Experiment, save
from flows.files import STATE_FOLDER
from flows.paths_in_use import PathsInUse
from flows.plan import Node, State
from flows.process_group import open_anywhere
from flows.records import Entry, Records
from flows.resources import parse_meta
from flows.scheduler import Busy, Settled
from flows.stage_lock import StageLock
from flows.unkept import Facts, Unkept

LOCKS_FOLDER = "locks"
FULL_BYTES = 1 << 16
"""A disk with less free counts as full: some is freed again by what fails on it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A stage whose command must be executed now: outs removed, deps hashed."""

    reasons: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    cwd: Path
    env: Mapping[str, str]
    lock: StageLock


class Workspace:
    """The stages of one run, by name, and what DVC does to them."""

    def __init__(self, folder: Path, selection: Selection, stop: threading.Event | None = None) -> None:
        # DVC's prints and bars would break into whatever shows the run; its errors come as exceptions.
        for name in ("dvc", "dvc_data", "dvc_objects"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with mended(f"{folder}: "):
            self._repo = Repo(folder)
        # DVC opens and closes this database for each out, which costs more than the rest of a small one.
        with contextlib.suppress(AttributeError):  # a repository without it
            self._repo.state.links.close = lambda: None
        self.root = Path(self._repo.root_dir)
        self._folder = Path(folder).absolute()
        self._selection = selection
        self._stop = stop or threading.Event()
        self._stages: dict[str, Any] = {}
        self._upstream: dict[str, list[Any]] = {}
        self._seen: dict[str, list[Seen]] = {}
        scratch = Path(self._repo.tmp_dir)
        self._records = Records(self.root, scratch, dumps_yaml, lambda text: parse_yaml_for_update(text, ""))
        self._recorded: dict[str, set[str]] = {}
        self._lock_files: dict[Path, tuple[int, ...] | None] = {}
        self._in_use = PathsInUse(scratch / RWLOCK_FILE, self._rwlock_lock)
        self._state_folder = self.root / STATE_FOLDER
        self._unkept = Unkept(self._state_folder)
        self._locks: dict[str, StageLock] = {}
        self._experiment: Experiment | None = None

    def close(self) -> None:
        """Let go of DVC's files, and of the stages that were given up."""
        with contextlib.suppress(OSError):
            self._in_use.give_all()
        for name in list(self._locks):
            self._locks.pop(name).release()
        with contextlib.suppress(AttributeError):
            del self._repo.state.links.close
        self._repo.close()

    def _rwlock_lock(self) -> contextlib.AbstractContextManager[object]:
        hardlink = self._repo.config["core"].get("hardlink_lock", False)
        folder = self._repo.tmp_dir
        path = f"{folder}/{RWLOCK_LOCK}"
        return make_lock(path, tmp_dir=folder, hardlink_lock=hardlink, wait=True)  # type: ignore[no-any-return]

    def end_left_overs(self) -> None:
        """Kill what dead runs have left of their stages."""
        stage_lock.end_left_overs(self._state_folder / LOCKS_FOLDER)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """DVC's repository lock, waited for; nothing of DVC's state is changed without it.

        Raises KeyboardInterrupt where the run is told to stop while another process holds it.

        DVC's own `lock_repo` also closes the database of file hashes each time, which costs more than the
        rest of a small stage; here it stays open. What git ignores is read anew: commands may change it.
        """
        with mended(""):
            self._take_lock()
            self._repo._lock_depth += 1
            try:
                self._repo.scm._reset()
                if self._in_use.heal():
                    self._sweep_cache()
                yield
                with contextlib.suppress(OSError):  # on a full disk it is taken out the next time
                    self._in_use.flush()
            finally:
                self._repo._lock_depth -= 1
                self._repo.lock.unlock()

    def _sweep_cache(self) -> None:
        """Remove what a killed process left half-written in the cache inside this repository.

        Whoever writes there holds the lock that is held here, unless it is another repository that shares it.
        """
        cache = Path(self._repo.cache.local.path)
        found = list(cache.glob("??/*.tmp")) if cache.is_relative_to(self._repo.dvc_dir) else []
        in_use = open_anywhere() if found else set()
        for left in found:
            if os.path.realpath(left) not in in_use:
                left.unlink(missing_ok=True)

    def _take_lock(self) -> None:
        while True:
            try:
                return self._repo.lock.lock()  # type: ignore[no-any-return]
            except LockError:  # it has waited a few seconds
                if self._stop.is_set():
                    raise KeyboardInterrupt from None

    def load(self) -> tuple[Node, ...]:
        """The selected stages in DVC's serial order. Needs no lock.

        Raises UsageError for a target that does not exist or an experiment that could not be kept, RepoError
        where DVC cannot read the repository.
        """
        self._experiment = new_experiment(self._repo, self._selection)
        with contextlib.chdir(self._folder), mended(""):
            graph = graph_of(self._repo)
            with mended("", UsageError):
                chosen = [key_of(stage) for stage in self._chosen(graph)]
        stages = {key_of(stage): stage for stage in graph}
        nodes = [stages[key] for key in chosen]
        active = get_active_graph(graph)
        steps = (
            nodes if self._selection.single_item else serial_order(active, nodes, self._selection.downstream)
        )
        names = {stage: name_of(stage) for stage in graph}
        self._stages = {names[stage]: stage for stage in steps}
        self._records.begin(list(self._stages))
        self._lock_files = {path: _version(path) for path in {lock_file(stage) for stage in steps}}
        return tuple(self._nodes(graph, active, names))

    def _chosen(self, graph: Any) -> list[Any]:
        """The stages that the targets name; none where all pipelines are meant."""
        project = Path(PROJECT_FILE).absolute()
        if self._selection.all_pipelines:
            return []
        if not self._selection.targets and not project.exists():
            raise UsageError(f"'{project}' does not exist; name its folder by --repo, or --all-pipelines")
        if self._selection.targets:
            return list(collect_stages(self._repo, self._selection.targets))
        return [stage for stage in graph if Path(stage.path) == project]  # collecting would parse it again

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
                meta=parse_meta(stage.meta if stage.cmd else None, f"{stage.path_in_repo}: {name}"),
            )

    def states(self) -> Iterator[State]:
        """What each stage is now, in the serial order, as far as that can be said before anything runs.

        Needs no lock: it reads what DVC's own judgement reads, and writes nothing.
        """
        outs = self._repo.index.outs_trie
        earlier: set[Any] = set()
        for name, stage in self._stages.items():
            with self._stage_errors(name):
                yield self._state(name, stage, outs, earlier)
            earlier.add(stage)

    def _state(self, name: str, stage: Any, outs: Any, earlier: set[Any]) -> State:
        known, force = self._known(stage), self._selection.force
        deps = tuple(state_of_dep(dep, outs, earlier) for dep in ([] if stage.frozen else stage.deps))
        made = tuple(dep for dep in deps if dep.makers)
        own = own_reasons(stage, known) + tuple(r for dep in deps if not dep.makers for r in dep.reasons)
        return State(
            name=name,
            own=own if known else ("never run",),
            made=made if known else tuple(replace(dep, reasons=()) for dep in made),
            forced=force,
            repeats=bool(stage.is_callback or stage.always_changed),
            data=not stage.cmd and (stage.frozen or not stage.is_import),
            frozen=stage.frozen,
        )

    def restorable(self, name: str, products: Mapping[str, str]) -> Mapping[str, str] | None:
        """The products that the run-cache holds for a stage, given the hashes of deps that will change first.

        Both are hashes by path. With --pull the remote counts, too, and so does data that is missing alone.
        None: there is nothing to restore. Works on a copy of the stage.
        """
        stage = copy.copy(self._stages[name])
        if not stage.cmd and not stage.frozen and stage.is_import:
            return None  # what will be imported is not known before
        if self._selection.pull and only_missing(stage, products) and self._is_there(stage):
            return {out.fs_path: out.hash_info.value for out in stage.outs}
        unchanged = not stage.changed_stage() and all(out.hash_info for out in stage.outs)
        recorded = [dep.hash_info for dep in stage.deps]
        stage.deps = [copy.copy(dep) for dep in stage.deps]
        try:
            for dep in stage.deps:
                if dep.fs_path in products:
                    dep.hash_info, dep.meta = HashInfo(dep.hash_name, products[dep.fs_path]), Meta()
                    # not of what lies there now, if anything
                    dep.get_hash = partial(getattr, dep, "hash_info")
                else:
                    dep.save()
            cache = self._cached(stage, unchanged and recorded == [dep.hash_info for dep in stage.deps])
        except (DvcException, TypeError):  # a param that DVC cannot hash, such as a date: the run will say so
            return None
        if cache is None or not self._is_there(cache):
            return None
        return {out.fs_path: out.hash_info.value for out in cache.outs}

    def _is_there(self, stage: Any) -> bool:
        """Whether the cache, with --pull or else the remote, holds all outs of a stage."""
        if stage.outs_cached():
            return True
        if not self._selection.pull:
            return False
        try:
            objects = {item for items in stage.get_used_objs().values() for item in items}
            return bool(objects) and not self._repo.cloud.status(objects).missing
        except DvcException:  # no remote, or one that cannot be reached
            return False

    def _cached(self, stage: Any, unchanged: bool) -> Any:
        """The stage as the run-cache, or dvc.lock itself, has it."""
        if stage.is_callback or stage.always_changed or not (stage.cmd and stage.deps and stage.outs):
            return None
        if any(out.persist or not out.is_in_repo for out in stage.outs):
            return None
        if any(dep.protocol != "local" for dep in stage.deps):
            return None
        entry = to_lockfile(stage)[stage.name] if unchanged else self._repo.stage_cache._load(stage)
        return self._repo.stage_cache._create_stage(entry, wdir=stage.wdir) if entry else None

    def peek(self, name: str) -> Settled | None:
        """Settle the stage if it is up to date; None where there is something to do."""
        with self._stage_errors(name):
            return self._peek(name)

    def _peek(self, name: str) -> Settled | None:
        stage = self._stages[name]
        self._read_anew(lock_file(stage))
        if self._selection.force or stage.changed(False, self._upstream[name]):
            return None
        return Settled(Outcome.FROZEN if stage.frozen else Outcome.SKIPPED)

    def _read_anew(self, file: Path) -> None:
        """Take over what another process has recorded since this one read the file."""
        if self._lock_files[file] == (version := _version(file)):
            return
        self._lock_files[file] = version
        recorded = parse_yaml_for_update(file.read_text(encoding="utf-8"), str(file)) if version else {}
        for name, stage in self._stages.items():
            if lock_file(stage) == file and isinstance(stage, PipelineStage) and name not in self._locks:
                entry = (recorded.get("stages") or {}).get(stage.name)
                StageLoader.fill_from_lock(stage, entry)
                stage.cmd_changed = entry is not None and entry.get("cmd") != stage.cmd

    def begin(self, name: str) -> Settled | Prepared:
        """What `dvc repro` does with a stage before its command, or all of it where no command is executed.

        Raises StageError where DVC cannot go on with it, Busy where another process uses its paths.
        """
        with self._stage_errors(name):
            return self._begin(name)

    def _begin(self, name: str) -> Settled | Prepared:
        stage, chosen = self._stages[name], self._selection
        if (settled := self._peek(name)) or (settled := self._pulled(name)):
            return settled
        reasons = why(stage, self._known(stage), chosen.force)
        if stage.frozen or not stage.cmd:
            self._records.announce(name, self._lines_to_ignore(stage))
            self._repo_run(stage)
            self._add_record(name)
            return Settled(Outcome.FROZEN if stage.frozen else Outcome.RAN, reasons)
        self._hold(name)
        try:
            begun = self._made_before(name) or self._prepare(name, reasons)
        except BaseException:
            self._let_go(name)
            raise
        if isinstance(begun, Settled):
            self._let_go(name)
        return begun

    def _prepare(self, name: str, reasons: tuple[str, ...]) -> Settled | Prepared:
        """Remove the outs and hash the deps, or restore the outs from the run-cache."""
        stage = self._stages[name]
        self._require_cache()
        recorded = [dict(vars(dep)) for dep in stage.deps]
        stage.remove_outs(ignore_remove=False, force=False)
        self._unkept.forget(name)
        if self._selection.force:
            _save_deps_there(stage)
        elif self._restored(stage):
            self._save(name)
            return Settled(Outcome.RESTORED, reasons)
        pairs = zip(recorded, stage.deps, strict=True)
        self._seen[name] = [Seen(then, dep.hash_info, dep.obj) for then, dep in pairs]
        return _prepared(stage, reasons, self._experiment, self._locks[name])

    def _require_cache(self) -> None:
        """Raises StageError before a stage works for hours for a result that cannot be kept."""
        if self._selection.no_commit:
            return
        cache = Path(self._repo.cache.local.path)
        there = next(path for path in (cache, *cache.parents) if path.exists())
        if not os.access(there, os.W_OK):
            raise StageError(f"DVC's cache {cache} cannot be written; mount it writable, or `dvc cache dir`")

    def _made_before(self, name: str) -> Settled | None:
        """Keep the outs that an earlier run made and could not put into the cache."""
        stage, noted = self._stages[name], self._unkept.find(name)
        if noted is None or self._selection.force or stage.is_callback or stage.always_changed:
            return None
        if _facts(stage, anew=True) != noted:
            return None
        self._save(name)
        return Settled(Outcome.RAN, ("its outs lay there finished, and are kept now",))

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
        return Settled(Outcome.RESTORED, ("missing data pulled",))

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
        before = self._seen.pop(name)
        try:
            with self._stage_errors(name):
                stage.save_deps()
                pairs = zip(before, stage.deps, strict=True)
                changed = [str(dep) for seen, dep in pairs if edited(seen, dep)]
                if changed:
                    raise StageError(f"{', '.join(changed)} changed while it ran: not recorded, run again")
                self._save(name)
        finally:
            self._let_go(name)

    def abandon(self, name: str) -> None:
        """A stage whose command did not end well: give back what it had in use; it may be begun anew."""
        for seen, dep in zip(self._seen.pop(name), self._stages[name].deps, strict=True):
            vars(dep).update(seen.recorded)
        self._let_go(name)

    def _hold(self, name: str) -> None:
        """Keep other runs and DVC itself from the stage's paths. Raises Busy where one of them uses them."""
        stage = self._stages[name]
        lock = stage_lock.take(self._state_folder / LOCKS_FOLDER, name, self.root)
        if isinstance(lock, str):
            raise Busy(lock)
        try:
            self._in_use.take(_paths(stage.deps), _paths(stage.outs))
        except BaseException:
            lock.release()
            raise
        self._locks[name] = lock

    def _let_go(self, name: str) -> None:
        stage = self._stages[name]
        self._in_use.give(_paths(stage.deps), _paths(stage.outs))
        self._locks.pop(name).release()

    def _save(self, name: str) -> None:
        """DVC's `save` and `commit`; results that cannot be put into the cache are noted to lie there."""
        stage = self._stages[name]
        uncached = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
        self._records.announce(name, self._lines_to_ignore(stage))
        stage.save(run_cache=False)
        if not self._selection.no_commit:
            try:
                if not uncached:
                    self._repo.stage_cache.save(stage)
                stage.commit()
            except Exception as error:
                self._unkept.note(name, _facts(stage))
                cache = self._repo.cache.local.path
                full = self.told_of_full_disks()
                said = explain(error, cache) if isinstance(error, OSError) else f"{one_line(error)}{full}"
                raise StageError(
                    f"its outs are not in DVC's cache yet: {said}; the next run keeps them"
                ) from error
            self._unkept.forget(name)
        self._add_record(name)

    @contextlib.contextmanager
    def _stage_errors(self, name: str) -> Iterator[None]:
        """What goes wrong with one stage, as one line that starts with its name."""
        try:
            yield
        except Busy:
            raise
        except LockError as error:
            raise Busy(one_line(error).partition(" If there are no processes")[0]) from error
        except FileNotFoundError as error:
            raise StageError(f"{name}: {self._told_of_missing(error)}") from error
        except StageError as error:
            raise StageError(f"{name}: {error}") from error
        except OSError as error:
            raise StageError(f"{name}: {explain(error, self.root)}") from error
        except Exception as error:  # DVC itself goes on after any error of a stage, its own bugs included
            kind = "" if isinstance(error, DvcException) else f"{type(error).__name__}: "
            said = f"{kind}{one_line(error)}{self.told_of_full_disks()}"
            raise StageError(f"{name}: {said}") from error

    def _told_of_missing(self, error: FileNotFoundError) -> str:
        if not error.filename:
            return one_line(error)
        path = os.path.relpath(error.filename)
        if Path(path).is_symlink():
            return f"{path}: a link to what is gone (in DVC's cache?); bring that back, or remove the link"
        makers = self._repo.index.outs_trie.prefixes(self._repo.fs.parts(str(Path(path).absolute())))
        for step in makers:
            return f"{path}: no such file; run the stage that makes it first: {name_of(step.value.stage)}"
        return f"{path}: no such file, and no stage makes it; put it there, or mend the deps in dvc.yaml"

    def told_of_full_disks(self) -> str:
        """Where no space is left of what results are written to; empty where there is some."""
        places = {"the workspace": self.root, "DVC's cache": Path(self._repo.cache.local.path)}
        return "".join(
            f"; no space is left on the disk of {what} ({path}), free some"
            for what, path in places.items()
            if _full(path)
        )

    def _lines_to_ignore(self, stage: Any) -> list[tuple[Path, str]]:
        """What DVC will append to .gitignore files when it saves the stage's outs."""
        scm = self._repo.scm
        outs = [] if isinstance(scm, NoSCM) else [out.fs_path for out in stage.outs if out.use_scm_ignore]
        places = [scm._get_gitignore(path) for path in outs if not scm.is_ignored(path)]
        return [(Path(file), GitWildMatchPattern.escape(entry)) for entry, file in places]

    def _add_record(self, name: str) -> None:
        stage = self._stages[name]
        if isinstance(stage, PipelineStage):
            entry = Entry(name, lock_file(stage), stage.name, to_lockfile(stage)[stage.name])
        else:
            entry = Entry(name, Path(stage.path), None, to_single_stage_file(stage))
        self._records.add(entry)
        # DVC would take its lines in .gitignore files away again, were the run to end in an error.
        self._repo.scm_context.ignored_paths.clear()

    def _known(self, stage: Any) -> bool:
        """Whether the stage was ever recorded. Only before its command: hashes from then on are of now."""
        if not isinstance(stage, PipelineStage):
            return True
        if stage.deps or stage.outs:
            return any(item.hash_info for item in (*stage.deps, *stage.outs))
        if stage.path not in self._recorded:
            self._recorded[stage.path] = set(stage.dvcfile.lockfile_contents.get("stages") or ())
        return stage.name in self._recorded[stage.path]

    def record(self) -> None:
        """Write what finished since the last time into dvc.lock and .dvc files, in DVC's order."""
        with mended(""):
            for path in self._records.write():
                self._lock_files[path] = _version(path)
                self._repo.scm_context.track_file(os.path.relpath(path))

    def passed(self, name: str) -> None:
        """A serial run would be past this stage, and record those after it."""
        self._records.passed(name)

    def stage_in_git(self) -> None:
        """Where DVC's `core.autostage` says so: `git add` what was recorded."""
        context = self._repo.scm_context
        if context.autostage:
            context.track_changed_files()

    def save_experiment(self) -> None:
        """Keep the workspace as it is now as the experiment, if the run is one. Raises RepoError."""
        if self._experiment:
            with mended(""):
                save(self.root, self._experiment, paths_of_experiment(self._repo, self._stages.values()))

    def pull_run_cache(self) -> None:
        """With --pull: the remote's run-cache, where there is one."""
        if self._selection.pull:
            with mended("--pull: "), contextlib.suppress(RunCacheNotSupported):
                self._repo.stage_cache.pull(None)


def _facts(stage: Any, *, anew: bool = False) -> Facts:
    """What the stage was made of and what it made: as it was saved, or as it lies there now."""

    def hashes(items: Iterable[Any]) -> dict[str, Any]:
        return {item.def_path: (item.get_hash() if anew else item.hash_info).to_dict() for item in items}

    deps = [copy.copy(dep) for dep in stage.deps]
    for dep in deps if anew else []:
        dep.save()
    return {"cmd": stage.cmd, "deps": [dep.hash_info.to_dict() for dep in deps], "outs": hashes(stage.outs)}


@wraps(dvc.rwlock.rwlock)
@contextlib.contextmanager
def _only_look(
    tmp_dir: str, _fs: Any, _cmd: str, read: list[str], write: list[str], _hardlink: bool
) -> Iterator[None]:
    """In place of the rwlock that DVC's own calls take: Busy where another process uses a path.

    It writes nothing. What DVC enters there it takes out again while the repository's lock is held, so that
    nobody could have read it; and it writes in place: a kill at that moment leaves a file on which DVC fails.
    """
    PathsInUse(Path(tmp_dir, RWLOCK_FILE), contextlib.nullcontext).look(read, write)
    yield


dvc.rwlock.rwlock = _only_look  # DVC looks it up at each call

# A .gitignore is read anew whenever it may have changed, and holds a line an out: each is compiled once.
dulwich.ignore.Pattern = cache(dulwich.ignore.Pattern)  # type: ignore[assignment,misc]


def _paths(items: Iterable[Any]) -> list[str]:
    return [item.fs_path for item in items if not isinstance(item, (RepoDependency, AbstractDependency))]


def _save_deps_there(stage: Any) -> None:
    """Hash the deps before a forced command, which DVC starts even where one is missing."""
    for dep in stage.deps:
        with contextlib.suppress(DvcException):
            dep.save()


def _prepared(
    stage: Any, reasons: tuple[str, ...], experiment: Experiment | None, lock: StageLock
) -> Prepared:
    settings = prepare_kwargs(stage, run_env=experiment.env() if experiment else None)
    shell = get_executable()
    commands = tuple(tuple(_make_cmd(shell, line)) for line in _enforce_cmd_list(stage.cmd))
    return Prepared(reasons, commands, Path(settings["cwd"]), settings["env"], lock)


def _version(path: Path) -> tuple[int, ...] | None:
    """Differs once the file was written anew."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _full(path: Path) -> bool:
    """Whether next to nothing is free there for us."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    disk = os.statvfs(there)
    return disk.f_bavail * disk.f_frsize < FULL_BYTES
