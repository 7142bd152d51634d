"""Member k of a population equals the same member trained alone; the same seed gives the same result, another one does not."""

from __future__ import annotations

import pytest
import torch

from algos.batches.sampling import Sampler
from algos.methods.weighted_bc import Curation, Kind, Start, WeightedBC, WeightedBCConfig, Weighting
from algos.optimizer import Schedule
from envs.data.trajectories import Trajectories

# Batched and single matrix products may round differently; over these updates the difference stays below this.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
UPDATES = 60


def config_of(kind: Kind, sampler: Sampler) -> WeightedBCConfig:
    return WeightedBCConfig(
        "iw", UPDATES, 16, [16, 16], Start.pi_ref, 1e-3, 10, Schedule.cosine, sampler, curation=Curation([50, 75]),
        weighting=Weighting(kind, temperature=2.0, maximum=5.0, refresh_every=7),
    )  # fmt: skip


def trained(config: WeightedBCConfig, data: Trajectories, seeds: list[int]) -> dict[str, torch.Tensor]:
    reference = WeightedBC(WeightedBCConfig(hidden=[16, 16]), data, seeds)
    algo = WeightedBC(config, data, seeds, reference.policy())
    algo.train(0, UPDATES)
    return algo.state


@pytest.mark.parametrize("sampler", list(Sampler))
@pytest.mark.parametrize("kind", list(Kind))
def test_a_member_equals_itself_alone(small_data: Trajectories, kind: Kind, sampler: Sampler) -> None:
    if kind.needs_sequences and sampler is Sampler.transitions:
        pytest.skip("refused: tests/bench/training/test_token_runs.py")
    config = config_of(kind, sampler)
    together = trained(config, small_data, [5, 0, 9])
    for k, seed in enumerate([5, 0, 9]):
        alone = trained(config, small_data, [seed])
        for name, value in alone.items():
            torch.testing.assert_close(
                together[name] if value.ndim == 0 else together[name][k], value if value.ndim == 0 else value[0], **TOLERANCE
            )


def test_the_same_seed_twice_is_identical_and_another_is_not(small_data: Trajectories) -> None:
    config = config_of(Kind.trajectory, Sampler.transitions)
    first, again, other = (trained(config, small_data, seeds) for seeds in ([1, 2], [1, 2], [1, 3]))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.allclose(first["policy"][1], other["policy"][1], atol=1e-3)


def test_training_in_two_calls_is_training_in_one(small_data: Trajectories) -> None:
    config = config_of(Kind.trajectory, Sampler.transitions)
    reference = WeightedBC(WeightedBCConfig(hidden=[16, 16]), small_data, [0]).policy()
    parts = WeightedBC(config, small_data, [0], reference)
    parts.train(0, 25)
    resumed = WeightedBC(config, small_data, [0], reference)
    resumed.state = {k: v.clone() for k, v in parts.state.items()}
    resumed.train(25, UPDATES)
    whole = WeightedBC(config, small_data, [0], reference)
    whole.train(0, UPDATES)
    assert all(torch.equal(resumed.state[k], v) for k, v in whole.state.items())


def test_initial_parameters_differ_between_members(small_data: Trajectories) -> None:
    policy = WeightedBC(WeightedBCConfig(hidden=[16]), small_data, [0, 1]).policy()
    assert not torch.equal(policy["0.weight"][0], policy["0.weight"][1])


def test_fine_tuning_starts_at_the_reference(small_data: Trajectories) -> None:
    source = WeightedBC(WeightedBCConfig(hidden=[16, 16]), small_data, [0])
    source.train(0, 5)
    reference = source.policy()
    algo = WeightedBC(config_of(Kind.trajectory, Sampler.transitions), small_data, [0], reference)
    assert all(torch.equal(algo.policy()[k], v) for k, v in reference.items())
    algo.train(0, 20)
    frozen = algo.policy_net.layout.flatten(reference)
    assert algo.pi_ref is not None
    assert torch.equal(algo.pi_ref, frozen)
    assert not torch.equal(algo.state["policy"], frozen)
