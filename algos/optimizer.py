"""Adam and learning-rate schedules for a population: every setting may differ between members, and the host reads nothing back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

from algos.networks.precision import tracing


class Schedule(Enum):
    """The course of the learning rate after the warm-up: constant, or a half cosine to 0 at the last update."""

    constant = "constant"
    cosine = "cosine"


def on_host(tensor: Tensor) -> bool:
    """True if the host can read `tensor` without waiting for a device."""
    return tensor.device.type == "cpu"


def learning_rate(update: Tensor, peak: Tensor, warmup: int, updates: int, schedule: Schedule) -> Tensor:
    """The rate [P] at update number `update` (a tensor, from 0) of `updates`: a rise from 0 to `peak` [P], then `schedule`."""
    if not warmup and schedule is Schedule.constant:
        return peak
    t = update.double()
    rise = (t / warmup).clamp(max=1.0) if warmup else torch.ones_like(t)
    fall = torch.ones_like(t)
    if schedule is Schedule.cosine:
        fall = 0.5 * (1 + torch.cos(math.pi * ((t - warmup) / max(1, updates - warmup)).clamp(0, 1)))
    return (peak * rise * fall).to(peak.dtype)


CLEARED_EVERY, NEGLIGIBLE = 100, 1e-30
"""Every 100 updates on a CPU, first moments below 1e-30 are set to 0. The gradient of a dead unit stays 0, so its moment shrinks by `beta1`
per update and would end as a subnormal number, which slows arithmetic down many times. A step of this size moves no parameter, and 100
updates later it is still far from subnormal."""


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015, Algorithm 1) on flat parameters [P, N]."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def init(self, params: Tensor) -> dict[str, Tensor]:
        """The moments of `params`, by name."""
        return {"adam_mean": torch.zeros_like(params), "adam_square": torch.zeros_like(params)}

    def step(self, params: Tensor, grad: Tensor, state: dict[str, Tensor], update: Tensor, rate: Tensor) -> None:
        """Move `params` [P, N] in place along `grad` [P, N]; `update` counts from 0, `rate` is [P]."""
        mean, square = state["adam_mean"], state["adam_square"]
        if on_host(params):  # reading a number costs nothing there
            step = torch.ops.iwsft.adam if tracing() else adam
            step(params, grad, mean, square, update, rate, self.beta1, self.beta2, self.epsilon)
            return
        t = (update + 1).double()
        mean.lerp_(grad, 1 - self.beta1)
        square.mul_(self.beta2).addcmul_(grad, grad, value=1 - self.beta2)
        # params -= rate * (mean / c1) / (sqrt(square / c2) + eps), with its scalar terms gathered on [P, 1] to need one temporary
        root = (1 - self.beta2**t).sqrt()
        scale = (rate * root / (1 - self.beta1**t)).to(params.dtype).unsqueeze(1)
        denominator = square.sqrt().add_((self.epsilon * root).to(params.dtype)).div_(scale)  # infinite where the rate is 0: no step
        params.addcdiv_(mean, denominator, value=-1)


def adam(
    params: Tensor, grad: Tensor, mean: Tensor, square: Tensor, update: Tensor, rate: Tensor, beta1: float, beta2: float, epsilon: float
) -> None:
    """`Adam.step` on a CPU: one pass over memory for all members if they share a rate. Changes `params`, `mean` and `square` in place."""
    count, rates = int(update) + 1, rate.tolist()
    if count % CLEARED_EVERY == 0:
        mean.masked_fill_(mean.abs() < NEGLIGIBLE, 0.0)
    tensors = params, grad, mean, square
    rows = [tensors] if len(set(rates)) == 1 else [tuple(t[k] for t in tensors) for k in range(len(rates))]
    for row, rate_ in zip(rows, rates, strict=False):
        p, g, m, s = ([t] for t in row)
        torch._fused_adam_(
            p, g, m, s, [], [torch.tensor(float(count))], lr=rate_, beta1=beta1, beta2=beta2,
            weight_decay=0.0, eps=epsilon, amsgrad=False, maximize=False,
        )  # fmt: skip


# A compiler sees one operation, so that `adam` may read numbers.
LIBRARY = torch.library.Library("iwsft", "DEF")
LIBRARY.define(
    "adam(Tensor(a!) params, Tensor grad, Tensor(b!) mean, Tensor(c!) square, Tensor update, Tensor rate, "
    "float beta1, float beta2, float epsilon) -> ()"
)
LIBRARY.impl("adam", adam, "CPU")
torch.library.register_fake("iwsft::adam", lambda *_: None, lib=LIBRARY)
