"""Small cases for the methods that learn from transitions: data, populations in float64, and networks in the literature's form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algos.batches.transitions import Transitions
from algos.learner import LearnerConfig
from algos.networks.mlp import MLP
from algos.registry import build
from bench.config.compose import compose
from envs.data.trajectories import TENSORS, Trajectories
from tests.helpers.episodes import from_episodes
from tests.helpers.paths import CONF

OBS, ACT = 3, 2
POINTS = tuple(sorted(p.stem for p in (CONF / "algo").glob("*.yaml")))
"""Every `algo=NAME`."""


@cache
def _configured(overrides: tuple[str, ...]) -> Any:
    return compose(overrides)


def configured(algo: str, *overrides: str) -> Any:
    """The settings of the method that the command line composes."""
    return _configured((f"algo={algo}", *overrides)).algo


LEARNERS = tuple(name for name in POINTS if isinstance(configured(name), LearnerConfig))
"""The methods that learn from transitions."""


def episodes_of(seed: int = 0, count: int = 12, longest: int = 9) -> Trajectories:
    """Episodes of several lengths; the even ones terminate, the odd ones are truncated."""
    rng = np.random.default_rng(seed)
    episodes = []
    for e in range(count):
        steps = int(rng.integers(1, longest + 1))
        ends = np.arange(steps) == steps - 1
        episodes.append(
            (rng.normal(size=(steps + 1, OBS)), rng.uniform(-0.9, 0.9, (steps, ACT)), rng.normal(size=steps), ends & (e % 2 == 0), ends)
        )
    return from_episodes(episodes)


SMALL = ("algo.hidden=[7,6]", "algo.batch_size=16", "algo.updates=20")


def small(name: str, data: Any, seeds: Sequence[int] = (3, 8), *overrides: str) -> Any:
    """A population of method `name` with small networks, and at most four critics."""
    return build(configured(name, *SMALL, *few_critics(name), *overrides), data, seeds)


def few_critics(name: str) -> tuple[str, ...]:
    """The override that leaves method `name` at most four critics."""
    return ("algo.critics=4",) if getattr(configured(name), "critics", 0) > 4 else ()


def often_refreshed(name: str, updates: int) -> tuple[str, ...]:
    """The override that refreshes the tables of method `name`, if it has any, every `updates` updates."""
    return (f"algo.refresh_every={updates}",) if hasattr(configured(name), "refresh_every") else ()


def doubled(data: Trajectories) -> Trajectories:
    """`data` in float64."""
    fields = {k: getattr(data, k) for k in TENSORS}
    return Trajectories(**{k: v.double() if v.is_floating_point() else v for k, v in fields.items()})


def _decimal(settings: Tensor) -> Tensor:
    """float32 settings as their decimal numbers in float64: 0.99, not 0.9900000095."""
    return torch.tensor([float(str(x)) for x in settings.numpy()], dtype=torch.float64)


def in_double(algo: Any) -> Any:
    """The same population in float64: state, data and settings."""
    algo.data = doubled(algo.data)
    algo.state = {k: v.double() if v.is_floating_point() else v for k, v in algo.state.items()}
    for name, value in vars(algo).items():
        if isinstance(value, Tensor) and value.is_floating_point():
            setattr(algo, name, _decimal(value))
    algo.rates = {k: _decimal(v) for k, v in algo.rates.items()}
    stream = algo.stream
    stream.data, stream.rewards, stream.shift, stream.scale = (
        algo.data,
        stream.rewards.double(),
        stream.shift.double(),
        stream.scale.double(),
    )
    draw = stream._noise
    stream._noise = lambda update: {k: v.double() for k, v in draw(update).items()}
    return algo


def snapshot(algo: Any) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in algo.state.items()}


def member(batch: Transitions, k: int) -> Transitions:
    """The batch of member k, without the population axis."""
    return Transitions(*(x[k] for x in batch[:-1]), {name: x[k] for name, x in batch.noise.items()})


# The literature's form: one module a network, torch's own optimiser.


class Net(nn.Module):
    """An ordinary network with the parameters `flat` [N] of an MLP."""

    def __init__(self, net: MLP, flat: Tensor) -> None:
        super().__init__()
        sizes = list(zip(net.sizes[:-1], net.sizes[1:], strict=True))
        self.linear = nn.ModuleList(nn.Linear(a, b, dtype=torch.float64) for a, b in sizes)
        self.norm = nn.ModuleList(nn.LayerNorm(b, dtype=torch.float64) for _, b in sizes[:-1]) if net.layer_norm else None
        self.log_std = None
        at = 0
        for p, shape in self._pieces():
            n = p.numel()
            with torch.no_grad():
                p.copy_(flat[at : at + n].view(shape).T if len(shape) == 2 else flat[at : at + n])
            at += n
        if at < len(flat):
            self.log_std = nn.Parameter(flat[at:].clone())

    def _pieces(self) -> Iterable[tuple[Tensor, tuple[int, ...]]]:
        for layer in self.linear:
            yield layer.weight, (layer.in_features, layer.out_features)
            yield layer.bias, (layer.out_features,)
        for norm in self.norm or ():
            yield norm.weight, tuple(norm.weight.shape)
            yield norm.bias, tuple(norm.bias.shape)

    def flat(self) -> Tensor:
        parts = [p.T.reshape(-1) if p.ndim == 2 else p for p, _ in self._pieces()]
        return torch.cat([*parts, *([] if self.log_std is None else [self.log_std])]).detach()

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.linear):
            x = layer(x)
            if i < len(self.linear) - 1:
                x = torch.relu(x)
                if self.norm is not None:
                    x = self.norm[i](x)
        return x


class Critics(nn.ModuleList):
    """Q_1 .. Q_K from flat parameters [K * N]."""

    def __init__(self, net: MLP, flat: Tensor, size: int) -> None:
        super().__init__(Net(net, part) for part in flat.view(size, -1))

    def flat(self) -> Tensor:
        return torch.cat([q.flat() for q in self])

    def forward(self, s: Tensor, a: Tensor) -> Tensor:
        return torch.stack([q(torch.cat([s, a], -1)).squeeze(-1) for q in self])


def soft_update(target: nn.Module, source: nn.Module, tau: float) -> None:
    for t, p in zip(target.parameters(), source.parameters(), strict=True):
        t.data.copy_(tau * p.data + (1 - tau) * t.data)


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


# NumPy, float64, no autograd.


def forward(net: MLP, flat: Tensor, x: np.ndarray) -> np.ndarray:
    """The output [..., out] of an MLP whose parameters are the first N entries of `flat`."""
    values, at = flat.numpy(), 0
    layers, norms = [], []
    for a, b in zip(net.sizes[:-1], net.sizes[1:], strict=True):
        layers.append((values[at : at + a * b].reshape(a, b), values[at + a * b : at + a * b + b]))
        at += a * b + b
    for size in net.sizes[1:-1] if net.layer_norm else ():
        norms.append((values[at : at + size], values[at + size : at + 2 * size]))
        at += 2 * size
    for i, (weight, bias) in enumerate(layers):
        x = x @ weight + bias
        if i < len(layers) - 1:
            x = np.maximum(x, 0)
            if norms:
                centred = x - x.mean(-1, keepdims=True)
                x = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * norms[i][0] + norms[i][1]
    return x


def q_values(algo: Any, flat: Tensor, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Q values [K, ...] of an ensemble with flat parameters [K * N]."""
    return np.stack([forward(algo.critic.net, part, np.concatenate([s, a], -1))[..., 0] for part in flat.view(algo.critic.size, -1)])
