"""Settings in which every trajectory is enumerated: the two-armed bandit, and a Markov decision process of three states.

pi_ref is uniform and chances are powers of 1/2, so a data set with each trajectory as often as it is likely is the distribution itself.
Training on all of it follows the expected gradient, and sums over it are expectations.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from math import exp
from typing import Any, NamedTuple

import torch
from torch import Tensor

from algos.batches.curation import Curation
from algos.batches.sampling import Sampler
from algos.importance import Kind, Rule, Weighting
from algos.methods.weighted_bc import Start, WeightedBC, WeightedBCConfig
from bench.studies.bandit import pulls
from bench.studies.bounds.likelihood import gradient_products, log_likelihood, log_weights
from bench.studies.bounds.values import OWN, log_mean, measured, path
from envs.data.trajectories import Trajectories

# States that follow (state, action), two for each with chance 1/2. Episodes start in state 0 and succeed if they end in state 2.
NEXT = (((0, 0), (0, 1)), ((0, 2), (1, 1)), ((0, 1), (2, 2)))
HORIZON = 4
EVERY, EARLY = 10, 20  # updates between two measurements; an update early in training
PATHS = ("SFT", "iw-SFT, w = q / pi_ref")  # methods whose policies are the end of a path of q


class Setting(NamedTuple):
    """A task with two actions. data: every trajectory of the uniform policy as often as it is likely; steps of an episode."""

    name: str
    data: Trajectories
    steps: int


def decision_process() -> Trajectories:
    """Every trajectory of the uniform policy in the decision process of NEXT; observations are states, one-hot."""
    eye, observations, actions, following, rewards = torch.eye(len(NEXT)), [], [], [], []
    for chosen in itertools.product(range(2), repeat=HORIZON):
        for chance in itertools.product(range(2), repeat=HORIZON):
            state = 0
            for action, outcome in zip(chosen, chance, strict=True):
                observations.append(state)
                actions.append(action)
                state = NEXT[state][action][outcome]
                following.append(state)
            rewards += [0.0] * (HORIZON - 1) + [float(state == 2)]
    last = torch.arange(len(actions)) % HORIZON == HORIZON - 1
    offsets = torch.arange(0, len(actions) + 1, HORIZON)
    arms = torch.tensor(actions, dtype=torch.float32).unsqueeze(1)
    return Trajectories(
        eye[observations], arms, torch.tensor(rewards), eye[following], last, torch.zeros_like(last), offsets, num_actions=2
    )


def uniform(observation_width: int) -> dict[str, Tensor]:
    """A uniform softmax over two actions: a linear layer of zeros."""
    return {"0.weight": torch.zeros(1, observation_width, 2), "0.bias": torch.zeros(1, 2)}


def learner(data: Trajectories, weighting: Weighting) -> Iterator[WeightedBC]:
    """The method with `weighting` on the successes of `data`, from the uniform policy: before training, and after each further update.

    Every update uses all successes.
    """
    successes = int((data.returns >= 1).sum())
    config = WeightedBCConfig(
        "exact", batch_size=successes, hidden=[], start=Start.pi_ref, learning_rate=0.05, sampler=Sampler.trajectories,
        curation=Curation(min_score=1.0), weighting=weighting,
    )  # fmt: skip
    algo = WeightedBC(config, data, [0], uniform(data.observations.shape[1]))
    batch = algo.stream._whole((torch.arange(successes).double()[None] + 0.5) / successes)
    while True:
        yield algo
        algo.update(algo.state, batch)


def settings() -> list[Setting]:
    """The enumerated settings."""
    return [Setting("bandit", pulls(), 1), Setting("decision process", decision_process(), HORIZON)]


def weightings(steps: int) -> dict[str, Weighting]:
    """The compared methods by name. `temperature` multiplies the mean over a trajectory's steps: with their number it is the paper's w."""
    default = Weighting(Kind.trajectory)
    return {
        "SFT": Weighting(),
        "iw-SFT, w = q / pi_ref": replace(default, temperature=float(steps), ema_rate=1.0, min_ess=0.0),
        "iw-SFT, default rule": default,
        "iw-SFT, authors' rule": replace(default, rule=Rule.authors),
    }


def rows(setting: Setting, updates: int) -> list[dict[str, Any]]:
    """J, bounds, effective sample size and moments of gradients: along training, and on the path from pi_ref to two policies."""
    found = []
    for method, weighting in weightings(setting.steps).items():
        on_path = method in PATHS
        for update, algo in enumerate(itertools.islice(learner(setting.data, weighting), updates + 1)):
            if update % EVERY:
                continue
            policy, kept = algo.state["policy"], algo.curated
            assert algo.pi_ref is not None
            log_ratio = (log_likelihood(algo.likelihood, policy) - log_likelihood(algo.likelihood, algo.pi_ref))[0, kept]
            share = torch.full_like(log_ratio, 1 / setting.data.num_episodes)
            gain = float(log_mean(share, log_ratio))
            common = {"setting": setting.name, "method": method, "update": update, "J": float(share.sum()) * exp(gain), "log_gain": gain}
            products = gradient_products(algo.likelihood, policy, kept)[0]
            candidates = {OWN: log_weights(algo.weights, algo.state)[0], "pi_ref": torch.zeros_like(share)}
            if on_path and update in (EARLY, updates):
                candidates |= path(log_ratio)
            found += [common | {"q": q} | measured(share, log_ratio, w, products) for q, w in candidates.items()]
    return found
