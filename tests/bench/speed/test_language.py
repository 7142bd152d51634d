"""`python -m bench speed language` measures the suite and the plain loop, which learn and write the same things."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import cli
from bench.errors import EXIT_MISTAKE
from bench.speed.language import COLUMNS, Plain, _plain_generation, _plain_training, _written
from bench.speed.rows import read_csv
from envs.evaluation.tokens.vocabulary import CHARACTERS, CONTEXT, END
from envs.readers.load import load
from envs.recorded.tokens.sets import record_tokens

DATASET = "iwsft/maze/mixed-v0"
QUICK = ("language", f"dataset={DATASET}", "members=[2]", "hidden=[16]", "batch=4", "rounds=2", "seconds=0.01", "threads=1", "device=cpu")


def test_rates_and_ratios(minari_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record_tokens(DATASET, minari_root, episodes=50)
    assert cli.run(["speed", *QUICK, f"out={tmp_path}"]) == 0
    rows = read_csv(tmp_path / "language-cpu.csv", COLUMNS)
    found = {(r["kind"], r["what"], r["members"]): r for r in rows}
    assert set(found) == {(k, w, m) for k, m in (("suite", 2), ("plain", 1)) for w in ("train", "tokens", "generate")}
    assert all(r["rate"] == pytest.approx(r["members"] * r["member_rate"], rel=1e-4) for r in rows)
    assert all(r["ratio"] == 1 for r in rows if r["kind"] == "plain")
    assert all(r["ratio_low"] <= r["ratio"] <= r["ratio_high"] for r in rows)
    assert "| generated tokens/s | suite | 2 | 1 |" in capsys.readouterr().out


def test_the_plain_loop_learns_and_writes(minari_root: Path) -> None:
    record_tokens(DATASET, minari_root, episodes=50)
    data = load(DATASET).trajectories
    torch.manual_seed(0)
    net = Plain(len(CHARACTERS), CONTEXT, 16, 1)
    train, before = _plain_training(net, data, 8), _plain_generation(net, data, 8)()
    for _ in range(60):
        train()
    assert 0 < _plain_generation(net, data, 8)() < before  # it has learned to end its answers


def test_written_tokens_end_with_their_answer() -> None:
    tokens = torch.full((2, CONTEXT), 5)
    tokens[0, 7] = END
    assert _written(tokens, torch.tensor([3, 60])) == (7 - 3 + 1) + 4


def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["speed", "language", "hidden=[16,20]"]) == EXIT_MISTAKE
    assert "hidden = [16, 20]: expected equal widths of blocks" in capsys.readouterr().err
