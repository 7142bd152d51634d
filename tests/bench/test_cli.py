"""The real command in its own process: a tiny run from data to table, and a user's mistakes in one line with exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.helpers.cli import ID, TINY, bench, mistake
from tests.helpers.paths import ROOT


def test_a_sweep_from_data_to_table(folder: Path) -> None:
    """Two methods in one process, in the order given; then nothing is left to do; then the tables are rebuilt alike."""
    sweep = ["-m", "algo=bc,iw_sft_q", "seeds=[0,1]", "algo.curation.percentiles=[50]", *TINY]
    done = bench(folder, *sweep)
    suite = folder / "results" / "single"
    table = (suite / "table.md").read_text()
    assert table in done.stdout
    assert "| data set | bc | iw_sft_q |" in table
    assert "[1/2] bc" in done.stderr
    assert "[2/2] iw_sft_q" in done.stderr
    board = pd.read_csv(suite / "leaderboard.csv")
    assert set(board["algo"]) == {"bc", "iw_sft_q"}
    assert np.isfinite(board["score_mean"]).all()
    assert len(pd.read_csv(suite / "scores.csv")) == 2 * 2 * (2 + 3)

    again = bench(folder, *sweep)
    assert again.stderr.count("finished before") == 2
    assert (suite / "leaderboard.csv").read_text() == board.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    assert bench(folder, "tables", str(suite)).stdout == table


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["algo=iw_stf"], "error: algo=iw_stf: no such algo; near names: iw_sft"),
        (["seed=3"], "error: unknown key 'seed'; near names: seeds"),
        (["seeds=[0,0]"], "error: seeds = [0, 0]: expected each seed once"),
        (["seeds=[zero]"], "error: seeds=[zero]: Value 'zero' of type 'str' could not be converted to Integer"),
        (["seeds=[0"], "error: "),
        (["algo.learning_rate=-4e-5"], "error: algo.learning_rate = -4e-05: expected a positive number"),
        (["algo.curation.percentiles=[90,120]"], "error: algo.curation.percentiles = [90.0, 120.0]: expected percentiles"),
        (["dataset=iwsft/hoper/medium-v0"], "error: no data set 'iwsft/hoper/medium-v0'; near names: iwsft/hopper/medium-v0"),
        (["dataset=../../etc-v0"], "error: dataset '../../etc-v0' is not a Minari id"),
        (["-m", "algo=bc,nonsense"], "error: algo=nonsense: no such algo"),
        (["-m", "algo.weighting.temperature=1,-1"], "error: algo.weighting.temperature = -1.0: expected a number of at least 0"),
        (["-m", "algo=bc,sft", "dataset=iwsft/hopper/large-v0"], "error: no data set 'iwsft/hopper/large-v0'"),
    ],
)
def test_mistakes(folder: Path, arguments: list[str], line: str) -> None:
    assert mistake(folder, *arguments).startswith(line)


def test_a_results_folder_that_cannot_be_written(folder: Path) -> None:
    (folder / "file").write_text("")
    for arguments in ([], ["-m", "algo=bc,sft"]):
        assert "is not a folder; choose another with results_dir=PATH" in mistake(folder, *arguments, "results_dir=file/results")
    if os.geteuid() != 0:  # root may write anywhere
        (folder / "locked").mkdir(mode=0o500)
        assert "is not writable" in mistake(folder, "results_dir=locked/results")


@pytest.mark.parametrize("algo", ["filtered_bc", "sft"])
def test_no_trajectory_left(folder: Path, algo: str) -> None:
    done = bench(folder, f"algo={algo}", "algo.curation.min_score=1e9", *TINY, code=2)
    assert "error: no trajectory is left after filtering: the best score is" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "results").exists()  # no pi_ref either


def test_data_that_are_not_finite(tmp_path: Path, pendulum_data: Callable[..., Any]) -> None:
    def spoil(episodes: list) -> None:
        episodes[2][2][0] = np.inf

    pendulum_data(change=spoil)
    done = bench(tmp_path, *TINY, code=2)
    assert f"error: {ID}: episode 2, step 0: rewards is not finite; correct or remove the episode" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_help_names_the_groups(tmp_path: Path) -> None:
    text = bench(tmp_path, "--help").stdout
    for word in ("algo=NAME", "iw_sft_q", "suite=quick", "final_episodes"):
        assert word in text


def test_wandb_offline_beside_the_run_directory(folder: Path) -> None:
    bench(folder, "algo=bc", "logger=wandb", "seeds=[0]", *TINY)
    assert list(folder.glob("results/single/runs/*/wandb/offline-run-*/*.wandb"))
    assert (folder / "results" / "single" / "table.md").exists()


def test_wandb_without_a_server_stops_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "not a url")
    bench(folder, "algo=bc", "logger=wandb", "seeds=[0]", *TINY)
    assert (folder / "results" / "single" / "table.md").exists()


def test_a_command_starts_without_what_only_tables_need(tmp_path: Path) -> None:
    """A second `make bench` says its first line in under 2 s; pandas and matplotlib alone would take a third of that."""
    code = (
        "import sys, bench.cli, bench.launch.callbacks; print(sorted({'pandas', 'matplotlib', 'wandb', 'scipy.stats'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"
