"""A run directory: everything that one run leaves behind, named by a hash of what determines its result.

config.yaml        the resolved configuration
run.json           who, what and on what; `status` is finished when all the rest is there
episodes.csv       the primary artefact: raw return and length of every evaluation episode
curve.csv          metrics by update and seed
checkpoint.safetensors   everything needed to go on training
policy.safetensors       the final policies, named parameters [seed, ...]
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
from typing import Any

from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from bench.config import Config
from bench.errors import RunError
from bench.files import write_atomic, write_json

FORMAT = 1  # raised when the same settings no longer give the same result
EPISODE_COLUMNS = ("update", "seed", "episode", "return", "length")

Row = dict[str, Any]


def digest_of(content: Any) -> str:
    """A short, stable hash of plain data."""

    def plain(value: Any) -> Any:
        return value.name if isinstance(value, Enum) else str(value)

    return hashlib.sha256(json.dumps(content, sort_keys=True, default=plain).encode()).hexdigest()[:12]


def config_hash(config: Config, dataset_digest: str, arithmetic: str, pi_ref_digest: str | None = None) -> str:
    """The hash of what determines a run's result: method, data (and pi_ref's, if others), seeds, evaluation, arithmetic."""
    evaluation = {k: v for k, v in asdict(config.eval).items() if k in ("every", "episodes", "final_episodes")}
    parts = (FORMAT, config.algo.determinants(), config.dataset, dataset_digest, list(config.seeds), evaluation, arithmetic)
    return digest_of(parts if pi_ref_digest is None else (*parts, pi_ref_digest))


class RunDir:
    """The directory of one run of `config`."""

    def __init__(self, config: Config, dataset_digest: str, arithmetic: str, pi_ref_digest: str | None = None) -> None:
        self.config, self.hash = config, config_hash(config, dataset_digest, arithmetic, pi_ref_digest)
        data = re.sub(r"[^\w.+-]+", "-", config.dataset)[:150]
        folder = f"{data}-{config.algo.name}-{self.hash}"
        self.path = Path(config.results_dir) / config.suite / "runs" / folder

    @property
    def finished(self) -> bool:
        record = self.path / "run.json"
        return record.exists() and json.loads(record.read_text())["status"] == "finished"

    def start(self, record: Row) -> None:
        """Write what is known before training."""
        write_atomic(self.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(self.config)))
        write_json(self.path / "run.json", record | {"status": "running"})

    def finish(self, record: Row, policy: dict[str, Tensor]) -> None:
        """Write the policies and then, last of all, that the run is finished."""
        write_atomic(self.path / "policy.safetensors", save({k: v.cpu().contiguous() for k, v in policy.items()}))
        write_json(self.path / "run.json", record | {"status": "finished"})

    def save(self, update: int, wall_time: float, state: dict[str, Tensor], episodes: list[Row], curve: list[Row]) -> None:
        """Save after `update` updates. The rows go first: rows newer than the checkpoint are dropped when it is resumed."""
        write_atomic(self.path / "episodes.csv", to_csv(episodes, EPISODE_COLUMNS))
        write_atomic(self.path / "curve.csv", to_csv(curve, list(curve[-1])))
        metadata = {"update": str(update), "wall_time_s": repr(wall_time)}
        write_atomic(self.path / "checkpoint.safetensors", save({k: v.cpu().contiguous() for k, v in state.items()}, metadata))

    def resume(self) -> tuple[int, float, dict[str, Tensor], list[Row], list[Row]] | None:
        """(update, wall time, state, episode rows, curve rows) of the last save, or None. Raises RunError for a damaged one."""
        path = self.path / "checkpoint.safetensors"
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as f:
                metadata, state = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 (it is no mapping)
            update = int(metadata["update"])
            episodes, curve = (
                [row for row in read_csv(self.path / name) if int(row["update"]) <= update] for name in ("episodes.csv", "curve.csv")
            )
        except Exception as error:  # safetensors raises its own kinds
            raise RunError(f"{path} cannot be read ({str(error).splitlines()[0]}); remove {self.path} and run again") from error
        return update, float(metadata["wall_time_s"]), state, episodes, curve

    def clear(self) -> None:
        """Forget what the run has done so far."""
        for name in ("run.json", "checkpoint.safetensors", "policy.safetensors", "episodes.csv", "curve.csv"):
            (self.path / name).unlink(missing_ok=True)


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
