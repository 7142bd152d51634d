"""Data sets read through Minari's public interface."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from envs.errors import DataError
from envs.evaluation.rollout import Evaluator
from envs.readers.load import load
from tests.helpers.episodes import assert_lined_up, random_episodes, write_minari

ID = "test/pendulum/random-v0"


@pytest.mark.parametrize("seed", range(3))
def test_every_episode_lines_up_after_a_round_trip(minari_root: Path, seed: int) -> None:
    """Every array of every episode lines up. Observations have T + 1 rows and actions T: naive joining shifts episode k by k steps."""
    episodes = random_episodes(50, obs=4, act=1, seed=seed)
    write_minari(ID, episodes)
    scaled = [(o, a.astype(np.float32) / np.float32(3), r, te, tr) for o, a, r, te, tr in episodes]
    assert_lined_up(load(ID).trajectories, scaled)


def test_actions_are_scaled_clipped_and_the_share_reported(pendulum_data: Callable) -> None:
    def push_out(episodes: list) -> None:
        episodes[0][1][:] = 5.0

    episodes = pendulum_data(change=push_out)
    data = load(ID)
    entries = sum(len(e[1]) for e in episodes)
    assert data.clipped == pytest.approx(len(episodes[0][1]) / entries)
    assert (data.trajectories.actions[: len(episodes[0][1])] == 1).all()
    assert data.trajectories.actions.abs().max() <= 1
    np.testing.assert_allclose(data.to_env(np.array([[-1.0], [0.5]])), [[-3], [1.5]])


def test_references_come_from_the_metadata(pendulum_data: Callable) -> None:
    pendulum_data(ref_min_score=10.0, ref_max_score=30.0)
    reference = load(ID).reference
    assert reference is not None
    np.testing.assert_allclose(reference.score(np.array([10.0, 20.0, 30.0])), [0, 50, 100])


def test_data_without_reference_scores_have_no_reference(pendulum_data: Callable) -> None:
    pendulum_data()
    assert load(ID).reference is None


def test_non_finite_numbers_are_named(pendulum_data: Callable) -> None:
    def spoil(episodes: list) -> None:
        episodes[7][0][0, 1] = np.nan

    pendulum_data(change=spoil)
    with pytest.raises(DataError, match=rf"{ID}: episode 7, step 0: observations is not finite"):
        load(ID)


def test_widths_that_do_not_fit_the_environment_are_refused(minari_root: Path) -> None:
    write_minari(ID, random_episodes(3, obs=6, act=1))
    with pytest.raises(DataError, match=f"{ID}: observations are 6 wide; environment InvertedPendulum-v5 has Box"):
        load(ID)


def test_data_without_an_environment_cannot_be_evaluated(minari_root: Path) -> None:
    """The data set's own action space gives the bounds; evaluation is refused."""
    write_minari(ID, random_episodes(3, obs=4, act=1), env_id=None)
    data = load(ID)
    assert (data.env_spec, data.units.low.tolist(), data.units.high.tolist()) == ("", [-3], [3])
    with pytest.raises(DataError, match="the data set names none to play policies in"):
        Evaluator(data.env_spec, 1)


def test_an_unknown_built_in_name_offers_near_ones(minari_root: Path) -> None:
    with pytest.raises(DataError, match="no data set 'iwsft/hoper/medium-v0'; near names: iwsft/hopper/medium-v0"):
        load("iwsft/hoper/medium-v0")


def test_an_absent_data_set_without_a_network_names_the_command(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import minari

    def refused(dataset: str) -> None:
        raise ConnectionError("network is unreachable")

    monkeypatch.setattr("envs.readers.obtain.unreachable", lambda host: None)
    monkeypatch.setattr(minari, "download_dataset", refused)
    with pytest.raises(
        DataError, match=r"'mujoco/hopper/expert-v0' is not in .* cannot be downloaded \(network is unreachable\).*minari download"
    ):
        load("mujoco/hopper/expert-v0")


@pytest.mark.parametrize("dataset", ["../../etc/passwd-v0", "/tmp/x-v0", "hopper", "iwsft//x-v0", "a/b", ""])
def test_ids_cannot_leave_the_root(minari_root: Path, dataset: str) -> None:
    with pytest.raises(DataError, match="is not a Minari id"):
        load(dataset)


@pytest.mark.parametrize("damage", ["truncated", "not hdf5", "no metadata"])
def test_damaged_files_are_named(pendulum_data: Callable, minari_root: Path, damage: str) -> None:
    pendulum_data()
    folder = minari_root / ID / "data"
    match damage:
        case "truncated":
            content = (folder / "main_data.hdf5").read_bytes()
            (folder / "main_data.hdf5").write_bytes(content[: len(content) // 2])
        case "not hdf5":
            (folder / "main_data.hdf5").write_text("hello")
        case "no metadata":
            (folder / "metadata.json").write_text(json.dumps({}) + "}")
    with pytest.raises(DataError, match=f"{ID}: cannot be read .*; remove .*"):
        load(ID)
