"""Value networks for a population and their losses. The first dimension is the member; parameters are flat, an ensemble's [P, K * N]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algos.networks.mlp import MLP, Layout


@dataclass(frozen=True)
class QEnsemble:
    """K independent networks Q_k(s, a)."""

    observation_width: int
    action_width: int
    hidden: tuple[int, ...]
    size: int = 2  # K
    layer_norm: bool = False

    @property
    def net(self) -> MLP:
        return MLP((self.observation_width + self.action_width, *self.hidden, 1), self.layer_norm)

    def init(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Initial parameters [P, K * N]."""
        layout = Layout(self.net.shapes)
        return torch.cat([layout.flatten(self.net.init(generators)) for _ in range(self.size)], dim=1)

    def __call__(self, flat: Tensor, observations: Tensor, actions: Tensor) -> Tensor:
        """Q [P, K, B] under parameters `flat` [P, K * N] for observations [P, B, obs] and actions [P, B, act]."""
        return self.each(flat, torch.cat([observations, actions], -1).unsqueeze(1).expand(-1, self.size, -1, -1))

    def each(self, flat: Tensor, inputs: Tensor) -> Tensor:
        """Q [P, K, B] for inputs [P, K, B, obs + act], different ones for each network."""
        members = len(flat)
        params = Layout(self.net.shapes).views(flat.reshape(members * self.size, -1))
        return self.net(params, inputs.reshape(members * self.size, *inputs.shape[2:])).view(members, self.size, -1)


@dataclass(frozen=True)
class ValueNetwork:
    """One network V(s)."""

    observation_width: int
    hidden: tuple[int, ...]

    @property
    def net(self) -> MLP:
        return MLP((self.observation_width, *self.hidden, 1))

    def init(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Initial parameters [P, N]."""
        return Layout(self.net.shapes).flatten(self.net.init(generators))

    def __call__(self, flat: Tensor, observations: Tensor) -> Tensor:
        """V [P, B] under parameters `flat` [P, N] for observations [P, B, obs]."""
        return self.net(Layout(self.net.shapes).views(flat), observations).squeeze(-1)


def td_losses(q: Tensor, target: Tensor) -> Tensor:
    """TD losses [P]: sum over the ensemble of the mean squared error of `q` [P, K, B] to one `target` [P, B]."""
    return (q - target.unsqueeze(1)).square().mean(-1).sum(1)


def expectile_losses(difference: Tensor, expectile: Tensor) -> Tensor:
    """Losses [P]: mean of |expectile - 1[u < 0]| u^2 over u = `difference` [P, B] (Kostrikov et al. 2021, eq. 3); `expectile` is [P]."""
    share = expectile.unsqueeze(1)
    return (torch.where(difference < 0, 1 - share, share) * difference.square()).mean(-1)


def polyak(target: Tensor, source: Tensor, rate: Tensor) -> None:
    """Move `target` towards `source`, in place: target <- (1 - rate) target + rate source; both [P, N], `rate` [P]."""
    target.lerp_(source, rate.unsqueeze(1).to(target.dtype))
