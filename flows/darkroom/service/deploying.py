"""`python -m darkroom.service.deploying FILE`: registers what prefect.yaml names, and writes the ids to FILE.

It uses Prefect's own command, which only prints the ids to its terminal.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.deployments.runner import RunnerDeployment


def deploy_and_note_ids(file: Path) -> None:
    """Deploy all of prefect.yaml in the current folder.

    Raises:
        SystemExit: Prefect's command ended, with its exit code.

    """
    ids: list[str] = []
    apply = RunnerDeployment.apply

    def apply_and_note(self: RunnerDeployment, *words: Any, **options: Any) -> Awaitable[UUID]:
        applying: Any = apply(self, *words, **options)

        async def noted() -> UUID:
            known: UUID = await applying
            ids.append(str(known))
            return known

        return noted()

    RunnerDeployment.apply = apply_and_note  # type: ignore[assignment,method-assign]
    sys.argv = ["prefect", "--no-prompt", "deploy", "--all"]
    try:
        runpy.run_module("prefect", run_name="__main__", alter_sys=True)
    finally:
        file.write_text(json.dumps(ids), encoding="utf-8")


if __name__ == "__main__":
    deploy_and_note_ids(Path(sys.argv[1]))
