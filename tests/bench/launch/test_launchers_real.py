"""Sweeps through every launcher and the tuner: each leaves the results of Hydra's own launcher. Needs the extras (Makefile)."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest

from bench.report.render import aligned
from bench.training.device import cores
from tests.helpers.cli import TINY
from tests.helpers.episodes import random_episodes, write_minari
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow

SWEEP = ["-m", "algo=sft,dft", "algo.curation.percentiles=[50]", *TINY, "seeds=[0,1]"]
MEASURED = ["dataset", "algo", "selection", "seeds", "config_hash", "return_mean", "return_std", "configs_tried"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a Minari root. Every job has one thread: the number of threads decides the order in which products are summed."""
    folder = tmp_path_factory.mktemp("launchers")
    (folder / "minari").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "minari"))
        patch.setenv("OMP_NUM_THREADS", "1")
        write_minari("test/pendulum/random-v0", random_episodes(30, obs=4, act=1), ref_min_score=5.0, ref_max_score=1000.0)
        yield folder


@pytest.fixture(scope="module")
def alone(root: Path) -> Path:
    """The results of the sweep when its jobs run one after another in one process."""
    command(root, *SWEEP, "results_dir=alone")
    assert len(set(policies(root / "alone").values())) == 2  # the policies differ, so that comparisons with them can fail
    return root / "alone"


def command(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess:
    """Run `python -m bench` in an interpreter of its own, whose OMP_NUM_THREADS and main module the launchers' processes get."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"}
    words = [sys.executable, "-m", "bench", *arguments]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == code, done.stderr
    return done


def policies(results: Path) -> dict[str, str]:
    """A digest of the policies of every run."""
    return {p.parent.name: sha256(p.read_bytes()).hexdigest() for p in results.glob("single/runs/*/policy.safetensors")}


def measured(results: Path) -> pd.DataFrame:
    return pd.read_csv(results / "single" / "leaderboard.csv")[MEASURED]


def assert_sweep_equals(root: Path, alone: Path, name: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run the sweep with `arguments`; assert that policies and table equal those of `alone` and that pi_ref was trained once."""
    done = command(root, *SWEEP, *arguments, f"results_dir={name}")
    results = root / name
    assert policies(results) == policies(alone)
    pd.testing.assert_frame_equal(measured(results), measured(alone))
    assert aligned((results / "single" / "table.md").read_text()) in done.stdout
    logs = done.stderr + "".join(p.read_text() for p in results.glob("single/.hydra/.submitit/*/*.err"))
    assert logs.count("training pi_ref") == 1
    assert len(list((results / ".pi_ref").glob("*.safetensors"))) == 1
    return done


def test_joblib_on_two_cores(root: Path, alone: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    assert_sweep_equals(root, alone, "joblib", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def test_joblib_divides_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """joblib divides the cores among its jobs, so that conf/hydra/launcher/joblib.yaml does not."""
    joblib = pytest.importorskip("joblib")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(cores)() for _ in range(2))
    assert found == [max(1, joblib.cpu_count() // 2)] * 2


def test_a_job_that_fails_does_not_stop_the_others(root: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    settings = ["algo=filtered_bc", "algo.curation.min_score=1e9,-1e9", *TINY, "seeds=[0]", "results_dir=failing"]
    done = command(root, "-m", "hydra/launcher=joblib", *settings, code=2)
    assert done.stderr.splitlines()[-1].startswith("error: no trajectory is left after filtering: the best score is")
    assert "Traceback" not in done.stderr
    assert "| test/pendulum/random-v0 |" in done.stdout
    board = pd.read_csv(root / "failing" / "single" / "leaderboard.csv")
    assert board["config_hash"].nunique() == 1


def test_a_job_that_is_killed_is_one_line(root: Path) -> None:
    """A job killed by SIGKILL, as the kernel does when memory runs out, is one line without a traceback."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = [sys.executable, "-m", "bench", "-m", "hydra/launcher=joblib", "algo=bc", "algo.learning_rate=1e-3,2e-3", *TINY]
    arguments += ["algo.updates=100000000", "eval.every=50000000", "results_dir=killed"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(arguments, cwd=root, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "training" in line:
            break
    found = subprocess.run(["ps", "-ww", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True)
    worker = next(int(child.split()[0]) for child in found.stdout.splitlines() if "LokyProcess" in child)
    os.kill(worker, signal.SIGKILL)
    _, rest = process.communicate(timeout=600)
    assert process.returncode == 2, rest
    assert re.search(r"^error: a job ended without a result \(TerminatedWorkerError: .*the same command continues", rest, re.MULTILINE)
    assert "Traceback" not in rest


def test_submitits_local_executor(root: Path, alone: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    done = assert_sweep_equals(root, alone, "submitit", "hydra/launcher=submitit_local")
    assert "logs of the jobs: submitit/single/.hydra/.submitit/JOB" in done.stderr


RATES = ["1e-3", "3e-3", "1e38"]  # the last diverges


def proposed() -> list[str]:
    """The draws of conf/hydra/sweeper/sampler/random.yaml from RATES, until each has been drawn and one of them twice."""
    optuna = pytest.importorskip("optuna")
    study, drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)), []
    while set(drawn) < set(RATES) or len(drawn) == len(RATES):
        drawn.append(study.ask().suggest_categorical("rate", RATES))
    return drawn


def test_optuna_counts_configurations_and_advises_a_run_on_other_seeds(root: Path) -> None:
    """Configurations are counted, not trials: a repeated proposal is found finished, a diverging one counts. The advised command trains
    the best one on other seeds."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    trials = proposed()
    arguments = ["hydra/sweeper=optuna", "hydra/sweeper/sampler=random", f"hydra.sweeper.n_trials={len(trials)}", "algo=bc"]
    tune = ["-m", *arguments, f"algo.learning_rate={','.join(RATES)}", *TINY, "seeds=[0,1]", "results_dir=tuned"]
    results = root / "tuned" / "single"

    done = command(root, *tune)
    assert f"[{len(trials)}/{len(trials)}] bc" in done.stderr
    assert len(list(results.glob("runs/*/run.json"))) == len(RATES)
    assert done.stderr.count("finished before") == len(trials) - len(RATES)
    assert done.stderr.count("bc, seed 0: parameters are not finite after update 10; it counts as failed") == 1
    failures = re.findall(r"^error: \S+: seeds 0, 1 failed; the trial has no score$", done.stderr, re.MULTILINE)
    assert len(failures) == trials.count("1e38")
    assert "Traceback" not in done.stderr
    board = pd.read_csv(results / "leaderboard.csv")
    last = board[board["selection"] == "last"]
    assert len(last) == len(RATES)
    assert set(board["configs_tried"]) == {len(RATES)}
    best = re.search(rf"^best of {len(trials)} trials: algo\.learning_rate=(\S+), (\S+)$", done.stdout, re.MULTILINE)
    assert best is not None, done.stdout
    assert float(best.group(1)) in (1e-3, 3e-3)
    assert last["score_mean"].max() == pytest.approx(float(best.group(2)), abs=0.01)

    advised = re.search(r"^  python -m bench (.*)$", done.stdout, re.MULTILINE)
    assert advised is not None
    assert f"algo.learning_rate={best.group(1)}" in advised.group(1)
    command(root, *shlex.split(advised.group(1)))
    board = pd.read_csv(root / "tuned" / "chosen" / "single" / "leaderboard.csv")
    assert set(board["seeds"]) == {"2 3"}
    assert set(board["configs_tried"]) == {len(RATES)}


def test_a_sweep_on_slurm(root: Path, alone: Path) -> None:
    """In the SLURM that SLURM_CONF names (tests/clusters/slurm.sh)."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    if "SLURM_CONF" not in os.environ:
        pytest.skip("no SLURM; make slurm-test starts one")
    resources = ["hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2", "hydra.launcher.timeout_min=5"]
    assert_sweep_equals(root, alone, "slurm", "hydra/launcher=slurm", *resources)
    history = ended_jobs()
    assert len(re.findall(r"JobName=bench .*JobState=COMPLETED .*NumCPUs=1 ", history)) == 2, history


def ended_jobs() -> str:
    """Wait until no SLURM job runs and return all jobs, one a line. A job's result exists some seconds before the job has ended."""
    for _ in range(240):
        history = subprocess.run(["scontrol", "--oneliner", "show", "jobs"], capture_output=True, text=True, check=True).stdout
        if not re.search(r"JobState=(PENDING|RUNNING|COMPLETING) ", history):
            break
        time.sleep(0.5)
    return history


LONG = [*TINY, "algo=sft", "algo.curation.percentiles=[50]", "seeds=[0,1]", "algo.updates=12001", "eval.every=6000"]


@pytest.fixture
def slurm(root: Path) -> Iterator[Path]:
    """The folder of jobs, if SLURM is available. Jobs that a failing test leaves are cancelled."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    if "SLURM_CONF" not in os.environ:
        pytest.skip("no SLURM; make slurm-test starts one")
    yield root
    subprocess.run(["scancel", "--user=root"], check=False)


def wait_for_training(folder: Path, jobs: subprocess.Popen | None = None) -> None:
    """Wait until the run whose log is below `folder` is training."""
    deadline = time.monotonic() + 120
    while "training, 12001" not in (said := "".join(p.read_text() for p in folder.rglob("*_log.err"))):
        assert time.monotonic() < deadline, said
        assert jobs is None or jobs.poll() is None, jobs.communicate()
        time.sleep(0.1)
    time.sleep(2)


def uninterrupted(root: Path, name: str) -> dict[str, bytes]:
    """The files of the same run without an interruption."""
    command(root, *LONG, f"results_dir={name}")
    return files_of_run(root / name)


def files_of_run(results: Path) -> dict[str, bytes]:
    """The files of the one run in `results` that an interruption must not change."""
    (folder,) = results.glob("single/runs/*")
    return {name: (folder / name).read_bytes() for name in ("episodes.csv", "curve.csv", "policy.safetensors")}


def assert_resumed_at_the_signal(log: str) -> None:
    """Assert that the run was saved at the signal, between two evaluations, and resumed from there."""
    found = re.findall(r"resumed after update (\d+)", log)
    assert len(found) == 1, log
    assert 0 < int(found[0]) < 12001, log
    assert int(found[0]) % 6000, log


def restarts(name: str) -> list[int]:
    """The number of times that each job called `name` was queued again."""
    return [int(n) for n in re.findall(rf"JobName={name} .*Restarts=(\d+)", ended_jobs())]


def test_a_job_near_its_time_limit_on_slurm_is_resumed(slurm: Path) -> None:
    """SLURM sends submitit's jobs USR2 before the limit. The run is saved, queued again and resumed, and the sweep waits for it."""
    sweep = ["-m", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=2", "hydra.launcher.name=near"]
    arguments = [sys.executable, "-m", "bench", *sweep, *LONG, "results_dir=near"]
    process = subprocess.Popen(arguments, cwd=slurm, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)
    logs = slurm / "near" / "single" / ".hydra" / ".submitit"
    wait_for_training(logs, process)
    (script,) = logs.glob("*.sh")
    assert "--signal=USR2@120" in script.read_text()
    subprocess.run(["scancel", "--signal=USR2", "--name=near"], check=True)  # as SLURM does before the limit
    whole = uninterrupted(slurm, "near-alone")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert restarts("near") == [1]
    assert_resumed_at_the_signal("".join(p.read_text() for p in logs.glob("*/*_log.err")))
    assert files_of_run(slurm / "near") == whole


def test_a_batch_script_on_slurm_is_resumed(slurm: Path) -> None:
    """The batch script of docs/durability.md asks for a signal; the run exits with code 75, and the script queues itself again."""
    (script,) = re.findall(r"```bash\n(#SBATCH .*?)```", (ROOT / "docs" / "durability.md").read_text(), re.DOTALL)
    settings = shlex.join([*LONG, "results_dir=script"])
    assert "python -m bench suite=reference" in script
    script = script.replace("python -m bench suite=reference", f"{shlex.quote(sys.executable)} -m bench {settings}")
    (slurm / "script.sh").write_text(f"#!/bin/bash\n{script}")
    (slurm / "logs").mkdir()
    asked = ["--job-name=script", "--mem=2G", "--cpus-per-task=1", "--output=logs/%j_log.err", "script.sh"]
    subprocess.run(["sbatch", *asked], cwd=slurm, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    wait_for_training(slurm / "logs")
    subprocess.run(["scancel", "--signal=USR1", "--name=script"], check=True)
    whole = uninterrupted(slurm, "script-alone")
    assert restarts("script") == [1]
    (log,) = (slurm / "logs").iterdir()
    assert "SIGUSR1: saved; run the same command again to resume (exit code 75)" in log.read_text()
    assert_resumed_at_the_signal(log.read_text())
    assert files_of_run(slurm / "script") == whole


@pytest.fixture
def ray_cluster(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster started in another folder, with no variable of this process' environment but the token."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    folder, address = tmp_path_factory.mktemp("ray"), "127.0.0.1:26379"
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in token.items():
        monkeypatch.setenv(name, value)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", **token}
    ray = Path(sys.executable).parent / "ray"
    arguments = [ray, "start", "--head", "--block", "--num-cpus=2", "--port=26379", "--include-dashboard=false", f"--temp-dir={folder}/t"]
    with open(folder / "log", "w") as log:
        cluster = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    deadline = time.monotonic() + 600
    while "Ray runtime started" not in (folder / "log").read_text():
        assert cluster.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.5)
    yield address
    cluster.terminate()  # with --block its children end with it
    try:
        cluster.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(cluster.pid, signal.SIGKILL)
    shutil.rmtree(folder / "t", ignore_errors=True)


def test_a_sweep_on_ray(root: Path, alone: Path, ray_cluster: str) -> None:
    assert_sweep_equals(root, alone, "ray", "hydra/launcher=ray", f"hydra.launcher.ray.init.address={ray_cluster}")
