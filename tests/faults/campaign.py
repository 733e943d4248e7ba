"""Lives of repositories: started, hit by signals at random moments, started again, until all is done.

A life is decided by the campaign's seed and its own number, as far as chance is ours: which start, how many
rounds, when, at what and with which signal. What a process happens to be doing then is not.
"""

from __future__ import annotations

import concurrent.futures
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from darkroom.base.exits import Exit
from tests.faults import checks, processes
from tests.faults.checks import Finding
from tests.faults.repository import BIN, Start, environment, leases, new_life, read_lock

TOOLS = {
    "darkroom": [str(BIN / "darkroom"), "run", "--jobs", "3"],
    "dvc": [str(BIN / "dvc"), "repro"],  # to see that the checks do find what is there to be found
}
GRACE_SECONDS = 20.0
"""For what outlives the runner: a guard takes milliseconds."""
STUCK_SECONDS = 240.0
ENDED_BY_ITSELF = (Exit.WELL, Exit.FAILED, Exit.WRONG_INPUT)
"""Not by a signal, and not in haste: then its stages' daemons are ended."""

LOOK_SECONDS = 0.005
FIRST_GUESS_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """One signal that was sent."""

    target: str
    signal: str
    moment: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """When to shoot: some seconds after the run's start, or after so many lines in its journal."""

    lines: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """What became of one repository."""

    number: int
    start: str
    rounds: int
    shots: tuple[Shot, ...]
    findings: tuple[Finding, ...]
    seconds: float
    """Of its last run, which nobody disturbed or nobody hit in time."""
    counted: Counter[str]
    """Of the words in the journal, and of runs by how they ended."""
    kept: Path | None
    """Its folder, where there is something to be looked at."""


@dataclass(kw_only=True, slots=True)
class Campaign:
    """What all lives share."""

    seed: int
    rounds: int
    deadline: float
    folder: Path
    starts: Sequence[Start]
    numbers: Iterator[int]
    """Of the lives to be lived."""
    tool: str = "darkroom"
    at_once: int = 2
    second_run_share: float = 0.25
    """Of the runs that are shot at: a second run of the repository at the same time, which is shot at too."""
    usual_seconds: dict[str, float] = field(default_factory=dict)
    """By start, of a run that nobody disturbs; renewed by each life's end."""
    disturbed: int = 0
    going_on: set[str] = field(default_factory=set)
    """Marks of the runs that have not ended."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def over(self) -> bool:
        """Whether no round is to be begun."""
        return self.disturbed >= self.rounds or time.monotonic() >= self.deadline

    def usual(self, start: str) -> float:
        """Seconds of a run from this start that nobody disturbs."""
        return self.usual_seconds.get(start, FIRST_GUESS_SECONDS)

    def run(self, on_life: Callable[[Life], None]) -> list[Life]:
        """Live until there were enough rounds, no more time, or a Ctrl-C, after which no round begins."""
        lives: list[Life] = []

        def live_on() -> None:
            while not self.over():
                with self.lock:
                    number = next(self.numbers, None)
                if number is None:
                    return
                life = _Living(self, number).live()
                with self.lock:
                    lives.append(life)
                    self.usual_seconds[life.start] = (self.usual(life.start) + life.seconds) / 2
                    on_life(life)

        with concurrent.futures.ThreadPoolExecutor(self.at_once) as pool:
            futures = [pool.submit(live_on) for _ in range(self.at_once)]
            try:
                concurrent.futures.wait(futures)
            except KeyboardInterrupt:
                self.deadline = 0.0
            for future in futures:
                future.result()
        return sorted(lives, key=lambda life: life.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class Runner:
    """One run's own process."""

    mark: str
    process: subprocess.Popen[bytes]
    output: Path


class _Living:
    """One life while it goes on."""

    def __init__(self, campaign: Campaign, number: int) -> None:
        self._campaign, self._number = campaign, number
        self._rng = Random(f"{campaign.seed} {number}")
        self._start = self._rng.choice(campaign.starts)
        self._folder = campaign.folder / f"life-{number:04}"
        self._root = new_life(self._start, self._folder)
        self._shots: list[Shot] = []
        self._findings: list[Finding] = []
        self._counted: Counter[str] = Counter()
        self._runs = 0
        self._rounds = 0
        self._marks: list[str] = []
        """Of all runs so far."""

    def live(self) -> Life:
        """Rounds with signals, then one run without, which must finish the rest; then look at the end."""
        code, seconds = None, 0.0
        for _ in range(self._rng.randint(1, 8)):
            if self._campaign.over():
                break
            if (code := self._run(self._moments())[0]) == 0:
                break
        if code != 0:
            code, seconds = self._run(())
            if code != 0:
                said = self._output(self._marks[-1]).read_text()[-2000:]
                self._find(checks.UNFINISHED, f"exit code {code}: {said}")
        for finding in checks.wrong_end(self._root, self._start):
            self._find(finding.kind, finding.what)
        return self._ended(seconds or self._campaign.usual(self._start.name))

    def _ended(self, seconds: float) -> Life:
        words = (line.split()[0] for line in self._journal())
        self._counted.update(word for word in words if word in ("begin", "resume"))
        if self._findings:
            told = "".join(f"{finding.kind}: {finding.what}\n" for finding in self._findings)
            (self._folder / "findings.txt").write_text(told)
        else:
            shutil.rmtree(self._folder)
        return Life(
            number=self._number,
            start=self._start.name,
            rounds=self._rounds,
            shots=tuple(self._shots),
            findings=tuple(self._findings),
            seconds=seconds,
            counted=self._counted,
            kept=self._folder if self._findings else None,
        )

    def _find(self, kind: str, what: str) -> None:
        self._findings.append(Finding(kind, f"run {self._runs}: {what}"))

    def _moments(self) -> Iterator[Moment]:
        """One, or a second soon after it."""
        rng = self._rng
        # Half of a run is its start. What was lost is restored, and no command says a line.
        if self._start.lost or rng.random() < 0.3:
            yield Moment(lines=0, seconds=rng.uniform(0, self._campaign.usual(self._start.name)))
        else:
            yield Moment(lines=rng.randint(1, 12), seconds=rng.choice((0, rng.uniform(0, 0.4))))
        while rng.random() < 0.35:
            yield Moment(lines=0, seconds=rng.uniform(0, 0.5))

    def _run(self, moments: Sequence[Moment] | Iterator[Moment]) -> tuple[int, float]:
        """Run once, shooting at these moments; look when it has ended. Its exit code and seconds."""
        self._runs += 1
        before, done = len(self._journal()), self._done()
        begun = time.monotonic()
        runners = [self._start_runner("")]
        if moments and self._rng.random() < self._campaign.second_run_share:
            time.sleep(self._rng.uniform(0, 1))
            runners.append(self._start_runner("second"))
            self._counted["two at once"] += 1
        shots = [
            shot for moment in moments if (shot := self._shoot(self._rng.choice(runners), moment, before))
        ]
        self._remember(shots)
        codes = [self._await_end(runner) for runner in runners]
        seconds = time.monotonic() - begun
        self._look(runners, codes, before, done)
        for runner, code in zip(runners, codes, strict=True):
            self._count(runner, code, disturbed=bool(shots))
        return max(codes, key=abs), seconds

    def _start_runner(self, name: str) -> Runner:
        mark = f"{self._campaign.folder.name}-{self._number}-{self._runs}{name}"
        self._marks.append(mark)
        with self._campaign.lock:
            self._campaign.going_on.add(mark)
        with self._output(mark).open("w") as output:
            process = subprocess.Popen(
                TOOLS[self._campaign.tool],
                cwd=self._root,
                env=self._environment(mark),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        (self._folder / f"runner {mark}").write_text(str(process.pid))
        return Runner(mark=mark, process=process, output=self._output(mark))

    def _environment(self, mark: str) -> dict[str, str]:
        return environment(self._folder) | {processes.MARK: mark}

    def _shoot(self, runner: Runner, when: Moment, before: int) -> Shot | None:
        while len(self._journal()) - before < when.lines:
            if runner.process.poll() is not None:
                return None
            time.sleep(LOOK_SECONDS)
        try:
            runner.process.wait(when.seconds)
        except subprocess.TimeoutExpired:
            moment = self._what_happens(before)
            if hit := processes.shoot(runner.mark, runner.process.pid, self._rng):
                with (self._folder / "shots.txt").open("a") as told:
                    told.write(f"run {self._runs}: {hit[1]} at {hit[0]}, {moment}\n")
                return Shot(target=hit[0], signal=hit[1], moment=moment)
        return None

    def _what_happens(self, before: int) -> str:
        lines = [line.split() for line in self._journal()[before:]]
        begun = Counter(line[1] for line in lines if line[0] == "begin")
        ended = Counter(line[1] for line in lines if line[0] == "end")
        if not begun:
            return "before the first stage"
        if begun - ended:
            return "while stages work"
        last = list(self._start.lock_after())[-1]
        return "after the last stage" if ended[last] else "between stages"

    def _remember(self, shots: Sequence[Shot]) -> None:
        self._shots += shots
        if shots:
            self._rounds += 1
            with self._campaign.lock:
                self._campaign.disturbed += 1

    def _await_end(self, runner: Runner) -> int:
        try:
            return runner.process.wait(STUCK_SECONDS)
        except subprocess.TimeoutExpired:
            self._find(checks.STUCK, f"{runner.mark} is still there after {STUCK_SECONDS:.0f} s")
            runner.process.kill()
            return runner.process.wait()

    def _look(self, runners: Sequence[Runner], codes: Sequence[int], before: int, done: set[str]) -> None:
        """All that must hold after a run, or after two at once."""
        for runner in runners:
            self._end_orphans(runner.mark)
        if all(code in ENDED_BY_ITSELF for code in codes):
            self._find_daemons()
        self._find_leaked_leases(runners)
        lines = [line.split() for line in self._journal()[before:]]
        for name in sorted({line[1] for line in lines if line[0] == "begin"} & done):
            self._find(checks.AGAIN, name)
        for line in lines:
            if line[0] == "conflict":
                self._find(checks.CONFLICT, " ".join(line[1:]))
        env = self._environment(runners[0].mark)
        for finding in (*checks.at_rest(self._root, self._start), *checks.unreadable(self._root, env)):
            self._find(finding.kind, finding.what)

    def _end_orphans(self, mark: str) -> None:
        """What a run has left, but for daemons: those of a killed run are the next one's to end."""
        deadline = time.monotonic() + GRACE_SECONDS
        while orphans := [one for one in processes.of_run(mark) if not processes.is_daemon(one)]:
            if time.monotonic() >= deadline:
                for orphan in orphans:
                    self._find(checks.ORPHAN, f"{orphan}")
                    orphan.kill()
                return
            time.sleep(0.05)

    def _find_daemons(self) -> None:
        """After a run that ended by itself no daemon is left, of its own stages or of a run before."""
        for mark in self._marks:
            for daemon in processes.of_run(mark):
                self._find(checks.DAEMON, f"{daemon} of {mark}")
                daemon.kill()

    def _find_leaked_leases(self, runners: Sequence[Runner]) -> None:
        with self._campaign.lock:
            self._campaign.going_on.difference_update(runner.mark for runner in runners)
        suspects = self._with_leases_of_nobody()
        if suspects:
            time.sleep(0.2)  # a process that is just being executed has no mark for a moment
            for process in suspects & self._with_leases_of_nobody():
                self._find(checks.LEAKED, f"{process}")

    def _with_leases_of_nobody(self) -> set[psutil.Process]:
        """Who has a lease's file open and is of no run that goes on, but for daemons of killed runs."""
        holders = [
            one
            for one in processes.with_files_of(leases(self._campaign.folder))
            if not processes.is_daemon(one)
        ]
        with self._campaign.lock:
            return {one for one in holders if processes.mark_of(one) not in self._campaign.going_on}

    def _count(self, runner: Runner, code: int, *, disturbed: bool) -> None:
        ended = "undisturbed" if not disturbed else "done all the same" if code == 0 else "ended early"
        self._counted[ended] += 1
        if any(line.startswith("Traceback") for line in runner.output.read_text().splitlines()):
            self._counted["stack trace shown"] += 1

    def _done(self) -> set[str]:
        try:
            return checks.finished(read_lock(self._root), self._start.lock_after())
        except ValueError:
            return set()  # found already, after the run that left it so

    def _journal(self) -> list[str]:
        path = self._folder / "executions"
        return path.read_text().splitlines() if path.exists() else []

    def _output(self, mark: str) -> Path:
        return self._folder / f"{mark}.txt"
