"""Run directories, compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from bench.storage.rundir import read_csv

TIMES = ("wall_time_s", "set_up_time_s", "finished_at", "population_members")  # of run.json, which say how it was run
# Batched and single matrix products may round differently; over the updates of these tests the difference stays below this.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def assert_alike(one: Path, other: Path) -> None:
    """Two run directories of the same name say the same, but for times, rounding and the folder of results."""
    assert one.name == other.name
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in other.iterdir())
    records = [{k: v for k, v in json.loads((p / "run.json").read_text()).items() if k not in TIMES} for p in (one, other)]
    assert records[0] == records[1]
    settings = [[x for x in (p / "config.yaml").read_text().splitlines() if not x.startswith("results_dir")] for p in (one, other)]
    assert settings[0] == settings[1]
    for name, exact in (("episodes.csv", ("update", "seed", "episode", "length")), ("curve.csv", ("update", "seed"))):
        rows = [read_csv(p / name) for p in (one, other)]
        assert [list(r) for r in rows[0]] == [list(r) for r in rows[1]]
        assert [[r[k] for k in exact] for r in rows[0]] == [[r[k] for k in exact] for r in rows[1]]
        values = [np.array([[float(v) for v in r.values()] for r in own]) for own in rows]
        np.testing.assert_allclose(values[0], values[1], rtol=1e-3, atol=1e-4)
    for name in ("policy.safetensors", "checkpoint.safetensors"):
        tensors = [load_file(p / name) for p in (one, other)]
        assert tensors[0].keys() == tensors[1].keys()
        for key, value in tensors[0].items():
            torch.testing.assert_close(value, tensors[1][key], **TOLERANCE)
