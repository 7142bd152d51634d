"""Measures of policies on token tasks: pass@k without bias, likelihoods by hand, instances that no policy was trained on."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from algos.networks.token_policy import TokenPolicy
from bench.studies.language import METHODS, ON_AXIS, cases
from bench.studies.tokens import report
from bench.studies.tokens.measure import DRAWS, GREEDY, READ, SOLVED, Instances, joined, likelihoods, pass_at, solved
from bench.studies.tokens.report import NAMES, WEIGHS
from envs.data.trajectories import Trajectories
from envs.evaluation.tokens.environment import TASKS
from envs.evaluation.tokens.vocabulary import CHARACTERS, CONTEXT

NET = TokenPolicy(CONTEXT, len(CHARACTERS), (16,))


@pytest.mark.parametrize("right", range(7))
@pytest.mark.parametrize("k", [1, 3, 6])
def test_pass_at_k_is_the_mean_over_all_subsets(right: int, k: int) -> None:
    draws = np.arange(6) < right
    expected = np.mean([draws[list(chosen)].any() for chosen in combinations(range(6), k)])
    assert pass_at(np.array([right]), 6, k)[0] == pytest.approx(expected)


@pytest.mark.parametrize("name", TASKS)
def test_instances_are_held_out(name: str) -> None:
    instances = Instances(TASKS[name], 3)
    for size in TASKS[name].sizes:
        own = instances.of("held_out", size, 6)
        assert own[:3] == instances.of("held_out", size, 3)
        assert all(TASKS[name].held_out(instance) for instance in own)


def test_measures_of_a_population() -> None:
    """Shapes and ranges; a member's values do not depend on the others; KL is 0 at pi_ref; NLL of a uniform policy is log V."""
    flat = NET.init([torch.Generator().manual_seed(seed) for seed in (3, 5)])
    instances = Instances(TASKS["maze"], 2)
    values, answers = solved(NET, flat, (3, 5), instances)
    assert set(values) == set(SOLVED)
    assert answers.tokens.shape == (2, 2 * 2 * READ, CONTEXT)
    assert all(value.shape == (2,) and (value >= 0).all() and (value <= 100).all() for value in values.values())
    alone, own = solved(NET, flat[1:], (5,), instances)
    assert torch.equal(own.tokens[0], answers.tokens[1])
    assert all(alone[name][0] == values[name][1] for name in SOLVED)
    found = likelihoods(NET, flat, flat, answers, instances)
    np.testing.assert_allclose(found["kl_pi_ref"], 0, atol=1e-6)
    uniform = torch.zeros_like(flat)
    zero = likelihoods(NET, uniform, flat, answers, instances)
    for name in ("nll", "nll_mixture", "entropy"):
        np.testing.assert_allclose(zero[name], np.log(len(CHARACTERS)), rtol=1e-5)
    assert (zero["kl_pi_ref"] > 0).all()
    assert GREEDY * 2 <= DRAWS


def test_episodes_of_two_tasks_are_joined() -> None:
    def episodes(lengths: list[int], start: float) -> Trajectories:
        steps, flags = torch.arange(sum(lengths)) + start, torch.zeros(sum(lengths), dtype=torch.bool)
        offsets = torch.tensor([0, *np.cumsum(lengths)])
        return Trajectories(steps[:, None], steps[:, None], steps, steps[:, None], flags, flags, offsets, num_actions=27)

    first, second = episodes([2, 3], 0.0), episodes([1, 4], 100.0)
    both = joined(first, second)
    assert both.offsets.tolist() == [0, 2, 5, 6, 10]
    assert both.num_actions == 27
    for episode, own in enumerate([first, first, second, second]):
        same = own.only(torch.tensor([episode % 2]))
        assert torch.equal(both.only(torch.tensor([episode])).observations, same.observations)


def test_forgetting_is_the_change_on_the_second_task() -> None:
    common = {"dataset": "iwsft/maze/mixed-v0", "second": "iwsft/addition/mixed-v0", "prior": 2_000, "episodes": 4}
    found = {"bc": ((40, 90), (50, 80)), "sft": ((60, 50), (80, 20))}
    rows = [
        common | {"method": name, "seed": seed, "score": score, "second_score": second}
        for name, seeds in found.items()
        for seed, (score, second) in enumerate(seeds)
    ]
    lines = report._forgetting(rows).split("\n")
    assert lines[2].split(" | ")[2:] == ["maze/mixed, fine-tuned", "addition/mixed, not seen again", "change of the second |"]
    assert [line.split(" | ")[-1].split(" ±")[0] for line in lines[4:]] == ["- |", "-50.0"]
    assert [line.split(" | ")[3].split(" ±")[0] for line in lines[4:]] == ["85.0", "35.0"]


def test_every_method_has_a_name_and_one_protocol() -> None:
    assert set(METHODS) == set(NAMES) == set(WEIGHS)
    assert set(ON_AXIS) <= set(METHODS)
    found = cases()
    settings = [(c.config.dataset, c.labels["prior"], c.config.algo.determinants() | {"name": ""}) for c in found]
    assert all(a != b for a, b in combinations(settings, 2))
    tuned = [c.config.algo for c in found if c.labels["method"] not in ("bc", "filtered_bc")]
    assert len({(a.updates, a.learning_rate, a.warmup, a.batch_size) for a in tuned}) == 1
