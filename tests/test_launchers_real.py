"""Sweeps through every launcher and the tuner, for real: each leaves what Hydra's own launcher leaves. Needs the extras (Makefile)."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import random_episodes, write_minari
from test_cli import ROOT, TINY, bench

pytestmark = pytest.mark.slow

LEARNING = ["algo.scratch.learning_rate=0.05", "algo.finetune.learning_rate=0.05", "seeds=[0,1]"]  # so that methods differ in 20 updates
SWEEP = ["-m", "algo=sft,iw_sft_q", "algo.curation.percentiles=[50]", *TINY, *LEARNING]
MEASURED = ["dataset", "algo", "selection", "seeds", "config_hash", "return_mean", "return_std", "configs_tried"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a Minari root, and without a limit on threads from outside."""
    folder = tmp_path_factory.mktemp("launchers")
    (folder / "minari").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "minari"))
        patch.delenv("OMP_NUM_THREADS", raising=False)
        write_minari("test/pendulum/random-v0", random_episodes(30, obs=4, act=1), ref_min_score=5.0, ref_max_score=1000.0)
        yield folder


@pytest.fixture(scope="module")
def alone(root: Path) -> pd.DataFrame:
    """What the sweep leaves when its jobs run one after another in one process."""
    bench(root, *SWEEP, "results_dir=alone")
    board = measured(root / "alone")
    last = board[board["selection"] == "last"]
    assert last["return_mean"].nunique() == len(last) == 2  # or equality would say little
    return board


def measured(results: Path) -> pd.DataFrame:
    return pd.read_csv(results / "single" / "leaderboard.csv")[MEASURED]


def sweep_is_as_alone(root: Path, alone: pd.DataFrame, name: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run the sweep with `arguments` into a relative folder; its table is the one of `alone`, printed, and pi_ref was trained once."""
    done = bench(root, *SWEEP, *arguments, f"results_dir={name}")
    results = root / name
    pd.testing.assert_frame_equal(measured(results), alone)
    assert (results / "single" / "table.md").read_text() in done.stdout
    logs = done.stderr + "".join(p.read_text() for p in results.glob("single/.hydra/.submitit/*/*.err"))
    assert logs.count("training pi_ref") == 1
    assert len(list((results / ".pi_ref").glob("*.safetensors"))) == 1
    return done


def test_joblib_on_two_cores(root: Path, alone: pd.DataFrame) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep_is_as_alone(root, alone, "joblib", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    again = bench(root, *SWEEP, "hydra/launcher=joblib", "results_dir=joblib")
    assert again.stderr.count("finished before") == 2


def test_a_job_that_fails_costs_the_others_nothing(root: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    settings = ["algo=bc", "algo.scratch.learning_rate=1e38,1e-3", *TINY, "seeds=[0]", "results_dir=failing"]
    done = bench(root, "-m", "hydra/launcher=joblib", *settings, code=2)
    line = "error: bc, seed 0: parameters are not finite after update 10; lower the learning rate"
    assert done.stderr.splitlines()[-1] == line
    assert "Traceback" not in done.stderr
    assert "| test/pendulum/random-v0 |" in done.stdout
    board = pd.read_csv(root / "failing" / "single" / "leaderboard.csv")
    assert set(board["configs_tried"]) == {2}
    assert board["config_hash"].nunique() == 1


def test_a_job_that_is_killed_is_one_line(root: Path) -> None:
    """As the kernel does where memory ends."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    command = [sys.executable, "-m", "bench", "-m", "hydra/launcher=joblib", "algo=bc", "algo.scratch.learning_rate=1e-3,2e-3", *TINY]
    command += ["algo.scratch.updates=100000000", "eval.every=50000000", "results_dir=killed"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "training" in line:
            break
    children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True).stdout
    worker = next(int(child.split()[0]) for child in children.splitlines() if "loky" in child and "resource_tracker" not in child)
    os.kill(worker, signal.SIGKILL)
    _, rest = process.communicate(timeout=120)
    assert process.returncode == 2, rest
    assert re.search(r"^error: a job ended without a result \(TerminatedWorkerError: .*the same command goes on", rest, re.MULTILINE)
    assert "Traceback" not in rest


def test_submitits_local_executor(root: Path, alone: pd.DataFrame) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    done = sweep_is_as_alone(root, alone, "submitit", "hydra/launcher=submitit_local")
    assert "logs of the jobs: submitit/single/.hydra/.submitit/JOB" in done.stderr


def test_optuna_counts_what_it_tried_and_goes_on(root: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    tune = ["-m", "hydra/sweeper=optuna", "algo=bc", "algo.scratch.learning_rate=tag(log,interval(1e-3,1e-1))", *TINY, "seeds=[0,1]"]
    done = bench(root, *tune, "hydra.sweeper.n_trials=3", "results_dir=tuned")
    board = pd.read_csv(root / "tuned" / "single" / "leaderboard.csv")
    last = board[board["selection"] == "last"]
    assert len(last) == 3
    assert set(board["configs_tried"]) == {3}
    best = float(re.search(r"^best of 3 trials: algo\.scratch\.learning_rate=\S+, (\S+)$", done.stdout, re.MULTILINE).group(1))  # type: ignore[union-attr]
    assert best == pytest.approx(last["score_mean"].max(), abs=0.01)
    assert "[3/3] bc" in done.stderr

    again = bench(root, *tune, "hydra.sweeper.n_trials=4", "results_dir=tuned")  # the same three, from the disk, and one more
    assert again.stderr.count("finished before") == 3
    command = re.search(r"^  python -m bench (.*)$", again.stdout, re.MULTILINE).group(1).split(" ")  # type: ignore[union-attr]
    assert command[-1] == "seeds=[2,3]"
    fresh = bench(root, *command)
    assert "seeds [2, 3]" in fresh.stdout or len(pd.read_csv(root / "tuned" / "single" / "leaderboard.csv")["seeds"].unique()) == 2
    assert set(pd.read_csv(root / "tuned" / "single" / "leaderboard.csv")["configs_tried"]) == {5}


def test_optuna_outlives_a_configuration_that_diverges(root: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    settings = ["algo=bc", "algo.scratch.learning_rate=1e38,1e-3", *TINY, "seeds=[0]"]
    tune = ["-m", "hydra/sweeper=optuna", "hydra/sweeper/sampler=random", *settings, "hydra.sweeper.n_trials=4", "results_dir=diverged"]
    done = bench(root, *tune)
    assert "error: bc, seed 0: parameters are not finite" in done.stderr
    assert "best of 4 trials: algo.scratch.learning_rate=1e-3" in done.stdout
    none = bench(root, *tune, "algo.scratch.learning_rate=1e38,2e38", code=2)
    assert none.stderr.splitlines()[-1] == "error: no trial gave a score; the errors above say why"


def test_a_sweep_on_slurm(root: Path, alone: pd.DataFrame) -> None:
    """In the SLURM that SLURM_CONF names (tests/clusters/slurm.sh)."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    if "SLURM_CONF" not in os.environ:
        pytest.skip("no SLURM; make slurm-test starts one")
    resources = ["hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2", "hydra.launcher.timeout_min=5"]
    sweep_is_as_alone(root, alone, "slurm", "hydra/launcher=slurm", *resources)
    history = subprocess.run(["scontrol", "--oneliner", "show", "jobs"], capture_output=True, text=True, check=True).stdout
    assert len(re.findall(r"JobName=bench .*JobState=COMPLETED .*NumCPUs=1 ", history)) == 2, history


@pytest.fixture
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster that was started elsewhere: in another folder, without this process' environment."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    folder, address = tmp_path_factory.mktemp("ray"), "127.0.0.1:26379"
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    ray = Path(sys.executable).parent / "ray"
    command = [ray, "start", "--head", "--block", "--num-cpus=2", "--port=26379", "--include-dashboard=false", f"--temp-dir={folder}/t"]
    with open(folder / "log", "w") as log:
        cluster = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    deadline = time.monotonic() + 180
    while "Ray runtime started" not in (folder / "log").read_text():
        assert cluster.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.5)
    yield address
    cluster.terminate()  # with --block it takes its children along
    try:
        cluster.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(cluster.pid, signal.SIGKILL)
    shutil.rmtree(folder / "t", ignore_errors=True)


def test_a_sweep_on_ray(root: Path, alone: pd.DataFrame, ray_cluster: str) -> None:
    sweep_is_as_alone(root, alone, "ray", "hydra/launcher=ray", f"hydra.launcher.ray.init.address={ray_cluster}")
