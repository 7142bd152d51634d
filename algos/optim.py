"""Adam and learning-rate schedules for a population: every setting may differ from member to member, nothing is read by the host."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from algos.tracing import tracing


class Schedule(Enum):
    """How the learning rate moves after the warm-up."""

    constant = "constant"
    cosine = "cosine"


def on_host(tensor: Tensor) -> bool:
    """Whether the host can read `tensor` now, without waiting for a device."""
    return tensor.device.type == "cpu" and not tracing()


def learning_rate(update: Tensor, peak: Tensor, warmup: int, updates: int, schedule: Schedule) -> Tensor:
    """[P] rate of update number `update` (a tensor, from 0) of `updates`: from 0 to `peak` [P] over `warmup`, then `schedule`."""
    if not warmup and schedule is Schedule.constant:
        return peak
    t = update.double()
    rise = (t / warmup).clamp(max=1.0) if warmup else torch.ones_like(t)
    fall = torch.ones_like(t)
    if schedule is Schedule.cosine:
        fall = 0.5 * (1 + torch.cos(math.pi * ((t - warmup) / max(1, updates - warmup)).clamp(0, 1)))
    return (peak * rise * fall).to(peak.dtype)


CLEARED_EVERY, NEGLIGIBLE = 100, 1e-30
"""How often, and below what size, first moments on the host are set to 0. Where a unit is dead its gradient stays 0 and its moment shrinks
by `beta1` an update; left alone it ends as a subnormal number for ever, and arithmetic with those is many times slower. A step of this
size moves no parameter, and a hundred updates on it is still far from subnormal."""


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, Algorithm 1) on flat parameters [P, N]."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def init(self, params: Tensor) -> dict[str, Tensor]:
        """The optimiser's part of the state, by name."""
        return {"adam_mean": torch.zeros_like(params), "adam_square": torch.zeros_like(params)}

    def step(self, params: Tensor, grad: Tensor, state: dict[str, Tensor], update: Tensor, rate: Tensor) -> None:
        """Move `params` [P, N] in place along `grad` [P, N]; `update` counts from 0, `rate` is [P]."""
        if on_host(params):  # where reading a number costs nothing
            self._fused_step(params, grad, state, int(update) + 1, rate.tolist())
            return
        mean, square, t = state["adam_mean"], state["adam_square"], (update + 1).double()
        mean.lerp_(grad, 1 - self.beta1)
        square.mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
        # params -= rate * (mean / c1) / (sqrt(square / c2) + eps), its scalar terms gathered on [P, 1] so that there is one temporary
        root = (1 - self.beta2**t).sqrt()
        scale = (rate * root / (1 - self.beta1**t)).to(params.dtype).unsqueeze(1)
        denominator = square.sqrt().add_((self.epsilon * root).to(params.dtype)).div_(scale)  # infinite where the rate is 0: no step
        params.addcdiv_(mean, denominator, value=-1)

    def _fused_step(self, params: Tensor, grad: Tensor, state: dict[str, Tensor], count: int, rates: list[float]) -> None:
        """The same in one pass over memory, for all members that share a rate."""
        if count % CLEARED_EVERY == 0:
            state["adam_mean"].masked_fill_(state["adam_mean"].abs() < NEGLIGIBLE, 0.0)
        tensors = params, grad, state["adam_mean"], state["adam_square"]
        rows = [tensors] if len(set(rates)) == 1 else [tuple(t[k] for t in tensors) for k in range(len(rates))]
        for row, rate in zip(rows, rates, strict=False):
            p, g, mean, square = ([t] for t in row)
            torch._fused_adam_(
                p, g, mean, square, [], [torch.tensor(float(count))], lr=rate, beta1=self.beta1, beta2=self.beta2,
                weight_decay=0.0, eps=self.epsilon, amsgrad=False, maximize=False,
            )  # fmt: skip
