"""Loggers beside the run directory: they receive curves, and nothing that happens there stops a run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from algos.weighted_bc import WeightedBCConfig
from bench.config import Config, LoggerConfig
from bench.loggers import NoLogger, WandbLogger, make_logger
from bench.rundir import RunDir

ROWS = [{"seed": 0, "update": 5, "loss": 1.0}, {"seed": 1, "update": 5, "loss": 3.0}]


def config_of(name: str, folder: Path) -> Config:
    return Config(WeightedBCConfig(), seeds=[0, 1], logger=LoggerConfig(name), results_dir=str(folder))


def test_csv_is_the_run_directory_itself(tmp_path: Path) -> None:
    config = config_of("csv", tmp_path)
    assert isinstance(make_logger(config, RunDir(config, "0", "cpu")), NoLogger)


@pytest.mark.filterwarnings("ignore")
def test_wandb_works_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    config = config_of("wandb", tmp_path)
    run = RunDir(config, "0", "cpu")
    run.path.mkdir(parents=True)
    logger = make_logger(config, run)
    assert isinstance(logger, WandbLogger)
    logger.log(5, ROWS)
    logger.finish({"return_mean": 2.0})
    files = list(run.path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 1
    assert files[0].stat().st_size > 0
    assert run.hash in files[0].name


def fake(fails_at: str, calls: list[Any]) -> SimpleNamespace:
    """A wandb whose function `fails_at` raises."""

    def step(name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append((name, args, kwargs))
            if name == fails_at:
                raise RuntimeError("server is gone\nmore")
            return session

        return call

    session = SimpleNamespace(log=step("log"), finish=step("finish"), summary=SimpleNamespace(update=step("summary")))
    return SimpleNamespace(init=step("init"), Settings=dict)


@pytest.mark.parametrize("fails_at", ["init", "log", "summary", "finish"])
def test_a_failing_server_never_stops_a_run(
    fails_at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", fake(fails_at, []))
    logger = WandbLogger(config_of("wandb", tmp_path), tmp_path, "name", "id")
    logger.log(5, ROWS)
    logger.log(6, ROWS)
    logger.finish({})
    assert capsys.readouterr().err == "wandb: server is gone; going on without it\n"


def test_what_wandb_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setitem(__import__("sys").modules, "wandb", fake("", calls))
    logger = WandbLogger(config_of("wandb", tmp_path), tmp_path, "name", "id")
    logger.log(5, ROWS)
    name, args, kwargs = calls[-1]
    assert (name, kwargs) == ("log", {"step": 5})
    assert args == ({"seed_0/loss": 1.0, "seed_1/loss": 3.0, "loss": 2.0},)
