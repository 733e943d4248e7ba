"""The application that every server of darkroom serves: Prefect's, for the project's owner only.

It listens on loopback. Other accounts of the host and every web page in the owner's browser can reach that,
too. So each call needs the string of `darkroom.server.login`. A call is refused before Prefect sees it if its
Host is another name (DNS rebinding) or its Origin is another page. The server's pages load nothing from other
hosts, and browsers are told to refuse such requests.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom.base.errors import DarkroomError
from darkroom.server import login, login_links, login_page

HOSTS = ("127.0.0.1", "localhost")
TOKEN_BYTES = 200
"""A limit above the length of every token."""

_TO_DOOR = f'<head><script src="{login_page.DOOR_PATH}"></script>'.encode()
_SPENT = "This link was used already, or is too old. `darkroom ui` makes a new one."


def settings(folder: Path, url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Prefect's settings for a closed server whose API is at `url`; nothing in `environ` opens it."""
    key = "PREFECT_SERVER_ENCRYPTION_KEY"
    return {
        "PREFECT_SERVER_API_AUTH_STRING": login.auth_string(folder),
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(own_origins(url)),
        key: environ.get(key) or login.encryption_key(folder),
    }


def own_origins(url: str) -> tuple[str, ...]:
    """The origins of the pages that the server of the API at `url` serves."""
    return tuple(f"http://{host}:{urlsplit(url).port}" for host in HOSTS)


def application(folder: Path, url: str, *, webserver_only: bool) -> Starlette:
    """Prefect's application, closed; `settings` must be in this process's environment.

    Raises:
        DarkroomError: Prefect does not follow the settings, and would be open to others.

    """
    from prefect.server.api.server import create_app

    _require_closed(folder, url)
    prefect = create_app(webserver_only=webserver_only)

    def lifespan(_: Starlette) -> AbstractAsyncContextManager[Any]:
        return prefect.router.lifespan_context(prefect)

    return Starlette(
        routes=[
            Route(login_links.PATH, _login_page, methods=["GET"]),
            Route(login_links.PATH, _log_in(folder), methods=["POST"]),
            Route(login_page.DOOR_PATH, _door, methods=["GET"]),
            Mount("/", app=prefect),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False),
            Middleware(OwnOrigin, origins=own_origins(url)),
            Middleware(OwnPages, origins=own_origins(url)),
        ],
        lifespan=lifespan,
    )


def _require_closed(folder: Path, url: str) -> None:
    """Look at the settings as Prefect has read them: another version may call them otherwise."""
    from prefect.settings import get_current_settings

    api, wanted = get_current_settings().server.api, settings(folder, url, os.environ)
    if (
        api.auth_string is None
        or api.auth_string.get_secret_value() != wanted["PREFECT_SERVER_API_AUTH_STRING"]
        or not api.csrf_protection_enabled
        or api.cors_allowed_origins != wanted["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"]
    ):
        raise DarkroomError(
            "Prefect's server would be open to others: it does not follow PREFECT_SERVER_API_AUTH_STRING,"
            " ..._CSRF_PROTECTION_ENABLED or ..._CORS_ALLOWED_ORIGINS; install the one in requirements.lock"
        )


class OwnOrigin:
    """Refuses what a page of another origin asks, websockets included."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self._app, self._origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass on to the application."""
        if scope["type"] in ("http", "websocket") and any(
            origin not in self._origins for origin in Headers(scope=scope).getlist("origin")
        ):
            await PlainTextResponse("Foreign origin", status_code=403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class OwnPages:
    """Has Prefect's pages lead to the login, and browsers refuse what these would ask other hosts for.

    Their makers count visits that way, even before anybody has logged in.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self._app = app
        own = " ".join(["'self'", *origins, *(origin.replace("http", "ws", 1) for origin in origins)])
        self._policy = (
            f"default-src 'self'; script-src 'self' 'unsafe-eval'; connect-src {own};"
            " img-src 'self' data: blob:; font-src 'self' data:; style-src 'self' 'unsafe-inline';"
            " worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self';"
            " frame-ancestors 'none'"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on to the application, and change its pages, but for those that have a policy of their own."""
        start: Message | None = None
        page = b""

        async def send_changed(message: Message) -> None:
            nonlocal start, page
            if message["type"] == "http.response.start" and _is_page(message):
                start = message
            elif start is None:
                await send(message)
            else:
                page += message.get("body", b"")
                if not message.get("more_body"):
                    page = page.replace(b"<head>", _TO_DOOR, 1)
                    headers = MutableHeaders(scope=start)
                    headers["Content-Security-Policy"] = self._policy
                    headers["Content-Length"] = str(len(page))
                    await send(start)
                    await send({"type": "http.response.body", "body": page})

        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
        elif "text/html" in Headers(scope=scope).get("accept", ""):  # not compressed: it is to be changed
            kept = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
            await self._app({**scope, "headers": kept}, receive, send_changed)
        else:
            await self._app(scope, receive, send_changed)


def _is_page(start: Message) -> bool:
    headers = Headers(scope=start)
    is_html = headers.get("content-type", "").startswith("text/html")
    return is_html and start["status"] == 200 and "Content-Security-Policy" not in headers


async def _login_page(_: Request) -> Response:
    return HTMLResponse(login_page.PAGE, headers=login_page.HEADERS)


async def _door(_: Request) -> Response:
    return Response(login_page.DOOR, media_type="text/javascript", headers={"Cache-Control": "no-cache"})


def _log_in(folder: Path) -> Callable[[Request], Any]:
    """Give the string, as the pages keep it, for a token."""

    async def log_in(request: Request) -> Response:
        token = b""
        async for part in request.stream():
            token += part
            if len(token) > TOKEN_BYTES:
                break
        if not login_links.take(folder, token.decode("ascii", errors="replace")):
            return PlainTextResponse(_SPENT, status_code=403, headers=login_page.HEADERS)
        string = base64.b64encode(login.auth_string(folder).encode()).decode()
        return PlainTextResponse(string, headers=login_page.HEADERS)

    return log_in
