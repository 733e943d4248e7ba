"""Which processes descend from this one, including ended ones, as the kernel's process connector says.

It needs root and sees the whole host. In a container with its own process ids it reports nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import threading
from collections.abc import Container
from pathlib import Path

_CONNECTOR = 11  # NETLINK_CONNECTOR
_PROCESSES = 1  # CN_IDX_PROC and CN_VAL_PROC
_LISTEN = 1
_FORK = 1
_BUFFER_BYTES = 4 << 20
_READ_BYTES = 1 << 12
_ATTACH_FILTER, _BUFFER_FORCE = 26, 33  # SO_ATTACH_FILTER and SO_RCVBUFFORCE

_HEAD = struct.Struct("=IHHII")  # netlink: length, type, flags, number, port
_MESSAGE = struct.Struct("=IIIIHH")  # connector: index, value, number, answer, length, flags
_AT = _HEAD.size + _MESSAGE.size
_FORKED = struct.Struct("=iiii")  # parent's thread and process, child's thread and process


class Descent:
    """Hears of every process that is forked from now on.

    Raises:
        OSError: The kernel does not tell of forks.

    """

    def __init__(self) -> None:
        self.lost = False
        """Whether some forks were missed."""
        self._reading = threading.Lock()
        self._parents: dict[int, int] = {}
        # a pid that was there before, or was given twice since, may be anybody's
        self._given = bytearray(int(Path("/proc/sys/kernel/pid_max").read_text()) + 1)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _CONNECTOR)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _BUFFER_FORCE, _BUFFER_BYTES)
            _keep_forks_alone(self._socket)
            self._socket.setblocking(False)
            self._socket.bind((0, _PROCESSES))
            wish = struct.pack("=I", _LISTEN)
            message = _MESSAGE.pack(_PROCESSES, _PROCESSES, 0, 0, len(wish), 0) + wish
            self._socket.send(_HEAD.pack(_HEAD.size + len(message), 3, 0, 0, 0) + message)
            for name in os.listdir("/proc"):  # noqa: PTH208  (before each stage: pathlib takes ten times as long)
                if name.isdigit():
                    self._given[int(name)] = 1
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Hear of no more forks; what was heard stays known."""
        self._socket.close()

    def read(self) -> None:
        """Take in what has happened since the last call: the kernel keeps some thousand forks."""
        with self._reading:
            self._read()

    def _read(self) -> None:
        while True:
            try:
                held = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.lost = True
                continue
            _, parent, _, child = _FORKED.unpack_from(held, _AT + 16)
            self._forked(parent, child)

    def _forked(self, parent: int, child: int) -> None:
        self._given[child] = min(self._given[child] + 1, 2)
        if parent == os.getpid() or parent in self._parents:
            self._parents[child] = parent

    def below(self, first: Container[int]) -> set[int]:
        """Find those of `first`, children of this process, and all processes that descend from them."""
        with self._reading:
            return {pid for pid in self._parents if self.first(pid) in first}

    def first(self, pid: int) -> int | None:
        """The child of this process that `pid` is or descends from; None: there is none, or none is known."""
        first = None
        while pid in self._parents:
            if self._given[pid] != 1:
                return None
            first, pid = pid, self._parents[pid]
        return first


def _keep_forks_alone(heard: socket.socket) -> None:
    """Have the kernel tell of forks alone: not of ends, names or threads."""
    wrong, right = 0, 0xFFFFFFFF
    program = (
        (0x20, 0, 0, _AT),  # what happened; words are read as of the network's order
        (0x15, 0, 4, socket.htonl(_FORK)),
        (0x20, 0, 0, _AT + 24),  # the child's thread
        (0x07, 0, 0, 0),
        (0x20, 0, 0, _AT + 28),  # the child's process
        (0x1D, 1, 0, 0),  # the same: not a thread more
        (0x06, 0, 0, wrong),
        (0x06, 0, 0, right),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    held = struct.pack("HP", len(program), ctypes.addressof(code))
    heard.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, held)
