"""Comparison of run directories."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from bench.storage.rundir import read_csv

TIMES = ("wall_time_s", "set_up_time_s", "seconds", "finished_at", "population_members", "threads")  # keys of run.json that may differ
# Batched and single matrix products may round differently; over the updates of these tests the difference stays below this.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def assert_same_run(one: Path, other: Path) -> None:
    """Assert that two run directories are equal but for times, rounding and the results folder."""
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
