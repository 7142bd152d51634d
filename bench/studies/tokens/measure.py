"""Measurements of a population's policies on held-out instances of a token task: exact match, pass@k, likelihood, entropy, divergence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algos.networks.token_policy import TokenPolicy
from bench.studies.tokens.answers import Answers, given, log_probs, write
from envs.data.trajectories import TENSORS, Trajectories
from envs.evaluation.tokens.task import Task
from envs.evaluation.tokens.vocabulary import CONTEXT
from envs.recorded.tokens.sets import QUALITIES
from envs.recorded.tokens.solvers import Solver, solver
from envs.recorded.tokens.solvers import write as write_by

DRAWS = 64  # answers drawn to each instance
KS = (1, 8, 64)  # of pass@k
GREEDY = 4  # as many instances get the likeliest answer as get drawn ones
LARGER_DRAWS = 8  # answers drawn to each larger instance
READ = 8  # drawn answers to an instance that entropy and divergence are measured on
INSTANCES = 0x4E1D  # seed of the instances, the same for all policies
STREAM = 0x9A55  # of the draws

SOLVED = ("score", "easiest", "hardest", *(f"pass_{k}" for k in KS), "larger", "larger_pass_8")
"""Shares of held-out instances in percent: solved by the likeliest answer, of all sizes, of the smallest and of the largest; pass@k of
drawn answers; larger instances than any of training, solved by the likeliest answer, and pass@8."""
LIKELIHOOD = ("nll", "nll_mixture", "entropy", "kl_pi_ref")
"""Nats a token: of right answers to held-out instances, of the solvers' answers, mistakes included; entropy and KL(policy || pi_ref) along
own answers."""


@dataclass(frozen=True)
class Instances:
    """Held-out instances by size, and larger ones; `drawn` and four times as many of each size."""

    task: Task
    drawn: int

    def of(self, split: str, size: int, count: int) -> list[Any]:
        """The first `count` instances of a size."""
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((INSTANCES, size, *split.encode()))))
        return [self.task.sample(rng, split, size) for _ in range(count)]


def solved(net: TokenPolicy, flat: Tensor, seeds: Sequence[int], instances: Instances) -> tuple[dict[str, np.ndarray], Answers]:
    """SOLVED of the policies `flat` [P, N], each [P], and the drawn answers to held-out instances, READ of each instance."""
    task, drawn = instances.task, instances.drawn
    by_size = _by_size(net, flat, instances)
    found = {"score": np.mean(by_size, 0), "easiest": by_size[0], "hardest": by_size[-1]}
    held_out = [instance for size in task.sizes for instance in instances.of("held_out", size, drawn)]
    answers = _drawn(net, flat, task, seeds, held_out, DRAWS, 0)
    right = answers.solved.unflatten(1, (len(held_out), DRAWS)).sum(-1).numpy()
    found |= {f"pass_{k}": pass_at(right, DRAWS, k).mean(1) for k in KS}
    larger = instances.of("larger", task.larger, drawn)
    found["larger"] = _greedy(net, flat, task, instances.of("larger", task.larger, GREEDY * drawn))
    others = _drawn(net, flat, task, seeds, larger, LARGER_DRAWS, 1).solved.unflatten(1, (len(larger), LARGER_DRAWS))
    found["larger_pass_8"] = pass_at(others.sum(-1).numpy(), LARGER_DRAWS, 8).mean(1)
    few = torch.arange(answers.solved.shape[1]).unflatten(0, (-1, DRAWS))[:, :READ].flatten()
    kept = Answers(*(x[:, few] for x in (answers.tokens, answers.starts, answers.lengths, answers.solved)))
    return {name: 100 * value for name, value in found.items()}, kept


def exact_match(net: TokenPolicy, flat: Tensor, instances: Instances) -> np.ndarray:
    """The percentage [P] of held-out instances of all sizes that the likeliest answers solve: `score` of `solved`."""
    found: np.ndarray = 100 * np.mean(_by_size(net, flat, instances), 0)
    return found


def joined(first: Trajectories, second: Trajectories) -> Trajectories:
    """The episodes of two token tasks in one set, to imitate."""
    tensors = {name: torch.cat([getattr(first, name), getattr(second, name)]) for name in TENSORS if name != "offsets"}
    return Trajectories(**tensors, offsets=torch.cat([first.offsets, second.offsets[1:] + first.num_steps]), num_actions=first.num_actions)


def _by_size(net: TokenPolicy, flat: Tensor, instances: Instances) -> list[np.ndarray]:
    """The share [P] of held-out instances of each size that the likeliest answers solve."""
    task, count = instances.task, GREEDY * instances.drawn
    return [_greedy(net, flat, task, instances.of("held_out", size, count)) for size in task.sizes]


def pass_at(right: np.ndarray, draws: int, k: int) -> np.ndarray:
    """The unbiased estimate of pass@k from `right` solved ones of `draws` answers, 1 - C(draws - right, k) / C(draws, k), of each entry
    (Chen et al. 2021, arXiv 2107.03374)."""
    wrong = draws - right[..., None] - np.arange(k)
    found: np.ndarray = 1 - np.prod(np.maximum(wrong, 0) / (draws - np.arange(k)), -1)
    return found


@torch.no_grad()
def likelihoods(net: TokenPolicy, flat: Tensor, pi_ref: Tensor, own: Answers, instances: Instances) -> dict[str, np.ndarray]:
    """LIKELIHOOD of the policies `flat` [P, N], each [P]; own: their answers."""
    params, reference, task = net.layout.views(flat), net.layout.views(pi_ref), instances.task
    every, _, real = log_probs(net, params, own)
    other = log_probs(net, reference, own)[0]
    tokens = real.sum((1, 2))
    found = {
        "entropy": -(torch.where(real, (every.exp() * every).sum(-1), 0.0)).sum((1, 2)) / tokens,
        "kl_pi_ref": torch.where(real, (every.exp() * (every - other)).sum(-1), 0.0).sum((1, 2)) / tokens,
    }
    for name, texts in zip(("nll", "nll_mixture"), _texts(instances), strict=True):
        held_out = [instance for size in task.sizes for instance in instances.of("held_out", size, GREEDY * instances.drawn)]
        _, chosen, real = log_probs(net, params, given(task, held_out, texts, len(flat)))
        found[name] = -torch.where(real, chosen, 0.0).sum((1, 2)) / real.sum((1, 2))
    return {name: value.double().numpy() for name, value in found.items()}


def _texts(instances: Instances) -> tuple[list[list[int]], list[list[int]]]:
    """A right answer to each held-out instance, chosen by the solvers' habits, and an answer with their mistakes; END included."""
    task, right, mixed = instances.task, [], []
    rng, levels = np.random.Generator(np.random.PCG64(INSTANCES)), QUALITIES["mixed"]
    for size in task.sizes:
        for number, instance in enumerate(instances.of("held_out", size, GREEDY * instances.drawn)):
            own, room, answers = solver(levels[number % len(levels)]), task.room(instance) + 1, task.solutions(instance)
            right.append(write_by(Solver(0.0, own.habit, own.temperature), answers, room, rng).tolist())
            mixed.append(write_by(own, answers, room, rng).tolist())
    return right, mixed


def _greedy(net: TokenPolicy, flat: Tensor, task: Task, instances: Sequence[Any]) -> np.ndarray:
    """The share of instances [P] that the likeliest answers solve."""
    found: np.ndarray = write(net, flat, task, [instances] * len(flat), None).solved.double().mean(1).numpy()
    return found


def _drawn(net: TokenPolicy, flat: Tensor, task: Task, seeds: Sequence[int], instances: Sequence[Any], draws: int, stream: int) -> Answers:
    """`draws` answers to each instance, neighbours."""
    repeated = [instance for instance in instances for _ in range(draws)]
    streams = (np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, STREAM, stream)))) for seed in seeds)
    return write(net, flat, task, [repeated] * len(flat), np.stack([rng.random((len(repeated), CONTEXT)) for rng in streams]))
