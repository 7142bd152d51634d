"""Settings that are sampled: built-in data with the behaviour's density, policies trained as the product trains them, J by rollouts.

A return of at least that of the worst trajectory in D+ (the best tenth of the training data) has reward 1, any other 0: J is the
probability of such a return under sampled actions. Bounds are measured on further episodes of the same behaviour, on which no policy was
trained, and on the training data. pi_ref is the recorded density of the behaviour, or, as `fitted`, the policy that BC fitted to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from algos.importance import StepWeights
from algos.likelihood import StepLikelihood
from algos.methods.weighted_bc import WeightedBC
from algos.registry import build
from bench.config.compose import compose
from bench.studies.bounds.likelihood import gradient_products, log_likelihood, log_weights
from bench.studies.bounds.values import OWN, log_mean, measured, path
from envs.data.trajectories import Trajectories
from envs.evaluation.rollout import Evaluator, Moments, episode_seeds
from envs.recorded.episodes import Episode, run_episodes, spec_of
from envs.recorded.recipes import recipes

SIDE_BY_SIDE = 16  # environments a member
METHODS = {
    "SFT": ["algo=sft"],
    "iw-SFT, default rule": ["algo=iw_sft"],
    "iw-SFT, authors' rule": ["algo=iw_sft", "algo.weighting.rule=authors", "algo.weighting.min_trajectories=0"],
}
PATHS = ("SFT", "iw-SFT, default rule")  # methods whose policies are the end of a path of q


@dataclass(frozen=True)
class Size:
    """Size of the study of a data set: its episodes of every snapshot or level, for training and for measuring; rollouts; settings.

    stages: shares of the updates at which the study measures.
    """

    dataset: str
    train: int
    held_out: int
    rollouts: int
    overrides: Sequence[str] = ()
    stages: Sequence[float] = (0, 0.1, 1)
    seeds: Sequence[int] = (0, 1)


class Sample(NamedTuple):
    """Trajectories with a reward. share: the weight of each in a mean over all trajectories. log_density [M] of the behaviour."""

    data: Trajectories
    share: float
    log_density: Tensor


def play(size: Size, first: int, count: int) -> list[Episode]:
    """Episodes number `first` to `first + count - 1` of every snapshot of the data set's recipe."""
    recipe = recipes()[size.dataset]
    snapshots = sorted({s for group in recipe.groups for s in group})
    return list(run_episodes([recipe.job(s, n) for s in snapshots for n in range(first, first + count)], workers=1))


def logged(episodes: Sequence[Episode]) -> Trajectories:
    """Episodes as logged data. The environments' bounds of actions are -1 and 1."""
    join = lambda arrays, dtype: torch.from_numpy(np.concatenate(arrays).astype(dtype))  # noqa: E731
    return Trajectories(
        join([e.observations[:-1] for e in episodes], np.float32), join([e.actions for e in episodes], np.float32),
        join([e.rewards for e in episodes], np.float32), join([e.observations[1:] for e in episodes], np.float32),
        join([e.terminated for e in episodes], bool), join([e.truncated for e in episodes], bool),
        torch.from_numpy(np.cumsum([0] + [len(e.rewards) for e in episodes])),
    )  # fmt: skip


def sample(episodes: Sequence[Episode], threshold: float) -> Sample:
    """The episodes with a return of at least `threshold`."""
    kept = [e for e in episodes if e.rewards.astype(np.float32).astype(np.float64).sum() >= threshold]
    return Sample(logged(kept), 1 / len(episodes), torch.tensor([e.log_prob.sum() for e in kept], dtype=torch.float64))


def stages(algo: WeightedBC, size: Size) -> Iterator[int]:
    """Train to each stage; yields the number of updates done."""
    done = 0
    for stage in size.stages:
        stop = round(stage * algo.updates)
        algo.train(done, stop)
        done = stop
        yield done


def rollouts(algo: WeightedBC, environments: Evaluator, threshold: float, size: Size, update: int) -> np.ndarray:
    """Rewards [P, rollouts] of rollouts with sampled actions."""
    rounds = -(-size.rollouts // SIDE_BY_SIDE)
    seeds = episode_seeds(algo.seeds, update, SIDE_BY_SIDE * rounds).reshape(-1, rounds)
    params, generator = algo.params(algo.state["policy"]), torch.Generator().manual_seed(update)

    def act(observations: np.ndarray, _: Moments) -> np.ndarray:
        batch = torch.from_numpy(observations).view(algo.members, SIDE_BY_SIDE, -1)
        noise = torch.randn((*batch.shape[:2], algo.data.actions.shape[1]), generator=generator)
        return algo.policy_net.sample(params, batch, noise).flatten(0, 1).numpy()

    found = environments.run(act, seeds).returns.reshape(algo.members, -1)
    return found >= threshold


def wilson(successes: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z, share = 1.96, successes / count
    middle, half = share + z**2 / (2 * count), z * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return (middle - half) / (1 + z**2 / count), (middle + half) / (1 + z**2 / count)


@torch.no_grad()
def bounds_on(part: Sample, algo: WeightedBC, fitted: bool, on_path: bool, gradients: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    """(member, columns) of every bound of the method's present policy on a sample."""
    likelihood = StepLikelihood(algo.policy_net, part.data)
    count, policy = part.data.num_episodes, algo.state["policy"]
    assert algo.pi_ref is not None
    reference = log_likelihood(likelihood, algo.pi_ref) if fitted else part.log_density.expand(algo.members, -1)
    log_ratio = log_likelihood(likelihood, policy) - reference
    everything, base = torch.arange(count), part.data.lengths / part.data.num_steps
    own = log_weights(StepWeights(algo.config.weighting, likelihood, everything, algo.pi_ref, algo.scalar, None, base), algo.state)
    products = gradient_products(likelihood, policy, everything) if gradients else [None] * algo.members
    share = torch.full((count,), part.share, dtype=torch.float64)
    for member in range(algo.members):
        candidates = {OWN: own[member], "pi_ref": torch.zeros_like(share)} | (path(log_ratio[member]) if on_path else {})
        estimate = {"log_gain": float(log_mean(share, log_ratio[member])), "J_ref": float(share.sum())}
        for q, log_weight in candidates.items():
            yield member, {"q": q} | estimate | measured(share, log_ratio[member], log_weight, products[member])


def rows(size: Size) -> list[dict[str, Any]]:
    """J by rollouts, and bounds, effective sample sizes and moments of gradients, of every method, stage and member."""
    trained_on = play(size, 0, size.train)
    held_out = play(size, size.train, size.held_out)
    data, found = logged(trained_on), []
    settings = compose([f"dataset={size.dataset}", *METHODS["SFT"], *size.overrides])
    reference = build(settings.pi_ref_algo, data, size.seeds)
    reference.train(0, reference.updates)
    spec = spec_of(recipes()[size.dataset].env_id).to_json()
    with Evaluator(spec, workers=1) as environments:
        for method, overrides in METHODS.items():
            algo = build(compose([f"dataset={size.dataset}", *overrides, *size.overrides]).algo, data, size.seeds, reference.policy)
            assert isinstance(algo, WeightedBC)
            threshold = float(data.returns[algo.curated].min())
            samples = {"held-out": sample(held_out, threshold), "training": sample(trained_on, threshold)}
            for update in stages(algo, size):
                rewards, last = rollouts(algo, environments, threshold, size, update), update == algo.updates
                for (kind, part), fitted in itertools.product(samples.items(), (False, True)):
                    exact, shown = kind == "held-out" and not fitted, method in PATHS and last
                    for member, columns in bounds_on(part, algo, fitted, exact and shown, exact and update > 0):
                        low, high = wilson(int(rewards[member].sum()), rewards.shape[1])
                        found.append({
                            "setting": size.dataset, "method": method, "update": update, "seed": size.seeds[member], "sample": kind,
                            "density": "fitted" if fitted else "recorded", "J": float(rewards[member].mean()), "J_low": low, "J_high": high,
                            **columns,
                        })  # fmt: skip
    return found
