"""The real command in its own process: a tiny run from data to table, and a user's mistakes in one line with exit code 2."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import cli
from bench.config.compose import compose
from bench.errors import EXIT_DIFFERENCE, RunError
from bench.report.render import aligned
from bench.training.signals import Terminated
from tests.helpers.cli import ID, TINY, bench, mistake
from tests.helpers.paths import ROOT


def test_a_sweep_from_data_to_table(folder: Path) -> None:
    """Two methods are trained in the given order. The sweep trains nothing when repeated, and its rebuilt tables are equal."""
    sweep = ["-m", "algo=bc,iw_sft_q", "seeds=[0,1]", "algo.curation.percentiles=[50]", *TINY]
    done = bench(folder, *sweep)
    suite = folder / "results" / "single"
    table = (suite / "table.md").read_text()
    assert aligned(table) in done.stdout
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
    assert bench(folder, "tables", str(suite)).stdout == aligned(table)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["algo=iw_stf"], "error: algo=iw_stf: no such algo; near names: iw_sft"),
        (["seed=3"], "error: unknown key 'seed'; near names: seeds"),
        (["seeds=[0,0]"], "error: seeds = [0, 0]: expected each seed once"),
        (["seeds=[zero]"], "error: seeds=[zero]: expected a number of seeds, a range such as 0-2, or a list such as 'seeds=[4,7]'"),
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


def test_a_results_folder_that_cannot_be_written_is_an_error(folder: Path) -> None:
    (folder / "file").write_text("")
    for arguments in ([], ["-m", "algo=bc,sft"]):
        assert "is not a folder; choose another with results_dir=PATH" in mistake(folder, *arguments, "results_dir=file/results")
    if os.geteuid() != 0:  # root may write anywhere
        (folder / "locked").mkdir(mode=0o500)
        assert "is not writable" in mistake(folder, "results_dir=locked/results")


@pytest.mark.parametrize("algo", ["filtered_bc", "sft"])
def test_no_trajectory_left_is_an_error(folder: Path, algo: str) -> None:
    done = bench(folder, f"algo={algo}", "algo.curation.min_score=1e9", *TINY, code=2)
    assert "error: no trajectory is left after filtering: the best score is" in done.stderr
    assert "Traceback" not in done.stderr
    left = [p for p in (folder / "results").rglob("*") if p.is_file()]
    assert {p.suffix for p in left} == {".lock"}  # neither a run nor pi_ref


def test_data_that_are_not_finite_are_an_error(tmp_path: Path, pendulum_data: Callable[..., Any]) -> None:
    def spoil(episodes: list) -> None:
        episodes[2][2][0] = np.inf

    pendulum_data(change=spoil)
    done = bench(tmp_path, *TINY, code=2)
    assert f"error: {ID}: episode 2, step 0: rewards is not finite; correct or remove the episode" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_help_lists_keys_and_commands_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    text = capsys.readouterr().out
    known = compose().__dict__
    for key, default in (("dataset", known["dataset"]), ("eval.every", 500), ("trainer.engine", "auto"), ("report.mixed", "false")):
        assert f"  {key}={default}" in text
    for words in ("algo=iw_sft_q", "suite=quick", "iw_sft, iw_sft_q", "tensorboard, wandb", "updates between evaluations"):
        assert words in text
    for name in cli.commands():
        assert f"\n  {name} " in text
    assert max(map(len, text.splitlines())) <= 100
    code = "import sys; from bench.cli import run; run(['--help']); print({'torch', 'pandas', 'hydra'} & set(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_help_of_a_method_shows_its_keys(tmp_path: Path) -> None:
    text = bench(tmp_path, "algo=iql", "eval.every=7", "--help").stdout
    assert "  algo.expectile=0.7                    of V among the values of Q\n" in text
    assert "  eval.every=7                          updates between evaluations\n" in text
    assert "percentiles" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_version_is_this_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert re.fullmatch(r"iwsft-bench \S+, revision \S+, Python 3\.\S+, torch \S+\n", capsys.readouterr().out)


@pytest.mark.parametrize("name", list(cli.commands()))
def test_every_command_has_a_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example:\n  python -m bench {name}" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["tabels", "results"], "error: no command 'tabels'; near names: tables; python -m bench --help lists commands and keys"),
        (["tables"], "error: the following arguments are required: suite; see python -m bench tables --help"),
        (["tables", "nowhere"], "error: nowhere: no finished run in it; expected nowhere/runs/*/run.json"),
        (["compare", "nowhere", "nowhere"], "error: nowhere: neither a run directory (run.json) nor a suite (runs/)"),
        (["verify", "nowhere"], "error: nowhere"),
        (["merge", "none.csv"], "error: none.csv: No such file or directory"),
        (["behaviour", "nobody"], "error: behaviour"),
        (["record"], "error: record: expected ids or --all; built-in data sets are iwsft/"),
        (["convert", "none.hdf5"], "error: convert: expected FILE.hdf5 and ID"),
        (["convert", "none.hdf5", "mine/hopper-v0"], "error: none.hdf5"),
        (["speed", "rounds=many"], "error: rounds=many: expected a whole number"),
        (["--resume"], "error: unrecognized arguments: --resume; see python -m bench --help"),
        (["algo=bc", "--cfg", "jobs"], "error: argument --cfg/-c: invalid choice: 'jobs'"),
        (["algo=bc", "extra"], "error: 'extra': expected KEY=VALUE, or an option such as -m; see python -m bench --help"),
        (["--help", "extra"], "error: 'extra': expected KEY=VALUE"),
    ],
)
def test_a_mistake_in_a_command_is_one_line(
    arguments: list[str], line: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command with a mistake prints one line and leaves nothing."""
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def command(outcome: Any) -> int:
        def dispatch(arguments: list[str]) -> int:
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setattr(cli, "dispatch", dispatch)
        return cli.run([])

    assert [command(0), command(EXIT_DIFFERENCE)] == [0, 1]
    assert command(RunError("a mistake")) == 2
    assert command(OSError(28, "No space left on device", "there")) == 2
    assert command(KeyboardInterrupt()) == 130
    assert command(Terminated(signal.SIGTERM)) == 75
    capsys.readouterr()
    for defect in (ZeroDivisionError("a defect"), OSError("raised by hand in a method")):
        assert command(defect) == 1
        assert "Traceback" in capsys.readouterr().err


def test_wandb_writes_an_offline_run_into_the_run_directory(folder: Path) -> None:
    bench(folder, "algo=bc", "logger=wandb", "seeds=[0]", *TINY)
    assert list(folder.glob("results/single/runs/*/wandb/offline-run-*/*.wandb"))
    assert (folder / "results" / "single" / "table.md").exists()


def test_wandb_without_a_server_does_not_stop_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "not a url")
    bench(folder, "algo=bc", "logger=wandb", "seeds=[0]", *TINY)
    assert (folder / "results" / "single" / "table.md").exists()


def test_a_command_starts_without_the_libraries_of_tables(tmp_path: Path) -> None:
    """A second `make bench` prints its first line in under 2 s; pandas and matplotlib alone would take a third of that."""
    code = (
        "import sys, bench.cli, bench.launch.callbacks; print(sorted({'pandas', 'matplotlib', 'wandb', 'scipy.stats'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"
