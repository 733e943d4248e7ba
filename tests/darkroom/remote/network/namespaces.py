"""Hosts with addresses of their own on one machine: network namespaces, joined by a bridge."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

HUB = "hub"
HUB_ADDRESS = "10.99.0.1"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def why_no_namespaces() -> str | None:
    """Why none can be made here; None: they can."""
    if os.getuid():
        return "only root can make network namespaces: hosts with addresses of their own are not tested"
    if shutil.which("ip") is None:
        return "iproute2 is not installed: hosts with addresses of their own are not tested"
    name = f"darkroom-{os.getpid()}-try"
    try:
        _ip("netns", "add", name)
        try:
            _ip("-n", name, "link", "add", "bridge", "type", "bridge")
        finally:
            _ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        said = " ".join(str(error.stderr).split())
        return f"network namespaces cannot be made here ({said}): hosts with own addresses are not tested"
    return None


@dataclass(frozen=True)
class Network:
    """Namespaces by the names of their hosts; `hub` has the address HUB_ADDRESS."""

    spaces: dict[str, str]

    def within(self, host: str) -> list[str]:
        """What to put before a command that is to run on the host."""
        return ["ip", "netns", "exec", self.spaces[host]]

    def cut_off(self, host: str) -> None:
        """Let nothing reach the host, and nothing leave it."""
        _ip("-n", self.spaces[host], "link", "set", "way", "down")

    def reconnect(self, host: str) -> None:
        """Undo `cut_off`."""
        _ip("-n", self.spaces[host], "link", "set", "way", "up")


@contextlib.contextmanager
def network(*hosts: str) -> Iterator[Network]:
    """A hub and these hosts, each of which reaches the hub."""
    spaces = {name: f"darkroom-{os.getpid()}-{name}" for name in (HUB, *hosts)}
    with contextlib.ExitStack() as made:
        for space in spaces.values():
            _ip("netns", "add", space)
            made.callback(_ip, "netns", "del", space)
            _ip("-n", space, "link", "set", "lo", "up")
        hub = spaces[HUB]
        _ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        _ip("-n", hub, "address", "add", f"{HUB_ADDRESS}/24", "dev", "bridge")
        _ip("-n", hub, "link", "set", "bridge", "up")
        for number, name in enumerate(hosts, 2):
            space, port = spaces[name], f"port{number}"
            _ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", "way", "netns", space)
            _ip("-n", hub, "link", "set", port, "master", "bridge", "up")
            _ip("-n", space, "address", "add", f"10.99.0.{number}/24", "dev", "way")
            _ip("-n", space, "link", "set", "way", "up")
        yield Network(spaces)
