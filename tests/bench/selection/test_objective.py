"""A tuner that maximises an estimate from logged data, and what the leaderboard says about it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.config.compose import compose
from bench.config.saved import load_config
from bench.errors import RunError
from bench.launch import tuning
from bench.selection.options import Options
from bench.selection.select import select
from bench.training.shared import Shared
from tests.bench.selection.conftest import SMALL
from tests.helpers.cli import bench
from tests.helpers.episodes import PENDULUM


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path


def run_of(results: Path, algo: str) -> Any:
    (folder,) = (results / "mine" / "runs").glob(f"*-{algo}-*")
    return _Folder(folder)


def test_the_objective_is_the_mean_estimate_of_the_seeds(results: Path) -> None:
    run = run_of(results, "iql")
    config = replace(load_config(run.path), objective="log_likelihood")
    rows = select([run.path], Options(estimators=("log_likelihood",))).rows
    assert tuning.objective(config, run) == pytest.approx(rows["estimate"].mean())
    assert rows["estimate"].nunique() == 2
    assert tuning.objective(replace(config, objective="environment"), run) != pytest.approx(rows["estimate"].mean())


def test_policies_without_a_density_have_no_such_estimate(results: Path) -> None:
    run = run_of(results, "td3_bc")
    config = replace(load_config(run.path), objective="log_likelihood")
    with pytest.raises(RunError, match=r"^objective=log_likelihood: policies of td3_bc have no density; use objective=fqe$"):
        tuning.objective(config, run)


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["algo=bc", "env=none"], r"^env=none: a trial without episodes has no score; give env=ID, or an objective without one: fqe, "),
        (["algo=td3_bc", "objective=log_likelihood"], r"^objective=log_likelihood: policies of td3_bc have no density; use objective=fqe$"),
        (
            ["algo=bc", "env=none", "objective=doubly_robust", f"dataset={PENDULUM}"],
            r"^objective=doubly_robust: .*states no infos/log_prob, .*; choose an objective that needs none: fqe",
        ),
    ],
)
def test_trials_that_would_have_no_score_are_refused_before_the_first_one(overrides: list[str], line: str) -> None:
    with Shared() as shared, pytest.raises(RunError, match=line):
        tuning.check_trials([compose(["dataset=iwsft/fork-v0", *SMALL, *overrides])], shared)


@pytest.mark.usefixtures("results")
def test_a_tuner_without_scores_trains_nothing(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    tune = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "algo.learning_rate=interval(1e-4,1e-2)", "results_dir=tuned"]
    done = bench(tmp_path, *tune, "algo=td3_bc", "objective=log_likelihood", "dataset=iwsft/fork-v0", *SMALL, code=2)
    assert done.stderr.splitlines()[1:] == ["error: objective=log_likelihood: policies of td3_bc have no density; use objective=fqe"]
    assert not (tmp_path / "tuned").exists()


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("overrides", [[], ["env=none", "objective=fqe"], ["objective=doubly_robust"]])
def test_trials_that_have_a_score(overrides: list[str]) -> None:
    with Shared() as shared:
        tuning.check_trials([compose(["dataset=iwsft/fork-v0", "algo=bc", *SMALL, *overrides])], shared)


def test_a_tuner_needs_no_environment(results: Path, tmp_path: Path) -> None:
    """Trials and the advised command say in the leaderboard what their configuration was chosen by."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    tune = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "objective=log_likelihood", "algo=bc", "dataset=iwsft/fork-v0"]
    done = bench(tmp_path, *tune, "algo.learning_rate=interval(1e-4,1e-2)", "env=none", *SMALL, "results_dir=tuned")
    board = pd.read_csv(tmp_path / "tuned" / "single" / "leaderboard.csv")
    assert len(board) == 2
    assert set(board["chosen_by"]) == {"log_likelihood"}
    assert "This estimate (log_likelihood) is biased upwards" in done.stdout
    advised = re.search(r"^  python -m bench (.*)$", done.stdout, re.MULTILINE)
    assert advised is not None
    bench(tmp_path, *shlex.split(advised.group(1)))
    board = pd.read_csv(tmp_path / "tuned" / "chosen" / "single" / "leaderboard.csv")
    assert list(board["chosen_by"]) == ["log_likelihood"]
    assert list(board["configs_tried"]) == [2]
