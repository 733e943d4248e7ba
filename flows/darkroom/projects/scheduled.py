"""What a DVC repository needs for scheduled runs: a prefect.yaml with a retraining every night."""

from __future__ import annotations

import json
import re
from pathlib import Path

from darkroom.base.files import write_text

DEPLOYMENTS = "prefect.yaml"

TEXT = """\
# What runs by itself: `darkroom up` registers these deployments, `darkroom status` shows what is due.
name: {name}

deployments:
  - name: retrain
    description: Every night, what is out of date at the newest commit; results go to a branch of their own.
    tags: [darkroom]
    entrypoint: darkroom.deployments.retrain.retrain
    work_pool:
      name: {name}
    # One at a time; one that is due while another runs is left out.
    concurrency_limit:
      limit: 1
      collision_strategy: CANCEL_NEW
    parameters:
      branch: darkroom/retrain
      fetch: {fetch}
    schedules:
      - cron: "0 4 * * *"
        timezone: UTC
        active: true
"""


def add_schedule(root: Path, *, remote: bool) -> Path | None:
    """Write prefect.yaml at the root of a DVC repository and return its path; None: there is one already.

    The work pool has the name of the repository's folder.

    `remote`: whether git has a remote from which each run can fetch the newest commit.
    """
    path = root / DEPLOYMENTS
    if path.exists() or path.is_symlink():
        return None
    write_text(
        path,
        TEXT.format(name=json.dumps(pool_name(root.resolve().name)), fetch="true" if remote else "false"),
    )
    return path


def pool_name(folder: str) -> str:
    """A name for a work pool: `My flowers` is `my-flowers`.

    It is part of a file's name and of an address, so other signs become dashes. Names that begin with
    `prefect` are the server's own.
    """
    name = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-") or "darkroom"
    return f"darkroom-{name}" if name.startswith("prefect") else name
