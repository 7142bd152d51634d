"""Policies for a population: all have `net`, `layout`, `init`, `mean`, `noise_width` and `draw`; the first dimension is the member.

`draw` turns uniform random numbers [P, B, noise_width] (float64, inside (0, 1)) into actions [P, B, act], so that one stream of numbers
serves every law. A deterministic policy has noise_width 0 and draws its mean.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.base import Episodes
from algos.errors import ConfigError
from algos.networks.mlp import MLP, Layout, Params
from algos.networks.token_policy import TokenPolicy

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
EDGE = 1e-6  # distance to the bounds of the unit box at which a squashed policy's density is taken: u is infinite at the bounds


def standard_normal(uniform: Tensor) -> Tensor:
    """Standard normal numbers in float32 from uniform ones in (0, 1), of float64: by the inverse of the normal distribution function."""
    return torch.special.ndtri(uniform).float()


@dataclass(frozen=True)
class GaussianPolicy:
    """Normal(tanh(net(obs)), exp(log_std)), log_std a learned vector clamped to [-5, 2], no squashing correction.

    The policy class of the iw-SFT control experiments (arXiv 2507.12856). Actions are in the unit box.
    """

    observation_width: int
    action_width: int
    hidden: tuple[int, ...] = (256, 256, 256)

    @property
    def net(self) -> MLP:
        return MLP((self.observation_width, *self.hidden, self.action_width))

    @property
    def layout(self) -> Layout:
        return Layout((*self.net.shapes, ("log_std", (self.action_width,))))

    def init(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Initial parameters [P, N], log_std 0."""
        log_std = torch.zeros(len(generators), self.action_width)
        return self.layout.flatten(self.net.init(generators) | {"log_std": log_std})

    def mean(self, params: Params, observations: Tensor) -> Tensor:
        """The mean action: [P, B, obs] -> [P, B, act]."""
        return self.net(params, observations).tanh()

    @property
    def noise_width(self) -> int:
        return self.action_width

    def draw(self, params: Params, observations: Tensor, uniform: Tensor) -> Tensor:
        """Actions [P, B, act] of the Gaussian; they may lie outside the unit box, and environments get them clipped to it."""
        return self.mean(params, observations) + self.log_std(params).exp() * standard_normal(uniform)

    def log_std(self, params: Params) -> Tensor:
        """log_std [P, 1, act], clamped to [-5, 2]."""
        return params["log_std"].clamp(LOG_STD_MIN, LOG_STD_MAX).unsqueeze(1)

    def sample(self, params: Params, observations: Tensor, noise: Tensor) -> Tensor:
        """Actions [P, B, act] from standard normal `noise` [P, B, act], clipped to the unit box."""
        return (self.mean(params, observations) + self.log_std(params).exp() * noise).clamp(-1, 1)

    def log_prob(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        """Log-density of `actions` [P, B, act] given `observations` [P, B, obs]: [P, B]."""
        log_std = self.log_std(params)
        standardised = (actions - self.mean(params, observations)) * (-log_std).exp()
        return (-0.5 * standardised.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def kl(self, params: Params, other: Params, observations: Tensor) -> Tensor:
        """KL(params || other) between the two Gaussians at each of `observations` [P, B, obs]: [P, B]."""
        a, b = self.log_std(params), self.log_std(other)
        shift = self.mean(params, observations) - self.mean(other, observations)
        return (b - a + ((2 * a).exp() + shift.square()) / (2 * (2 * b).exp()) - 0.5).sum(-1)


class NetworkPolicy(ABC):
    """A policy whose parameters are those of one network."""

    @property
    @abstractmethod
    def net(self) -> MLP: ...

    @property
    def layout(self) -> Layout:
        return Layout(self.net.shapes)

    def init(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Initial parameters [P, N]."""
        return self.layout.flatten(self.net.init(generators))


@dataclass(frozen=True)
class CategoricalPolicy(NetworkPolicy):
    """softmax(net(obs)) over `num_actions` discrete actions; an action is its number, [..., 1]."""

    observation_width: int
    num_actions: int
    hidden: tuple[int, ...] = (256, 256, 256)

    @property
    def net(self) -> MLP:
        return MLP((self.observation_width, *self.hidden, self.num_actions))

    def mean(self, params: Params, observations: Tensor) -> Tensor:
        """The likeliest action: [P, B, obs] -> [P, B, 1]."""
        return self.net(params, observations).argmax(-1, keepdim=True).float()

    @property
    def noise_width(self) -> int:
        return self.num_actions

    def draw(self, params: Params, observations: Tensor, uniform: Tensor) -> Tensor:
        """Actions [P, B, 1] drawn by their probabilities: the largest logit plus Gumbel noise."""
        gumbel = -(-uniform.log()).log().float()
        return (self.net(params, observations) + gumbel).argmax(-1, keepdim=True).float()

    def log_probs(self, params: Params, observations: Tensor) -> Tensor:
        """Log-probabilities of all actions given `observations` [P, B, obs]: [P, B, num_actions]."""
        return self.net(params, observations).log_softmax(-1)

    def log_prob(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        """Log-probability of `actions` [P, B, 1] given `observations` [P, B, obs]: [P, B]."""
        return self.log_probs(params, observations).gather(-1, actions.long()).squeeze(-1)

    def kl(self, params: Params, other: Params, observations: Tensor) -> Tensor:
        """KL(params || other) at each of `observations` [P, B, obs]: [P, B]."""
        p, q = (self.log_probs(which, observations) for which in (params, other))
        return (p.exp() * (p - q)).sum(-1)


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
        """The action: [P, B, obs] -> [P, B, act]."""
        return self.net(params, observations).tanh()

    @property
    def noise_width(self) -> int:
        return 0

    def draw(self, params: Params, observations: Tensor, uniform: Tensor) -> Tensor:
        """The action, which needs no random number."""
        return self.mean(params, observations)

    def log_prob(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        """The negative squared error [P, B] of `actions`: a Gaussian's log-likelihood of variance 1/2, up to a constant."""
        return -(actions - self.mean(params, observations)).square().sum(-1)


@dataclass(frozen=True)
class SquashedGaussianPolicy(NetworkPolicy):
    """a = tanh(u), u ~ Normal(mean(obs), exp(log_std(obs))): the policy of soft actor-critic (Haarnoja et al. 2018, appendix C).

    log_std is the second half of the network's output plus `log_std_offset`, clamped to [log_std_min, log_std_max].
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

    @property
    def noise_width(self) -> int:
        return self.action_width

    def draw(self, params: Params, observations: Tensor, uniform: Tensor) -> Tensor:
        """Actions [P, B, act]: tanh of the Gaussian's."""
        return self.sample(params, observations, standard_normal(uniform))[0]

    def sample(self, params: Params, observations: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [P, B, act] from standard normal `noise` [P, B, act], differentiable, and their log-density [P, B].

        log pi(a) = sum_i log N(u_i) - log(1 - tanh(u_i)^2), the last term as 2 (log 2 - u - softplus(-2 u)), exact for large u.
        """
        mean, log_std = self._normal(params, observations)
        u = mean + log_std.exp() * noise
        return u.tanh(), self._log_density(u, noise, log_std)

    def log_prob(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        """Log-density of `actions` [P, B, act] given `observations` [P, B, obs]: [P, B]. Entries beyond 1 - EDGE count as there."""
        mean, log_std = self._normal(params, observations)
        u = actions.clamp(EDGE - 1, 1 - EDGE).atanh()
        return self._log_density(u, (u - mean) * (-log_std).exp(), log_std)

    def _normal(self, params: Params, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log_std [P, B, act] of u."""
        mean, log_std = self.net(params, observations).chunk(2, -1)
        return mean, (log_std + self.log_std_offset).clamp(self.log_std_min, self.log_std_max)

    @staticmethod
    def _log_density(u: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
        """log pi(tanh(u)) [P, B], where u = mean + exp(log_std) * noise."""
        log_normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        return (log_normal - 2 * (math.log(2) - u - F.softplus(-2 * u))).sum(-1)


class Actor(Enum):
    """The policy of a method that maximises a weighted log-likelihood."""

    gaussian = "gaussian"
    deterministic = "deterministic"

    def make(self, observation_width: int, action_width: int, hidden: tuple[int, ...]) -> GaussianPolicy | DeterministicPolicy:
        """The policy for observations and actions of these widths."""
        kind = GaussianPolicy if self is Actor.gaussian else DeterministicPolicy
        return kind(observation_width, action_width, hidden)


class Network(Enum):
    """The network of a policy that maximises a weighted log-likelihood."""

    mlp = "mlp"
    transformer = "transformer"


def policy_for(data: Episodes, hidden: Sequence[int], network: Network = Network.mlp) -> GaussianPolicy | CategoricalPolicy | TokenPolicy:
    """The policy for the actions of `data`: Gaussian, or categorical if they are discrete; by a transformer for token sequences.

    Raises ConfigError for a transformer on continuous actions.
    """
    observation_width, discrete = data.observations.shape[1], data.num_actions
    if network is Network.transformer:
        if not discrete:
            raise ConfigError("policy=transformer learns from token sequences; the actions of these data are continuous; use policy=mlp")
        return TokenPolicy(observation_width, discrete, tuple(hidden))
    if discrete:
        return CategoricalPolicy(observation_width, discrete, tuple(hidden))
    return GaussianPolicy(observation_width, data.actions.shape[1], tuple(hidden))
