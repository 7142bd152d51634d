"""A run directory: all files of one run, named by a hash of the settings and data that determine its result.

config.yaml        the resolved configuration
run.json           data, settings, versions and device; `status` is "finished" when all other files are complete
episodes.csv       raw return and length of every evaluation episode: the primary result
curve.csv          metrics by update and seed
checkpoint.safetensors   the state of training; until the run is finished, with the checkpoint before it
policy.safetensors       the final policies, named parameters [seed, ...]
policy-UPDATE.safetensors   with eval.keep_policies, those of the evaluation after UPDATE updates
manifest.json      size and digest of every file above, to notice damage
episode-SEED-NUMBER.webp films of final episodes (python -m bench film)

Only the process that holds the directory's lock, a file in .locks/ beside runs/, writes there.
"""

from __future__ import annotations

import csv
import glob
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from omegaconf import OmegaConf
from torch import Tensor

from bench.config.redact import redact, redact_tree
from bench.config.saved import read_config
from bench.config.schema import Config
from bench.errors import ConfigError, DataError, RunError
from bench.storage import manifest
from bench.storage.checkpoints import Checkpoint, Checkpoints
from bench.storage.hashes import config_hash, hashes_again, method_hash
from bench.storage.layout import EPISODE_COLUMNS, Row, curve_columns, digest_of, episode_columns, folder_prefix, kept_policies, kept_policy
from bench.storage.locks import Lock
from bench.storage.record import read_record, read_status
from bench.storage.tensors import pack
from envs.files import remove_scratch, to_json, write_atomic, write_json
from envs.untrusted import parse_json, read_bytes, read_text, refuse_link

CSV_BYTES = 1 << 30
METRIC = "metrics/"  # prefix of the names of metrics in a checkpoint


Point = tuple[int, int]  # update, update of the last evaluation


class Resumed(NamedTuple):
    """A run read from its last checkpoint.

    metrics: of the last update, if its evaluation is still missing. evaluated: the update of the last evaluation, 0 if none.
    notes: messages about damaged files. seconds: by phase.
    """

    update: int
    wall_time: float
    state: dict[str, Tensor]
    episodes: list[Row]
    curve: list[Row]
    metrics: dict[str, Tensor]
    evaluated: int
    notes: list[str]
    seconds: dict[str, float]

    @property
    def point(self) -> Point:
        return self.update, self.evaluated


class RunDir:
    """The directory of one run of `config`."""

    def __init__(self, config: Config, dataset_digest: str, arithmetic: str, pi_ref_digest: str | None = None) -> None:
        self.identity = dataset_digest, arithmetic, pi_ref_digest
        self.config, self.hash = config, config_hash(config, *self.identity)
        self.method_hash = method_hash(config, *self.identity)
        self.prefix = folder_prefix(config.dataset, config.algo.name)
        folder = f"{self.prefix}{self.hash}"
        suite = Path(config.results_dir) / config.suite
        self.path = suite / "runs" / folder
        for place in (self.path.parent, self.path):
            refuse_link(place)
        self.lock = Lock(suite / ".locks" / f"{folder}.lock")
        self.checkpoints = Checkpoints(self.path, "checkpoint")

    @property
    def finished(self) -> bool:
        try:
            return bool(read_status(self.path)["status"] == "finished")
        except RunError:
            return False

    def portions(self) -> dict[int, Path]:
        """The finished seeds of this method in the suite, each with its run directory: of runs that differ from this one in seeds alone.

        Hashes are computed, not believed; a damaged run has no seed.
        """
        found: dict[int, Path] = {}
        for path in sorted(self.path.parent.glob(f"{glob.escape(self.prefix)}*/run.json")):
            with suppress(RunError, ConfigError, DataError, KeyError, TypeError, OSError):  # damaged, or started anew by another process
                record = read_status(path.parent)
                if record["status"] == "finished" and record["method_hash"] == self.method_hash and self._is_portion(path.parent):
                    found |= {seed: path.parent for seed in record["seeds"] if seed not in found}
        return found

    def _is_portion(self, folder: Path) -> bool:
        """True if the finished run in `folder` is whole, and its configuration has the hash that its record states."""
        record, tree = read_record(folder), read_config(folder)
        same = hashes_again(tree, record).get("method_hash") == self.method_hash and tree["seeds"] == record["seeds"]
        return same and not (record.get("manifest") and manifest.damage(folder))

    def portion(self, seeds: Sequence[int]) -> RunDir:
        """The directory of `seeds` of this run alone."""
        return RunDir(replace(self.config, seeds=list(seeds)), *self.identity)

    def start(self, record: Row) -> None:
        """Write the configuration and `record`, before training."""
        remove_scratch(self.path)
        write_atomic(self.path / "config.yaml", redact(OmegaConf.to_yaml(OmegaConf.structured(self.config))))
        write_json(self.path / "run.json", redact_tree(record | {"status": "running"}))

    def finish(self, record: Row, policy: dict[str, Tensor]) -> None:
        """Write the policies, the manifest of all files and, last of all, the record of a finished run, whose digest the manifest has."""
        write_atomic(self.path / "policy.safetensors", pack(policy))
        self.checkpoints.discard_previous()
        text = to_json(redact_tree(record | {"manifest": True, "status": "finished"}))
        manifest.sign(self.path, {"run.json": text})
        write_atomic(self.path / "run.json", text)

    def keep_policy(self, update: int, policy: dict[str, Tensor]) -> None:
        """Write the policies that the evaluation after `update` plays, so that it can be played again."""
        write_atomic(kept_policy(self.path, update), pack(policy))

    def damage(self) -> list[str]:
        """One line for each damaged file of a finished run (bench.storage.manifest); empty for a run of a version without manifests."""
        try:
            signed = read_status(self.path).get("manifest")
        except RunError:
            return []
        return manifest.damage(self.path) if signed else []

    def save(
        self,
        update: int,
        wall_time: float,
        seconds: Mapping[str, float],
        state: dict[str, Tensor],
        episodes: list[Row],
        curve: list[Row],
        metrics: dict[str, Tensor] | None = None,
    ) -> None:
        """Save after `update` updates; `metrics` are those of the last update if its evaluation is still missing.

        The rows are written first: rows newer than the checkpoint, which contains their digest, are dropped when the run is resumed.
        """
        about = {"wall_time_s": repr(wall_time), "seconds": json.dumps(dict(seconds)), "evaluated": str(_last(curve))}
        for name, rows, columns in (("episodes", episodes, episode_columns(episodes)), ("curve", curve, curve_columns(curve))):
            text = to_csv(rows, columns)
            about[name] = digest_of(text)
            if curve:
                _write_if_new(self.path / f"{name}.csv", text)
        waiting = {f"{METRIC}{k}": v for k, v in (metrics or {}).items()}
        about["metrics"] = json.dumps(list(metrics or {}))  # the order of curve.csv's columns, which safetensors does not keep
        self.checkpoints.save(update, state | waiting, about)

    def resume(self, point: Point | None = None) -> Resumed | None:
        """The last undamaged checkpoint (the last one at `point`, if given) with its rows; None if the run has not been saved.

        Damaged checkpoints are skipped with a note, and those newer than the returned one are removed.
        """
        notes: list[str] = []
        for place, found in enumerate(self.checkpoints.load()):
            resumed = found if isinstance(found, str) else self._with_rows(found)
            if isinstance(resumed, str):
                notes.append(resumed)
            elif point in (None, resumed.point):
                if place:
                    self.checkpoints.discard_newest()  # otherwise the next save would replace this one by it
                if notes:
                    notes[-1] += f"; resuming from the one before it, at update {resumed.update}"
                return resumed._replace(notes=notes)
        if notes:
            self.checkpoints.clear()
            return Resumed(0, 0.0, {}, [], [], {}, 0, [*notes[:-1], f"{notes[-1]}; starting over"], {})
        return None

    def points(self) -> list[Point]:
        """The points of the undamaged checkpoints, the newest first."""
        found = [c if isinstance(c, str) else self._with_rows(c) for c in self.checkpoints.load()]
        return [resumed.point for resumed in found if isinstance(resumed, Resumed)]

    def _with_rows(self, saved: Checkpoint) -> Resumed | str:
        """The checkpoint with its rows, or a message if they are damaged or missing."""
        about, tables = saved.about, {}
        needed = {"episodes": EPISODE_COLUMNS, "curve": () if self.config.env_choice.without else ("return_mean",)}
        for name in ("episodes", "curve"):
            path = self.path / f"{name}.csv"
            try:
                rows = [row for row in read_csv(path) if int(row["update"]) <= int(about["evaluated"])] if int(about["evaluated"]) else []
                columns = episode_columns(rows) if name == "episodes" else curve_columns(rows)
                whole = digest_of(to_csv(rows, columns)) == about[name]
                whole &= all(_is_row(row, needed[name]) for row in rows)
            except (OSError, ValueError, KeyError, TypeError, csv.Error, DataError):
                whole = False
            if not whole:
                return f"{path} is damaged (its rows up to update {about.get('evaluated')} are not those that were written)"
            tables[name] = rows
        state = {k: v for k, v in saved.state.items() if not k.startswith(METRIC)}
        try:
            metrics = {name: saved.state[METRIC + name] for name in parse_json(about["metrics"])}
            evaluated, wall_time = int(about["evaluated"]), float(about["wall_time_s"])
            seconds = {str(k): float(v) for k, v in parse_json(about.get("seconds", "{}")).items()}  # an earlier version saved none
            last = self.config.algo.updates + self.config.online.steps
            described = 0 <= evaluated <= saved.update <= last and all(map(math.isfinite, (wall_time, *seconds.values())))
        except (ValueError, KeyError, TypeError, AttributeError):
            described = False
        if not described:
            return f"a checkpoint in {self.path} is damaged (its metadata are not those of this run)"
        return Resumed(saved.update, wall_time, state, tables["episodes"], tables["curve"], metrics, evaluated, [], seconds)

    def clear(self) -> None:
        """Remove the run's results. If interrupted, the run still counts as finished or has no checkpoint."""
        self.checkpoints.clear()
        for name in ("policy.safetensors", "run.json", "episodes.csv", "curve.csv", manifest.NAME):
            (self.path / name).unlink(missing_ok=True)
        for path in kept_policies(self.path).values():
            path.unlink(missing_ok=True)


def _last(rows: Sequence[Row]) -> int:
    return int(rows[-1]["update"]) if rows else 0


def _write_if_new(path: Path, text: str) -> None:
    """Write `text` unless the file has it already, as between two evaluations."""
    try:
        same = read_bytes(path.parent, path.name, CSV_BYTES) == text.encode()
    except (OSError, DataError):
        same = False  # absent, or of another kind: replaced
    if not same:
        write_atomic(path, text)


def to_csv(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """Rows as CSV text; floats with all digits needed to read them back."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _is_row(row: Row, needed: Sequence[str]) -> bool:
    """True if `row` has the columns `needed`, and nothing but numbers. Raises ValueError or TypeError for another value."""
    int(row["seed"])
    for value in row.values():
        float(value or 0)
    return row.keys() >= set(needed)


def read_csv(path: Path) -> list[Row]:
    """The rows of CSV file `path` as texts. Raises DataError for what is no text file, csv.Error, OSError."""
    return list(csv.DictReader(io.StringIO(read_text(path.parent, path.name, CSV_BYTES), newline="")))
