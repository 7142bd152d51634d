"""Weights & Biases: online with an account, else offline. A run that goes on after a kill goes on there, under the same id.

Sent: settings (without secrets), curves and weights' diagnostics, the table of final returns, figures, videos, checkpoint and policies.
group, job type and tags are suite, data set and method, so that a project sorts itself. Not sent: the machine, its user, its packages,
the command line and the code.
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
from bench.loggers.base import say
from bench.loggers.curves import flat_curves
from bench.storage.rundir import Row, films, read_csv

TAG = 64  # characters that wandb takes
GROUP = 128
ANSWER = 10  # seconds for a server to answer at all
PATIENCE = 30  # seconds for wandb to start, and to finish
SENT = ("config.yaml", "run.json", "episodes.csv", "curve.csv", "checkpoint.safetensors", "policy.safetensors")
_starting = Lock()  # runs of one process start one after another
_live: set[str] = set()  # ids of the runs that are open
_offline: list[str] = []  # why this process does not ask the server again


def server() -> str:
    return os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


def has_account() -> bool:
    """Whether there is a key for wandb's server, in WANDB_API_KEY or ~/.netrc."""
    host = urllib.parse.urlsplit(server()).hostname or ""
    try:
        return bool(os.environ.get("WANDB_API_KEY") or netrc.netrc(os.environ.get("NETRC") or Path.home() / ".netrc").authenticators(host))
    except (OSError, netrc.NetrcParseError, RuntimeError):
        return False


def unreachable() -> str | None:
    """Why wandb's server does not answer, or None if it does, whatever it says. wandb itself would try for a minute, and keep the id."""
    try:
        urllib.request.urlopen(server(), timeout=ANSWER).close()
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"{server()}: {first_line(getattr(error, 'reason', None) or error)}"
    return None


def start(logger: LoggerConfig, folder: Path, **arguments: Any) -> Any:
    """A wandb run kept below `folder`, offline if the server cannot be had. wandb.init's `arguments` say which."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # nothing about this process to wandb's makers, nor lines where that fails
    os.environ.setdefault("WANDB_SILENT", "true")  # what matters is said here
    import wandb

    settings = wandb.Settings(
        console="off", silent=True, init_timeout=PATIENCE, finish_timeout=PATIENCE, x_disable_meta=True, x_disable_machine_info=True,
        disable_git=True, disable_code=True, save_code=False, x_save_requirements=False, host="-",
    )  # fmt: skip

    def init(mode: Any) -> Any:
        return wandb.init(
            project=redact(logger.project), entity=logger.entity, dir=str(folder), mode=mode, settings=settings, resume="allow",
            reinit="create_new", **arguments,
        )  # fmt: skip

    mode = os.environ.get("WANDB_MODE", "online" if has_account() else "offline")
    with _starting:
        if mode == "online" and not _offline and (reason := unreachable()):
            _go_offline(reason)
        if mode != "online" or _offline:
            return init("offline" if mode == "online" else mode)
        try:
            return init(mode)
        except Exception as error:  # of whatever kind: what was to be sent is kept
            _go_offline(first_line(error))
            if not _live:
                wandb.teardown()  # else the id stays taken
            return init("offline")


def _go_offline(reason: str) -> None:
    _offline.append(reason)
    say("wandb", f"{reason}; going on offline, `wandb sync` sends it later")


class Wandb:
    """One run of the suite as a run of wandb, with id `run_id`."""

    def __init__(self, config: Config, folder: Path, run_id: str) -> None:
        self.folder, self.logger = folder, config.logger
        self.run = start(
            config.logger, folder, id=run_id, name=f"{config.algo.name} {config.dataset}"[:GROUP], job_type=config.algo.name,
            group=f"{config.suite}/{config.dataset}"[:GROUP], tags=tags(config.suite, config.dataset, config.algo.name),
            config=redact_tree(asdict(config)),
        )  # fmt: skip
        _live.add(run_id)

    def log(self, update: int, rows: Sequence[Row]) -> None:
        if update >= self.run.step:  # a server has what a resumed run repeats
            self.run.log(flat_curves(rows), step=update)

    def finish(self, summary: Row) -> None:
        try:
            self.run.summary.update(summary)
            self._share_results()
            if self.logger.artifact:
                self._share_files()
        finally:  # what a server has not got by then stays in the folder, whatever came in between
            self.run.finish()
            _live.discard(self.run.id)

    def _share_results(self) -> None:
        """The final returns as a table, the run's figures, its videos."""
        import wandb

        from bench.loggers.media import run_figures

        episodes = read_csv(self.folder / "episodes.csv")
        last = max(int(row["update"]) for row in episodes)
        final = [row for row in episodes if int(row["update"]) == last]
        data = [[int(r["seed"]), int(r["episode"]), float(r["return"]), int(r["length"])] for r in final]
        found: dict[str, Any] = {"final_episodes": wandb.Table(columns=["seed", "episode", "return", "length"], data=data)}
        found |= {f"figures/{name}": wandb.Image(picture) for name, picture in run_figures(self.folder).items()}
        found |= {f"films/{path.stem}": wandb.Image(str(path)) for path in films(self.folder)}  # wandb.Video does not take WebP
        self.run.log(found, step=max(last, self.run.step))

    def _share_files(self) -> None:
        """What it takes to tabulate, verify and go on with the run."""
        import wandb

        artifact = wandb.Artifact(f"run-{self.run.id}", "run")
        for name in SENT:
            if (self.folder / name).is_file():
                artifact.add_file(str(self.folder / name), policy="immutable")  # read where it lies, when it is sent
        self.run.log_artifact(artifact)


def tags(*words: str) -> list[str]:
    """The words as wandb takes them: each once, none too long."""
    return list(dict.fromkeys(word[:TAG] for word in words))
