"""Fixtures of several tests: small random logged data, in memory and as Minari data sets."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from algos.methods.weighted_bc import Curation, Kind, Start, WeightedBCConfig, Weighting
from bench.config.schema import Config, EvalConfig, PiRefConfig, TrainerConfig
from bench.training.shared import Shared
from envs.data.trajectories import Trajectories
from tests.helpers.episodes import PENDULUM, RawEpisode, from_episodes, random_episodes, write_minari

# Tests that send signals to commands need their defaults, which a background job or nohup has replaced.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)
torch.set_num_threads(1)  # the networks are tiny: threads would only wait for one another


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keep torch at one thread after a test that sets more: a fork of this process could wait for threads that it does not have."""
    yield
    torch.set_num_threads(1)


@pytest.fixture
def small_data() -> Trajectories:
    """40 ragged episodes."""
    return from_episodes(random_episodes(40))


@pytest.fixture
def minari_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Minari root."""
    root = tmp_path / "minari"
    root.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    return root


@pytest.fixture
def pendulum_data(minari_root: Path) -> Callable[..., list[RawEpisode]]:
    """Return a function that writes a data set for InvertedPendulum-v5 (4 observations, 1 action in [-3, 3]) and returns its episodes."""

    def write(dataset: str = PENDULUM, count: int = 30, change: Callable[[list], Any] | None = None, **metadata: Any) -> list:
        episodes = random_episodes(count, obs=4, act=1)
        if change is not None:
            change(episodes)
        write_minari(dataset, episodes, **metadata)
        return episodes

    return write


@pytest.fixture
def shared() -> Iterator[Shared]:
    """Data and environments of one test."""
    with Shared() as shared:
        yield shared


@pytest.fixture
def fresh_data(pendulum_data: Callable[..., Any]) -> None:
    """Data set PENDULUM with reference scores."""
    pendulum_data(ref_min_score=5.0, ref_max_score=1000.0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A tiny iw-SFT(Q) run on PENDULUM: 40 updates, evaluated every 15, in this process, so that tests can replace its parts."""
    algo = WeightedBCConfig(
        "iw_sft_q", 40, 16, [8], Start.pi_ref, curation=Curation([50, 75]),
        weighting=Weighting(Kind.trajectory, temperature=2.0, refresh_every=7),
    )  # fmt: skip
    pi_ref = PiRefConfig(20, batch_size=16)
    evaluation, results = EvalConfig(15, 2, 5, workers=1), str(tmp_path / "results")
    trainer = TrainerConfig(processes=1)
    return Config(algo, PENDULUM, [3, 1], eval=evaluation, results_dir=results, device="cpu", pi_ref=pi_ref, trainer=trainer)


@pytest.fixture
def folder(tmp_path: Path, pendulum_data: Callable[..., Any]) -> Path:
    """A working folder whose Minari root has PENDULUM with reference scores."""
    pendulum_data(ref_min_score=5.0, ref_max_score=1000.0)
    return tmp_path


@pytest.fixture(autouse=True)
def round_references(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the round reference scores that synthetic runs (tests.helpers.suites) record, not those that the named data sets state."""
    if {"make_run", "make_suite"} & set(vars(request.module)) and "stated_references" not in request.fixturenames:
        monkeypatch.setattr("bench.results.derive.reference_here", lambda config, recorded: (recorded, True))


@pytest.fixture
def stated_references() -> None:
    """Read synthetic runs with the reference scores that their data sets state, as the program does."""
