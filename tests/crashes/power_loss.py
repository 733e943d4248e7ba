"""What a power cut can leave of a run, at each of its moments, and what the next run makes of it.

    python -m tests.crashes.power_loss [--runs 60] [--seed N] [--out PAGE]

All that a run does to the files of its repository is recorded, and replayed up to every moment without what
was not synced by then. What is taken as safe (Pillai et al., "All file systems are not created equal", 2014):

- a file's content is there once the file was synced; later writes are there in order, some or none of them;
- a name (made, renamed, removed) is there once its folder was synced; until then the changes of one folder
  are there in order, some or none, whatever those of other folders are;
- a rename is one step. A mode may be there before the content.
"""

from __future__ import annotations

import codecs
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from random import Random, SystemRandom

import click
import yaml

from benchmarks.machine import describe
from tests.crashes.crash_points import Bench, differences, make_bench, run
from tests.faults.checks import md5

TRACED = (
    *("openat", "creat", "write", "pwrite64", "copy_file_range", "sendfile", "ftruncate", "chmod", "fchmod"),
    *("fchmodat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink"),
    *("unlinkat", "mkdir", "mkdirat", "rmdir", "fsync", "fdatasync", "syncfs", "chdir", "fchdir"),
)
SECTOR = 512
"""Bytes that a disk writes whole or not at all."""

_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)(?:<(.*)>)?(?: .*)?$")
_STARTED = re.compile(r"(\d+) +(\w+\(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)$")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"(?:\d+|AT_FDCWD)<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that went well."""

    process: int
    name: str
    arguments: str
    result: int
    opened: str | None

    def strings(self) -> list[bytes]:
        """Its strings: paths, what is written."""
        return [_decoded(text) for text in _STRING.findall(self.arguments)]

    def descriptors(self) -> list[str]:
        """The paths of its file descriptors."""
        return _DESCRIPTOR.findall(_STRING.sub("", self.arguments))


def _decoded(text: str) -> bytes:
    data, _ = codecs.escape_decode(text.encode("latin-1"))  # type: ignore[attr-defined]
    assert isinstance(data, bytes)
    return data


def read_calls(trace: str) -> Iterator[Call]:
    """The calls of all processes, in the order in which they ended."""
    started: dict[str, str] = {}
    for line in trace.splitlines():
        if match := _STARTED.match(line):
            started[match[1]] = match[2]
            continue
        whole = line
        if match := _RESUMED.match(line):
            whole = f"{match[1]} {started.pop(match[1])}{match[2]}"
        if (match := _LINE.match(whole)) and int(match[4]) >= 0:
            yield Call(int(match[1]), match[2], match[3], int(match[4]), match[5])


@dataclass(eq=False, slots=True)
class Inode:
    """A file, a folder or a link: what was done to its content, and how much of that is safe."""

    mode: int
    target: str | None = None
    """Of a symbolic link."""
    changes: list[tuple[int, bytes | None]] = field(default_factory=list)
    """At which byte what was written; None: it was cut there."""
    safe: int = 0
    """So many changes."""

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def content(self, changes: int | None = None, *, torn: bool = False) -> bytes:
        """After so many changes, all if not given; `torn`: of the next one the first half, if it is large."""
        count = len(self.changes) if changes is None else changes
        done = list(self.changes[:count])
        if torn and count < len(self.changes):
            at, data = self.changes[count]
            if data is not None and len(data) > SECTOR:
                done.append((at, data[: len(data) // 2]))
        content = bytearray()
        for at, data in done:
            if data is None:
                del content[at:]
            else:
                content.extend(bytes(max(0, at - len(content))))
                content[at : at + len(data)] = data
        return bytes(content)


@dataclass(frozen=True, slots=True)
class Renaming:
    """A change of names: of one or two, in one step."""

    number: int
    folder: str
    removed: str | None
    made: tuple[str, Inode] | None


@dataclass(slots=True)
class Disk:
    """Files below a root, by their paths from there, as the processes see them; and what of it is safe."""

    root: str
    names: dict[str, Inode]
    safe_names: dict[str, Inode]
    open_changes: dict[str, list[Renaming]] = field(default_factory=dict)
    """Of each folder, those that are not safe."""
    folders: dict[int, str] = field(default_factory=dict)
    """Where processes are that have gone to another folder than the root."""
    read: dict[tuple[int, str], int] = field(default_factory=dict)
    """How far a process has copied out of a file."""
    count: int = 0

    def apply(self, call: Call) -> bool:
        """Do what the call did. False: nothing below the root."""
        match call.name:
            case "chdir":
                self.folders[call.process] = self._absolute(call, call.strings()[0].decode())
                return False
            case "fchdir":
                self.folders[call.process] = call.descriptors()[0]
                return False
            case "openat" | "creat":
                return self._open(call)
            case "write" | "pwrite64" | "copy_file_range" | "sendfile" | "ftruncate":
                return self._change(call)
            case "fsync" | "fdatasync" | "syncfs":
                return self._sync(call)
            case "chmod" | "fchmod" | "fchmodat":
                return self._set_mode(call)
        return self._rename(call)

    def _open(self, call: Call) -> bool:
        self.read.pop((call.process, call.opened or ""), None)
        path = self._below(call.opened or "")
        if path is None or (path not in self.names and "O_CREAT" not in call.arguments):
            return False
        changed = False
        if path not in self.names:
            self._note(path, made=(path, Inode(stat.S_IFREG | 0o644)))
            changed = True
        if "O_TRUNC" in call.arguments and (inode := self.names[path]).changes:
            inode.changes.append((0, None))
            changed = True
        return changed

    def _change(self, call: Call) -> bool:
        described = call.descriptors()
        place = {"copy_file_range": 1}.get(call.name, 0)
        if not described or (path := self._below(described[place])) is None or path not in self.names:
            return False
        inode = self.names[path]
        size = len(inode.content())
        numbers = [int(word) for word in re.findall(r"(?<=, )\d+", _STRING.sub("", call.arguments))]
        if call.name == "ftruncate":
            inode.changes.append((numbers[-1], None))
        elif call.name == "pwrite64":
            inode.changes.append((numbers[-1], call.strings()[0][: call.result]))
        elif call.name == "write":
            inode.changes.append((size, call.strings()[0][: call.result]))
        elif call.result:
            inode.changes.append((size, self._source(call, described[1 - place], size)))
        return True

    def _source(self, call: Call, path: str, copied: int) -> bytes:
        """What was copied from a file: from where it was read to, or else from where the copy ends."""
        at = self.read.get((call.process, path), 0) if "NULL" in call.arguments else copied
        self.read[call.process, path] = at + call.result
        below = self._below(path)
        content = self.names[below].content() if below in self.names else Path(path).read_bytes()
        return content[at : at + call.result]

    def _sync(self, call: Call) -> bool:
        if (path := self._below(call.descriptors()[0])) is None:
            return False
        if call.name == "syncfs":
            for folder in list(self.open_changes):
                self._make_safe(folder)
            for inode in self.names.values():
                inode.safe = len(inode.changes)
        elif (inode := self.names[path]).is_folder:
            self._make_safe(path)
        else:
            inode.safe = len(inode.changes)
        return True

    def _make_safe(self, folder: str) -> None:
        for change in self.open_changes.pop(folder, []):
            _renamed(self.safe_names, change)
            if change.removed is not None:  # where it was made does not count any more
                source = str(Path(change.removed).parent)
                self.open_changes[source] = [
                    other
                    for other in self.open_changes.get(source, [])
                    if other.number > change.number or not other.made or other.made[0] != change.removed
                ]

    def _set_mode(self, call: Call) -> bool:
        paths = [self._absolute(call, text.decode()) for text in call.strings()] or call.descriptors()
        path = self._below(paths[0])
        if path is None or path not in self.names:
            return False
        mode = int(re.findall(r"\b0\d*", _STRING.sub("", call.arguments))[-1], 8)
        inode = self.names[path]
        inode.mode = stat.S_IFMT(inode.mode) | mode
        return True

    def _rename(self, call: Call) -> bool:
        given = [self._absolute(call, text.decode()) for text in call.strings()]
        path = self._below(given[-1])
        first = self._below(given[0])
        match call.name:
            case "mkdir" | "mkdirat" if path is not None:
                self._note(path, made=(path, Inode(stat.S_IFDIR | 0o755)))
            case "unlink" | "unlinkat" | "rmdir" if path is not None:
                self._note(path, removed=path)
            case "symlink" | "symlinkat" if path is not None:
                target = call.strings()[0].decode()
                self._note(path, made=(path, Inode(stat.S_IFLNK | 0o777, target)))
            case "link" | "linkat" if path is not None and first is not None:
                self._note(path, made=(path, self.names[first]))
            case "rename" | "renameat" | "renameat2" if path is not None and first is not None:
                assert not self.names[first].is_folder, "what is in a folder would have to move with it"
                self._note(path, removed=first, made=(path, self.names[first]))
            case _:
                return False
        return True

    def _note(self, path: str, removed: str | None = None, made: tuple[str, Inode] | None = None) -> None:
        folder = str(Path(path).parent)
        self.count += 1
        change = Renaming(self.count, folder, removed, made)
        self.open_changes.setdefault(folder, []).append(change)
        _renamed(self.names, change)

    def _absolute(self, call: Call, path: str) -> str:
        return str(Path(self.folders.get(call.process, self.root), path))

    def _below(self, path: str) -> str | None:
        """From the root on; None for what is elsewhere, or left out."""
        if not Path(path).is_relative_to(self.root):
            return None
        below = str(Path(path).relative_to(self.root))
        return None if _left_out(below) else below


def _left_out(below: str) -> bool:
    """Git's own files, and DVC's locks: nobody asks what they hold."""
    return below.split("/")[0] == ".git" or below in (".dvc/tmp/lock", ".dvc/tmp/rwlock.lock")


def _renamed(names: dict[str, Inode], change: Renaming) -> None:
    if change.removed is not None:
        names.pop(change.removed, None)
    if change.made is not None:
        names[change.made[0]] = change.made[1]


def disk_of(root: Path) -> Disk:
    """The files below `root` as they are, all of them safe."""
    names = {".": Inode(stat.S_IFDIR | 0o755)}
    for path in root.rglob("*"):
        below = path.relative_to(root)
        if _left_out(str(below)):
            continue
        found = path.lstat()
        if path.is_symlink():
            names[str(below)] = Inode(found.st_mode, str(path.readlink()))
        elif path.is_dir():
            names[str(below)] = Inode(found.st_mode)
        else:
            names[str(below)] = Inode(found.st_mode, changes=[(0, path.read_bytes())], safe=1)
    return Disk(str(root), names, dict(names))


@dataclass(frozen=True, slots=True)
class File:
    """A file or link as a power cut has left it; a folder has neither content nor target."""

    mode: int
    content: bytes | None = None
    target: str | None = None


Image = Mapping[str, File]
"""What a power cut has left, by path."""

Choose = Callable[[int, int], int]
"""Of so many changes that are safe and so many that there are: how many are there after the cut."""


def nothing(safe: int, there: int) -> int:
    """No more than was safe."""
    return safe


def everything(safe: int, there: int) -> int:
    """All, as after a kill."""
    return there


def image(disk: Disk, names: Callable[[str, int], int], contents: Choose, *, torn: bool = False) -> Image:
    """What is left where `names` says of each folder, and `contents` of each file, how much is there."""
    kept = (open_[: names(folder, len(open_))] for folder, open_ in disk.open_changes.items())
    found = dict(disk.safe_names)
    for change in sorted(chain(*kept), key=lambda change: change.number):
        _renamed(found, change)
    left: dict[str, File] = {}
    chosen: dict[int, bytes] = {}
    for path in sorted(found):
        inode = found[path]
        if path != "." and str(Path(path).parent) not in left:
            continue  # its folder is not there
        if inode.is_folder or inode.target is not None:
            left[path] = File(inode.mode, target=inode.target)
        else:
            if id(inode) not in chosen:
                count = contents(inode.safe, len(inode.changes))
                chosen[id(inode)] = inode.content(count, torn=torn)
            left[path] = File(inode.mode, chosen[id(inode)])
    return left


def images(disk: Disk, rng: Random, by_chance: int = 2) -> Iterator[Image]:
    """What a cut at this moment can leave: the extremes, each folder's names alone, some by chance."""
    yield image(disk, lambda _, __: 0, nothing)
    yield image(disk, lambda _, there: there, nothing)
    yield image(disk, lambda _, there: there, nothing, torn=True)
    yield image(disk, lambda _, __: 0, everything)
    for one in list(disk.open_changes):
        yield image(disk, lambda folder, there, one=one: there if folder == one else 0, nothing)  # type: ignore[misc]
    for _ in range(by_chance):
        yield image(disk, lambda _, there: rng.randint(0, there), rng.randint, torn=rng.random() < 0.5)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run of the bench's repository: the calls, and the disk before them."""

    before: Disk
    calls: Sequence[Call]


def record(bench: Bench) -> Recorded:
    """Run once and record it. The replay of all of it must be what is there then."""
    folder = bench.fresh("recorded")
    root = folder / "repository"
    before, replayed = disk_of(root), disk_of(root)
    trace = folder / "trace"
    wanted = ["-e", "trace=" + ",".join(TRACED), "-e", "signal=none"]
    done = run(bench, folder, ["strace", "-f", "-qq", "-y", "-s", "1000000", *wanted, "-o", str(trace)])
    assert done.returncode == 0, done.stderr
    calls = list(read_calls(trace.read_text(encoding="latin-1")))
    kept = [call for call in calls if replayed.apply(call) or call.name in ("openat", "chdir", "fchdir")]
    there = image(disk_of(root), lambda _, __: 0, nothing)
    assert image(replayed, lambda _, there: there, everything) == there
    return Recorded(before, kept)


def wrong(left: Image, versions: set[bytes | None]) -> Iterator[str]:
    """What must not be: a dvc.lock that never was, or one that names what is not in the cache."""
    file = left.get("dvc.lock")
    content = file.content if file else None
    if content not in versions:
        yield f"dvc.lock is neither old nor new: {(content or b'')[:80]!r}"
        return
    for name, entry in (yaml.safe_load(content or b"{}").get("stages") or {}).items():
        for out in entry.get("outs", ()):
            if out["path"] != "score.json":  # `cache: false`
                yield from (f"{name}: {out['path']}: {what}" for what in _not_whole(left, out["md5"]))


def _not_whole(left: Image, recorded: str) -> Iterator[str]:
    file = left.get(f".dvc/cache/files/md5/{recorded[:2]}/{recorded[2:]}")
    if file is None or file.content is None:
        yield f"{recorded} is not in the cache"
    elif md5(file.content) != recorded.removesuffix(".dir"):
        yield f"{recorded} has other content in the cache"
    elif recorded.endswith(".dir"):
        for part in yaml.safe_load(file.content):
            yield from _not_whole(left, part["md5"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A power cut: after which call, and what it left."""

    after: int
    left: Image
    findings: tuple[str, ...]


def cuts(recorded: Recorded, rng: Random) -> Iterator[Cut]:
    """One after each call that changed something; nothing is told twice."""
    disk = recorded.before
    versions: set[bytes | None] = {_lock(disk)}
    seen: set[int] = set()
    for number, call in enumerate(recorded.calls):
        if not disk.apply(call):
            continue
        versions.add(_lock(disk))
        for left in images(disk, rng):
            if (key := hash(tuple(sorted(left.items(), key=lambda item: item[0])))) not in seen:
                seen.add(key)
                yield Cut(after=number, left=left, findings=tuple(wrong(left, versions)))


def _lock(disk: Disk) -> bytes | None:
    return disk.names["dvc.lock"].content() if "dvc.lock" in disk.names else None


def run_after(bench: Bench, cut: Cut, name: str) -> list[str]:
    """What is otherwise than a serial run leaves it after the run that follows the cut."""
    folder = bench.fresh(name)
    root = folder / "repository"
    for path in root.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for below, file in sorted(cut.left.items()):
        path = root / below
        if file.target is not None:
            path.symlink_to(file.target)
        elif file.content is None:
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(file.content)
            path.chmod(stat.S_IMODE(file.mode))
    done = run(bench, folder)
    said = [f"exit code {done.returncode}: {done.stderr.strip()[-1000:]}"] if done.returncode else []
    findings = [*said, *differences(bench, folder)]
    if not findings:
        shutil.rmtree(folder)
    return findings


@click.command()
@click.option("--runs", default=60, show_default=True, help="After so many of the cuts a run is made.")
@click.option("--seed", type=int, help="The seed of the choice; a random one if not given, and printed.")
@click.option("--out", type=click.Path(path_type=Path), help="The file for the page.")
def main(runs: int, seed: int | None, out: Path | None) -> None:
    """Cut the power at every moment, print the page, and write it if `--out` names a file."""
    begun = time.monotonic()
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    rng = Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="darkroom-power-"))
    print(f"seed {seed}, in {folder}", flush=True)
    bench = make_bench(folder)
    recorded = record(bench)
    told = list(cuts(recorded, rng))
    findings = [f"after call {cut.after}: {finding}" for cut in told for finding in cut.findings]
    tried = rng.sample(told, min(runs, len(told)))
    for number, cut in enumerate(tried):
        what = run_after(bench, cut, f"cut-{number}")
        findings += [f"the run after a cut after call {cut.after}, cut-{number}: {each}" for each in what[:4]]
    text = "\n".join(
        [
            "# Power cuts",
            "",
            f"`python -m tests.crashes.power_loss --runs {runs} --seed {seed}` on {describe()}:",
            f"{len(recorded.calls)} calls of a run change or sync a file. {len(told)} states that a cut can"
            f" leave were looked at, and a run was made after {len(tried)} of them, chosen by chance.",
            f"{(time.monotonic() - begun) / 60:.1f} minutes.",
            "",
            "| looked at | states |",
            "|---|---|",
            f"| dvc.lock is old or new, and what it names is in the cache, whole | {len(told)} |",
            f"| the next run ends as `dvc repro` does | {len(tried)} |",
            "",
            f"Findings: {len(findings)}.",
            *(f"- {finding}" for finding in findings[:40]),
            "",
        ]
    )
    print(text)
    if out:
        out.write_text(text)
    if findings:
        print(f"kept: {folder}")
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
