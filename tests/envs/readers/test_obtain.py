"""Minari's data sets are downloaded on first use, by Minari's client from a small server with the API of Hugging Face's hub."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.helpers import forks
from tests.helpers.episodes import random_episodes, write_minari

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """A server of the files in `folder` as the data set repository `test` of every account."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.folder, self.sent = folder, list[str]()

    @property
    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        about = {
            "sha": COMMIT,
            "private": False,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "siblings": [{"rfilename": f} for f in self.server.files],
        }
        account = path.split("/")[3] if path.startswith("/api/datasets/") else "farama-minari"
        if path == "/api/datasets":
            self._json([about | {"id": f"{a}/test"} for a in ("farama-minari", "somebody") if f"author={a}" in self.path])
        elif path.endswith("/revision/main"):
            self._json(about | {"id": f"{account}/test"})
        elif "/tree/" in path:
            self._json([{"type": "file", "path": name, "size": len(b), "oid": _oid(b)} for name, b in self.server.files.items()])
        elif "/resolve/" in path and (content := self.server.files.get(path.split("/resolve/")[1].split("/", 1)[1])) is not None:
            self._file(path, content)
        else:
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json"} | (headers or {}))

    def _file(self, path: str, content: bytes) -> None:
        if self.command == "GET":
            self.server.sent.append(path)
        self._send(content, 200, {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": COMMIT})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "there"))
    write_minari("test/far-v0", random_episodes(12, obs=4, act=1), ref_min_score=5.0, ref_max_score=1000.0)
    folder = tmp_path / "there" / "test"
    (folder / "namespace_metadata.json").write_text(json.dumps({"datasets": ["test/far-v0"]}))
    server = Hub(folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def inspected(hub: Hub, root: Path, dataset: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()} | {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(root / "hf"), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "5", "MINARI_DATASETS_PATH": str(root / "minari"),
    }  # fmt: skip
    root.mkdir(exist_ok=True)
    return forks.run(["inspect", dataset, "--folder", str(root / "pages")], root, environment=environment)


@pytest.mark.parametrize("dataset", ["test/far-v0", "hf://somebody/test/far-v0"])
def test_a_data_set_is_downloaded_on_first_use_with_a_progress_bar(hub: Hub, tmp_path: Path, dataset: str) -> None:
    first = inspected(hub, tmp_path / "here", dataset)
    assert first.returncode == 0, first.stderr
    assert "it/s]" in first.stderr or "B/s]" in first.stderr, first.stderr
    account = "somebody" if dataset.startswith("hf://") else "farama-minari"
    assert f"/datasets/{account}/test/resolve/{COMMIT}/far-v0/data/main_data.hdf5" in hub.sent
    for name, content in hub.files.items():
        assert (tmp_path / "here" / "minari" / "test" / name).read_bytes() == content, name
    assert " 12 " in first.stdout, first.stdout
    hub.sent.clear()
    again = inspected(hub, tmp_path / "here", dataset)
    assert again.returncode == 0
    assert not hub.sent
    assert again.stdout == first.stdout
    assert ".scratch-" not in first.stdout + first.stderr


def test_a_version_that_the_hub_does_not_have_is_one_line(hub: Hub, tmp_path: Path) -> None:
    done = inspected(hub, tmp_path / "here", "test/far-v7")
    assert done.returncode == 2
    assert f"'test/far-v7' is not in {tmp_path}" in done.stderr
    assert "latest compatible version of this dataset: test/far-v0" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "here" / "minari").rglob("*.hdf5"))
