"""What a stage says about itself under `meta:` in dvc.yaml, and what the host has to give.

    meta:
      resources: {cpu: 2, memory: 4GB, gpu: 1, gpu_memory: 8GB}
      priority: 10      # higher starts first among those that could start
      timeout: 2h       # seconds, or a number with s, m, h or d
      retries: 2        # after a kill or an out-of-memory, never after the stage's own error

Keys of `meta:` that are none of these belong to others and are left alone; a wrong key inside `resources:`, or one
that is nearly one of ours, is refused with its path.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resources:
    """What a stage takes while it runs. None: nothing was said."""

    cpu: int | None = None
    memory: int | None = None
    """Bytes."""
    gpu: int = 0
    gpu_memory: int | None = None
    """Bytes on each device; None: the whole device."""


@dataclass(frozen=True, slots=True)
class StageMeta:
    """The part of a stage's `meta:` that is read here."""

    resources: Resources = Resources()
    priority: int = 0
    timeout: float | None = None
    """Seconds."""
    retries: int = 0
