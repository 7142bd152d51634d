"""Discrete actions: the categorical policy, and a run from a data set to a score."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from algos.networks.policies import CategoricalPolicy, GaussianPolicy, policy_for
from envs.readers.load import load
from tests.helpers import forks
from tests.helpers.logged import record_random


@pytest.fixture
def policy():
    net = CategoricalPolicy(4, 3, (8,))
    generators = [torch.Generator().manual_seed(k) for k in range(2)]
    return net, net.layout.views(net.init(generators))


def test_probabilities_sum_to_one_and_the_likeliest_is_chosen(policy):
    net, params = policy
    observations = torch.randn(2, 5, 4)
    each = torch.stack([net.log_prob(params, observations, torch.full((2, 5, 1), float(a))) for a in range(3)])
    torch.testing.assert_close(each.exp().sum(0), torch.ones(2, 5))
    assert torch.equal(net.mean(params, observations).squeeze(-1).long(), each.argmax(0))


def test_kl_is_the_sum_over_actions(policy):
    net, params = policy
    other = {k: v.flip(0) for k, v in params.items()}
    observations = torch.randn(2, 5, 4)
    actions = [torch.full((2, 5, 1), float(a)) for a in range(3)]
    p, q = (torch.stack([net.log_prob(which, observations, a) for a in actions]) for which in (params, other))
    torch.testing.assert_close(net.kl(params, other, observations), (p.exp() * (p - q)).sum(0))
    torch.testing.assert_close(net.kl(params, params, observations), torch.zeros(2, 5))


def test_a_discrete_data_set_is_trained_and_scored(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    record_random("test/cart-v0", "CartPole-v1", episodes=30, steps=60)
    data = load("test/cart-v0")
    assert isinstance(policy_for(data.trajectories, [8]), CategoricalPolicy)
    settings = [
        "algo=iw_sft_q", "dataset=test/cart-v0", "seeds=[0,1]", "algo.hidden=[32]",
        "algo.updates=150", "pi_ref.updates=150", "algo.learning_rate=1e-2", "algo.warmup=0",
        "algo.batch_size=64", "pi_ref.batch_size=64", "eval.episodes=2", "eval.final_episodes=10", "eval.every=100",
        "eval.workers=1", "device=cpu", f"results_dir={tmp_path / 'results'}",
    ]  # fmt: skip
    done = forks.run(settings, tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "results").glob("*/runs/*")
    record = json.loads((folder / "run.json").read_text())
    episodes = pd.read_csv(folder / "episodes.csv")
    final = episodes["return"][episodes["update"] == 150]
    assert len(final) == 20
    assert (
        final.mean() > record["reference"]["random"]
    )  # the measured score of a random policy, which imitating the best random episodes exceeds


def test_continuous_actions_get_a_gaussian_policy(small_continuous):
    assert isinstance(policy_for(small_continuous, [8]), GaussianPolicy)


@pytest.fixture
def small_continuous():
    from tests.helpers.episodes import from_episodes

    return from_episodes([(np.zeros((3, 4)), np.zeros((2, 1)), np.zeros(2), np.zeros(2, bool), np.zeros(2, bool))])
