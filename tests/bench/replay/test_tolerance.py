"""The tolerance between machines: honest submissions pass, forged ones do not, and the submitted returns widen nothing."""

from __future__ import annotations

import numpy as np
import pytest

from bench.replay.power import found_share
from bench.replay.tolerance import compare

PLAYS, SEEDS, EPISODES = 8, 3, 100


def pool(noise: float, plays: int = 2 * PLAYS + 2, episodes: int = EPISODES) -> np.ndarray:
    """Returns [R, S, E] of starts that differ, with the relative `noise` of rounding about them."""
    draws = np.random.default_rng(0)
    starts = draws.normal(1000, 300, (SEEDS, episodes))
    return starts * (1 + noise * draws.standard_normal((plays, SEEDS, episodes)))


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.02, 0.1])
def test_honest_submissions_pass_and_five_per_cent_is_found(noise: float) -> None:
    returns = pool(noise)
    assert found_share(returns, 0.0, 2000, PLAYS) <= 0.001
    assert found_share(returns, 0.05, 300, PLAYS) >= 0.99


@pytest.mark.parametrize("share", [0.0005, 0.005, 0.02])
def test_rare_successes_are_no_forgery(share: float) -> None:
    """A share of episodes ends otherwise on another machine, and the verifier may see none of them."""
    draws = np.random.default_rng(1)
    starts = draws.random((SEEDS, EPISODES)) < 0.3
    flips = draws.random((60, SEEDS, EPISODES)) < share
    assert found_share((starts ^ flips).astype(float), 0.0, 2000, PLAYS) <= 0.001


def test_few_episodes_have_a_wide_tolerance() -> None:
    assert found_share(pool(0.1, episodes=2), 0.0, 2000, PLAYS) <= 0.001
    few, many = (compare(x[0], x[1 : PLAYS + 1]).smallest for x in (pool(0.1, episodes=4), pool(0.1)))
    assert few > 4 * many


def test_the_submitted_returns_do_not_widen_the_tolerance() -> None:
    """One return a seed of a million among 100 hides behind its own spread."""
    returns = pool(0.1)
    forged, honest = returns[0].copy(), compare(returns[0], returns[1 : PLAYS + 1])
    forged[:, 0] = 1e6
    found = compare(forged, returns[1 : PLAYS + 1])
    assert honest.within
    assert not found.within
    assert found.smallest == honest.smallest
    assert found.worst > 100


def test_one_forged_seed_is_named() -> None:
    returns = pool(0.02)
    forged = returns[0].copy()
    forged[1] *= 1.1
    found = compare(forged, returns[1 : PLAYS + 1])
    assert (found.within, found.seed) == (False, 1)


def test_more_plays_find_smaller_forgeries() -> None:
    returns = pool(0.1, plays=40)
    few, many = (compare(returns[0], returns[1 : 1 + plays]).smallest for plays in (2, 32))
    assert many < 0.85 * few


def test_the_smallest_forgery_is_found_99_times_in_100() -> None:
    returns = pool(0.1)
    smallest = np.mean([compare(returns[k], np.delete(returns, k, 0)[:PLAYS]).smallest for k in range(10)])
    assert 0.97 < found_share(returns, smallest / returns.mean(), 500, PLAYS) <= 1.0


def test_equal_returns_of_every_play_allow_for_an_event_unseen() -> None:
    played = np.zeros((PLAYS, 1, 100))
    recorded = np.zeros((1, 100))
    recorded[0, 3] = 1.0
    assert compare(recorded, played, spread=1.0).within
    assert not compare(recorded + 1, played, spread=1.0).within
    assert not compare(recorded, played).within
