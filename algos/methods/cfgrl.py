"""CFGRL: policy improvement by classifier-free guidance (Frans et al. 2025, arXiv 2505.23458), the offline-RL variant of its code.

Q and V are those of IQL, in its order (iql.py; the code computes every loss before the first step). The policy is a flow: a
network v(x, tau, s, o) of a noised action x, a time tau, the state and a flag o, 1 for "optimal", 0 for "anything":

    x = (1 - tau) e + tau a,  e standard normal, tau uniform on 0, 1/steps, .. 1
    L_pi = mean ( 1[min_k Qbar_k(s, a) - V(s) > 0] |v(x, tau, s, 1) - (a - e)|^2 + unconditional * |v(x, tau, s, 0) - (a - e)|^2 )

with means over action dimensions. It acts by `steps` Euler steps from a standard normal x along

    v(x, tau, s, 0) + guidance * (v(x, tau, s, 1) - v(x, tau, s, 0))

clipped to the unit box. Training does not use `guidance`: `python -m bench evaluate` scores one run at many values. Evaluation starts from
one x for all episodes and steps, a function of the member's seed alone, so that actions depend neither on the other members nor on the
number of episodes that run at once. With `eval.actions=sampled` a new x is drawn at every step, as the code does. ReLU without LayerNorm
(the code: mish with it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from algos.base import Episodes, State
from algos.batches.transitions import Noise, Transitions
from algos.errors import require, require_positive
from algos.members import batchable
from algos.methods.iql import IQL, IQLConfig
from algos.networks.mlp import MLP, Layout, Params
from algos.networks.policies import standard_normal

START_STREAM = 0xCF6
FREQUENCIES = 8
LONGEST = 10_000.0


@dataclass(frozen=True)
class FlowPolicy:
    """v(x, tau, s, o), the velocity [P, B, act] at noised actions x."""

    observation_width: int
    action_width: int
    hidden: tuple[int, ...]

    @property
    def net(self) -> MLP:
        return MLP((self.observation_width + self.action_width + 2 * FREQUENCIES + 2, *self.hidden, self.action_width))

    @property
    def layout(self) -> Layout:
        return Layout(self.net.shapes)

    def init(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Initial parameters [P, N]."""
        return self.layout.flatten(self.net.init(generators))

    def velocity(self, params: Params, x: Tensor, time: Tensor, observations: Tensor, optimal: bool) -> Tensor:
        """The velocity [P, B, act] at x [P, B, act], time [P, B] in [0, 1] and observations [P, B, obs]."""
        index = torch.arange(FREQUENCIES, device=x.device, dtype=torch.float64)
        frequencies = (-math.log(LONGEST) * index / FREQUENCIES).exp().to(x.dtype)
        angles = LONGEST * time.unsqueeze(-1) * frequencies
        flag = torch.stack([torch.full_like(time, float(on)) for on in (not optimal, optimal)], -1)
        return self.net(params, torch.cat([observations, x, angles.cos(), angles.sin(), flag], -1))

    @property
    def noise_width(self) -> int:
        return self.action_width

    def act(self, params: Params, observations: Tensor, start: Tensor, guidance: Tensor, steps: int) -> Tensor:
        """Actions [P, B, act] from `start` [P, B, act] under `guidance` [P]."""
        x, weight = start, guidance.view(-1, 1, 1)
        for i in range(steps):
            time = torch.full(x.shape[:-1], i / steps, device=x.device, dtype=x.dtype)
            anything, optimal = (self.velocity(params, x, time, observations, flag) for flag in (False, True))
            x = x + (anything + weight * (optimal - anything)) / steps
        return x.clamp(-1, 1)


@dataclass
class CFGRLConfig(IQLConfig):
    """Classifier-free guidance reinforcement learning."""

    evaluation_settings: ClassVar[tuple[str, ...]] = ("guidance",)
    name: str = "cfgrl"
    batch_size: int = 1024
    hidden: list[int] = field(default_factory=lambda: [512, 512, 512])
    expectile: float = 0.9
    unconditional: float = batchable(0.1)  # of the flow without the flag, in the loss
    steps: int = 32  # of denoising
    guidance: float = batchable(1.5)  # towards the flow with the flag; evaluation alone uses it

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require_positive(self, key, "unconditional", "steps")
        require(0 <= self.guidance < float("inf"), f"{key}.guidance", self.guidance, "a number of at least 0")

    def determinants(self) -> dict[str, Any]:
        """The settings that the result depends on, without those of IQL's policy."""
        return {k: v for k, v in super().determinants().items() if k not in ("temperature", "max_weight", "actor")}


class CFGRL(IQL):
    config: CFGRLConfig
    goes_online = False

    def __init__(self, config: CFGRLConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.unconditional, self.guidance = self.scalar(config.unconditional), self.scalar(config.guidance)

    def make_policy(self) -> FlowPolicy:
        return FlowPolicy(self.observation_width, self.action_width, self.hidden)

    def noise(self) -> dict[str, Noise]:
        return {"start": Noise((self.config.batch_size, self.action_width)), "time": Noise((self.config.batch_size,), uniform=True)}

    def policy_losses(self, flat: Tensor, batch: Transitions, advantage: Tensor) -> Tensor:
        """Flow-matching losses [P]: with the flag for actions of positive advantage, without it for all."""
        start, params = batch.noise["start"], self.params(flat)
        time = ((batch.noise["time"] + 1) / 2 * (self.config.steps + 1)).floor().clamp(max=self.config.steps) / self.config.steps
        x = (1 - time).unsqueeze(-1) * start + time.unsqueeze(-1) * batch.actions
        velocity = batch.actions - start
        better, every = (
            (self.policy_net.velocity(params, x, time, batch.observations, flag) - velocity).square().mean(-1) for flag in (True, False)
        )
        return ((advantage > 0) * better + self.unconditional.unsqueeze(1) * every).mean(-1)

    def policy_step(self, state: State, batch: Transitions, advantage: Tensor) -> Tensor:
        return self.minimise(state, "policy", lambda flat: self.policy_losses(flat, batch, advantage))

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        streams = (np.random.Generator(np.random.Philox(np.random.SeedSequence([s, START_STREAM]))) for s in self.seeds)
        start = torch.from_numpy(np.stack([g.standard_normal((1, self.action_width)) for g in streams])).to(observations)
        return self._flow(observations, start.expand(-1, observations.shape[1], -1))

    @torch.no_grad()
    def act_sampled(self, observations: Tensor, uniform: Tensor) -> Tensor:
        return self._flow(observations, standard_normal(uniform))

    def _flow(self, observations: Tensor, start: Tensor) -> Tensor:
        """Actions [P, B, act] that the flow reaches from `start` [P, B, act]."""
        normalised = self.stream.normalise(observations)
        return self.policy_net.act(self.params(self.state["policy"]), normalised, start, self.guidance, self.config.steps)
