"""What several tests use: small random logged data, in memory and as Minari data sets."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algos.weighted_bc import Curation, Kind, Start, Training, WeightedBCConfig, Weighting
from bench import resources
from bench.config import Config, EvalConfig
from envs.trajectories import Trajectories

torch.set_num_threads(1)  # the networks here are tiny: threads would only wait for one another

PENDULUM = "test/pendulum/random-v0"  # what `pendulum_data` writes unless told
RawEpisode = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def random_episodes(count: int, obs: int = 5, act: int = 2, seed: int = 0, longest: int = 12) -> list[RawEpisode]:
    """Ragged episodes whose every number is different; some terminate, some are truncated, some do both."""
    rng = np.random.default_rng(seed)
    episodes = []
    for _ in range(count):
        steps = int(rng.integers(1, longest + 1))
        terminated, truncated = np.zeros(steps, bool), np.zeros(steps, bool)
        kind = rng.integers(3)
        terminated[-1], truncated[-1] = kind != 1, kind != 0
        episodes.append(
            (rng.normal(size=(steps + 1, obs)), rng.uniform(-0.9, 0.9, (steps, act)), rng.normal(size=steps), terminated, truncated)
        )
    return episodes


@pytest.fixture
def small_data() -> Trajectories:
    """40 ragged episodes."""
    return Trajectories.from_episodes(random_episodes(40))


@pytest.fixture
def minari_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Minari root."""
    root = tmp_path / "minari"
    root.mkdir()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    return root


def write_minari(dataset: str, episodes: list[RawEpisode], env_id: str | None = "InvertedPendulum-v5", **metadata: Any) -> None:
    """Write `episodes` as Minari data set `dataset` below the root in force."""
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    buffers = [
        EpisodeBuffer(id=i, observations=o, actions=a, rewards=r, terminations=te, truncations=tr)
        for i, (o, a, r, te, tr) in enumerate(episodes)
    ]
    spaces = {
        "observation_space": gymnasium.spaces.Box(-np.inf, np.inf, episodes[0][0].shape[1:], np.float64),
        "action_space": gymnasium.spaces.Box(-3, 3, episodes[0][1].shape[1:], np.float32),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = minari.create_dataset_from_buffers(dataset, buffers, env=env_id, **spaces)
    if metadata:
        data.storage.update_metadata(metadata)


@pytest.fixture
def pendulum_data(minari_root: Path) -> Callable[..., list[RawEpisode]]:
    """Writes a small data set that fits InvertedPendulum-v5 (4 observations, 1 action in [-3, 3]) and returns its episodes."""

    def write(dataset: str = PENDULUM, count: int = 30, change: Callable[[list], Any] | None = None, **metadata: Any) -> list:
        episodes = random_episodes(count, obs=4, act=1)
        if change is not None:
            change(episodes)
        write_minari(dataset, episodes, **metadata)
        return episodes

    return write


@pytest.fixture
def fresh_data(pendulum_data: Callable[..., Any]) -> Iterator[None]:
    """Data set PENDULUM with reference scores, and nothing kept of another test's."""
    pendulum_data(ref_min_score=5.0, ref_max_score=1000.0)
    resources._data.clear()
    yield
    resources._data.clear()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A tiny iw-SFT(Q) run on PENDULUM: 40 updates, evaluated every 15; in this process, where tests can reach into training."""
    algo = WeightedBCConfig(
        "iw_sft_q", Start.pi_ref, [8], Training(20, 16), Training(40, 16, 1e-3), Curation([50, 75]),
        Weighting(Kind.trajectory, temperature=2.0, refresh_every=7),
    )  # fmt: skip
    evaluation, results = EvalConfig(15, 2, 5, workers=1), str(tmp_path / "results")
    return Config(algo, PENDULUM, seeds=[3, 1], eval=evaluation, results_dir=results, device="cpu", processes=1)
