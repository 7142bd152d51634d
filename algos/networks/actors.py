"""Policies of the methods that learn values, beside the Gaussian that the whole suite shares (algos/networks/policies.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import torch.nn.functional as F
from torch import Tensor

from algos.networks.mlp import MLP, Params
from algos.networks.policies import GaussianPolicy, NetworkPolicy


@dataclass(frozen=True)
class DeterministicPolicy(NetworkPolicy):
    """a = tanh(net(obs)), in the unit box."""

    observation_width: int
    action_width: int
    hidden: tuple[int, ...]

    @property
    def net(self) -> MLP:
        return MLP((self.observation_width, *self.hidden, self.action_width))

    def mean(self, params: Params, observations: Tensor) -> Tensor:
        """[P, B, obs] -> [P, B, act]."""
        return self.net(params, observations).tanh()

    def log_prob(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        """-|a - mean|^2 [P, B]: what regression maximises in a log-likelihood's place (a Gaussian's of variance 1/2, up to a constant)."""
        return -(actions - self.mean(params, observations)).square().sum(-1)


@dataclass(frozen=True)
class SquashedGaussianPolicy(NetworkPolicy):
    """a = tanh(u), u ~ Normal(mean(obs), exp(log_std(obs))): soft actor-critic's policy (Haarnoja et al. 2018, appendix C).

    log_std is the network's second half plus `log_std_offset`, clamped.
    """

    observation_width: int
    action_width: int
    hidden: tuple[int, ...]
    log_std_min: float
    log_std_max: float
    log_std_offset: float = 0.0

    @property
    def net(self) -> MLP:
        return MLP((self.observation_width, *self.hidden, 2 * self.action_width))

    def mean(self, params: Params, observations: Tensor) -> Tensor:
        """The action of the mean u: [P, B, obs] -> [P, B, act]."""
        return self.net(params, observations).chunk(2, -1)[0].tanh()

    def sample(self, params: Params, observations: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [P, B, act] from standard normal `noise` [P, B, act], differentiable, and their log-density [P, B].

        log pi(a) = sum_i log N(u_i) - log(1 - tanh(u_i)^2), the last term as 2 (log 2 - u - softplus(-2 u)), exact for large u.
        """
        mean, log_std = self.net(params, observations).chunk(2, -1)
        log_std = (log_std + self.log_std_offset).clamp(self.log_std_min, self.log_std_max)
        u = mean + log_std.exp() * noise
        log_normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        return u.tanh(), (log_normal - 2 * (math.log(2) - u - F.softplus(-2 * u))).sum(-1)


class Actor(Enum):
    """Which policy a weighted log-likelihood is taken of."""

    gaussian = "gaussian"
    deterministic = "deterministic"

    def make(self, observation_width: int, action_width: int, hidden: tuple[int, ...]) -> GaussianPolicy | DeterministicPolicy:
        kind = GaussianPolicy if self is Actor.gaussian else DeterministicPolicy
        return kind(observation_width, action_width, hidden)
