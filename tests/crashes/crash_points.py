"""Every crash point of a run: it is killed, or fails, at its n-th system call that changes a file.

    python -m tests.crashes.crash_points [--at-most 40 --seed N] [--fault KILL] [--only rename:7] [--out PAGE]

A run that nobody disturbs is traced first: each of its calls that changes something below its own folder is a
point. Then, for every point and fault, a run of a fresh repository is hit there by strace, and the run after
it must end as a serial `dvc repro` does, with nothing left over.

Counted are the calls of the run's main thread, which does all of DVC's part. The threads of stages write logs
and the notes in their locks; strace counts each thread's calls apart, so that theirs cannot be aimed at.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom

import click

from benchmarks.machine import describe
from darkroom.base.exits import Exit
from tests.darkroom.repositories import contents, git
from tests.faults import processes
from tests.faults.repository import BIN, environment

CALLS = (
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat"),
    *(
        "unlink",
        "unlinkat",
        "rmdir",
        "openat",
        "write",
        "pwrite64",
        "sendfile",
        "copy_file_range",
        "ftruncate",
    ),
    *("chmod", "fchmod", "fchmodat", "fsync", "fdatasync"),
)
"""What changes files; openat where it may write."""

ONE_OF_PAGES = 20
"""One page of so many that SQLite writes into DVC's databases is a point: its own tests have the others."""

FAULTS = ("KILL", "ENOSPC", "EIO", "EINTR")
IN_PROCESS = [sys.executable, "-m", "tests.crashes.one_run"]
WHOLE_COMMAND = [str(BIN / "darkroom"), "run", "--jobs", "1"]
SECONDS = 300.0
"""For one run at most; it takes one or two."""

SHOWN = 4  # findings of a point; one cause has many

DVC_YAML = """\
stages:
  folder:
    cmd: mkdir -p folder/sub && cp raw.txt folder/a && echo b > folder/sub/b
    deps: [raw.txt]
    outs: [folder]
  first:
    cmd: cat folder/a > first.txt
    deps: [folder]
    outs: [first.txt]
  second:
    cmd: cat folder/sub/b > out/second.txt; echo '{"score":1}' > score.json
    deps: [folder]
    params: [{params.json: [k]}]
    outs: [out/second.txt]
    metrics: [{score.json: {cache: false}}]
  last:
    cmd: cat first.txt out/second.txt > last.txt
    deps: [first.txt, out/second.txt]
    outs: [last.txt]
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """The n-th call of its name in the run's main thread."""

    call: str
    nth: int
    what: str
    """Its arguments as strace showed them, from the run's folder on."""

    def __str__(self) -> str:
        return f"{self.call}:{self.nth}"


Aim = tuple[Point, str]
"""A point and a fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a run that was hit at a point, and of the run after it."""

    point: Point
    fault: str
    code: int
    said: str
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """A repository that nothing has run in, the same after `dvc repro`, and the points of a run of it."""

    folder: Path
    command: Sequence[str]

    @property
    def before(self) -> Path:
        return self.folder / "before"

    @property
    def after(self) -> Path:
        return self.folder / "after"

    def fresh(self, name: str) -> Path:
        """A folder for one run, with the repository in it."""
        folder = self.folder / name
        shutil.copytree(self.before, folder / "repository", symlinks=True)
        return folder


def can_trace() -> bool:
    """Whether strace is there and may trace (a container may forbid it)."""
    if not shutil.which("strace"):
        return False
    return subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], check=False).returncode == 0


def make_bench(folder: Path, command: Sequence[str] = IN_PROCESS) -> Bench:
    """A repository of four stages with an out that is a folder, a .dvc file, an uncached metric."""
    bench = Bench(folder, command)
    root = bench.before
    (root / "out").mkdir(parents=True)
    (root / "out/.gitkeep").touch()
    (root / "raw.txt").write_text("raw\n")
    (root / "params.json").write_text(json.dumps({"k": 1}))
    (root / "dvc.yaml").write_text(DVC_YAML)
    git(root, "init")
    env = environment(folder)
    for words in (["init", "-q"], ["add", "-q", "raw.txt"]):
        subprocess.run([BIN / "dvc", *words], cwd=root, env=env, check=True)
    git(root, "add", "-A")
    git(root, "commit", "-m", "start")
    shutil.copytree(root, bench.after, symlinks=True)
    subprocess.run([BIN / "dvc", "repro", "-q"], cwd=bench.after, env=env, check=True, capture_output=True)
    return bench


def points_of(bench: Bench) -> list[Point]:
    """Those of a run that nobody disturbs."""
    folder = bench.fresh("traced")
    trace = folder / "trace"
    done = run(
        bench, folder, ["strace", "-qq", "-y", "-s", "0", "-o", str(trace), "-e", "trace=" + ",".join(CALLS)]
    )
    assert done.returncode == 0, done.stderr
    return list(_read_points(trace.read_text(errors="replace"), str(folder)))


def _read_points(trace: str, folder: str) -> Iterator[Point]:
    counted: Counter[str] = Counter()
    for line in trace.splitlines():
        if not (match := re.match(r"(\w+)\((.*)", line)):
            continue
        call, rest = match.groups()
        counted[call] += 1
        writes = call != "openat" or re.search(r"O_(WRONLY|RDWR|CREAT)", rest)
        of_many = call == "pwrite64" and counted[call] % ONE_OF_PAGES
        if folder in rest and writes and not of_many:
            yield Point(call=call, nth=counted[call], what=rest.replace(f"{folder}/", ""))


def run(bench: Bench, folder: Path, tracer: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    env = environment(folder) | {processes.MARK: folder.name, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*tracer, *bench.command],
        cwd=folder / "repository",
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )


def hit(bench: Bench, point: Point, fault: str) -> Outcome:
    """Run a fresh repository, hit at the point; then run it again, and look at the end."""
    folder = bench.fresh(f"{fault}-{point.call}-{point.nth}")
    how = "signal=KILL" if fault == "KILL" else f"error={fault}"
    tracer = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={point.call}", "-e", "signal=none"]
    findings: list[str] = []
    done = run(bench, folder, [*tracer, "-e", f"inject={point.call}:{how}:when={point.nth}"])
    if fault != "KILL":
        findings += _badly_said(done)
        if done.returncode == Exit.WELL:
            findings += (f"said to be well: {how}" for how in differences(bench, folder))
    again = run(bench, folder)
    if again.returncode:
        findings.append(f"the next run: exit code {again.returncode}: {again.stderr.strip()[-2000:]}")
    findings += differences(bench, folder)
    findings += [f"left: {process}" for process in processes.of_run(folder.name)]
    if not findings:
        shutil.rmtree(folder)
    return Outcome(
        point=point, fault=fault, code=done.returncode, said=done.stderr.strip(), findings=tuple(findings)
    )


def _badly_said(done: subprocess.CompletedProcess[str]) -> Iterator[str]:
    if "Traceback" in done.stderr:
        yield f"a stack trace: {done.stderr.strip()[-3000:]}"
    elif done.returncode not in (Exit.WELL, Exit.FAILED, Exit.WRONG_INPUT):
        yield f"exit code {done.returncode}: {done.stderr.strip()[-2000:]}"
    elif done.returncode != Exit.WELL and not done.stderr.startswith("error: "):
        yield f"exit code {done.returncode} and no line that says why: {done.stderr.strip()[-2000:]}"


def differences(bench: Bench, folder: Path) -> Iterator[str]:
    """What is otherwise than `dvc repro` leaves it, and what is left over of unfinished writing."""
    root = folder / "repository"
    wanted, found = contents(bench.after), contents(root)
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            how = "missing" if name not in found else "not to be there" if name not in wanted else "different"
            yield f"{name}: {how}"
    for place in (".darkroom", ".dvc/tmp"):
        for path in (root / place).rglob("*"):
            if path.suffix in (".partial", ".tmp"):
                yield f"left: {path.relative_to(root)}"
    rwlock = root / ".dvc/tmp/rwlock"
    if rwlock.exists() and json.loads(rwlock.read_text() or "null") not in ({}, {"read": {}, "write": {}}):
        yield f"left: .dvc/tmp/rwlock: {rwlock.read_text()!r}"


def hit_all(
    bench: Bench,
    aims: Sequence[Aim],
    at_once: int = 2,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Hit each point by each fault."""
    outcomes = []
    with ThreadPoolExecutor(at_once) as pool:
        for outcome in pool.map(lambda aim: hit(bench, *aim), aims):
            on_outcome(outcome)
            outcomes.append(outcome)
    return outcomes


def sample(points: Sequence[Point], faults: Sequence[str], seed: int, at_most: int) -> list[Aim]:
    """So many points with a fault each, by chance: a call's name first, so that no rare one is left out."""
    rng = Random(seed)
    by_call: dict[str, list[Point]] = {}
    for point in points:
        by_call.setdefault(point.call, []).append(point)
    aims: dict[Aim, None] = {}
    while len(aims) < min(at_most, len(points) * len(faults)):
        aims[rng.choice(by_call[rng.choice(sorted(by_call))]), rng.choice(faults)] = None
    return list(aims)


def page(outcomes: Sequence[Outcome], points: Sequence[Point], chosen: str, seconds: float) -> str:
    """Markdown."""
    calls = sorted({point.call for point in points})
    faults = sorted({outcome.fault for outcome in outcomes})
    ends = Counter(
        (o.fault, "killed" if o.code < 0 or o.code > 128 else f"exit code {o.code}") for o in outcomes
    )
    rows = [
        [call, *(sum(o.point.call == call and o.fault == fault for o in outcomes) for fault in faults)]
        for call in calls
    ]
    found = [o for o in outcomes if o.findings]
    return "\n".join(
        [
            "# Every crash point",
            "",
            f"`python -m tests.crashes.crash_points{chosen}` on {describe()}:",
            f"a run of four stages has {len(points)} points; {len(outcomes)} runs were hit at one of them,"
            f" and run again. {seconds / 60:.1f} minutes.",
            "",
            f"| call | {' | '.join(faults)} |",
            f"|{'---|' * (len(faults) + 1)}",
            *(f"| {' | '.join(map(str, row))} |" for row in rows),
            "",
            "| the run that was hit | how often |",
            "|---|---|",
            *(f"| {fault}: {end} | {count} |" for (fault, end), count in sorted(ends.items())),
            "",
            f"Findings (another end than `dvc repro`'s, something left over, a stack trace): {len(found)}.",
            *(f"- {o.fault} at {o.point}, `{o.point.what[:100]}`: {o.findings[0][:300]}" for o in found),
            "",
        ]
    )


@click.command()
@click.option("--at-most", type=int, help="Hit so many points, chosen by chance; all if not given.")
@click.option("--seed", type=int, help="The seed of the choice; a random one if not given, and printed.")
@click.option("--fault", type=click.Choice(list(FAULTS)), multiple=True, help="All if not given.")
@click.option("--only", multiple=True, help="A point such as rename:7, to see it again.")
@click.option("--whole", is_flag=True, help="Run the whole command, with Prefect.")
@click.option("--out", type=click.Path(path_type=Path), help="The file for the page.")
def main(
    at_most: int | None,
    seed: int | None,
    fault: Sequence[str],
    only: Sequence[str],
    whole: bool,
    out: Path | None,
) -> None:
    """Hit the points, print the page, and write it if `--out` names a file."""
    begun = time.monotonic()
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="darkroom-crash-points-"))
    bench = make_bench(folder, WHOLE_COMMAND if whole else IN_PROCESS)
    points = points_of(bench)
    print(f"{len(points)} points, seed {seed}, in {folder}", flush=True)
    faults = list(fault or FAULTS)
    if only:
        points = [point for point in points if str(point) in only]
    aims = [(point, one) for one in faults for point in points]
    if at_most is not None:
        aims = sample(points, faults, seed, at_most)

    def say(outcome: Outcome) -> None:
        if outcome.findings:
            print(f"{outcome.fault} at {outcome.point}: {outcome.point.what}", flush=True)
            print(*(f"  {finding}" for finding in outcome.findings[:SHOWN]), sep="\n", flush=True)

    outcomes = hit_all(bench, aims, on_outcome=say)
    chosen = "".join(f" --fault {one}" for one in fault or ())
    chosen += "" if at_most is None else f" --at-most {at_most} --seed {seed}"
    text = page(outcomes, points, chosen, time.monotonic() - begun)
    print(text)
    if out:
        out.write_text(text)
    if any(outcome.findings for outcome in outcomes):
        print(f"kept: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
