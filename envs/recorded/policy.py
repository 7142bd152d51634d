"""A behaviour policy: u ~ Normal(mean(obs), exp(log_std)), action = tanh(u) on the unit box, with its exact log-density.

Computed in NumPy, one observation at a time: an episode is a function of (snapshot, seed) alone, for any number of recording processes,
which need not import torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

SNAPSHOTS = Path(__file__).parent / "snapshots"
# The mean is rounded to this grid. Differences in the last digit between processors' matrix kernels then do not grow into another episode:
# the same seeds give the same data on other machines.
GRID = 2.0**16


def squashed(mean: np.ndarray, log_std: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, float]:
    """An action tanh(u) [act] for one u ~ Normal(mean, exp(log_std)), and the log-density there. Without `rng`, u is the mean.

    log pi(a) = sum_i log N(u_i; mean_i, std_i) - log(1 - tanh(u_i)^2), the change of variables for a = tanh(u).
    """
    noise = np.zeros(len(mean)) if rng is None else rng.standard_normal(len(mean))
    u = mean + np.exp(log_std) * noise
    log_normal = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    log_slope = 2 * (np.log(2) - u - np.logaddexp(0, -2 * u))
    return np.tanh(u), float((log_normal - log_slope).sum())


@dataclass(frozen=True)
class BehaviourPolicy:
    """Layers (weight [in, out], bias [out]) in float64 with tanh between them; log_std [act]."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    log_std: np.ndarray

    def mean(self, observation: np.ndarray) -> np.ndarray:
        """Mean of u [act] for one observation [obs]."""
        x = np.asarray(observation, np.float64)
        for weight, bias in self.layers[:-1]:
            x = np.tanh(x @ weight + bias)
        weight, bias = self.layers[-1]
        return np.rint((x @ weight + bias) * GRID) / GRID

    def with_noise(self, factor: float) -> BehaviourPolicy:
        """The policy with `factor` times the standard deviation of u."""
        return self if factor == 1 else replace(self, log_std=self.log_std + np.log(factor))

    def act(self, observation: np.ndarray, rng: np.random.Generator | None) -> tuple[np.ndarray, float]:
        """One action [act] in (-1, 1) and its log-density there; the mean action without `rng`."""
        return squashed(self.mean(observation), self.log_std, rng)


def load_snapshot(name: str, snapshot: int) -> BehaviourPolicy:
    """Snapshot number `snapshot` (0 is after the first update, -1 the final one) of `name` (hopper, halfcheetah, walker2d, ant)."""
    arrays = {k: np.asarray(v[snapshot], np.float64) for k, v in load_file(SNAPSHOTS / f"{name}.safetensors").items()}
    layers = tuple((arrays[f"{i}.weight"], arrays[f"{i}.bias"]) for i in range((len(arrays) - 1) // 2))
    return BehaviourPolicy(layers, arrays["log_std"])


def record_of(name: str) -> dict:
    """The record of the snapshots of `name`: settings, packages, measured returns, the medium snapshot, reference returns."""
    return json.loads((SNAPSHOTS / f"{name}.json").read_text())
