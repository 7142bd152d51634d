"""A trained CFGRL run, evaluated at several guidance weights and with other numbers of episodes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from algos.errors import ConfigError
from bench.config.compose import compose
from bench.replay.evaluate import evaluate
from bench.training.run import train_run
from bench.training.shared import Shared
from tests.helpers.episodes import PENDULUM

SMALL = (
    "algo=cfgrl", "algo.hidden=[8]", "algo.batch_size=16", "algo.steps=4", "algo.updates=20", "seeds=[0,1]", "eval.every=10",
    "eval.episodes=2", "eval.final_episodes=3", "eval.workers=1", "device=cpu", f"dataset={PENDULUM}",
)  # fmt: skip


@pytest.fixture
def guided(fresh_data: None, tmp_path: Path, shared: Shared) -> Path:
    return train_run(compose((*SMALL, f"results_dir={tmp_path}")), shared).path


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


def test_a_run_is_evaluated_at_several_weights(guided: Path) -> None:
    """The weight that the run was evaluated with, 1.5, gives the recorded episodes; another one gives others from the same starts."""
    lines = evaluate(guided, ["guidance=1.5,1000"], workers=1).splitlines()
    assert [line.split("|")[1].strip() for line in lines] == ["guidance", "---:", "1.5", "1000"]
    swept = rows_of(guided / "evaluation.csv")
    final = [row for row in rows_of(guided / "episodes.csv") if row["update"] == "20"]
    assert [{k: v for k, v in row.items() if k != "guidance"} for row in swept if row["guidance"] == "1.5"] == final
    others = [row["return"] for row in swept if row["guidance"] == "1000.0"]
    assert len(others) == len(final) == 6
    assert others != [row["return"] for row in final]


def test_more_episodes_begin_with_the_recorded_ones(guided: Path) -> None:
    evaluate(guided, ["episodes=5"], workers=1)
    found = rows_of(guided / "evaluation.csv")
    assert [row for row in found if int(row["episode"]) < 3] == [r for r in rows_of(guided / "episodes.csv") if r["update"] == "20"]
    assert len(found) == 10


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("guidance=1,a", r"^'guidance=1,a': expected KEY=VALUE,VALUE,... with numbers$"),
        ("guidance", "^'guidance': expected KEY=VALUE"),
        ("guidance=-1", r"^algo\.guidance = -1.0: expected"),
        ("guidance=1,inf", r"^algo\.guidance = inf: expected"),
        ("temperature=1", "^'temperature=1': the evaluation settings of cfgrl are guidance, episodes"),
        ("episodes=1,2", "^episodes = 1,2: expected one positive whole number$"),
        ("episodes=0.5", "^episodes = 0.5: expected one positive whole number$"),
    ],
)
def test_a_refused_argument_is_one_line_and_leaves_no_file(guided: Path, argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(guided, [argument], workers=1)
    assert not (guided / "evaluation.csv").exists()
