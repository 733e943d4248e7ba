"""A Slurm cluster of three nodes on this host, from Debian's slurm-wlm; each node has one declared GPU."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.darkroom.waiting import wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
NODES = ("n1", "n2", "n3")

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=300
KillWait=5
SlurmdParameters=config_overrides
PartitionName=main Nodes=n[1-3] Default=YES MaxTime=INFINITE State=UP
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=4000 Gres=gpu:1\n"
)


def why_none() -> str | None:
    """Why no cluster can be started here; None: one can."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=path)]:
        return f"{missing[0]} is missing: install slurm-wlm and munge"
    return "a cluster of one's own needs root" if os.geteuid() else None


class Cluster:
    """The cluster; `conf` is what SLURM_CONF must say."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.conf = folder, folder / "slurm.conf"
        self._env = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            "SLURM_CONF": str(self.conf),
        }

    def start(self) -> None:
        """Start all daemons, and return when all nodes are idle."""
        folder, host = self.folder, socket.gethostname().partition(".")[0]
        (folder / "state").mkdir(parents=True)
        folder.chmod(0o755)
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        ports = _free_ports(4)
        nodes = [
            NODE.format(name=name, host=host, port=port) for name, port in zip(NODES, ports[1:], strict=True)
        ]
        self.conf.write_text("".join([CONF.format(host=host, folder=folder, ports=ports), *nodes]))
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        gpus = (f"NodeName={name} Name=gpu File=/dev/null Count=1\n" for name in NODES)
        (folder / "gres.conf").write_text("".join(gpus))
        names = ("key-file", "socket", "pid-file", "log-file", "seed-file")
        files = ("munge.key", "munge.sock", "munged.pid", "munged.log", "munge.seed")
        options = [f"--{name}={folder / file}" for name, file in zip(names, files, strict=True)]
        self._do("munged", "--force", *options)
        self.start_controller()
        for name in NODES:
            self._do("slurmd", "-f", str(self.conf), "-N", name)
        assert wait_for(
            lambda: self.ask("sinfo", "-hN", "-t", "idle", "-o", "%N").split() == list(NODES), 120
        )

    def start_controller(self) -> None:
        """Start slurmctld."""
        self._do("slurmctld", "-f", str(self.conf))

    def kill_controller(self) -> None:
        """End slurmctld at once."""
        self._signal("slurmctld.pid", signal.SIGKILL)

    def ask(self, *words: str) -> str:
        """What a command prints, if it succeeds."""
        done = subprocess.run(words, env=self._env, capture_output=True, text=True, check=False)
        return "" if done.returncode else done.stdout

    def stop(self) -> None:
        """End all daemons and jobs."""
        self.ask("scancel", "--user=root", "--signal=KILL", "--full")
        for name in (*(f"slurmd-{node}.pid" for node in NODES), "slurmctld.pid", "munged.pid"):
            self._signal(name, signal.SIGKILL)

    def _do(self, program: str, *words: str) -> None:
        path = shutil.which(program, path=self._env["PATH"])
        assert path
        subprocess.run([path, *words], env=self._env, check=True, capture_output=True)

    def _signal(self, name: str, number: int) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int((self.folder / name).read_text()), number)


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster that is up, and down after the block."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
