"""Both samplers estimate the same gradient for each weighting of lengths; streams depend on (seed, update) alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.batches.sampling import BLOCK, BatchStream, LengthWeighting, Sampler
from algos.methods.weighted_bc import Curation, Kind, Rule, WeightedBC, WeightedBCConfig, Weighting
from envs.data.trajectories import Trajectories


def algo_of(data: Trajectories, sampler: Sampler, lengths: LengthWeighting, batch_size: int = 32) -> WeightedBC:
    """iw-SFT(Q) with q moved away from pi_ref, so that weights differ from 1."""
    config = WeightedBCConfig(
        hidden=[8], batch_size=batch_size, sampler=sampler, length_weighting=lengths,
        curation=Curation([50, 75]), weighting=Weighting(Kind.trajectory, temperature=2.0, normalize=False, rule=Rule.authors),
    )  # fmt: skip
    reference = WeightedBC(WeightedBCConfig(hidden=[8]), data, [3])
    algo = WeightedBC(config, data, [0], reference.policy())
    algo.state["q"] += 0.3 * torch.randn(algo.state["q"].shape, generator=torch.Generator().manual_seed(1))
    if algo.weights.uses_table:
        algo.state["weights"] = algo.weights.of_trajectories(algo.state)[0]
    return algo


def exact(algo: WeightedBC, data: Trajectories, weighting: LengthWeighting) -> float:
    """The loss over all curated episodes, computed in plain loops."""
    assert algo.pi_ref is not None
    sums, weights, lengths = [], [], []
    for e in algo.curated.tolist():
        steps = torch.arange(int(data.offsets[e]), int(data.offsets[e + 1]))
        log_pi, log_q, log_ref = (
            algo.likelihood.all_of(p, steps)[0].double() for p in (algo.state["policy"], algo.state["q"], algo.pi_ref)
        )
        sums.append(float(log_pi.sum()))
        weights.append(float((2.0 * (log_q - log_ref).mean()).exp()))
        lengths.append(len(steps))
    terms = np.array(weights) * np.array(sums)
    return -terms.sum() / sum(lengths) if weighting is LengthWeighting.per_step else -(terms / np.array(lengths)).mean()


@pytest.mark.parametrize("lengths", list(LengthWeighting))
@pytest.mark.parametrize("sampler", list(Sampler))
def test_loss_and_gradient_in_expectation(small_data: Trajectories, sampler: Sampler, lengths: LengthWeighting) -> None:
    algo = algo_of(small_data, sampler, lengths)
    direction = torch.randn(algo.policy_net.layout.size, generator=torch.Generator().manual_seed(2))

    def loss_and_slope(batch_of: int) -> tuple[float, float]:
        params = {k: v.detach().requires_grad_() for k, v in algo.policy().items()}
        batch = algo.stream.batch(batch_of)
        loss = algo.losses(params, algo.weights(algo.state, batch), batch)
        grads = torch.autograd.grad(loss.sum(), list(params.values()))
        return loss.item(), float(torch.cat([g.flatten() for g in grads]) @ direction)

    samples = np.array([loss_and_slope(t) for t in range(1500)])
    mean, error = samples.mean(0), samples.std(0) / np.sqrt(len(samples))

    exact_loss = exact(algo, small_data, lengths)
    assert abs(mean[0] - exact_loss) < 4.5 * error[0]
    assert error[0] < 0.02 * abs(exact_loss)

    # The gradient's exact value by a central difference of the exact loss along `direction`.
    def moved(by: float) -> float:
        start = algo.state["policy"].clone()
        algo.state["policy"] += by * direction
        value = exact(algo, small_data, lengths)
        algo.state["policy"] = start
        return value

    slope = (moved(1e-3) - moved(-1e-3)) / 2e-3
    assert abs(mean[1] - slope) < 4.5 * error[1] + 1e-3 * abs(slope)
    assert error[1] < 0.05 * abs(slope)


def test_every_drawn_step_is_curated_and_in_its_episode(small_data: Trajectories) -> None:
    curated = torch.tensor([5, 5, 17, 2])
    for sampler in Sampler:
        for lengths in LengthWeighting:
            stream = BatchStream(small_data, curated, [0, 1], 16, sampler, lengths)
            for t in range(20):
                batch = stream.batch(t)
                real = batch.coefficient > 0
                episode = curated[batch.slot[real]]
                assert ((batch.step[real] >= small_data.offsets[episode]) & (batch.step[real] < small_data.offsets[episode + 1])).all()


def test_whole_trajectories_are_whole(small_data: Trajectories) -> None:
    stream = BatchStream(small_data, torch.arange(40), [0, 1], 8, Sampler.trajectories, LengthWeighting.per_episode)
    batch = stream.batch(0)
    for member in range(2):
        real = batch.coefficient[member] > 0
        for row in range(8):
            chosen = real & (batch.row[member] == row)
            episode = int(batch.slot[member][chosen][0])
            expected = torch.arange(int(small_data.offsets[episode]), int(small_data.offsets[episode + 1]))
            assert torch.equal(batch.step[member][chosen], expected)


def test_a_stream_is_a_function_of_seed_and_update(small_data: Trajectories) -> None:
    def stream(seeds: list[int]) -> BatchStream:
        return BatchStream(small_data, torch.arange(40), seeds, 16, Sampler.transitions, LengthWeighting.per_step)

    forwards = stream([4, 7])
    drawn = [forwards.batch(t).step for t in range(2 * BLOCK + 3)]
    alone = stream([7])
    assert torch.equal(alone.batch(2 * BLOCK + 2).step[0], drawn[-1][1])
    assert torch.equal(alone.batch(1).step[0], drawn[1][1])
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0][0], drawn[0][1])
    assert not torch.equal(drawn[0], drawn[BLOCK])
