"""One repository, opened to be planned or run.

DVC's `Stage.reproduce` is one piece under DVC's lock. Here it is split at the stage's command: `begin` does
what comes before the command, `finish` what comes after, both with DVC's own functions. In between the lock
is free, and DVC's rwlock shows other DVC processes which paths are in use.

Call it from one thread only. During a run the current directory must be the repository's root, since DVC's
addresses and its run-cache depend on it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dvc.exceptions import CheckoutError
from dvc.repo.reproduce import collect_stages, get_active_graph
from dvc.stage.cache import RunCacheNotFoundError, RunCacheNotSupported
from dvc.stage.run import _enforce_cmd_list, _make_cmd, _pull_missing_deps, get_executable, prepare_kwargs

from darkroom.base.errors import StageRecordError, UsageError
from darkroom.base.files import STATE_FOLDER
from darkroom.base.meta import parse_meta
from darkroom.ledger.unkept import Unkept
from darkroom.processes.stage_lock import Say, StageLock, say_nothing
from darkroom.processes.stage_process import StageFiles
from darkroom.processes.witness import Witness
from darkroom.repository.errors import mended
from darkroom.repository.graph import (
    PROJECT_FILE,
    Selection,
    graph_of,
    hidden_project_files,
    key_of,
    lock_file,
    name_of,
    serial_order,
)
from darkroom.repository.judging import (
    DepBefore,
    Edit,
    Makers,
    edits,
    own_reasons,
    reasons_to_run,
    save_deps_there,
    state_of_dep,
)
from darkroom.repository.opening import locked, opened, remove_half_written, remove_partial_files
from darkroom.repository.products import metric_meta_of
from darkroom.schedule.events import Outcome
from darkroom.schedule.plan import Node, State
from darkroom.schedule.scheduler import Busy, Settled
from darkroom.workspace import run_cache
from darkroom.workspace.carried import files_of, sizes_of
from darkroom.workspace.changes import declared_changes, stages_beside_changes
from darkroom.workspace.experiments import (
    Experiment,
    new_experiment,
    paths_of_experiment,
    save_experiment,
)
from darkroom.workspace.holding import Holding
from darkroom.workspace.keeping import Committing
from darkroom.workspace.recording import Recording
from darkroom.workspace.stage_errors import full_disks_in_words, lost_outs, stage_errors
from darkroom.workspace.witnesses import DepsVerdict, Witnesses

LOCKS_FOLDER = "locks"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A stage whose command must be executed now: outs removed, deps hashed."""

    reasons: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    cwd: Path
    env: Mapping[str, str]
    lock: StageLock
    witness: Witness | None


@dataclass(frozen=True, slots=True)
class _Begun:
    """A stage between `Workspace.begin`, which prepared it, and the `finish` or `abandon` that follows."""

    seen: tuple[DepBefore, ...]
    """Its deps as they were then, in DVC's order."""
    apart: frozenset[str]
    """The other stages that have not run beside it."""

    def edits(self, stage: Any) -> list[Edit]:
        """What has changed in the deps since then."""
        return [edit for seen, dep in zip(self.seen, stage.deps, strict=True) for edit in edits(seen, dep)]

    def restore_deps(self, stage: Any) -> None:
        """Give DVC's deps the attributes that they had then, so that the stage may be begun anew."""
        for seen, dep in zip(self.seen, stage.deps, strict=True):
            vars(dep).update(seen.recorded)


class ChangedBesideError(StageRecordError):
    """Other stages of the run changed a stage's deps while its command ran: it is to be begun anew, apart."""


class Workspace:
    """The stages of one run, by name, and what DVC does to them."""

    def __init__(
        self,
        folder: Path,
        selection: Selection,
        stop: threading.Event | None = None,
        say: Say = say_nothing,
    ) -> None:
        with contextlib.ExitStack() as opening, mended():
            self._repo = opening.enter_context(opened(folder))
            self._repo.stage_cache = run_cache.RunCache(self._repo)
            self._recording = Recording(self._repo)
            self._open = opening.pop_all()
        self.root = Path(self._repo.root_dir)
        self._folder = Path(folder).resolve()
        self._selection = selection
        self._stop = stop or threading.Event()
        self._stages: dict[str, Any] = {}
        self._upstream: dict[str, list[Any]] = {}
        self._begun: dict[str, _Begun] = {}
        self._witnesses = Witnesses()
        self._apart: dict[str, set[str]] = {}
        self._experiment: Experiment | None = None
        self._half_written = False
        state = self.root / STATE_FOLDER
        self._holding = Holding(self._repo, state / LOCKS_FOLDER, say)
        self._committing = Committing(
            self._repo, self._recording, Unkept(state), commit=not selection.no_commit
        )

    def close(self) -> None:
        """Let go of DVC's files, and of the stages that were given up."""
        self._witnesses.close()
        self._holding.close()
        self._committing.close()
        self._open.close()

    def remove_half_written(self) -> None:
        """Remove what an earlier run has left half-written, as soon as DVC's lock is held."""
        self._half_written = True

    def end_left_overs(self) -> None:
        """Kill what dead runs have left of their stages, and remove what they have half-written."""
        self._holding.end_left_overs()
        state = self.root / STATE_FOLDER
        remove_partial_files(
            state, *(path for path in state.glob("*/") if path.is_dir()), Path(self._repo.tmp_dir)
        )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """DVC's repository lock, waited for; nothing of DVC's state is changed without it.

        Raises:
            KeyboardInterrupt: The run is told to stop while another process holds the lock.

        """
        with contextlib.ExitStack() as held:
            with mended():
                held.enter_context(locked(self._repo, self._stop))
                if self._holding.heal() or self._half_written:
                    remove_half_written(self._repo)
                    self._half_written = False
            yield
            with mended():
                self._holding.flush()

    @mended()
    def load(self) -> tuple[Node, ...]:
        """The selected stages in DVC's serial order. No lock is needed.

        Raises:
            UsageError: A target does not exist, or the run could not be kept as the experiment.
            MetaError: The `meta` of a stage or of one of its outs is wrong.
            RepoError: DVC cannot read the repository.

        """
        self._experiment = new_experiment(self._repo, self._selection)
        with contextlib.chdir(self._folder):
            graph = graph_of(self._repo)
            with mended(kind=UsageError):
                chosen = [key_of(stage) for stage in self._chosen(graph)]
        stages = {key_of(stage): stage for stage in graph}
        nodes = [stages[key] for key in chosen]
        active = get_active_graph(graph)
        steps = (
            nodes if self._selection.single_item else serial_order(active, nodes, self._selection.downstream)
        )
        names = {stage: name_of(stage) for stage in graph}
        self._stages = {names[stage]: stage for stage in steps}
        self._recording.begin(self._stages)
        return tuple(self._nodes(graph, active, names))

    def _chosen(self, graph: Any) -> list[Any]:
        """The stages that the targets name; none where all pipelines are meant."""
        project = Path(PROJECT_FILE).absolute()
        if self._selection.all_pipelines:
            if not len(graph):
                collect_stages(self._repo, hidden_project_files(self._repo))  # raises where there are some
            return []
        if not self._selection.targets and not project.exists():
            raise UsageError(f"'{project}' does not exist; name its folder by --repo, or --all-pipelines")
        if self._selection.targets:
            return list(collect_stages(self._repo, self._selection.targets))
        # Collecting would parse it again; where there is nothing it says why, if the file is hidden or none.
        found = [stage for stage in graph if Path(stage.path) == project]
        return found or list(collect_stages(self._repo, (PROJECT_FILE,)))

    def _nodes(self, graph: Any, active: Any, names: Mapping[Any, str]) -> Iterator[Node]:
        place = {name: at for at, name in enumerate(self._stages)}
        beside = stages_beside_changes(self._stages)
        single = self._selection.single_item
        for name, stage in self._stages.items():
            self._upstream[name] = [] if single else list(active.successors(stage))
            needs = [names[other] for other in self._upstream[name] if names[other] in place]
            related = {names[other] for other in (*graph.successors(stage), *graph.predecessors(stage))}
            related |= beside.get(name, set())
            for out in stage.outs:
                if out.metric:
                    metric_meta_of(stage, out)  # a wrong one is refused before anything runs
            yield Node(
                name=name,
                needs=tuple(sorted(needs, key=place.__getitem__)),
                after=tuple(sorted(n for n in related - set(needs) if n in place and place[n] < place[name])),
                executes=bool(stage.cmd) and not stage.frozen,
                data=not stage.cmd,
                meta=parse_meta(stage.meta if stage.cmd else None, f"{stage.path_in_repo}: {name}"),
                folder=Path(stage.wdir),
            )

    def states(self) -> Iterator[State]:
        """What each stage is now, in the serial order, as far as that can be said before anything runs.

        Needs no lock: it reads what DVC's own judgement reads, and writes nothing.
        """
        with mended():
            makers = Makers(self._repo.index.outs_trie)
        earlier: set[str] = set()
        for name, stage in self._stages.items():
            with stage_errors(self._repo, name):
                yield self._state(name, stage, makers, earlier)
                earlier.add(name)

    def _state(self, name: str, stage: Any, makers: Makers, earlier: set[str]) -> State:
        known, force = self._recording.known(stage), self._selection.force
        deps = tuple(state_of_dep(dep, makers, earlier) for dep in ([] if stage.frozen else stage.deps))
        if not stage.cmd or self._selection.pull:  # what is missing may be fetched
            deps = tuple(replace(dep, missing=()) for dep in deps)
        made = tuple(dep for dep in deps if dep.makers)
        given = tuple(reason for dep in deps if known and not dep.makers for reason in dep.reasons)
        return State(
            name=name,
            own=own_reasons(stage, known) + given,
            made=made if known else tuple(replace(dep, reasons=(), new=()) for dep in made),
            forced=force,
            repeats=bool(stage.is_callback or stage.always_changed),
            data=not stage.cmd and (stage.frozen or not stage.is_import),
            frozen=stage.frozen,
            missing=tuple(line for dep in deps if not dep.makers for line in dep.missing),
            lost=() if self._selection.pull else tuple(lost_outs(self._repo, stage)),
        )

    @mended()
    def restorable(self, name: str, products: Mapping[str, str]) -> Mapping[str, str] | None:
        """The products that the run-cache holds for a stage, given the hashes of deps that will change first.

        Both are hashes by path. None: there is nothing to restore.
        """
        return run_cache.restorable(self._repo, self._stages[name], products, pull=self._selection.pull)

    def peek(self, name: str) -> Settled | None:
        """Settle the stage if it is up to date; None where there is something to do."""
        with stage_errors(self._repo, name):
            return self._peek(name)

    def _peek(self, name: str) -> Settled | None:
        stage = self._stages[name]
        self._recording.read_anew(lock_file(stage), but=self._holding)
        if self._selection.force or stage.changed(False, self._upstream[name]):
            return None
        return Settled(Outcome.FROZEN if stage.frozen else Outcome.SKIPPED)

    def begin(self, name: str, refusal: str | None = None) -> Settled | Prepared:
        """What `dvc repro` does with a stage before its command, or all of it where no command is executed.

        `refusal` says why the stage's command cannot be executed on this host. The stage fails then, and its
        outs stay, unless they can be restored.

        Raises:
            StageRecordError: DVC cannot go on with the stage.
            Busy: Another process uses the stage's paths, or a stage runs that must run apart from this one.

        """
        with stage_errors(self._repo, name):
            return self._begin(name, refusal)

    def _begin(self, name: str, refusal: str | None) -> Settled | Prepared:
        stage, chosen = self._stages[name], self._selection
        if (settled := self._peek(name)) or (settled := self._pulled(name)):
            return settled
        if others := [other for other in self._apart.get(name, ()) if other in self._holding]:
            raise Busy(f"{others[0]} runs, and one of the two changes what the other depends on")
        reasons = reasons_to_run(stage, self._recording.known(stage), chosen.force)
        if stage.frozen or not stage.cmd:
            self._recording.announce(name)
            self._repo_run(stage)
            self._recording.add(name)
            return Settled(Outcome.FROZEN if stage.frozen else Outcome.RAN, reasons)
        lock = self._holding.hold(name, stage)
        try:
            begun = (
                self._made_before(name)
                or self._refused(name, reasons, refusal)
                or self._prepare(name, reasons, lock)
            )
        except BaseException:
            self._let_go(name)
            raise
        if isinstance(begun, Settled):
            self._let_go(name)
        return begun

    def _prepare(self, name: str, reasons: tuple[str, ...], lock: StageLock) -> Settled | Prepared:
        """Remove the outs and hash the deps, or restore the outs from the run-cache."""
        stage = self._stages[name]
        self._committing.require_cache()
        recorded = [dict(vars(dep)) for dep in stage.deps]
        stage.remove_outs(ignore_remove=False, force=False)
        self._committing.forget(name)
        witness = self._witnesses.open(name, stage)
        if self._selection.force:
            save_deps_there(stage)
        elif self._restored(stage):
            self._committing.save(name, stage)
            return Settled(Outcome.RESTORED, reasons)
        pairs = zip(recorded, stage.deps, strict=True)
        seen = tuple(DepBefore(then, dep.hash_info, dep.obj) for then, dep in pairs)
        self._begun[name] = _Begun(seen, frozenset(self._apart.get(name, ())))
        return _prepared(stage, reasons, self._experiment, lock, witness)

    def _made_before(self, name: str) -> Settled | None:
        """Keep the outs that an earlier run made and could not put into the cache."""
        stage = self._stages[name]
        if self._selection.force or stage.is_callback or stage.always_changed:
            return None
        if not self._committing.lie_there(name, stage):
            return None
        self._committing.save(name, stage)
        return Settled(Outcome.RAN, ("its outs lay there finished, and are kept now",))

    def _refused(self, name: str, reasons: tuple[str, ...], refusal: str | None) -> Settled | None:
        """Fail a stage that can neither be executed nor restored, before its outs are removed."""
        if not refusal or (not self._selection.force and self.restorable(name, {}) is not None):
            return None
        return Settled(Outcome.FAILED, reasons, error=refusal)

    def _pulled(self, name: str) -> Settled | None:
        """Fetch a stage whose data alone is missing, with --pull; None: it has to run."""
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

    def finish(self, name: str) -> tuple[str, ...]:
        """Save and commit the outs of a stage whose command ended well; the deps that it changed itself.

        Raises:
            StageRecordError: DVC cannot keep the outs, or somebody else changed a dep while the command ran.
            ChangedBesideError: Only stages of this run changed a dep: the stage may be begun anew.

        """
        stage, begun = self._stages[name], self._begun[name]
        try:
            with stage_errors(self._repo, name):
                stage.save_deps()
                changed = begun.edits(stage)
                declared = declared_changes(stage) if changed else []
                doubtful = [edit for edit in changed if edit.dep not in declared]
                verdict = self._witnesses.judge(name, doubtful) if doubtful else DepsVerdict()
                if verdict.refusal and verdict.beside <= begun.apart:
                    raise StageRecordError(f"{verdict.refusal}: not recorded, run again{verdict.mend}")
                if not verdict.refusal:
                    self._committing.save(name, stage)
        except BaseException:
            self._give_back(name)
            raise
        if verdict.refusal:
            for other in verdict.beside:
                self._apart.setdefault(name, set()).add(other)
                self._apart.setdefault(other, set()).add(name)
            self.abandon(name)
            raise ChangedBesideError(f"{name}: {verdict.refusal}")
        self._give_back(name)
        return tuple(str(edit) for edit in changed)

    def abandon(self, name: str) -> None:
        """Give back what a stage had in use whose command did not end well; it may be begun anew."""
        self._begun[name].restore_deps(self._stages[name])
        self._give_back(name)

    def _give_back(self, name: str) -> None:
        del self._begun[name]
        self._let_go(name)

    def _let_go(self, name: str) -> None:
        self._witnesses.close_one(name)
        self._holding.let_go(name, self._stages[name])

    def made(self) -> frozenset[Path]:
        """The paths of all outs of the repository's stages."""
        return frozenset(Path(out.fs_path) for out in self._repo.index.outs if out.is_in_repo)

    def files_of(self, name: str) -> StageFiles:
        """The files of a stage as another host needs and makes them."""
        return files_of(self._stages[name], self.root)

    def sizes_of_deps(self, name: str) -> Mapping[str, int]:
        """The sizes in bytes, by hashes, of the data that a stage reads, as far as they are recorded."""
        return sizes_of(self._stages[name])

    def full_disks(self) -> str:
        """Which disks that results are written to are full, in words; empty where none is."""
        return full_disks_in_words(self._repo)

    @mended()
    def record(self) -> None:
        """Write what finished since the last time into dvc.lock and .dvc files, in DVC's order."""
        self._recording.write()
        self._committing.recorded()

    @mended()
    def passed(self, name: str) -> None:
        """Note that a serial run would be past this stage: those after it need not wait for its record."""
        self._recording.passed(name)

    @mended()
    def stage_in_git(self) -> None:
        """Do `git add` of what was recorded, where DVC's `core.autostage` says so."""
        context = self._repo.scm_context
        if context.autostage:
            context.track_changed_files()

    @mended()
    def save_experiment(self) -> None:
        """Keep the workspace as it is now as the experiment, if the run is one.

        Raises:
            RepoError: Git or DVC cannot do so.

        """
        if self._experiment:
            save_experiment(
                self.root, self._experiment, paths_of_experiment(self._repo, self._stages.values())
            )

    def pull_run_cache(self) -> None:
        """Fetch the remote's run-cache, where there is one and the selection says `pull`.

        Raises:
            RepoError: The remote cannot be read.

        """
        if self._selection.pull:
            with mended("--pull: "), contextlib.suppress(RunCacheNotSupported):
                self._repo.stage_cache.pull(None)


def _prepared(
    stage: Any,
    reasons: tuple[str, ...],
    experiment: Experiment | None,
    lock: StageLock,
    witness: Witness | None,
) -> Prepared:
    settings = prepare_kwargs(stage, run_env=experiment.env() if experiment else None)
    shell = get_executable()
    commands = tuple(tuple(_make_cmd(shell, line)) for line in _enforce_cmd_list(stage.cmd))
    return Prepared(reasons, commands, Path(settings["cwd"]), settings["env"], lock, witness)
