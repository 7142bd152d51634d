"""Losses, weights and gradients equal those of the iw-SFT authors' control code, recorded on small random inputs (fixtures/)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from algos.batches.curation import strata
from algos.batches.sampling import Batch, LengthWeighting, Sampler
from algos.methods.weighted_bc import Kind, Rule, WeightedBC, WeightedBCConfig, Weighting
from algos.networks.policies import GaussianPolicy
from algos.optimizer import Schedule, learning_rate
from envs.data.trajectories import Trajectories
from tests.helpers.episodes import from_episodes
from tests.helpers.paths import FIXTURES

FILES = sorted(FIXTURES.glob("iw_sft_authors_*.npz"))
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}

Oracle = Mapping[str, np.ndarray]


@pytest.fixture(params=FILES, ids=lambda p: p.stem)
def oracle(request: pytest.FixtureRequest) -> Oracle:
    with np.load(request.param) as values:
        return dict(values)


def test_both_oracle_files_exist() -> None:
    assert len(FILES) == 2


def parameters(oracle: Oracle, prefix: str) -> dict[str, torch.Tensor]:
    """The authors' parameters (or gradients) in this suite's names: layer 2i of theirs is layer i here, weights transposed, one member."""
    found = {}
    for name, value in oracle.items():
        if name.startswith(f"{prefix}/_net."):
            _, layer, kind = name.removeprefix(f"{prefix}/").split(".")
            found[f"{int(layer) // 2}.{kind}"] = torch.from_numpy(value.T.copy() if kind == "weight" else value)[None]
    return found | {"log_std": torch.from_numpy(oracle[f"{prefix}/_raw_log_std"]).reshape(1, -1)}


def data_of(oracle: Oracle) -> Trajectories:
    """The oracle's padded episodes without padding; the observation after the last step is unknown and unused."""
    episodes = []
    for states, actions, length in zip(oracle["states"], oracle["actions"], oracle["lengths"].astype(int), strict=True):
        ends = np.arange(length) == length - 1
        episodes.append((states[[*range(length), length - 1]], actions[:length], np.zeros(length), ends, ~ends & ends))
    return from_episodes(episodes)


def member(oracle: Oracle, weighting: Weighting) -> WeightedBC:
    """WeightedBC at the oracle's three policies, on whole trajectories, each episode's loss divided by its length."""
    episodes = len(oracle["states"])
    config = WeightedBCConfig(
        "oracle", batch_size=episodes, hidden=[16, 16, 16], sampler=Sampler.trajectories,
        length_weighting=LengthWeighting.per_episode, weighting=weighting,
    )  # fmt: skip
    algo = WeightedBC(config, data_of(oracle), [0], parameters(oracle, "ref"))
    algo.state["policy"] = algo.policy_net.layout.flatten(parameters(oracle, "policy"))
    if "q" in algo.state:
        algo.state["q"] = algo.policy_net.layout.flatten(parameters(oracle, "q"))
    return algo


def every_episode_once(algo: WeightedBC) -> Batch:
    """The batch of every episode once, in order."""
    episodes = algo.data.lengths.shape[0]
    return algo.stream._whole((torch.arange(episodes).double()[None] + 0.5) / episodes)


def loss_and_grads(algo: WeightedBC) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    batch = every_episode_once(algo)
    weights = algo.weights(algo.state, batch)
    params = {k: v.detach().requires_grad_() for k, v in algo.policy().items()}
    loss = algo.losses(params, weights, batch)
    grads = torch.autograd.grad(loss.sum(), list(params.values()))
    return weights, loss.detach(), dict(zip(params, grads, strict=True))


@pytest.mark.parametrize("name", ["policy", "q", "ref"])
def test_log_likelihood(oracle: Oracle, name: str) -> None:
    states, actions = torch.from_numpy(oracle["states"]), torch.from_numpy(oracle["actions"])
    policy = GaussianPolicy(states.shape[-1], actions.shape[-1], (16, 16, 16))
    found = policy.log_prob(parameters(oracle, name), states.flatten(0, 1)[None], actions.flatten(0, 1)[None]).view(states.shape[:2])
    mask = oracle["mask"] > 0
    np.testing.assert_allclose(found.numpy()[mask], oracle[f"logprob/{name}"][mask], **TOLERANCE)


def test_bc_loss_and_gradient(oracle: Oracle) -> None:
    _, loss, grads = loss_and_grads(member(oracle, Weighting()))
    np.testing.assert_allclose(loss.item(), oracle["bc/loss"], **TOLERANCE)
    for name, grad in parameters(oracle, "bc/grad").items():
        np.testing.assert_allclose(grads[name].numpy(), grad.numpy(), **TOLERANCE)


@pytest.mark.parametrize("temperature", [1, 2, 10])
@pytest.mark.parametrize("kind", [Kind.trajectory, Kind.step])
@pytest.mark.parametrize("normalize", [False, True])
def test_importance_weights_loss_and_gradient(oracle: Oracle, temperature: int, kind: Kind, normalize: bool) -> None:
    maximum = 1000.0 if kind is Kind.trajectory else 2.0
    algo = member(oracle, Weighting(kind, float(temperature), 0.0, maximum, normalize, rule=Rule.authors))
    weights, loss, grads = loss_and_grads(algo)
    prefix = f"iw/temp={temperature}/{kind.name}/{'normalised_by_sum' if normalize else 'raw'}"
    expected = oracle[f"{prefix}/weights"]
    mask = oracle["mask"] > 0
    # The authors' normalised weights sum to 1; this suite's have mean 1 over the steps that the loss averages.
    per_step = expected[mask] if kind is Kind.step else np.repeat(expected, oracle["lengths"].astype(int))
    factor = float(weights[0, 0] / per_step[0]) if normalize else 1.0
    scale = max(1.0, abs(float(oracle[f"{prefix}/loss"]) * factor))
    np.testing.assert_allclose(weights[0].numpy() / factor, per_step, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(loss.item() / factor, oracle[f"{prefix}/loss"], rtol=1e-5, atol=1e-5 * scale)
    if normalize:
        batch = every_episode_once(algo)
        np.testing.assert_allclose(float((weights * batch.coefficient).sum()), 1, rtol=1e-5)
    for name, grad in parameters(oracle, f"{prefix}/grad").items():
        largest = max(1.0, float(grad.abs().max()))
        np.testing.assert_allclose(grads[name].numpy() / factor, grad.numpy(), rtol=1e-5, atol=1e-5 * largest)


def test_moving_average_of_q(oracle: Oracle) -> None:
    algo = member(oracle, Weighting(Kind.trajectory))
    algo.update(algo.state, every_episode_once(algo))
    for name, value in parameters(oracle, "q_after_ema").items():
        np.testing.assert_allclose(algo.policy_net.layout.views(algo.state["q"])[name].numpy(), value.numpy(), **TOLERANCE)


def test_curation_multiset(oracle: Oracle) -> None:
    returns = oracle["curation/returns"]
    np.testing.assert_allclose(np.percentile(returns, [90, 95, 98]), oracle["curation/cutoffs"], rtol=1e-6)
    np.testing.assert_array_equal(strata(returns, [90, 95, 98]), oracle["curation/indices"])


def test_learning_rate_schedule(oracle: Oracle) -> None:
    expected = oracle["schedule/lr"]
    peak = torch.tensor([4e-5], dtype=torch.float64)
    rates = [learning_rate(torch.tensor(t), peak, 300, len(expected), Schedule.cosine).item() for t in range(len(expected))]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-5 * 4e-5)
