"""Weights & Biases: online with an account, otherwise offline. A resumed run continues under the same id.

Sent: settings without secrets, curves and diagnostics of weights, the table of final returns, checkpoint and policies. Group, job type and
tags are suite, data set and method, by which a project is sorted. Not sent: the machine, its user and packages, the command line, code.
"""

from __future__ import annotations

import http.client
import netrc
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from bench.config.redact import redact, redact_tree
from bench.config.schema import Config, LoggerConfig
from bench.errors import first_line
from bench.loggers.base import flat_curves, say
from bench.storage.layout import Row
from bench.storage.rundir import read_csv

TAG, GROUP = 64, 128  # characters that wandb accepts
ANSWER = 10  # seconds for a server to answer
PATIENCE = 30  # seconds for wandb to start, and to finish
SENT = ("config.yaml", "run.json", "episodes.csv", "curve.csv", "checkpoint.safetensors", "policy.safetensors", "manifest.json")
_starting = Lock()  # runs of one process start one after another
_live: set[str] = set()  # ids of open runs
_offline: list[str] = []  # reasons for which this process stays offline


def server() -> str:
    """The address of wandb's server."""
    return os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


def has_account() -> bool:
    """True if WANDB_API_KEY or ~/.netrc has a key for the server."""
    host = urllib.parse.urlsplit(server()).hostname or ""
    try:
        return bool(os.environ.get("WANDB_API_KEY") or netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc").authenticators(host))
    except (OSError, netrc.NetrcParseError, RuntimeError):
        return False


def server_error() -> str | None:
    """The reason for which the server does not answer; None if it answers anything. wandb itself would try for a minute."""
    try:
        urllib.request.urlopen(server(), timeout=ANSWER).close()
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"{server()}: {first_line(getattr(error, 'reason', None) or error)}"
    return None


def start(logger: LoggerConfig, folder: Path, **arguments: Any) -> Any:
    """Start a wandb run with its files below `folder`, offline if the server fails; `arguments` go to wandb.init."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # no crash reports to wandb
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    settings = wandb.Settings(
        console="off", silent=True, init_timeout=PATIENCE, finish_timeout=PATIENCE, x_disable_meta=True, x_disable_machine_info=True,
        disable_git=True, disable_code=True, save_code=False, x_save_requirements=False, host="-",
    )  # fmt: skip

    def init(mode: Any) -> Any:
        # wandb's service may be another process's, with another current folder: the path is absolute.
        return wandb.init(
            project=redact(logger.project), entity=logger.entity, dir=str(folder.absolute()), mode=mode, settings=settings, resume="allow",
            reinit="create_new", **arguments,
        )  # fmt: skip

    mode = os.environ.get("WANDB_MODE", "online" if has_account() else "offline")
    with _starting:
        if mode == "online" and not _offline and (reason := server_error()):
            _stay_offline(reason)
        if mode != "online" or _offline:
            return init("offline" if mode == "online" else mode)
        try:
            return init(mode)
        except Exception as error:  # wandb raises errors of many types
            _stay_offline(first_line(error))
            if not _live:
                wandb.teardown()  # releases the id
            return init("offline")


def _stay_offline(reason: str) -> None:
    _offline.append(reason)
    say("wandb", f"{reason}; logging offline, `wandb sync` sends it later")


class Wandb:
    """One run of the suite as a run of wandb with id `run_id`."""

    def __init__(self, config: Config, folder: Path, run_id: str) -> None:
        self.folder, self.logger = folder, config.logger
        self.run = start(
            config.logger, folder, id=run_id, name=f"{config.algo.name} {config.dataset}"[:GROUP], job_type=config.algo.name,
            group=f"{config.suite}/{config.dataset}"[:GROUP], tags=tags(config.suite, config.dataset, config.algo.name),
            config=redact_tree(asdict(config)),
        )  # fmt: skip
        _live.add(run_id)

    def log(self, update: int, rows: Sequence[Row]) -> None:
        if update >= self.run.step:  # the server already has the rows that a resumed run repeats
            self.run.log(flat_curves(rows), step=update)

    def finish(self, summary: Row) -> None:
        try:
            self.run.summary.update(summary)
            self._send_final_returns()
            if self.logger.artifact:
                self._send_files()
        finally:
            self.run.finish()  # data that were not sent by then stay in the folder
            _live.discard(self.run.id)

    def _send_final_returns(self) -> None:
        import wandb

        episodes = read_csv(self.folder / "episodes.csv")
        last = max(int(row["update"]) for row in episodes)
        final = [row for row in episodes if int(row["update"]) == last]
        data = [[int(r["seed"]), int(r["episode"]), float(r["return"]), int(r["length"])] for r in final]
        table = wandb.Table(columns=["seed", "episode", "return", "length"], data=data)
        self.run.log({"final_episodes": table}, step=max(last, self.run.step))

    def _send_files(self) -> None:
        import wandb

        artifact = wandb.Artifact(f"run-{self.run.id}", "run")
        for name in SENT:
            if (self.folder / name).is_file():
                artifact.add_file(str(self.folder / name), policy="immutable")  # uploaded from where it is, without a copy
        self.run.log_artifact(artifact)


def tags(*words: str) -> list[str]:
    """The words as wandb accepts them: unique, TAG characters at most."""
    return list(dict.fromkeys(word[:TAG] for word in words))
