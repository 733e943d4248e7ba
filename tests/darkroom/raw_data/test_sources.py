import contextlib
import gzip
import hashlib
import io
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from darkroom.raw_data import sources as data_sources
from darkroom.raw_data.sources import (
    DebianSource,
    FileUnavailableError,
    FolderSource,
    SourceUnavailableError,
    WebSource,
    WrongContentError,
    file_md5,
    write_checked,
)

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server:
    """A web server on loopback. `answers` has, for each path, what it does at each request in turn:
    a status and a body, how much of the body it sends before it hangs up, and where it redirects to. A body
    that is None has no end."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append(self.path)
                status, body, sent, *to = server.answers[self.path].pop(0)
                self.send_response(status)
                if to:
                    self.send_header("Location", to[0])
                if body is not None:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):  # the other side has had enough
                    while body is None:
                        self.wfile.write(bytes(1 << 16))
                    self.wfile.write(body[:sent])

            def log_message(self, *arguments):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self):
        return f"http://127.0.0.1:{self._http.server_port}/{{name}}.gz"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        yield running


def fetch_from(source, folder, name="a"):
    """What a caller does with a source: its stream, written checked."""
    scratch = folder / "scratch"
    scratch.mkdir()
    try:
        with source.open(name, scratch, len(CONTENT)) as stream:
            write_checked(stream, folder / "out" / name, MD5, len(CONTENT))
    finally:
        shutil.rmtree(scratch)
        # a failure leaves nothing behind, not even a hidden part
        left = [path.name for path in (folder / "out").glob("*")]
        assert left in ([], [name])
    return (folder / "out" / name).read_bytes()


class TestFolder:
    def test_takes_the_file_as_it_is(self, tmp_path):
        (tmp_path / "a").write_bytes(CONTENT)
        assert fetch_from(FolderSource(tmp_path), tmp_path) == CONTENT

    def test_unpacks_the_gzipped_file(self, tmp_path):
        (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT))
        assert fetch_from(FolderSource(tmp_path), tmp_path) == CONTENT

    def test_flipped_bit_is_named_with_both_hashes(self, tmp_path):
        flipped = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
        (tmp_path / "a").write_bytes(flipped)
        with pytest.raises(WrongContentError) as raised:
            fetch_from(FolderSource(tmp_path), tmp_path)
        assert MD5 in str(raised.value)
        assert hashlib.md5(flipped).hexdigest() in str(raised.value)

    @pytest.mark.parametrize("spoil", [lambda packed: packed[:-9], lambda packed: b"\0" + packed[1:]])
    def test_broken_gzip_is_refused(self, tmp_path, spoil):
        (tmp_path / "a.gz").write_bytes(spoil(gzip.compress(CONTENT)))
        with pytest.raises(WrongContentError, match=r"a\.gz is broken"):
            fetch_from(FolderSource(tmp_path), tmp_path)

    def test_says_which_names_it_looked_for(self, tmp_path):
        with pytest.raises(FileUnavailableError, match=r"neither a nor a\.gz"):
            fetch_from(FolderSource(tmp_path), tmp_path)


class TestWeb:
    def test_unpacks_what_the_server_sends(self, server, tmp_path):
        packed = gzip.compress(CONTENT)
        server.answers["/a.gz"] = [(200, packed, None)]
        assert fetch_from(WebSource(server.url), tmp_path) == CONTENT

    def test_download_broken_off_is_tried_again(self, server, tmp_path):
        packed = gzip.compress(CONTENT)
        server.answers["/a.gz"] = [(200, packed, len(packed) // 2), (503, b"", 0), (200, packed, None)]
        assert fetch_from(WebSource(server.url, pauses=(0, 0)), tmp_path) == CONTENT

    def test_download_always_broken_off_is_given_up(self, server, tmp_path):
        packed = gzip.compress(CONTENT)
        server.answers["/a.gz"] = [(200, packed, len(packed) // 2)] * 3
        with pytest.raises(SourceUnavailableError, match="3 tries"):
            fetch_from(WebSource(server.url, pauses=(0, 0)), tmp_path)

    def test_file_that_is_not_there_is_asked_for_once(self, server, tmp_path):
        server.answers["/a.gz"] = [(404, b"", 0)]
        with pytest.raises(FileUnavailableError, match="404 for a"):
            fetch_from(WebSource(server.url), tmp_path)
        assert server.asked == ["/a.gz"]

    def test_wrong_file_is_refused(self, server, tmp_path):
        server.answers["/a.gz"] = [(200, gzip.compress(b"something else"), None)]
        with pytest.raises(WrongContentError, match=MD5):
            fetch_from(WebSource(server.url), tmp_path)

    def test_nobody_listening(self, tmp_path, monkeypatch):
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with Server() as gone:
            url = gone.url
        with pytest.raises(SourceUnavailableError, match="1 try"):
            fetch_from(WebSource(url, pauses=()), tmp_path)

    def test_other_braces_are_braces_and_names_are_quoted(self, server, tmp_path):
        server.answers["/a%20b.gz?q={c}&d={}"] = [(200, gzip.compress(CONTENT), None)]
        source = WebSource(f"{server.url}?q={{c}}&d={{}}")
        assert str(source).endswith("/....gz?q={c}&d={}")
        assert fetch_from(source, tmp_path, "a b") == CONTENT

    def test_endless_redirects_are_followed_to_an_end(self, server, tmp_path):
        server.answers["/a.gz"] = [(302, b"", 0, "/a.gz")] * 50
        with pytest.raises(SourceUnavailableError, match=r"a\.gz: .*redirects"):
            fetch_from(WebSource(server.url), tmp_path)

    @pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[", "javascript:1"])
    def test_a_redirect_to_what_is_no_web_page_is_refused(self, server, tmp_path, to):
        server.answers["/a.gz"] = [(302, b"", 0, to)] * 3
        with pytest.raises(SourceUnavailableError) as raised:
            fetch_from(WebSource(server.url, pauses=(0, 0)), tmp_path)
        assert "\n" not in str(raised.value)

    def test_a_body_without_an_end_is_ended(self, server, tmp_path):
        server.answers["/a.gz"] = [(200, None, None)]
        with pytest.raises(SourceUnavailableError, match="sends more than the 1307136 bytes"):
            fetch_from(WebSource(server.url), tmp_path)

    def test_a_body_that_drips_is_given_up(self, server, tmp_path, monkeypatch):
        monkeypatch.setattr(data_sources, "PATIENCE_SECONDS", 0)
        monkeypatch.setattr(data_sources, "SLOWEST", 1e12)
        server.answers["/a.gz"] = [(200, gzip.compress(CONTENT), None)]
        with pytest.raises(SourceUnavailableError, match="bytes a second"):
            fetch_from(WebSource(server.url), tmp_path)

    def test_what_is_packed_small_and_large_unpacked_is_refused(self, server, tmp_path):
        server.answers["/a.gz"] = [(200, gzip.compress(bytes(50_000_000)), None)]
        with pytest.raises(WrongContentError, match="more than the 256000 bytes"):
            fetch_from(WebSource(server.url), tmp_path)

    @pytest.mark.parametrize("address", ["http://", "http://a b/", "http://[::1/{name}", "http://\x7f/"])
    def test_what_is_no_address_is_one_line(self, tmp_path, address):
        with pytest.raises(SourceUnavailableError) as raised:
            fetch_from(WebSource(address, pauses=()), tmp_path)
        assert "\n" not in str(raised.value)


class TestDebian:
    def test_takes_the_installed_file(self, tmp_path):
        (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT))
        assert fetch_from(DebianSource(package="p", path=f"{tmp_path}/{{name}}.gz"), tmp_path) == CONTENT

    def test_system_without_apt(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SourceUnavailableError, match="no apt-get"):
            fetch_from(DebianSource(package="p", path="/nowhere/{name}"), tmp_path)

    @pytest.mark.slow
    def test_downloads_and_unpacks_without_root(self, tmp_path):
        if Path("/usr/share/doc/hello/copyright").exists():
            pytest.skip("the package hello is installed here")
        package = DebianSource(package="hello", path="/usr/share/doc/hello/{name}")
        try:
            with package.open("copyright", tmp_path, None) as stream:
                assert b"GNU" in stream.read()
        except SourceUnavailableError as error:
            pytest.skip(f"no Debian archive in reach: {error}")
        assert (tmp_path / "hello/usr/bin/hello").is_file()


def test_what_stood_there_stays_when_the_new_content_is_wrong(tmp_path):
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(WrongContentError):
        write_checked(io.BytesIO(b"after"), tmp_path / "a", MD5)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"


def test_md5_is_the_known_one(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_md5(tmp_path / "a") == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, A.5
