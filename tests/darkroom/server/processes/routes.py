"""`python -m tests.darkroom.server.processes.routes FOLDER URL`: a closed server's routes, by its tables."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fastapi.staticfiles import StaticFiles
from starlette.routing import Mount, Route, WebSocketRoute

SOME_FILE = "/some-file"
"""Stands for what a folder of files holds."""

Found = tuple[str, str]
"""Method, or WEBSOCKET, and path."""


def routes(table: Iterable[Any], prefix: str = "") -> Iterator[Found]:
    """All that the table leads to. Raises TypeError at what this does not know: it would go untested."""
    for route in table:
        if isinstance(route, WebSocketRoute):
            yield "WEBSOCKET", prefix + route.path
        elif isinstance(route, Route):
            yield from ((method, prefix + route.path) for method in sorted(route.methods or ()))
        elif isinstance(route, Mount) and isinstance(route.app, StaticFiles):
            yield "GET", prefix + route.path + SOME_FILE
        elif isinstance(route, Mount):
            application: Any = route.app
            yield from routes(application.routes, prefix + route.path)
            if application.router._low_priority_routes:  # FastAPI's `frontend`: files
                yield "GET", prefix + route.path + SOME_FILE
        elif hasattr(route, "original_router"):  # FastAPI's `include_router`
            yield from routes(route.original_router.routes, prefix + route.include_context.prefix)
        else:
            raise TypeError(f"{type(route)} under {prefix}")


def main(folder: Path, url: str) -> None:
    from darkroom.server import closed
    from darkroom.server.serving import server_environment

    os.environ.update(server_environment(folder, url))
    os.environ.update(closed.settings(folder, url, os.environ))
    application = closed.application(folder, url, webserver_only=True)
    print(json.dumps(list(routes(application.routes))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
