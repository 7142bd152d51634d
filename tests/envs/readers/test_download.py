"""Downloads compared with the server's size and digest, and with the first download."""

from __future__ import annotations

import base64
import hashlib
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.errors import DataError
from envs.readers.download import digest_file, fetch, verify

CONTENT = b"content" * 1000
SHA256, MD5 = (base64.b64encode(hashlib.new(name, CONTENT).digest()).decode() for name in ("sha256", "md5"))
OTHER = base64.b64encode(hashlib.sha256(b"other").digest()).decode()


class Handler(http.server.BaseHTTPRequestHandler):
    content, headers_sent = CONTENT, ()
    length: str | None = None  # a wrong Content-Length

    def do_GET(self) -> None:
        self.send_response(200)
        for name, value in (("Content-Length", self.length or str(len(self.content))), *self.headers_sent):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """An address, and the handler that answers with its `content` and `headers_sent`."""
    handler = type("H", (Handler,), {})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        yield f"http://127.0.0.1:{httpd.server_port}/file.hdf5", handler
        httpd.shutdown()


def get(url: str, folder: Path) -> Path:
    return fetch(url, folder / "file.hdf5", lambda path: None)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("Repr-Digest", f"sha-256=:{SHA256}:", f"sha-256=:{OTHER}:"),
        ("Digest", f"SHA-256={SHA256},MD5={MD5}", f"SHA-256={SHA256},MD5={OTHER}"),
        ("x-goog-hash", f"crc32c=AAAAAA==,md5={MD5}", f"md5={OTHER}"),
        ("Content-MD5", MD5, "nonsense!"),
        ("X-Linked-Etag", f'"{hashlib.sha256(CONTENT).hexdigest()}"', f'"{"0" * 64}"'),
    ],
)
def test_the_servers_digest_is_checked(name: str, right: str, wrong: str, server: tuple[str, Any], tmp_path: Path) -> None:
    url, handler = server
    handler.headers_sent = ((name, wrong),)
    with pytest.raises(DataError, match=r"was damaged on its way: (sha256|md5) .* the server says .*; try again"):
        get(url, tmp_path)
    assert list(tmp_path.iterdir()) == []
    handler.headers_sent = ((name, right), ("ETag", '"abc-123"'))
    assert get(url, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [str(len(CONTENT) + 1), "99999999999999999", "-5", "many"])
def test_a_wrong_size_leaves_no_file(length: str, server: tuple[str, Any], tmp_path: Path) -> None:
    """A size that is no number is ignored; the digest is still compared."""
    url, handler = server
    handler.length, handler.headers_sent = length, (("Content-MD5", "nonsense!"),)
    with pytest.raises(DataError, match=r"was cut off after|has room for|was damaged on its way"):
        get(url, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_file_at_the_address_is_refused(server: tuple[str, Any], tmp_path: Path) -> None:
    url, handler = server
    get(url, tmp_path).unlink()
    handler.content = b"another"
    with pytest.raises(DataError, match=r"file.hdf5 has SHA-256 .*, .*file.hdf5.sha256 says .*remove file.hdf5.sha256 if it is right"):
        get(url, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file.hdf5.sha256"]
    digest_file(tmp_path / "file.hdf5").unlink()
    assert get(url, tmp_path).read_bytes() == b"another"


def test_a_file_that_changed_on_the_disk_is_refused(server: tuple[str, Any], tmp_path: Path) -> None:
    path = get(server[0], tmp_path)
    verify(path)
    subprocess.run(["sha256sum", "--check", "--quiet", digest_file(path).name], cwd=tmp_path, check=True)
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(DataError, match=r"get the file again"):
        verify(path)
    digest_file(path).unlink()
    verify(path)  # a file without a stored digest passes
