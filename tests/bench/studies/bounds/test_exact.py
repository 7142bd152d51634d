"""The enumerated settings: trajectories as often as they are likely, J and bounds of known policies, the product's own weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bench.studies.bounds.exact import EARLY, HORIZON, NEXT, Setting, decision_process, learner, rows, settings, weightings
from bench.studies.bounds.values import OWN


def success(policy: np.ndarray) -> float:
    """P(state 2 at the end) of `policy` [state, action], by dynamic programming."""
    value = np.array([0.0, 0.0, 1.0])
    for _ in range(HORIZON):
        value = np.array([sum(policy[s][a] * value[list(NEXT[s][a])].mean() for a in (0, 1)) for s in range(3)])
    return float(value[0])


def test_the_data_are_the_distribution_of_the_uniform_policy() -> None:
    data = decision_process()
    assert data.num_episodes == 4**HORIZON
    assert float(data.returns.mean()) == pytest.approx(success(np.full((3, 2), 0.5)))
    state = data.observations.argmax(1)
    np.testing.assert_array_equal(state[data.offsets[:-1]], 0)
    for s, a in itertools.product(range(3), range(2)):
        at = (state == s) & (data.actions[:, 0] == a)
        following = data.next_observations[at].argmax(1).double()
        assert float(following.mean()) == pytest.approx(np.mean(NEXT[s][a]))


@pytest.mark.parametrize("setting", settings(), ids=lambda s: s.name)
def test_bounds_hold_and_w_equal_to_q_over_pi_ref_is_tight(setting: Setting) -> None:
    found = rows(setting, EARLY)
    assert all(r["bound_log_gain"] <= r["log_gain"] + 1e-5 for r in found)
    ends = {(r["method"], r["q"]): r for r in found if r["update"] == EARLY}
    paper = "iw-SFT, w = q / pi_ref"
    assert ends[paper, OWN]["bound_best_scale"] == pytest.approx(ends[paper, OWN]["J"], rel=5e-3)  # q lags by an update
    assert ends[paper, OWN]["bound_log_gain"] > ends[paper, "pi_ref"]["bound_log_gain"] + 0.1
    assert ends["SFT", "alpha 1"]["bound_best_scale"] == pytest.approx(ends["SFT", "alpha 1"]["J"], rel=1e-6)
    assert ends["SFT", OWN]["ess"] == pytest.approx(1)


def test_j_is_that_of_the_policy() -> None:
    setting = settings()[1]
    algo = next(itertools.islice(learner(setting.data, weightings(setting.steps)["iw-SFT, default rule"]), EARLY, None))
    parameters = algo.policy()
    policy = (parameters["0.weight"][0] + parameters["0.bias"][0]).softmax(-1).numpy()
    (own,) = [r for r in rows(setting, EARLY) if (r["method"], r["q"], r["update"]) == ("iw-SFT, default rule", OWN, EARLY)]
    assert own["J"] == pytest.approx(success(policy), rel=1e-5)
