"""A chain of five states with a known optimum: methods that learn values find it from mixed data, behaviour cloning does not.

States 0 .. 4 in a row; an action above 0 goes right, else left (state 0 stays). Right of state 4 the episode terminates with reward 1.
The logged policy goes left three times out of five, so its average action is wrong everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algos.registry import build
from envs.data.trajectories import Trajectories
from tests.helpers.chain import DISCOUNT, STATES, mixed_data, optimum
from tests.helpers.learners import configured

SMALL = ("algo.hidden=[32,32]", "algo.batch_size=64", "algo.discount=0.9", "algo.learning_rate=2e-3", "algo.critic_learning_rate=2e-3",
         "algo.schedule=constant")  # fmt: skip


def goes_right(algo: Any) -> list[bool]:
    observations = torch.eye(STATES).expand(algo.members, -1, -1)
    return (algo.act(observations)[..., 0] > 0).all(0).tolist()


SOFT = ("algo.target_rate=0.05", "algo.reward_scale=10", "algo.entropy_learning_rate=1e-2")  # rewards outweigh the entropy bonus
BUDGET = {
    "iql": ("algo.updates=800", "algo.reward_scaling=none", "algo.temperature=10", "algo.expectile=0.9", "algo.target_rate=0.02"),
    "td3_bc": ("algo.updates=1000", "algo.alpha=10", "algo.target_rate=0.05"),
    "rebrac": ("algo.updates=1500", "algo.policy_penalty=0.02", "algo.critic_penalty=0", "algo.target_rate=0.05"),
    "awac": ("algo.updates=800", "algo.temperature=0.03", "algo.target_rate=0.02"),
    "crr": ("algo.updates=800", "algo.weight=binary", "algo.target_rate=0.02"),
    "cfgrl": (
        "algo.updates=1500",
        "algo.batch_size=256",
        "algo.reward_scaling=none",
        "algo.target_rate=0.02",
        "algo.guidance=3",
        "algo.steps=8",
    ),
    "cql": ("algo.updates=400", "algo.alpha=0.1", "algo.samples=4", *SOFT),
    "cal_ql": ("algo.updates=400", "algo.alpha=0.1", "algo.samples=4", *SOFT),
    "rlpd": ("algo.updates=700", "algo.critics=4", *SOFT),
    "edac": ("algo.updates=700", "algo.critics=4", "algo.eta=0.1", *SOFT),
    "sac_n": ("algo.updates=700", "algo.critics=4", *SOFT),
}
LONG = ("rebrac", "cfgrl", "cal_ql", "edac", "sac_n", "crr", "rlpd")


@pytest.fixture(scope="module")
def data() -> Trajectories:
    return mixed_data()


def test_the_optimal_action_is_right_in_every_state() -> None:
    q = optimum()
    np.testing.assert_allclose(q[:, 1], DISCOUNT ** np.arange(STATES - 1, -1, -1.0))
    assert (q[:, 1] > q[:, 0]).all()


@pytest.mark.parametrize("name", [name if name not in LONG else pytest.param(name, marks=pytest.mark.slow) for name in BUDGET])
def test_methods_that_learn_values_go_right_in_every_state(name: str, data: Trajectories) -> None:
    config = configured(name, *SMALL, *BUDGET[name])
    algo = build(config, data, (0, 1))
    algo.train(0, config.updates)
    assert goes_right(algo) == [True] * STATES


@pytest.mark.parametrize("name", ["awr", "marwil"])
def test_awr_and_marwil_improve_on_the_behaviour_policy(name: str, data: Trajectories) -> None:
    """AWR and MARWIL go right in every state but 0, where the behaviour policy's values hardly differ, four steps from any reward."""
    config = configured(name, *SMALL, "algo.updates=800", "algo.refresh_every=100", "algo.temperature=6")
    algo = build(config, data, (0, 1))
    algo.train(0, config.updates)
    assert all(goes_right(algo)[1:])


def test_behaviour_cloning_goes_left_in_every_state(data: Trajectories) -> None:
    config = configured("bc", "algo.hidden=[32,32]", "algo.updates=600", "algo.learning_rate=2e-3")
    algo = build(config, data, (0, 1))
    algo.train(0, algo.updates)
    assert goes_right(algo) == [False] * STATES


def test_iqls_value_approaches_the_optimum(data: Trajectories) -> None:
    """With an expectile near 1, V is the largest value of a logged action, here that of Q* (Kostrikov et al. 2021, theorem 3)."""
    config = configured("iql", *SMALL, *BUDGET["iql"], "algo.expectile=0.97", "algo.updates=1500")
    algo: Any = build(config, data, (0,))
    algo.train(0, config.updates)
    found = algo.value(algo.state["value"], torch.eye(STATES)[None])[0].numpy()
    np.testing.assert_allclose(found, optimum().max(1), atol=0.12)
