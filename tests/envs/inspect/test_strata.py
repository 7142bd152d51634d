"""Quality strata: the policies in them, the spread of returns, and data that cannot tell methods apart."""

from __future__ import annotations

from pathlib import Path

import minari
import numpy as np
import pytest

from envs.inspect.strata import strata
from envs.readers.behaviours import Behaviours, behaviours
from tests.helpers.logged import episode, write

RETURNS, LENGTHS = np.arange(100.0), np.full(100, 3)
CANNOT = "cannot tell them apart"


def by(policies: np.ndarray, noise: np.ndarray | None = None) -> Behaviours:
    return Behaviours(policies, np.ones(100) if noise is None else noise)


def test_a_stratum_says_its_policies_and_its_spread() -> None:
    rows, flags = strata(RETURNS, LENGTHS, by(np.arange(100) // 4))
    assert [name for name, _ in rows] == ["from percentile 90", "from percentile 95", "from percentile 98"]
    assert rows[0][1].endswith("std 2.872 (2.9% of the range of all returns); behaviour policies: 3 of 25, 40% of the episodes from one")
    assert not any(CANNOT in flag for flag in flags)


def test_policies_that_the_data_do_not_name_are_unknown() -> None:
    rows, flags = strata(RETURNS, LENGTHS, None)
    assert all(value.endswith("behaviour policies: unknown, the data do not name them") for _, value in rows)
    assert not any(CANNOT in flag for flag in flags)


@pytest.mark.parametrize(("size", "flag"), [(100, "from 1 behaviour policy:"), (5, "from 2 behaviour policies:"), (4, "")])
def test_a_best_tenth_of_one_or_two_policies_is_a_flag(size: int, flag: str) -> None:
    found = [f for f in strata(RETURNS, LENGTHS, by(np.arange(100) // size))[1] if CANNOT in f]
    assert [flag in f for f in found] == ([True] if flag else [])


def test_action_noise_of_its_own_in_each_episode_makes_one_policy_vary() -> None:
    rows, flags = strata(RETURNS, LENGTHS, by(np.zeros(100, int), np.linspace(0.5, 2, 100)))
    assert rows[0][1].endswith("1 of 1, 100% of the episodes from one, action noise of its own in each episode")
    assert not any(CANNOT in flag for flag in flags)


def test_returns_that_hardly_differ_in_the_best_tenth_are_a_flag() -> None:
    returns = np.where(np.arange(100) < 85, np.arange(100.0), 1000 + 0.1 * np.arange(100))
    assert any("returns in the best tenth hardly differ (std 0.03% of the range" in f for f in strata(returns, LENGTHS, None)[1])


def test_behaviours_are_read_from_the_metadata_of_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joined data sets have policies of their own; a set with an episode that names none is unknown."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        write(f"test/{name}-v0", [episode(rng, 3) for _ in range(3)])
    for name in ("a", "b"):
        metadata = [{"snapshot": k // 2, "noise": 1.0 + k} for k in range(3)]
        minari.load_dataset(f"test/{name}-v0").storage.update_episode_metadata(metadata)
    minari.load_dataset("test/c-v0").storage.update_episode_metadata([{"snapshot": "first"}, {"snapshot": 1}, {}])
    found = behaviours("test/a-v0+test/b-v0@first:2")
    assert found is not None
    assert found.policies.tolist() == [0, 0, 1, 2, 2]
    assert found.noise.tolist() == [1, 2, 3, 1, 2]
    assert behaviours("test/c-v0") is None
