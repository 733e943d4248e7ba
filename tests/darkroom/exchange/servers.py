"""Real servers for tests: S3 by moto, Debian's sshd, and a proxy that lets some requests fail."""

from __future__ import annotations

import contextlib
import getpass
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.darkroom.waiting import wait_for
from tests.leftovers import shared_environment

BUCKET = "data"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}

# One request at a time: what S3 does in one step moto does in two.
MOTO = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app))
"""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""No answer yet: without it a client sends no body, and the server has no request."""

SSHD = "/usr/sbin/sshd"


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """A port of this host that nobody else gets until the block ends; a server may listen on it meanwhile.

    The kernel lets a server with SO_REUSEADDR, as all of these are, have a port on which nobody listens yet.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def _served(words: list[str], port: int, log: Path, ready: str = "") -> Iterator[None]:
    """A server, once it listens, or has printed that it is ready."""

    def begun() -> bool:
        return ready in log.read_text() if ready else listens(port)

    with log.open("wb") as said:
        server = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=shared_environment()
        )
    try:
        assert wait_for(lambda: begun() or server.poll() is not None, 120), log.read_text()
        assert server.poll() is None, log.read_text()
        yield
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[int]:
    """An S3 server with a bucket; its port."""
    with (
        held_port() as port,
        _served([sys.executable, "-c", MOTO, str(port)], port, folder / "moto.txt"),
    ):
        request = subprocess.run(
            ["curl", "-sf", "-X", "PUT", f"http://127.0.0.1:{port}/{BUCKET}"], check=False
        )
        assert request.returncode == 0
        yield port


def s3_environment(port: int) -> dict[str, str]:
    """What a client of the server has in its environment."""
    return {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


@dataclass(frozen=True)
class Sshd:
    """A running sshd."""

    port: int
    key: Path
    home: Path
    """A HOME whose .ssh/config names the key."""

    host: str = "127.0.0.1"

    def address(self, folder: Path) -> str:
        """The address of a folder behind it."""
        return f"ssh://{getpass.getuser()}@{self.host}:{self.port}{folder}"


def why_no_sshd() -> str | None:
    """Why none can be started here; None: one can."""
    if shutil.which(SSHD) is None or shutil.which("ssh-keygen") is None:
        return "openssh-server is not installed: storage behind sshd is not tested"
    if _start_sshd() and subprocess.run([*_start_sshd(), "true"], check=False).returncode:
        return "/run/sshd is missing, which sshd needs when root starts it (mkdir /run/sshd)"
    return None


def _start_sshd() -> list[str]:
    """What to put before sshd: root's needs the folder /run/sshd, if only in a file system of its own."""
    if os.getuid() or Path("/run/sshd").is_dir():
        return []
    script = 'mount -t tmpfs none /run && mkdir /run/sshd && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


@contextlib.contextmanager
def sshd(folder: Path, host: str = "127.0.0.1", within: Sequence[str] = ()) -> Iterator[Sshd]:
    """An sshd with a host key and an authorised key of its own, for SFTP alone.

    `within` is put before its command: `host` may be an address of a network of its own.
    """
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)  # and with it the folder
    for name in ("host_key", "user_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    (home / ".ssh" / "config").write_text(f"Host {host}\n  IdentityFile {folder / 'user_key'}\n")
    with held_port() as port:
        (folder / "sshd_config").write_text(
            f"""\
ListenAddress {host}
Port {port}
HostKey {folder / "host_key"}
AuthorizedKeysFile {folder / "authorized_keys"}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
ForceCommand internal-sftp
"""
        )
        words = [*within, *_start_sshd(), SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
        with _served(words, port, folder / "sshd.txt", "Server listening on"):
            yield Sshd(port, folder / "user_key", home, host)


@dataclass
class FailingProxy:
    """Passes connections on to a port of this host, but each `nth`, while there are any to fail."""

    to: int
    nth: int = 5
    port: int = 0
    passed: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def way(self) -> str:
        """How the next connection fares: the request is lost, or its answer, or it is refused in words."""
        with self._lock:
            self.passed += 1
            if self.passed % self.nth:
                return "passed"
            way = ("request lost", "answer lost", "503")[self.passed // self.nth % 3]
            self.failed[way] = self.failed.get(way, 0) + 1
            return way

    def end(self) -> None:
        """Nothing is silent here."""

    def serve(self, client: socket.socket) -> None:
        """Handle one connection, which brings one request."""
        way = self.way()
        with client, contextlib.suppress(OSError):
            if way == "request lost":
                return
            if way == "503":
                client.recv(1 << 16)
                client.sendall(b"HTTP/1.0 503 Slow Down\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self.to)) as server:
                upwards = threading.Thread(target=_copy, args=(client, server), daemon=True)
                upwards.start()
                while piece := server.recv(1 << 16):
                    if way == "passed" or piece == CONTINUE:
                        client.sendall(piece)
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
                upwards.join()


@dataclass
class BreakingProxy:
    """Passes connections on to a port of this host, but cuts some in the middle, or falls silent there."""

    to: int
    after: int
    """Bytes in both directions, after which a connection breaks."""
    breaks: int
    """So many connections break, the first ones."""
    silent: bool = False
    """Whether it passes nothing more then, and does not say so."""
    port: int = 0
    broken: int = 0
    _begun: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def serve(self, client: socket.socket) -> None:
        """Handle one connection."""
        self._begun += 1
        left = self.after if self._begun <= self.breaks else None
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.to)) as server,
        ):
            while left != 0 and not self._ended.is_set():
                for source in select.select([client, server], [], [], 0.1)[0]:
                    piece = source.recv(min(left or 1 << 16, 1 << 16))
                    if not piece:
                        return
                    (server if source is client else client).sendall(piece)
                    left = None if left is None else max(0, left - len(piece))
            self.broken += left == 0
            if self.silent:
                self._ended.wait()

    def end(self) -> None:
        """End all connections."""
        self._ended.set()


Proxy = TypeVar("Proxy", FailingProxy, BreakingProxy)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)  # else a server of one request at a time waits for the rest of it


@contextlib.contextmanager
def failing_proxy(to: int, nth: int = 5) -> Iterator[FailingProxy]:
    """A proxy in front of a port of this host, where each `nth` request fails."""
    with served(FailingProxy(to, nth)) as proxy:
        yield proxy


@contextlib.contextmanager
def served(proxy: Proxy) -> Iterator[Proxy]:
    """A proxy at work; its port is free again after the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy.port = listener.getsockname()[1]
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threads.append(threading.Thread(target=proxy.serve, args=(client,), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            proxy.end()
            for thread in threads:
                thread.join()
