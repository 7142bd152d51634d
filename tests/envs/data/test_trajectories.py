"""`Trajectories`: every step of every episode lines up, and error lines name bad data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from envs.data.trajectories import TENSORS, Trajectories
from envs.errors import DataError
from tests.helpers.episodes import assert_lined_up, from_episodes, random_episodes


@pytest.mark.parametrize("seed", range(5))
def test_ragged_episodes_line_up(seed: int) -> None:
    episodes = random_episodes(int(np.random.default_rng(seed).integers(1, 60)), seed=seed)
    data = from_episodes(episodes)
    assert_lined_up(data, episodes)
    np.testing.assert_array_equal(data.lengths, [len(r) for _, _, r, _, _ in episodes])
    np.testing.assert_allclose(data.returns, [r.astype(np.float32).astype(float).sum() for _, _, r, _, _ in episodes], rtol=1e-12)


def test_the_digest_covers_every_array(small_data: Trajectories) -> None:
    assert small_data.digest == from_episodes(random_episodes(40)).digest
    for name in TENSORS:
        fields = {k: getattr(small_data, k).clone() for k in TENSORS}
        fields[name][-1] = ~fields[name][-1] if fields[name].dtype == torch.bool else fields[name][-1] + 1
        assert Trajectories(**fields).digest != small_data.digest


def broken(change: str) -> list:
    episodes = [list(e) for e in random_episodes(5, longest=6)]
    observations, actions, rewards, terminated, _ = episodes[3]
    match change:
        case "nan":
            observations[1, 2] = np.nan
        case "inf":
            actions[0, 0] = np.inf
        case "reward":
            rewards[0] = -np.inf
        case "empty":
            episodes[3] = [observations[:1], actions[:0], rewards[:0], terminated[:0], terminated[:0]]
        case "row":
            episodes[3][0] = observations[:-1]
        case "rank":
            episodes[3][1] = actions[:, 0]
        case "width":
            episodes[3][1] = actions[:, :1]
        case "flags":
            episodes[3][4] = np.append(terminated, True)
    return episodes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nan", "episode 3, step 1: observations is not finite"),
        ("inf", "episode 3, step 0: actions is not finite"),
        ("reward", "episode 3, step 0: rewards is not finite"),
        ("empty", "episode 3: has no step"),
        ("row", "episode 3: observations has shape"),
        ("rank", "episode 3: actions has shape"),
        ("width", r"episode 3: observation and action widths are \(5, 1\); episode 0 has \(5, 2\)"),
        ("flags", "episode 3: truncations has shape"),
    ],
)
def test_bad_data_are_named(change: str, message: str) -> None:
    with pytest.raises(DataError, match=f"my/data: {message}"):
        from_episodes(broken(change), "my/data")


def test_data_without_an_episode_are_refused() -> None:
    with pytest.raises(DataError, match="no episode"):
        from_episodes([])


def test_chosen_episodes_line_up() -> None:
    """In any order, and repeated."""
    episodes, chosen = random_episodes(9), [7, 0, 3, 3]
    data = from_episodes(episodes)
    assert_lined_up(data.only(torch.tensor(chosen)), [episodes[k] for k in chosen])
    everything = torch.arange(data.num_steps)
    steps = torch.cat([everything[int(data.offsets[k]) : int(data.offsets[k + 1])] for k in chosen])
    assert torch.equal(data.steps_of(torch.tensor(chosen)), steps)
