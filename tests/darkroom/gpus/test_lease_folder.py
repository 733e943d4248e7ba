"""The folder that all users share: whatever another one does there, nothing is written or read elsewhere, and
who makes a run wait is named.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from darkroom.base.locks import unlock_range
from darkroom.base.meta import Resources
from darkroom.cli.doctor import examination_lines, examine_host
from darkroom.gpus.choice import Request
from darkroom.gpus.devices import Gpus, declared_devices
from darkroom.gpus.lease_folder import ForeignError, LeaseError, SharedFolder, lease_folder, user_name
from darkroom.gpus.lease_notes import HostLeases, LeaseHolder
from darkroom.gpus.leases import HostDevices
from darkroom.schedule.pool import Lease
from tests.darkroom.users import EVE, MALLORY, does, needs_root, place_for_all, user

ONE, HALF = Resources(gpu=1), Resources(gpu=1, gpu_memory=8_000_000_000)
TOKEN = "0123456789abcdef"
NAMES = [f"darkroom-lease.{kind}.{TOKEN}" for kind in ("gate", "queue", "device.gpu-0")]


class Run:
    """A run of this user on a host of one device, and what it says."""

    def __init__(self, folder: Path) -> None:
        devices = declared_devices("1x16GB")
        self.said: list[str] = []
        me = LeaseHolder.this_process("r1", Path("/repo"))
        self.devices = HostDevices(
            Gpus(devices), devices, folder, me, lambda _, words: self.said.append(words)
        )

    def take(self, resources: Resources = ONE) -> Lease | None:
        return self.devices.take(resources, "train")


@pytest.fixture
def place() -> Iterator[Path]:
    with place_for_all() as folder:
        yield folder


@pytest.fixture
def leases(place: Path) -> Path:
    """The folder of the leases, for all and ours."""
    SharedFolder(place / "leases").close()
    return place / "leases"


def doctor(folder: Path) -> tuple[str, ...]:
    """What is wrong with the host, and what else it says of leases."""
    found = examine_host({"DARKROOM_GPUS": "1x16GB", "DARKROOM_LEASES": str(folder)})
    return (*found.problems, *examination_lines(found))


def test_the_folder_is_the_same_for_all_and_can_be_set() -> None:
    assert lease_folder({"DARKROOM_LEASES": "/x/y"}) == Path("/x/y")
    assert lease_folder({}).stat().st_mode & 0o1007 == 0o1007


def test_the_first_folder_that_everybody_may_write_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in ("none", "file", "open", "mine", "blind", "first", "second")]
    (tmp_path / "file").touch()
    for folder, mode in zip(folders[1:], (0o1777, 0o777, 0o1755, 0o1773, 0o1777, 0o1777), strict=True):
        folder.mkdir() if not folder.exists() else None
        folder.chmod(mode)
    monkeypatch.setattr("darkroom.gpus.lease_folder.SHARED_FOLDERS", folders)
    assert lease_folder({"DARKROOM_LEASES": ""}) == tmp_path / "first"
    monkeypatch.setattr("darkroom.gpus.lease_folder.SHARED_FOLDERS", folders[:5])
    assert lease_folder({}) == tmp_path / "blind"  # the last one: said there to be unusable


def test_the_folder_is_for_all_and_each_file_for_its_owner_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        folder = SharedFolder(tmp_path / "leases")
        with folder.make("queue", 5, {}):
            (file,) = (tmp_path / "leases").iterdir()
            assert stat.S_IMODE(file.stat().st_mode) == 0o644
            (found,) = folder.held("queue")
        folder.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "leases").stat().st_mode) == 0o1777
    assert (found.uid, found.length, found.note) == (os.geteuid(), 5, {})
    assert not file.exists()


def test_what_is_no_folder_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for name, why in (
        ("link", "is a symbolic link; GPU leases need a folder"),
        ("file", "is no folder; GPU leases need a folder"),
        ("none/leases", "No such file or directory"),
        ("open", "others may remove files there, and leases with them"),
    ):
        with pytest.raises(LeaseError, match=f"^{tmp_path / name}: {why}") as caught:
            SharedFolder(tmp_path / name)
        assert not isinstance(caught.value, ForeignError)
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_folder_of_one_user_alone_stays_that(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o700)
    SharedFolder(tmp_path / "mine").close()
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o700


def test_traps_under_our_names_keep_nobody_and_stay_as_they_are(leases: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    sockets = []
    for name in NAMES:
        (leases / name).symlink_to(victim)
        (leases / f"{name[:-1]}0").hardlink_to(victim)
        os.mkfifo(leases / f"{name[:-1]}1", 0o666)
        (leases / f"{name[:-1]}2").mkdir()
        (leases / f"{name[:-1]}3").symlink_to(leases)
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].bind(str(leases / f"{name[:-1]}4"))
        (leases / f"{name[:-1]}5").touch(0o000)
    run = Run(leases)
    lease = run.take()
    assert lease is not None
    assert lease.devices == ("gpu-0",)
    run.devices.waits(HALF, "more")
    assert not doctor(leases)[0].startswith("runs that want GPUs wait")
    run.devices.close()
    assert run.said == []
    assert victim.read_text() == "mine"
    for one in sockets:
        one.close()


def test_nobody_else_may_open_a_file_before_it_is_locked(
    leases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []

    def note(descriptor: int, notes: list[object]) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))

    monkeypatch.setattr("darkroom.gpus.lease_folder.write_notes", note)
    shared = SharedFolder(leases)
    with shared.make("queue", 5, {}):
        assert modes == [0o600]
        assert [found.note for found in shared.held("queue")] == [None]
    shared.close()


def test_a_file_that_is_removed_while_it_is_made_is_made_again(
    leases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another run of this user does that takes it for one which was left behind."""
    made: list[Path] = []

    def remove(descriptor: int, notes: list[object]) -> None:
        made.extend(leases.iterdir())
        if len(made) == 1:
            made[0].unlink()

    monkeypatch.setattr("darkroom.gpus.lease_folder.write_notes", remove)
    shared = SharedFolder(leases)
    with shared.make("queue", 5, {}):
        assert [found.name for found in shared.held("queue")] == [made[1].name]
    shared.close()


def test_only_what_is_held_from_the_first_byte_on_counts(leases: Path) -> None:
    shared = SharedFolder(leases)
    with shared.make("queue", 5, {}) as file:
        assert [found.length for found in shared.held("queue")] == [5]
        unlock_range(file.descriptor, 0, 1)
        assert shared.held("queue") == []
    shared.close()


def test_what_is_freed_is_free_for_those_who_inherited_it_and_what_is_closed_is_not(leases: Path) -> None:
    shared = SharedFolder(leases)
    freed, closed = (shared.make("queue", length, {}) for length in (5, 7))
    inherited = [os.dup(file.descriptor) for file in (freed, closed)]
    freed.free()
    closed.close()
    assert [found.length for found in shared.held("queue")] == [7]
    for descriptor in inherited:
        os.close(descriptor)
    assert shared.held("queue") == []
    shared.remove_left()
    assert list(leases.iterdir()) == []
    shared.close()


@needs_root
def test_what_others_have_left_is_theirs_to_remove(leases: Path) -> None:
    theirs, ours = leases / NAMES[0], leases / NAMES[1]
    for path in (theirs, ours):
        path.touch(0o644)
    os.chown(theirs, EVE, EVE)
    Run(leases).devices.close()
    assert list(leases.iterdir()) == [theirs]


def test_only_a_folder_that_is_new_is_opened_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one of ours is moved there in the moment between."""
    (tmp_path / "private").mkdir(mode=0o700)
    (tmp_path / "private" / "file").touch()
    monkeypatch.setattr(Path, "mkdir", lambda path, **_: (tmp_path / "private").rename(path))
    SharedFolder(tmp_path / "leases").close()
    assert stat.S_IMODE((tmp_path / "leases").stat().st_mode) == 0o700


def test_a_second_name_of_a_lease_is_no_second_lease(leases: Path) -> None:
    run = Run(leases)
    lease = run.take(HALF)
    (file,) = leases.iterdir()
    (leases / NAMES[2]).hardlink_to(file)
    with HostLeases(leases) as folder:
        assert [part.bytes for part in folder.held(declared_devices("1x16GB")[0])] == [8_000_000_000]
    assert lease is not None
    run.devices.close()
    assert list(leases.iterdir()) == []


TRAPS = {
    "a link into a folder of ours": "os.symlink(secret / 'queue', path)",
    "a link to a folder of ours": "os.symlink(secret, path)",
    "a pipe": "os.mkfifo(path, 0o666)",
    "a folder": "os.mkdir(path)",
    "a socket": "socket.socket(socket.AF_UNIX).bind(str(path))",
    "a file that nobody may read": "os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0))",
    "a file that opens slowly": """
descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)""",
    "a huge file": """
descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
os.truncate(descriptor, 1 << 40)
os.pwrite(descriptor, b'[' * 100_000, 0)""",
    "a file that everybody may read": """
descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
fcntl.lockf(descriptor, fcntl.LOCK_SH)""",
}


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize("trap", TRAPS)
def test_the_traps_of_another_user_keep_nobody(place: Path, leases: Path, trap: str) -> None:
    secret = place / "secret"
    secret.mkdir(mode=0o700)
    (secret / "queue").write_text("mine")
    code = f"import signal; signal.signal(signal.SIGIO, signal.SIG_IGN); secret = Path({str(secret)!r})\n"
    for name in (*NAMES, "queue", "device.gpu-0"):
        code += f"path = folder / {name!r}\n{TRAPS[trap]}\n"
    with user(EVE, leases, code):
        run = Run(leases)
        assert run.take() is not None
        run.devices.waits(HALF, "more")
        run.devices.close()
    assert run.said == []
    assert [(path.name, path.read_text()) for path in secret.iterdir()] == [("queue", "mine")]


FORGED = {
    "pid": 1,
    "user": "root",
    "run": "r\x1b]0;title\x07",
    "repository": "/home/root\u202e" + "x" * 10_000,
    "stage": "\x1b[2Jtrain",
    "since": 1.0,
}


def is_eves(words: str) -> bool:
    """Whether a line names her, and neither a process of others nor what a terminal would obey."""
    says_pid = re.search(r"\bpid\b", words)  # by itself: a temporary folder's name may hold these letters
    return user_name(EVE) in words and not says_pid and words.isprintable() and len(words) < 600


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize("number", ["FOR_EVER", "FOR_EVER - 1", "1", "1 << 40"])
def test_who_decides_and_never_ends_is_named(leases: Path, number: str) -> None:
    with user(EVE, leases, f"SharedFolder(folder).make('gate', {number}, {FORGED!r})"):
        run = Run(leases)
        first = run.take()
        (problem, *_) = doctor(leases)
    assert first is None
    assert is_eves(run.said[0])
    assert problem.startswith("runs that want GPUs wait for one that does not come to an end: ")
    assert is_eves(problem)
    assert run.take() is not None  # she is gone
    run.devices.close()


@needs_root
def test_a_file_is_its_owners_and_a_run_that_of_who_executes_it(leases: Path) -> None:
    me = LeaseHolder.this_process("r1", Path("/repo"))
    (device,) = declared_devices("1x16GB")
    with HostLeases(leases) as folder, folder.hold(device, 10**11, me) as file:
        assert [(part.bytes, part.user, part.holder) for part in folder.held(device)] == [
            (device.memory, "root", me)  # more than there is cannot be held
        ]
        os.fchown(file.descriptor, EVE, EVE)
        (part,) = folder.held(device)
        assert part.user == user_name(EVE)
        assert part.holder == replace(me, user=user_name(EVE), pid=None)  # the process is another user's
        os.fchown(file.descriptor, 4321, 4321)
        assert [part.user for part in folder.held(device)] == ["user 4321"]
        assert "pid" not in part.in_words
        os.fchmod(file.descriptor, 0o640)
        assert folder.held(device) == []


@needs_root
def test_who_has_filled_the_folder_is_named(place: Path) -> None:
    """A file system with no room for another file."""
    mounts = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=6,mode=1777", "tmpfs", str(place)]
    if subprocess.run(mounts, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        run = Run(place)
        for name in ("a", "b"):
            (place / name).touch()
        (place / "c").symlink_to("/")  # hers, and what it points to is not
        for name in ("a", "b", "c"):
            os.lchown(place / name, EVE, EVE)
        for name in ("d", "e"):
            (place / name).touch()
        assert run.take() is None
        full = f"{place}: No space left on device; most files in it are {user_name(EVE)}'s: have them removed"
        assert run.said == [full]
        os.lchown(place / "c", 0, 0)
        assert_is_full(place)
        for path in place.iterdir():
            path.unlink()
        subprocess.run(["mount", "-o", "remount,nr_inodes=1", str(place)], check=True)
        assert_is_full(place)
        subprocess.run(["mount", "-o", "remount,nr_inodes=9", str(place)], check=True)
        assert run.take() is not None
        run.devices.close()
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def assert_is_full(place: Path) -> None:
    """By nobody else's doing."""
    with pytest.raises(LeaseError, match="No space left on device; free some space there") as caught:
        SharedFolder(place).make("queue", 1, {})
    assert not isinstance(caught.value, ForeignError)


@needs_root
def test_only_what_is_anothers_is_waited_for(place: Path) -> None:
    """Root's and one's own are not: somebody has to mend them."""
    (place / "link").symlink_to("/tmp")
    (place / "file").touch()
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    for name in ("link", "file", "open"):
        for owner, me, waits in (
            (0, 0, False),
            (EVE, 0, True),
            (0, EVE, False),
            (EVE, EVE, False),
            (EVE, 4321, True),
        ):
            os.lchown(place / name, owner, owner)
            os.seteuid(me)
            try:
                with pytest.raises(LeaseError) as caught:
                    SharedFolder(place / name)
            finally:
                os.seteuid(0)
            assert isinstance(caught.value, ForeignError) == waits
            assert (user_name(EVE) in str(caught.value)) == (waits or (name, owner) == ("open", EVE))


@pytest.mark.parametrize(
    ("count", "memory", "counts"),
    [
        (1, None, True),
        (1, 1, True),
        (1, 0, False),
        (1, -5, False),
        (0, 5, False),
        (-1, None, False),
        ("x", 5, False),
    ],
)
def test_a_claim_on_less_than_one_is_none(
    leases: Path, count: object, memory: int | None, counts: bool
) -> None:
    request = {"count": count, "memory": memory, "names": ["a"]}
    note = {"request": request, "looked": 0, "holder": asdict(LeaseHolder.this_process("r", Path("/repo")))}
    shared = SharedFolder(leases)
    with shared.make("queue", 7, note) as file, HostLeases(leases) as folder:
        assert [waiter.place for waiter in folder.waiting()] == [(7, file.inode)] * counts
        assert not any(waiter.attentive for waiter in folder.waiting())
    shared.close()


def test_a_run_says_who_it_is() -> None:
    me = LeaseHolder.this_process("r", Path("/repo"))
    assert (me.pid, me.user) == (os.getpid(), user_name(os.geteuid()))
    assert (me.run, me.repository, me.stage, me.since) == ("r", "/repo", "", 0.0)


@needs_root
@pytest.mark.slow
def test_who_holds_a_device_is_named_whatever_the_note_says(leases: Path) -> None:
    with user(EVE, leases, f"SharedFolder(folder).make('device.gpu-0', FOR_EVER, {FORGED!r})"):
        run = Run(leases)
        assert run.take(HALF) is None
        assert run.take() is None
        (line,) = [line for line in doctor(leases) if " held by " in line]
        assert is_eves(line)
    assert run.take() is not None
    run.devices.close()


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "memory", "waits"), [(1, None, True), (1, -(10**15), False), (-1, None, False), (0, 5, False)]
)
def test_who_claims_a_device_is_named_and_claims_no_less_than_nothing(
    leases: Path, count: int, memory: int | None, waits: bool
) -> None:
    request = {"count": count, "memory": memory, "names": ["gpu-0"]}
    note = {"request": request, "looked": 1e300, "holder": FORGED}
    with user(EVE, leases, f"SharedFolder(folder).make('queue', 1, json.loads({json.dumps(note)!r}))"):
        run = Run(leases)
        first = run.take(HALF)
        second = run.take()
        lines = [line for line in doctor(leases) if line.startswith("waits for ")]
    assert (first is None) == waits
    assert second is None
    assert [is_eves(line) for line in lines] == [True] * waits
    run.devices.close()


@needs_root
@pytest.mark.slow
def test_another_user_can_neither_hold_back_nor_change_nor_remove_our_files(leases: Path) -> None:
    run = Run(leases)
    lease = run.take()
    assert lease is not None
    run.devices.waits(HALF, "more")
    before = {path: path.read_text() for path in leases.iterdir()}
    tries = """
for path in folder.iterdir():
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    for attack in (
        lambda: os.open(path, os.O_RDWR),
        lambda: path.unlink(),
        lambda: path.rename(folder / "other"),
        lambda: os.truncate(path, 0),
        lambda: os.chmod(path, 0),
        lambda: fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB),
    ):
        try:
            attack()
        except OSError:
            continue
        raise AssertionError(attack)
"""
    with user(EVE, leases, tries):
        with HostLeases(leases) as folder:
            assert [part.user for part in folder.held(declared_devices("1x16GB")[0])] == ["root"]
        assert {path: path.read_text() for path in leases.iterdir()} == before
        run.devices.give(lease)
        assert run.take(HALF) is not None  # its place in the queue is that of this request
    run.devices.close()


@needs_root
@pytest.mark.slow
def test_a_folder_that_its_owner_swaps_for_a_link_leads_nowhere(place: Path) -> None:
    does(EVE, place / "leases", "os.mkdir(folder); os.chmod(folder, 0o1777)")
    secret = place / "secret"
    secret.mkdir(mode=0o700)
    (secret / "queue").write_text("mine")
    run = Run(place / "leases")
    lease = run.take()
    assert lease is not None
    swap = "os.rename(folder, folder.with_name('old')); os.symlink(folder.with_name('secret'), folder)"
    does(EVE, place / "leases", swap)
    run.devices.waits(ONE, "next")
    run.devices.give(lease)
    assert run.take() is not None
    later = Run(place / "leases")
    assert later.take() is None
    assert is_eves(later.said[0])
    assert is_eves(doctor(place / "leases")[0])
    for one in (run, later):
        one.devices.close()
    assert [(path.name, path.read_text()) for path in secret.iterdir()] == [("queue", "mine")]


@needs_root
@pytest.mark.slow
@pytest.mark.parametrize(
    ("makes", "mends"),
    [
        ("os.symlink('/tmp', folder)", "os.unlink(folder)"),
        ("os.mkfifo(folder)", "os.unlink(folder)"),
        ("os.close(os.open(folder, os.O_CREAT))", "os.unlink(folder)"),
        ("os.mkdir(folder); os.chmod(folder, 0o777)", "os.chmod(folder, 0o1777)"),
        ("os.mkdir(folder, 0o700); os.chmod(folder, 0o775)", "os.rmdir(folder)"),
    ],
)
def test_who_took_the_place_of_the_folder_is_named(place: Path, makes: str, mends: str) -> None:
    leases = place / "leases"
    does(EVE, leases, makes)
    run = Run(leases)
    assert run.take() is None
    assert is_eves(run.said[0])
    assert is_eves(doctor(leases)[0])
    does(EVE, leases, mends)
    assert run.take() is not None
    run.devices.close()


@needs_root
@pytest.mark.slow
def test_a_folder_that_lets_us_in_no_more_is_waited_for(place: Path) -> None:
    """Of two users who are not root: root may write everywhere."""
    leases = place / "leases"
    does(EVE, leases, "os.mkdir(folder); os.chmod(folder, 0o755)")
    code = """
said = []
devices = declared_devices("1x16GB")
me = LeaseHolder.this_process("r1", Path("/repo"))
run = HostDevices(Gpus(devices), devices, folder, me, lambda stage, words: said.append(words))
assert run.take(Resources(gpu=1), "train") is None
assert "Permission denied" in said[0] and "nobody" in said[0], said
"""
    does(MALLORY, leases, code)


@needs_root
@pytest.mark.slow
def test_users_share_the_devices_of_a_host(leases: Path) -> None:
    code = """
devices = declared_devices("1x16GB")
me = LeaseHolder.this_process("r2", Path("/home/eve"))
run = HostDevices(Gpus(devices), devices, folder, me, print)
assert run.take(Resources(gpu=1, gpu_memory=8_000_000_000), "hers")
"""
    run = Run(leases)
    with user(EVE, leases, code):
        assert run.take() is None
        assert run.take(HALF) is not None
        lines = [line for line in doctor(leases) if " held by " in line]
        assert len(lines) == 2
        (hers,) = [line for line in lines if "held by hers of /home/eve since " in line]
        assert f"({user_name(EVE)}'s run r2, pid " in hers
    assert run.take(HALF) is not None
    run.devices.close()


DECIDE = """
with HostLeases(folder) as shared:
    decided = 0
    while decided < 40:
        with shared.alone(LeaseHolder.this_process("r", Path("/"))) as ahead:
            if ahead is None:
                os.mkdir(folder / "alone")
                os.rmdir(folder / "alone")
                decided += 1
"""


@needs_root
@pytest.mark.slow
def test_one_at_a_time_decides(leases: Path) -> None:
    """A folder that can be made once is the witness."""
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(does, uid, leases, DECIDE) for uid in (0, 0, EVE, MALLORY)]:
            done.result()
    assert list(leases.iterdir()) == []


def test_a_request_in_the_queue_is_read_as_it_was_written(leases: Path) -> None:
    me = LeaseHolder.this_process("r", Path("/repo"))
    with HostLeases(leases) as folder:
        first = folder.join(Request(2, 5, ("a", "b")), me)
        second = folder.join(Request(1, None, ("a",)), me)
        assert [waiter.request for waiter in folder.waiting()] == [
            Request(2, 5, ("a", "b")),
            Request(1, None, ("a",)),
        ]
        assert all(waiter.attentive and waiter.holder == me for waiter in folder.waiting())
        first.free()
        assert [waiter.request.count for waiter in folder.waiting()] == [1]
        second.free()
        assert folder.waiting() == []


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_only_files_of_ours_that_were_left_behind_are_removed(leases: Path) -> None:
    (leases / "notes.txt").touch()
    (leases / NAMES[0]).mkdir()
    os.mkfifo(leases / NAMES[1], 0o666)
    (leases / NAMES[2]).symlink_to(leases / "notes.txt")
    (leases / f"{NAMES[0][:-1]}0").touch(0o644)
    (leases / f"{NAMES[0][:-1]}1").touch(0o600)  # a run was killed while it made it
    shared = SharedFolder(leases)
    before = descriptors()
    shared.remove_left()
    shared.remove_if_left("none")
    assert descriptors() == before
    assert {path.name for path in leases.iterdir()} == {"notes.txt", *NAMES}
    shared.close()


def test_a_file_in_the_making_is_not_removed_once_its_maker_has_locked_it(leases: Path) -> None:
    shared, other = SharedFolder(leases), SharedFolder(leases)
    with shared.make("queue", 5, {}) as file:
        for mode in (0o600, 0o644):
            os.fchmod(file.descriptor, mode)
            other.remove_left()
            assert len(list(leases.iterdir())) == 1
    for one in (shared, other):
        one.close()


def test_looking_leaves_nothing_open(leases: Path) -> None:
    shared = SharedFolder(leases)
    (leases / NAMES[0]).touch(0o644)
    (leases / NAMES[1]).touch(0o600)
    with shared.make("queue", 5, {}) as file:
        (made,) = (path.name for path in leases.iterdir() if path.name not in NAMES)
        before = descriptors()
        found = [shared.look(name) for name in (*NAMES, made)]
        assert descriptors() == before
        assert [one and (one.name, one.inode) for one in found] == [None] * 3 + [(made, file.inode)]
    assert shared.look(made) is None
    shared.close()


def test_a_name_that_no_file_can_have_is_no_lease_that_is_missing(leases: Path) -> None:
    shared = SharedFolder(leases)
    with pytest.raises(LeaseError, match=f"^{leases}: File name too long"):
        shared.look("x" * 300)
    shared.close()


def test_a_file_that_is_swapped_for_a_pipe_while_it_is_looked_at_counts_for_nothing(
    leases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = SharedFolder(leases)
    (leases / NAMES[0]).touch(0o644)
    looked = os.stat

    def swapped(name: str, **options: object) -> os.stat_result:
        found = looked(name, **options)  # type: ignore[call-overload]
        (leases / NAMES[0]).unlink()
        os.mkfifo(leases / NAMES[0], 0o666)
        return found

    before = descriptors()
    with monkeypatch.context() as patch:
        patch.setattr("os.stat", swapped)
        assert shared.look(NAMES[0]) is None
    assert descriptors() == before
    shared.close()


def test_files_that_never_stay_are_given_up(leases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def remove(descriptor: int, notes: list[object]) -> None:
        for path in leases.iterdir():
            made.append(path.name)
            path.unlink()

    monkeypatch.setattr("darkroom.gpus.lease_folder.write_notes", remove)
    shared = SharedFolder(leases)
    before = descriptors()
    with pytest.raises(LeaseError, match=f"^{leases}: files that are made there do not stay"):
        shared.make("queue", 5, {})
    assert descriptors() == before
    assert len(set(made)) == 10
    shared.close()


def test_a_folder_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    shared = SharedFolder(tmp_path / "leases")
    first, before = shared.descriptor, descriptors()
    shared.open_anew_if_removed()
    assert shared.descriptor == first
    (tmp_path / "leases").rmdir()
    shared.open_anew_if_removed()
    assert descriptors() == before
    with shared.make("queue", 5, {"a": 1}) as file:
        file.note({"a": 2})
        assert [found.note for found in shared.held("queue")] == [{"a": 2}]
        assert shared.held("gate") == []
    shared.close()
    assert descriptors() == before - 1


@needs_root
def test_a_folder_that_lets_nobody_in_is_its_owners_to_mend(place: Path) -> None:
    """Of users who are not root: root may read everything."""
    closed = place / "closed"
    (closed / "leases").mkdir(parents=True)
    for path, mode, owner, me, waits, said in (
        (closed, 0o700, EVE, 4321, True, f"; it is {user_name(EVE)}'s, and leases of GPUs need it"),
        (
            closed,
            0o000,
            EVE,
            EVE,
            False,
            "; leases of GPUs need it, see DARKROOM_LEASES in docs/operations.md",
        ),
        (closed / "leases", 0o700, EVE, 4321, False, "; leases of GPUs need it, see DARKROOM_LEASES in docs"),
    ):
        os.chown(closed, owner, owner)
        closed.chmod(mode)
        os.seteuid(me)
        try:
            with pytest.raises(LeaseError) as caught:
                SharedFolder(path)
        finally:
            os.seteuid(0)
        assert str(caught.value).startswith(f"{path}: Permission denied; ")
        assert said in str(caught.value)
        assert isinstance(caught.value, ForeignError) == waits


@needs_root
def test_a_folder_that_a_group_may_write_in_without_the_sticky_bit_is_refused(place: Path) -> None:
    folder = place / "group"
    folder.mkdir()
    for mode, refused in ((0o775, True), (0o757, True), (0o755, False), (0o1777, False)):
        folder.chmod(mode)
        before = descriptors()
        if refused:
            with pytest.raises(LeaseError, match="others may remove files there"):
                SharedFolder(folder)
        else:
            SharedFolder(folder).close()
        assert descriptors() == before
