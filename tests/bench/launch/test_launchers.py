"""Launchers and the tuner without their plugins: configs, errors before the first job, and the reference policy that jobs share."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from bench.config.compose import register
from bench.config.mistakes import explain
from bench.config.schema import Config, PiRefConfig
from bench.errors import RunError
from bench.launch import launchers as launching
from bench.launch import tuning
from bench.report.suite import rebuild
from bench.training import device as devices
from bench.training import pi_ref as reference_policy
from bench.training.progress import Reporter
from envs.data.trajectories import Trajectories
from tests.helpers.cli import ID, TINY, mistake
from tests.helpers.paths import ROOT
from tests.helpers.suites import make_run

LAUNCHERS = ["joblib", "ray", "slurm", "submitit_local"]


def composed(*overrides: str) -> DictConfig:
    register()
    launching.prefer_own_configs()
    with initialize_config_module("conf", version_base="1.3"):
        return compose("config", list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_launcher_composes_and_sets_the_environment_of_a_job(name: str) -> None:
    whole = composed(f"hydra/launcher={name}")
    assert launching.in_own_process(whole.hydra)
    assert launching.errors_are_returned(whole.hydra)
    assert launching.on_other_machines(whole.hydra) == (name in ("slurm", "ray"))
    given = OmegaConf.to_container(whole.hydra.job.env_set, resolve=True)
    assert all(isinstance(v, str) for v in given.values())  # type: ignore[union-attr]
    assert given["TTY_COMPATIBLE"] == "0"  # type: ignore[call-overload, index]
    if name != "joblib":  # joblib divides the cores among its jobs
        assert given["OMP_NUM_THREADS"] == {"slurm": "4"}.get(name, "1")  # type: ignore[call-overload, index]


def test_a_key_of_a_launcher_is_checked() -> None:
    with pytest.raises(Exception, match=r"Could not override 'hydra\.launcher\.n_job'"):
        composed("hydra/launcher=joblib", "hydra.launcher.n_job=2")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("hydra/launcher=joblib", "the package hydra-joblib-launcher is not installed; pip install 'iwsft-bench[joblib]'"),
        ("hydra/launcher=slurm", "the package hydra-submitit-launcher is not installed; pip install 'iwsft-bench[slurm]'"),
        (
            "hydra/launcher=submitit_local",
            "the package hydra-submitit-launcher is not installed; pip install 'iwsft-bench[slurm]'",
        ),
        ("hydra/launcher=ray", "the package hydra-ray-launcher is not installed; pip install 'iwsft-bench[ray]'"),
        ("hydra/sweeper=optuna", "the package hydra-optuna-sweeper is not installed; pip install 'iwsft-bench[optuna]'"),
    ],
)
def test_a_plugin_that_is_not_installed_is_named(override: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = composed(override)
    OmegaConf.update(whole, "hydra.runtime.choices", dict([override.split("=")]), force_add=True)
    monkeypatch.setattr(launching, "find_spec", lambda name: None)
    with pytest.raises(RunError) as caught:
        launching.check_extras(whole)
    assert str(caught.value) == f"{override}: {line}"
    monkeypatch.setattr(launching, "find_spec", lambda name: object())
    launching.check_extras(whole)


def test_every_extra_is_declared_and_has_its_target() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for package, extra in launching.EXTRAS.items():
        assert f'{extra} = ["{package.replace("_", "-")}==' in project
    assert "extra-%:" in (ROOT / "Makefile").read_text()


def test_own_configs_come_before_a_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    store = ConfigStore.instance()
    store.store(group="hydra/launcher", name="joblib", node={"_target_": "theirs"})
    store.store(group="hydra/launcher", name="theirs_alone", node={"_target_": "theirs"})
    launching.prefer_own_configs()
    assert "joblib.yaml" not in store.repo["hydra"]["launcher"]
    assert store.repo["hydra"]["launcher"].pop("theirs_alone.yaml")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["hydra/launcher=joblib"], "error: hydra/launcher=joblib: a single run has no launcher; add -m"),
        (["hydra/sweeper=optuna"], "error: hydra/sweeper=optuna: a single run has no sweeper; add -m"),
        (["-m", "hydra/launcher=jobli"], "error: hydra/launcher=jobli: no such hydra/launcher; near names: joblib"),
        (["objective=fqe"], "error: objective=fqe: only a tuner has an objective; add -m hydra/sweeper=optuna"),
        (["-m", "objective=fqe"], "error: objective=fqe: only a tuner has an objective; add -m hydra/sweeper=optuna"),
        (["objective=luck"], "error: objective = luck: expected one of environment, fqe, "),
        (["report.chosen_by={bc:luck}"], "error: report.chosen_by.bc = luck: expected one of environment, fqe, "),
    ],
)
def test_mistakes(folder: Path, arguments: list[str], line: str) -> None:
    assert mistake(folder, *arguments, *TINY).startswith(line)


def trials(*overrides: str) -> list[list[str]]:
    return tuning.first_trials(OverridesParser.create().parse_overrides(list(overrides)))


def test_first_trials_use_every_choice_and_both_ends() -> None:
    found = trials("algo=sft", "algo.learning_rate=tag(log,interval(1e-5,1e-3))", "algo.batch_size=64,256", "seeds=[0,1]")
    assert found == [
        ["algo=sft", f"algo.learning_rate={rate}", f"algo.batch_size={size}", "seeds=[0,1]"]
        for rate, size in ((1e-5, 64), (1e-3, 64), (1e-5, 64), (1e-5, 256))
    ]
    assert [job[0] for job in trials("algo.updates=int(interval(10,30))")] == ["algo.updates=10", "algo.updates=30"]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("algo.weighting.temperature=3", "hydra/sweeper=optuna: no key is tuned; give one a range"),
        ("dataset=a,b", "dataset: cannot be tuned, it changes what is measured"),
        ("seeds=[0],[1]", "seeds: cannot be tuned"),
        ("eval.final_episodes=range(1,3)", "eval.final_episodes: cannot be tuned"),
    ],
)
def test_keys_that_cannot_be_tuned_are_refused(override: str, line: str) -> None:
    with pytest.raises(RunError, match=line):
        trials(override)


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path


def test_the_objective_is_the_score_of_the_table(tmp_path: Path) -> None:
    run: Any = _Folder(make_run(tmp_path / "suite"))
    rebuild(tmp_path / "suite", page=False)
    board = pd.read_csv(tmp_path / "suite" / "leaderboard.csv").set_index("selection")
    config = Config(seeds=[0, 1, 2])
    assert tuning.objective(config, run) == pytest.approx(board.loc["last", "score_mean"], abs=1e-3)
    assert (
        abs(board.loc["last", "score_mean"] - board.loc["best", "score_mean"]) > 0.05
    )  # last and best differ, so that the assertion above can fail
    bare: Any = _Folder(make_run(tmp_path / "bare", reference=None))
    assert tuning.objective(config, bare) == pytest.approx(10 * tuning.objective(config, run))


def test_a_missing_seed_has_no_objective(tmp_path: Path) -> None:
    run: Any = _Folder(make_run(tmp_path / "suite", change=lambda rows: [r for r in rows if r["seed"] != 1]))
    with pytest.raises(RunError, match="expected update 100, seed 1, episode 0"):
        tuning.objective(Config(seeds=[0, 1, 2]), run)


def test_jobs_side_by_side_train_one_reference(small_data: Trajectories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, train_anew = composed_config(tmp_path), reference_policy._build
    begun = []

    def counted(*arguments: Any) -> Any:
        begun.append(threading.get_ident())
        meet.wait(5)  # wait until the other jobs are about to train
        return train_anew(*arguments)

    jobs, found = 3, []
    start, meet = threading.Barrier(jobs), threading.Event()
    monkeypatch.setattr(reference_policy, "_build", counted)

    def job() -> None:
        with Reporter("job") as reporter:
            start.wait(5)
            found.append(reference_policy.find_or_train([config], small_data, "digest", torch.device("cpu"), reporter))

    threads = [threading.Thread(target=job) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    threading.Timer(0.3, meet.set).start()
    for thread in threads:
        thread.join(20)
    assert len(begun) == 1
    assert len(found) == jobs
    assert all(torch.equal(f["0.weight"], found[0]["0.weight"]) for f in found)


def composed_config(tmp_path: Path) -> Config:
    from algos.methods.weighted_bc import Start, WeightedBCConfig

    algo = WeightedBCConfig("sft", hidden=[8], start=Start.pi_ref)
    return Config(algo, ID, seeds=[0], results_dir=str(tmp_path / "results"), pi_ref=PiRefConfig(5, batch_size=4))


def test_the_number_of_cores_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert devices.cores() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "0.5")
    assert devices.cores() == 1
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda pid: {0, 4, 5, 6})
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert devices.cores() == 4
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert devices.cores() == 4


def test_a_machine_without_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no folder .*/nowhere .*; sweep from one that all machines have"):
        launching.change_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("submitit.core.utils", "UncompletedJobError"),
        ("joblib.externals.loky.process_executor", "TerminatedWorkerError"),
        ("ray.exceptions", "WorkerCrashedError"),
    ],
)
def test_a_job_that_died_is_one_line(module: str, name: str) -> None:
    kind = type(name, (RuntimeError,), {"__module__": module})
    line = launching.lost_job(kind("\n  Job 7 was killed\nand a long log\n"))
    assert line == f"a job ended without a result ({name}: Job 7 was killed); the same command continues with unfinished runs"
    assert launching.lost_job(RuntimeError("a defect")) is None
    assert launching.lost_job(ValueError("No trials are completed yet.")) == "no trial gave a score; the errors above say why"


def test_a_connection_error_is_explained_in_one_line() -> None:
    assert explain(ConnectionError("Failed to connect to\n Ray cluster at there:1")) == "Failed to connect to Ray cluster at there:1"
    assert explain(ConnectionResetError()) == "ConnectionResetError"


def test_a_submitting_machine_needs_no_gpu(tmp_path: Path, pendulum_data: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.launch.preflight import preflight

    pendulum_data()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = Config(dataset=ID, device="cuda", results_dir=str(tmp_path))
    preflight([config], here=False)
    with pytest.raises(Exception, match="device = cuda: this torch finds no GPU"):
        preflight([config])


def test_advice_names_the_best_and_other_seeds(tmp_path: Path) -> None:
    (tmp_path / "optimization_results.yaml").write_text(
        json.dumps({"best_params": {"algo.weighting.temperature": 2.5}, "best_value": 61.25})
    )
    task = ["algo=iw_sft", "algo.weighting.temperature=interval(1,20)", "seeds=[0,4]", "results_dir=tuned"]
    hydra = {"sweep": {"dir": str(tmp_path)}, "overrides": {"task": task}, "sweeper": {"n_trials": 8}}
    for temperature, seeds in ((1.0, [0, 4]), (2.5, [0, 4]), (2.5, [7])):
        make_run(tmp_path / "tuned" / "mine", "iw_sft", temperature=temperature, seeds=seeds)
    config = {"seeds": [0, 4], "suite": "mine", "results_dir": str(tmp_path / "tuned"), "dataset": "iwsft/hopper/medium-v0"}
    config |= {"objective": "environment", "eval": {}}
    lines = tuning.advice(OmegaConf.create({"hydra": hydra, "algo": {"name": "iw_sft"}} | config)).splitlines()
    assert lines[0] == "best of 8 trials: algo.weighting.temperature=2.5, 61.25"
    assert lines[-1] == "  python -m bench algo=iw_sft algo.weighting.temperature=2.5 'seeds=[5,6]' " + (
        f"results_dir={tmp_path}/tuned/chosen 'report.configs_tried={{iw_sft:2}}' 'report.chosen_by={{iw_sft:environment}}'"
    )
