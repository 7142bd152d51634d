"""wandb's servers that are absent, silent, stalling, refusing or dying: the run finishes with the same results and prints one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.cli import TINY
from tests.helpers.paths import ROOT

RESULTS = ("episodes.csv", "curve.csv", "policy.safetensors")


class Server(ThreadingHTTPServer):
    """The part of wandb's server that a run needs to start. `mode` names its fault."""

    daemon_threads = True

    def __init__(self, mode: str) -> None:
        self.mode, self.begun, self.over = mode, 0, threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        if mode != "silent":  # the system accepts connections, and no thread answers
            threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None: ...


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.mode == "stalls":
            self.server.over.wait(600)
        if self.server.mode == "refuses":
            self._answer({"errors": [{"message": "who are you?"}]}, 401)
        elif self.server.mode == "dies" and self.server.begun:
            self.close_connection = True  # without an answer
        elif b"mutation UpsertBucket" in body:
            self.server.begun += 1
            asked = json.loads(body)["variables"]
            project = {"id": "cA==", "name": asked["project"], "entity": {"id": "ZQ==", "name": "me"}}
            bucket = {"id": "YQ==", "name": asked["name"], "displayName": "d", "config": "{}", "project": project}
            self._answer({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}})
        else:
            self._answer({"data": {}})

    def _answer(self, content: Any, code: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def servers() -> Iterator[Callable[[str], Server]]:
    with ExitStack() as made:

        def make(mode: str) -> Server:
            server = made.enter_context(Server(mode))
            made.callback(server.over.set)
            return server

        yield make


@pytest.mark.slow
def test_no_server_stops_a_run(folder: Path, servers: Callable[[str], Server]) -> None:
    """Runs with a faulty server leave the files of a run without wandb. All run at once: they mostly wait, a minute at most."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")} | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    online = clean | {"WANDB_MODE": "online", "WANDB_API_KEY": "k" * 40}
    arguments = [sys.executable, "-m", "bench", "algo=bc", "seeds=[0,1]", *TINY]
    subprocess.run([*arguments, "results_dir=plain"], cwd=folder, env=clean, check=True, capture_output=True)
    found = {mode: servers(mode) for mode in ("silent", "stalls", "refuses", "dies")}
    addresses = {mode: server.address for mode, server in found.items()} | {"nowhere": "http://127.0.0.1:9"}
    begun = time.monotonic()
    runs = {
        mode: subprocess.Popen(
            [*arguments, f"results_dir={mode}", "logger=wandb"], cwd=folder, env=online | {"WANDB_BASE_URL": address},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for mode, address in addresses.items()
    }  # fmt: skip
    said = {mode: run.communicate(timeout=240)[1] for mode, run in runs.items()}
    assert time.monotonic() - begun < 180
    (plain,) = folder.glob("plain/single/runs/*")
    for mode, run in runs.items():
        (left,) = folder.glob(f"{mode}/single/runs/*")
        assert run.returncode == 0, said[mode]
        assert [(left / name).read_bytes() for name in RESULTS] == [(plain / name).read_bytes() for name in RESULTS], mode
        lines = [line for line in said[mode].splitlines() if not line.startswith("bc test/pendulum/random-v0: ")]
        assert len(lines) == 1, said[mode]
        assert lines[0].startswith("wandb: ")
        if mode == "dies":
            assert found[mode].begun == 1
            assert lines[0].endswith("; continuing without it")
            assert list(left.glob("wandb/run-*/run-*.wandb"))
        else:
            assert lines[0].endswith("; logging offline, `wandb sync` sends it later")
            (kept,) = left.glob("wandb/offline-run-*/run-*.wandb")
            assert b"return_mean" in kept.read_bytes()
