"""A population split into groups trains as a whole one does, by `train` and update by update."""

from __future__ import annotations

import pytest
import torch

from algos.base import Algo
from bench.training.parallel import build_population
from tests.helpers.learners import episodes_of, small

SEEDS = (3, 8, 5)


def groups_of(name: str) -> Algo:
    data = episodes_of()
    return build_population(lambda own: small(name, data, SEEDS[own]), len(SEEDS), groups=2, processes=1)


@pytest.mark.parametrize("name", ["td3_bc", "awr"])
def test_groups_train_the_same_population(name: str) -> None:
    whole, trained, stepped = small(name, episodes_of(), SEEDS), groups_of(name), groups_of(name)
    expected, found = whole.train(0, 6), trained.train(0, 6)
    for update in range(6):
        stepped.before(update)
        stepped.step(stepped.phase(update), stepped.draws(update))
    for part, value in whole.state.items():
        torch.testing.assert_close(trained.state[part], value, rtol=1e-4, atol=1e-6, msg=part)
        assert torch.equal(stepped.state[part], trained.state[part]), part
    for part, value in expected.items():
        torch.testing.assert_close(found[part], value, rtol=1e-4, atol=1e-6, msg=part)
