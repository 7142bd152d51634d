"""Fitted Q evaluation (Le, Voloshin & Yue 2019, arXiv 1903.08738), in the incremental form of Paine et al. (2020, arXiv 2007.09055).

    L_Q = mean (Q(s, a) - r - discount * live * V(s'))^2,   V(s) = sum_k share_k Qbar(s, a_k),   Qbar <- (1 - rate) Qbar + rate Q
    J = mean V(s_0) over the first states of episodes

One critic a policy, all from the same initial parameters and the same batches: differences between policies are theirs. a_k are the
policy's actions: one for a mean-action policy, samples or all actions of a stochastic one. Le et al. minimise each Bellman error to the
end; here Qbar follows Q by small steps. Q = centre + width * network, with centre and width the mean and deviation of the data's discounted
returns to go. Targets are clipped to the discounted sums that the data's rewards allow, so that no error can grow without bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from algos.base import Episodes
from algos.batches.returns import moments_of_returns
from algos.batches.sampling import BatchStream, LengthWeighting, Sampler
from algos.errors import require
from algos.estimators.policies import Choices, encoded
from algos.learner import normaliser
from algos.likelihood import CHUNK
from algos.networks.critics import QEnsemble, polyak
from algos.optimizer import Adam

INITIAL_STREAM = 0xF0E


@dataclass
class FittedQConfig:
    """Settings of fitted Q evaluation."""

    updates: int = 5_000
    batch_size: int = 128  # transitions
    hidden: list[int] = field(default_factory=lambda: [64, 64])  # widths of a critic's hidden layers
    learning_rate: float = 1e-3  # of Adam
    target_rate: float = 0.05  # at which Qbar follows Q
    discount: float = 0.99  # of future rewards
    seed: int = 0  # of initial parameters and batches

    def check(self, key: str) -> None:
        """Raise ConfigError for a value that cannot be used; `key` is the beginning of the names of the settings."""
        for name in ("updates", "batch_size", "learning_rate"):
            require(0 < getattr(self, name) < float("inf"), f"{key}{name}", getattr(self, name), "a positive number")
        for name in ("target_rate", "discount"):
            require(0 < getattr(self, name) <= 1, f"{key}{name}", getattr(self, name), "a number above 0, at most 1")
        require(self.seed >= 0, f"{key}seed", self.seed, "a number of at least 0")


class FittedQ:
    """The critics of P policies on `data`; `choices` are the policies' actions at the next observations of all its steps."""

    def __init__(self, config: FittedQConfig, data: Episodes, choices: Choices) -> None:
        self.config, self.data, self.choices = config, data, choices
        self.members, device = len(choices.actions), data.rewards.device
        self.logged = encoded(data.actions, data.num_actions)
        self.shift, self.scale = normaliser(data.observations)
        self.critic = QEnsemble(data.observations.shape[1], self.logged.shape[1], tuple(config.hidden), size=1)
        random = torch.Generator().manual_seed(config.seed + INITIAL_STREAM)
        self.flat = self.critic.init([random]).to(device).repeat(self.members, 1)
        self.target = self.flat.clone()
        self.centre, self.width = moments_of_returns(data, config.discount)
        self.low, self.high = _attainable(data.rewards, config.discount)
        everything = torch.arange(len(data.lengths), device=device)
        self.stream = BatchStream(data, everything, [config.seed], config.batch_size, Sampler.transitions, LengthWeighting.per_step)

    def fit(self) -> None:
        """Train the critics to the end."""
        optimizer, count = Adam(), torch.zeros((), dtype=torch.int64)
        moments, rate = optimizer.init(self.flat), self.flat.new_full((self.members,), self.config.learning_rate)
        target_rate = self.flat.new_full((self.members,), self.config.target_rate)
        for update in range(self.config.updates):
            step = self.stream.from_draws(self.stream.draws(update)).step[0]
            with torch.enable_grad():
                flat = self.flat.detach().requires_grad_()
                error = self._network(flat, self.data.observations[step], self.logged[step].unsqueeze(0))[:, 0] - self._targets(step)
                (gradient,) = torch.autograd.grad(error.square().mean(1).sum(), flat)
            optimizer.step(self.flat, gradient, moments, count, rate)
            polyak(self.target, self.flat, target_rate)
            count += 1

    @torch.no_grad()
    def q(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Q [P, N] of logged `actions` [N, act] at `observations` [N, obs]."""
        given = encoded(actions, self.data.num_actions)
        parts = zip(observations.split(CHUNK), given.split(CHUNK), strict=True)
        return torch.cat([self._raw(self._network(self.target, s, a.unsqueeze(0))[:, 0]) for s, a in parts], 1)

    @torch.no_grad()
    def values(self, observations: Tensor, choices: Choices) -> Tensor:
        """V [P, N] at `observations` [N, obs] of the actions that `choices` has there."""
        parts = zip(observations.split(CHUNK), choices.actions.split(CHUNK, 2), choices.shares.split(CHUNK, 2), strict=True)
        return torch.cat([self._raw(self._values(s, Choices(a, share))) for s, a, share in parts], 1)

    def _network(self, flat: Tensor, observations: Tensor, actions: Tensor) -> Tensor:
        """The network's output [P, K, B] at `observations` [B, obs] for actions [1 or P, B, act] (K = 1) or [P, K, B, act]."""
        actions = actions if actions.ndim == 4 else actions.unsqueeze(1)
        seen = ((observations - self.shift) / self.scale).expand(self.members, actions.shape[1], -1, -1)
        joined = torch.cat([seen, actions.expand(self.members, -1, -1, -1)], -1)
        members, count, batch = joined.shape[:3]
        return self.critic.each(flat, joined.view(members, 1, count * batch, -1)).view(members, count, batch)

    def _values(self, observations: Tensor, choices: Choices) -> Tensor:
        """V [P, B] of the target network, in its own units."""
        return (choices.shares * self._network(self.target, observations, choices.actions)).sum(1)

    @torch.no_grad()
    def _targets(self, step: Tensor) -> Tensor:
        """TD targets [P, B] of the steps `step` [B], in the network's units."""
        data, config = self.data, self.config
        choices = Choices(self.choices.actions[:, :, step], self.choices.shares[:, :, step])
        live = (~data.terminated[step]).to(self.flat.dtype)
        next_values = self._raw(self._values(data.next_observations[step], choices))
        target = data.rewards[step] + config.discount * live * next_values
        return (target.clamp(self.low, self.high) - self.centre) / self.width

    def _raw(self, output: Tensor) -> Tensor:
        """Network outputs in units of returns."""
        return self.centre + self.width * output


def _attainable(rewards: Tensor, discount: float) -> tuple[float, float]:
    """The smallest and the largest discounted sum of rewards of the data's range; infinite without discounting."""
    least, most = min(0.0, float(rewards.min())), max(0.0, float(rewards.max()))
    horizon = 1 / (1 - discount) if discount < 1 else float("inf")
    return (least * horizon if least else 0.0), (most * horizon if most else 0.0)
