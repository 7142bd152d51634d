"""The policies whose return is estimated: what they do at logged observations, as mean-action and as stochastic policies.

A mean-action policy takes one action at a state, and has no density. The stochastic form of a policy has one if its class has:

    Gaussian          Normal(mean, std), executed clipped to the unit box. The density is that of the Normal: mass outside the box, which
                      the box's bounds execute, has no density within it
    squashed Gaussian exact density of tanh(u)
    categorical       exact probabilities

Deterministic policies and flows have none. `policies` are populations of any methods; their members are laid end to end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.base import Algo
from algos.learner import GradientLearner
from algos.likelihood import CHUNK
from algos.networks.policies import CategoricalPolicy, GaussianPolicy, SquashedGaussianPolicy

WITH_DENSITY = (GaussianPolicy, CategoricalPolicy, SquashedGaussianPolicy)


class Choices(NamedTuple):
    """The actions that P policies may take at N states: actions [P, K, N, act], and their shares [P, K, N], which sum to 1 over K.

    Discrete actions are one-hot.
    """

    actions: Tensor
    shares: Tensor


def has_density(policies: Algo) -> bool:
    """True if the stochastic form of `policies` has a density."""
    return isinstance(policies, GradientLearner) and isinstance(policies.policy_net, WITH_DENSITY)


def encoded(actions: Tensor, num_actions: int) -> Tensor:
    """`actions` [..., act] as a critic takes them: discrete ones [..., 1] one-hot, others unchanged."""
    return F.one_hot(actions.squeeze(-1).long(), num_actions).to(torch.get_default_dtype()) if num_actions else actions


def mean_choices(policies: Sequence[Algo], observations: Tensor) -> Choices:
    """The mean actions, as evaluation plays them, at `observations` [N, obs]: K is 1."""

    def act(algo: Algo, part: Tensor) -> Tensor:
        return encoded(algo.act(part), algo.data.num_actions)

    actions = _joined(policies, act, observations).unsqueeze(1)
    return Choices(actions, torch.ones_like(actions[..., 0]))


def sampled_choices(policies: Sequence[Algo], observations: Tensor, samples: int, seed: int) -> Choices:
    """Actions of the stochastic form at `observations` [N, obs]: `samples` of each continuous policy, equally likely, from random numbers
    that all policies share; every discrete action with its probability."""
    if policies[0].data.num_actions:
        probabilities = _joined(policies, _probabilities, observations)
        each = torch.eye(probabilities.shape[-1], device=probabilities.device)[:, None]
        return Choices(each.expand(len(probabilities), -1, probabilities.shape[1], -1), probabilities.transpose(1, 2))
    width = policies[0].data.actions.shape[1]
    random = torch.Generator().manual_seed(seed)
    noises = torch.randn(samples, len(observations), width, generator=random).to(observations.device)
    drawn = torch.stack([_joined(policies, _sample, observations, noise) for noise in noises], 1)
    return Choices(drawn, torch.full_like(drawn[..., 0], 1 / samples))


def log_densities(policies: Sequence[Algo], observations: Tensor, actions: Tensor) -> Tensor:
    """log pi(a | s) [P, N] of the stochastic form, for `observations` [N, obs] and `actions` [N, act]."""
    return _joined(policies, _log_prob, observations, actions)


def _probabilities(algo: Algo, observations: Tensor) -> Tensor:
    assert isinstance(algo, GradientLearner)
    found: Tensor = algo.policy_net.log_probs(algo.params(algo.state["policy"]), algo.normalise(observations)).exp()
    return found


def _sample(algo: Algo, observations: Tensor, noise: Tensor) -> Tensor:
    assert isinstance(algo, GradientLearner)
    found = algo.policy_net.sample(algo.params(algo.state["policy"]), algo.normalise(observations), noise)
    actions: Tensor = found[0] if isinstance(found, tuple) else found
    return actions


def _log_prob(algo: Algo, observations: Tensor, actions: Tensor) -> Tensor:
    assert isinstance(algo, GradientLearner)
    found: Tensor = algo.policy_net.log_prob(algo.params(algo.state["policy"]), algo.normalise(observations), actions)
    return found


@torch.no_grad()
def _joined(policies: Sequence[Algo], compute: Callable[..., Tensor], *arrays: Tensor) -> Tensor:
    """`compute` of every population and chunks of `arrays` [N, ...], joined: [P, N, ...]."""
    parts = [
        torch.cat([compute(algo, *(x.expand(algo.members, *x.shape) for x in chunk)) for chunk in _chunks(arrays)], 1) for algo in policies
    ]
    return torch.cat(parts)


def _chunks(arrays: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
    return list(zip(*(x.split(CHUNK) for x in arrays), strict=True))
