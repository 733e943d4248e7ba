"""PostgreSQL, Redis and Prefect's API servers as processes on free ports, for the load benchmark and a test.

Debian's packages bring what is needed: `apt-get install postgresql redis-server`.
"""

import base64
import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from darkroom.server.login import write_profile

LOOPBACK = "127.0.0.1"
START_SECONDS = 300  # where much else goes on
STOP_SECONDS = 15
_ERROR = re.compile(r"[\d:. ]*\| (?:ERROR|CRITICAL) *\| (.*)")
_NUMBER = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
INSTALL = "apt-get install postgresql redis-server"


@dataclass(frozen=True, slots=True)
class Servers:
    """API servers on one database."""

    urls: tuple[str, ...]
    profiles: tuple[Path, ...]
    """For each a file by which Prefect's clients find it and may use it."""
    logs: tuple[Path, ...]
    """Of all processes."""

    def client_environment(self, number: int) -> dict[str, str]:
        """Of a client of one of the servers."""
        return {"PREFECT_PROFILES_PATH": str(self.profiles[number])}

    def complaints(self) -> Counter[str]:
        """What the servers' own logs hold of errors: their first lines, whatever numbers are in them."""
        lines = (line for log in self.logs for line in log.read_text(errors="replace").splitlines())
        found = (match[1] for line in lines if (match := _ERROR.match(line)))
        return Counter(_NUMBER.sub("N", said)[:160] for said in found)


def missing() -> str | None:
    """What is not installed, and how it is; None: all is there."""
    names = {"PostgreSQL": _postgres_program("postgres"), "Redis": shutil.which("redis-server")}
    lacking = [name for name, program in names.items() if program is None]
    return f"{' and '.join(lacking)} not installed: {INSTALL}" if lacking else None


@contextlib.contextmanager
def two_servers() -> Iterator[Servers]:
    """Two API servers and one process of services, on PostgreSQL and Redis, as docs/server.md has it."""
    with _folder() as folder, postgres(folder / "postgres") as database, redis(folder / "redis") as cache:
        settings = {**_common(folder), **highly_available(database, cache)}
        command = [sys.executable, "-m", "prefect", "server"]
        environment = {**os.environ, **settings}
        subprocess.run(
            [*command, "database", "upgrade", "-y"], env=environment, check=True, stdout=subprocess.DEVNULL
        )
        with contextlib.ExitStack() as stack:
            ports = [_free_port() for _ in range(2)]
            for port in ports:
                words = ["start", "--no-services", "--host", LOOPBACK, "--port", str(port)]
                # Two that enter Prefect's kinds of blocks at once collide, and one of them ends.
                alone = {"PREFECT_API_BLOCKS_REGISTER_ON_START": "true" if port == ports[0] else "false"}
                log = folder / f"api-{port}.log"
                stack.enter_context(_process([*command, *words], log, {**environment, **alone}))
            words = ["services", "start"]
            stack.enter_context(_process([*command, *words], folder / "services.log", environment))
            yield _ready(folder, ports, settings["PREFECT_SERVER_API_AUTH_STRING"])


@contextlib.contextmanager
def one_server() -> Iterator[Servers]:
    """One server with its services, on SQLite: Prefect's own way."""
    with _folder() as folder:
        settings = _common(folder) | {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}"
        }
        port = _free_port()
        words = ["server", "start", "--host", LOOPBACK, "--port", str(port)]
        command = [sys.executable, "-m", "prefect", *words]
        with _process(command, folder / f"api-{port}.log", {**os.environ, **settings}):
            yield _ready(folder, [port], settings["PREFECT_SERVER_API_AUTH_STRING"])


def highly_available(database: str, cache: str) -> dict[str, str]:
    """The settings that all servers of one database share; docs/server.md lists the same."""
    return {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_SERVER_WORKER_CHANNEL_CLEANUP_QUEUE_STORAGE": "prefect_redis.cleanup_queue",
        "PREFECT_SERVER_DOCKET_URL": f"{cache}/1",
        "PREFECT_REDIS_MESSAGING_URL": f"{cache}/0",
        "PREFECT_REDIS_WORKER_CLEANUP_QUEUE_URL": f"{cache}/0",
    }


def _common(folder: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(folder / "home"),
        "PREFECT_SERVER_API_AUTH_STRING": f"darkroom:{secrets.token_urlsafe(16)}",
        "PREFECT_SERVER_ENCRYPTION_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }


def _ready(folder: Path, ports: Sequence[int], auth: str) -> Servers:
    """The servers, once each answers."""
    urls, profiles = [], []
    for port in ports:
        url = f"http://{LOOPBACK}:{port}/api"
        _wait(lambda url=url: _answers(f"{url}/health"), folder / f"api-{port}.log")  # type: ignore[misc]
        place = folder / f"client-{port}"
        place.mkdir()
        (place / "auth").write_text(auth)
        write_profile(place, url)
        urls.append(url)
        profiles.append(place / "profiles.toml")
    return Servers(tuple(urls), tuple(profiles), tuple(sorted(folder.glob("*.log"))))


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A fresh cluster in the folder, run by the user postgres where this one is root; its URL for Prefect."""
    program, init = _postgres_program("postgres"), _postgres_program("initdb")
    assert program is not None
    assert init is not None
    folder.mkdir()
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses root
    if user:
        shutil.chown(folder, "postgres")
    data, port = folder / "data", _free_port()
    how = ["-D", str(data), "-U", "darkroom", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    subprocess.run([init, *how], check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)  # type: ignore[call-overload]
    settings = {"listen_addresses": LOOPBACK, "port": port, "unix_socket_directories": "", "fsync": "off"}
    command = [program, "-D", str(data), *(w for k, v in settings.items() for w in ("-c", f"{k}={v}"))]
    with _process(command, folder.with_suffix(".log"), dict(os.environ), cwd=folder, **user):
        ask = [str(_postgres_program("pg_isready")), "-q", "-h", LOOPBACK, "-p", str(port), "-d", "postgres"]
        _wait(lambda: subprocess.run(ask, check=False).returncode == 0, folder.with_suffix(".log"))
        yield f"postgresql+asyncpg://darkroom@{LOOPBACK}:{port}/postgres"


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis that keeps nothing on disk; its URL."""
    folder.mkdir()
    port, log = _free_port(), folder.with_suffix(".log")
    words = ["--bind", LOOPBACK, "--port", str(port), "--save", "", "--appendonly", "no"]
    with _process(["redis-server", *words], log, dict(os.environ), cwd=folder):
        _wait(lambda: _listens(port), log)
        yield f"redis://{LOOPBACK}:{port}"


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A temporary folder that another user may enter."""
    with tempfile.TemporaryDirectory(prefix="darkroom-servers-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@contextlib.contextmanager
def _process(
    command: Sequence[str],
    log: Path,
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    user: str | None = None,
) -> Iterator[None]:
    """A process and whatever it starts, ended with the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            user=user,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(ready: Callable[[], bool], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > give_up:
            raise TimeoutError(f"{log}: did not start:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
        return True
    return False


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listening:
        return int(listening.getsockname()[1])


def _postgres_program(name: str) -> str | None:
    """In the path, or where Debian keeps those of each version: the newest."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(found[-1]) if found else shutil.which(name)
