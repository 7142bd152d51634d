"""`hydra/launcher=population` and `population.KEY`, through the command: the same run directories and rows as one job each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher

from bench import cli
from bench.report.suite import rebuild
from tests.helpers.cli import TINY, bench
from tests.helpers.paths import ROOT
from tests.helpers.runs import assert_same_run

TOGETHER = "hydra/launcher=population"


@pytest.fixture
def folder(tmp_path: Path, pendulum_data: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    pendulum_data(ref_min_score=5.0, ref_max_score=1000.0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    return tmp_path


@pytest.fixture
def command() -> Callable[..., None]:
    """A function that runs `python -m bench` in this process, without tables, which is faster."""

    def call(*arguments: str, code: int = 0) -> None:
        assert cli.run([*arguments, *TINY, "~hydra.callbacks.tables"]) == code

    return call


def runs(folder: Path, results: str) -> dict[str, Path]:
    return {p.name: p for p in (folder / results / "single" / "runs").iterdir()}


def test_a_sweep_leaves_the_runs_of_its_jobs_alone(folder: Path, command: Callable[..., None], capfd: pytest.CaptureFixture[str]) -> None:
    """Four jobs are two populations and three runs, as bc has no weights. Repeated with another seed, the sweep trains that seed alone."""
    sweep = ["-m", "algo=bc,iw_sft", "algo.weighting.temperature=1,6", "algo.curation.percentiles=[50]"]
    done = bench(folder, *sweep, "seeds=[0,1]", *TINY, TOGETHER, "results_dir=together", "~hydra.callbacks.tables")
    assert "[1-2/4] bc test/pendulum/random-v0 (2 runs, 4 members): training, 20 updates" in done.stderr
    assert "[3-4/4] iw_sft test/pendulum/random-v0 (2 runs, 4 members): weighting.temperature=6: return" in done.stderr
    command(*sweep, "seeds=[0,1]", "results_dir=alone")
    together, alone = runs(folder, "together"), runs(folder, "alone")
    assert together.keys() == alone.keys()
    assert len(together) == 1 + 2
    for name, path in together.items():
        assert_same_run(path, alone[name])
    for results in ("together", "alone"):
        rebuild(folder / results / "single", page=False)
    scores = [pd.read_csv(folder / results / "single" / "scores.csv") for results in ("together", "alone")]
    pd.testing.assert_frame_equal(*scores, rtol=1e-3)

    before = {p: p.stat().st_mtime_ns for path in together.values() for p in path.iterdir()}
    capfd.readouterr()
    command(*sweep, "seeds=[0,1],[2]", TOGETHER, "results_dir=together")
    assert capfd.readouterr().err.count("finished before") == 4
    assert len(runs(folder, "together")) == 2 + 4
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_values_below_population_are_runs_of_their_own(folder: Path, command: Callable[..., None]) -> None:
    one = ["algo=iw_sft", "seeds=[0,1]", "algo.curation.percentiles=[50]"]
    command(*one, "population.temperature=[1,6]", "population.ema_rate=[0.1,0.5]", "trainer.max_members=6", "results_dir=together")
    command("-m", *one, "algo.weighting.temperature=1,6", "algo.weighting.ema_rate=0.5", "results_dir=alone")
    together, alone = runs(folder, "together"), runs(folder, "alone")
    assert len(together) == 4
    assert len(alone) == 2
    assert alone.keys() < together.keys()
    for name, path in alone.items():
        config, other = ((p / "config.yaml").read_text() for p in (path, together[name]))
        assert "population: {}" in config
        assert other.replace("max_members: 6", "max_members: null").replace("together", "alone") == config


@pytest.mark.parametrize("arguments", [[], ["-m", "algo.hidden=[8],[9]"], ["-m", "algo.hidden=[8],[9]", TOGETHER]])
def test_mistakes(folder: Path, command: Callable[..., None], arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    command(*arguments, "algo=bc", "population.alpha=[1]", code=2)
    lines = capfd.readouterr().err.splitlines()
    assert lines == [
        "error: population.alpha: members of bc cannot differ in it; they can in learning_rate, "
        "weighting.temperature, weighting.minimum, weighting.maximum, weighting.ema_rate, weighting.min_ess, "
        "weighting.min_trajectories, weighting.defensive, weighting.discount, weighting.clip"
    ]
    assert not (folder / "results" / "single" / "runs").exists()


def test_hydra_finds_the_launcher_and_it_loads_no_large_library() -> None:
    """Hydra imports every plugin whenever any of its programs starts."""
    assert "PopulationLauncher" in [c.__name__ for c in Plugins.instance().discover(Launcher)]
    code = "import sys, hydra_plugins.iwsft_population.launcher; print(sorted({'torch', 'bench', 'algos', 'numpy'} & set(sys.modules)))"
    root = ROOT
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=os.environ, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"
