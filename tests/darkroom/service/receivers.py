"""Servers on loopback that take what they are sent: a webhook's and a mail server."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_string, policy
from http.server import BaseHTTPRequestHandler, HTTPServer


@contextlib.contextmanager
def hook_receiver() -> Iterator[tuple[str, list[str]]]:
    """The address by Apprise, and the bodies that were posted to it."""
    bodies: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not onto the terminal."""

    with HTTPServer(("127.0.0.1", 0), Hook) as server, _served(server):
        yield f"json://127.0.0.1:{server.server_port}/hook", bodies


@contextlib.contextmanager
def mail_receiver() -> Iterator[tuple[str, list[str]]]:
    """The address by Apprise, and the mails that were sent, subject and text."""
    mails: list[str] = []

    class Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 here")
            while line := self.rfile.readline().decode().strip():
                if line.upper() == "QUIT":
                    return self._say("221 bye")
                if line.upper() == "DATA":
                    self._say("354 go on")
                    lines = iter(lambda: self.rfile.readline().decode().rstrip("\r\n"), ".")
                    mail = message_from_string("\n".join(lines), policy=policy.default)
                    text = mail.get_body(("plain", "html"))
                    mails.append(f"{mail['Subject']}\n{text.get_content() if text else ''}")
                self._say("250 OK")
            return None

        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    with socketserver.TCPServer(("127.0.0.1", 0), Mail) as server, _served(server):
        port = server.server_address[1]
        yield f"mailto://127.0.0.1:{port}/?from=darkroom@example.org&to=team@example.org&mode=insecure", mails


@contextlib.contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
