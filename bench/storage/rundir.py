"""A run directory: everything that one run leaves behind, named by a hash of what determines its result.

config.yaml        the resolved configuration
run.json           who, what and on what; `status` is finished when all the rest is there
episodes.csv       the primary artefact: raw return and length of every evaluation episode
curve.csv          metrics by update and seed
checkpoint.safetensors   everything needed to go on training; until the run is finished, the checkpoint before it is kept as well
policy.safetensors       the final policies, named parameters [seed, ...]
episode-SEED-NUMBER.webp films of final episodes (python -m bench film)

Only the process that has the directory's lock, a file in .locks beside runs/, writes there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from torch import Tensor

from bench.config.redact import redact, redact_tree
from bench.config.schema import Config
from bench.storage.checkpoints import Checkpoint, Checkpoints
from bench.storage.locks import Lock
from bench.storage.tensors import pack
from envs.files import remove_scratch, write_atomic, write_json

FORMAT = 2  # raised when the same settings no longer give the same result
EPISODE_COLUMNS = ("update", "seed", "episode", "return", "length")
METRIC = "metrics/"  # before the names of metrics in a checkpoint

Row = dict[str, Any]


def digest_of(content: Any) -> str:
    """A short, stable hash of plain data."""

    def plain(value: Any) -> Any:
        return value.name if isinstance(value, Enum) else str(value)

    return hashlib.sha256(json.dumps(content, sort_keys=True, default=plain).encode()).hexdigest()[:12]


def config_hash(config: Config, dataset_digest: str, arithmetic: str, pi_ref_digest: str | None = None) -> str:
    """The hash of what determines a run's result: method, pi_ref (and its data, if others), data, seeds, evaluation, arithmetic."""
    evaluation = {k: v for k, v in asdict(config.eval).items() if k in ("every", "episodes", "final_episodes")}
    pi_ref = (config.pi_ref_algo.determinants(), pi_ref_digest) if config.algo.needs_pi_ref else None
    return digest_of(
        (FORMAT, config.algo.determinants(), pi_ref, config.dataset, dataset_digest, list(config.seeds), evaluation, arithmetic)
    )


def film_path(folder: Path, seed: int, episode: int) -> Path:
    """The film of final episode `episode` of `seed` in run directory `folder`."""
    return folder / f"episode-{seed}-{episode}.webp"


def films(folder: Path) -> list[Path]:
    """All films in run directory `folder`; links to files outside are left out."""
    return sorted(p for p in folder.glob("episode-*-*.webp") if p.resolve().is_relative_to(folder.resolve()))


Point = tuple[int, int]  # update, update of the last evaluation


class Resumed(NamedTuple):
    """Where a run goes on.

    metrics: of update `update`, if it has been trained and not yet evaluated. evaluated: the update of the last evaluation, 0 if none.
    notes: what a person should know, a line each.
    """

    update: int
    wall_time: float
    state: dict[str, Tensor]
    episodes: list[Row]
    curve: list[Row]
    metrics: dict[str, Tensor]
    evaluated: int
    notes: list[str]

    @property
    def point(self) -> Point:
        return self.update, self.evaluated


class RunDir:
    """The directory of one run of `config`."""

    def __init__(self, config: Config, dataset_digest: str, arithmetic: str, pi_ref_digest: str | None = None) -> None:
        self.config, self.hash = config, config_hash(config, dataset_digest, arithmetic, pi_ref_digest)
        data = re.sub(r"[^\w.+-]+", "-", config.dataset)[:150]
        folder = f"{data}-{config.algo.name}-{self.hash}"
        suite = Path(config.results_dir) / config.suite
        self.path = suite / "runs" / folder
        self.lock = Lock(suite / ".locks" / f"{folder}.lock")
        self.checkpoints = Checkpoints(self.path, "checkpoint")

    @property
    def finished(self) -> bool:
        try:
            return bool(json.loads((self.path / "run.json").read_text())["status"] == "finished")
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False

    def start(self, record: Row) -> None:
        """Write what is known before training."""
        remove_scratch(self.path)
        write_atomic(self.path / "config.yaml", redact(OmegaConf.to_yaml(OmegaConf.structured(self.config))))
        write_json(self.path / "run.json", redact_tree(record | {"status": "running"}))

    def finish(self, record: Row, policy: dict[str, Tensor]) -> None:
        """Write the policies and then, last of all, that the run is finished."""
        write_atomic(self.path / "policy.safetensors", pack(policy))
        self.checkpoints.only_newest()
        write_json(self.path / "run.json", redact_tree(record | {"status": "finished"}))

    def save(
        self,
        update: int,
        wall_time: float,
        state: dict[str, Tensor],
        episodes: list[Row],
        curve: list[Row],
        metrics: dict[str, Tensor] | None = None,
    ) -> None:
        """Save after `update` updates; `metrics` are those of the last one where its evaluation is still to come.

        The rows go first: rows newer than the checkpoint are dropped when it is resumed. The checkpoint knows their digest.
        """
        about = {"wall_time_s": repr(wall_time), "evaluated": str(_last(curve))}
        for name, rows, columns in (("episodes", episodes, EPISODE_COLUMNS), ("curve", curve, list(curve[-1]) if curve else ())):
            text = to_csv(rows, columns)
            about[name] = digest_of(text)
            if curve:
                _write_if_new(self.path / f"{name}.csv", text)
        waiting = {f"{METRIC}{k}": v for k, v in (metrics or {}).items()}
        about["metrics"] = json.dumps(list(metrics or {}))  # the order of curve.csv's columns, which safetensors does not keep
        self.checkpoints.save(update, state | waiting, about)

    def resume(self, point: Point | None = None) -> Resumed | None:
        """What the last whole save holds (the last at `point`, if told), or None.

        Damaged ones are passed over, and leave a note; the run then begins further back. What is newer than what is returned goes.
        """
        notes: list[str] = []
        for place, found in enumerate(self.checkpoints.load()):
            resumed = found if isinstance(found, str) else self._with_rows(found)
            if isinstance(resumed, str):
                notes.append(resumed)
            elif point in (None, resumed.point):
                if place:
                    self.checkpoints.discard_newest()  # else the next save would put it in the place of this one
                if notes:
                    notes[-1] += f"; going on from the one before it, at update {resumed.update}"
                return resumed._replace(notes=notes)
        if notes:
            self.checkpoints.clear()
            return Resumed(0, 0.0, {}, [], [], {}, 0, [*notes[:-1], f"{notes[-1]}; starting over"])
        return None

    def points(self) -> list[Point]:
        """Where the whole saves stand, the newest first."""
        found = [c if isinstance(c, str) else self._with_rows(c) for c in self.checkpoints.load()]
        return [resumed.point for resumed in found if isinstance(resumed, Resumed)]

    def _with_rows(self, saved: Checkpoint) -> Resumed | str:
        """The checkpoint with the rows that belong to it, or a line that says that they are not there."""
        about, tables = saved.about, {}
        for name in ("episodes", "curve"):
            path = self.path / f"{name}.csv"
            try:
                rows = [row for row in read_csv(path) if int(row["update"]) <= int(about["evaluated"])] if int(about["evaluated"]) else []
                columns = EPISODE_COLUMNS if name == "episodes" else list(rows[-1]) if rows else ()
                whole = digest_of(to_csv(rows, columns)) == about[name]
            except (OSError, ValueError, KeyError, TypeError, csv.Error):
                whole = False
            if not whole:
                return f"{path} is damaged (its rows up to update {about.get('evaluated')} are not those that were written)"
            tables[name] = rows
        state = {k: v for k, v in saved.state.items() if not k.startswith(METRIC)}
        metrics = {name: saved.state[METRIC + name] for name in json.loads(about["metrics"])}
        evaluated, wall_time = int(about["evaluated"]), float(about["wall_time_s"])
        return Resumed(saved.update, wall_time, state, tables["episodes"], tables["curve"], metrics, evaluated, [])

    def clear(self) -> None:
        """Forget what the run has done so far. Cut short, the run still counts as finished or has nothing to go on from."""
        self.checkpoints.clear()
        for name in ("policy.safetensors", "run.json", "episodes.csv", "curve.csv"):
            (self.path / name).unlink(missing_ok=True)


def _last(rows: Sequence[Row]) -> int:
    return int(rows[-1]["update"]) if rows else 0


def _write_if_new(path: Path, text: str) -> None:
    """Between two evaluations nothing changes."""
    if not path.exists() or path.read_text() != text:
        write_atomic(path, text)


def to_csv(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """Rows as CSV text; floats with every digit that they need."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def read_csv(path: Path) -> list[Row]:
    with open(path, newline="") as f:
        return list(csv.DictReader(f))
