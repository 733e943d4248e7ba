"""Random graphs of stages that only take time, and how long a run of one takes at the least."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stub:
    """A stage that takes time and reads what others have made."""

    name: str
    needs: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Shape:
    """How a graph is drawn."""

    stages: int
    near: int
    """A stage reads from some of so many stages before it: the fewer these are, the longer the paths."""
    seconds: float
    """What a stage takes on average. Half of the stages take less than 0.7 of it, one in a hundred 4.6."""


def drawn(shape: Shape, seed: int) -> tuple[Stub, ...]:
    """The graph of a seed, in an order in which each stage comes after what it reads."""
    dice, stubs = random.Random(seed), list[Stub]()
    for number in range(shape.stages):
        before = stubs[-shape.near :]
        needs = dice.sample(before, min(len(before), dice.choice((0, 1, 1, 2, 3))))
        seconds = max(0.05 * shape.seconds, dice.expovariate(1 / shape.seconds))
        names = tuple(sorted(one.name for one in needs))
        stubs.append(Stub(f"stub{number:05}", names, round(seconds, 3)))
    return tuple(stubs)


def longest_path(stubs: Sequence[Stub]) -> float:
    """The seconds of the longest path: no number of hosts makes a run shorter."""
    ends: dict[str, float] = {}
    for stub in stubs:
        ends[stub.name] = stub.seconds + max((ends[name] for name in stub.needs), default=0.0)
    return max(ends.values())


def lower_bound(stubs: Sequence[Stub], hosts: int) -> float:
    """The seconds below which no run on so many hosts, a stage each at once, can come."""
    return max(longest_path(stubs), sum(stub.seconds for stub in stubs) / hosts)


def stages_of(stubs: Sequence[Stub]) -> Iterator[tuple[str, dict[str, object]]]:
    """The entries of dvc.yaml: each sleeps, and joins what it reads to its own name."""
    for stub in stubs:
        out, reads = f"{stub.name}.txt", " ".join(f"{name}.txt" for name in stub.needs) or "/dev/null"
        command = f"sleep {stub.seconds} && (echo {stub.name}; cat {reads} | md5sum) > {out}"
        entry: dict[str, object] = {"cmd": command, "outs": [out]}
        if stub.needs:
            entry["deps"] = [f"{name}.txt" for name in stub.needs]
        yield stub.name, entry
