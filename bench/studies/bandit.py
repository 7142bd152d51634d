"""The two-armed bandit: what each weight learns, exactly.

One step, uniform pi_ref, P(R=1|left) = 1/2, P(R=1|right) = 1; training on successes (arXiv 2507.12856, section 3). Every update uses all
successes, so that a policy is the fixed point of its method and not of a sample. With p = pi(right), successes go right twice as often as
left, and weights w_left, w_right, the update's fixed point is p = 2 w_right / (2 w_right + w_left).

* SFT: equal weights, p = 2/3, mean reward 5/6.
* iw-SFT, w = q / pi_ref with q -> pi: p = 1, mean reward 1.
* w clipped at c < 1: w_left = 2 (1 - p) and w_right = c give p^2 - (1 + c) p + c = 0, that is p = c (p = 1 is not reached).
* w tempered to an effective sample size of at least f: (2 w_right + w_left)^2 = 3 f (2 w_right^2 + w_left^2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from algos.batches.curation import Curation
from algos.batches.sampling import Sampler
from algos.importance import Kind, Rule, Weighting
from algos.methods.weighted_bc import Start, WeightedBC, WeightedBCConfig
from bench.report.figures.style import WIDTH, legend
from bench.studies.study import Found, Options
from envs.data.trajectories import Trajectories

LEFT, RIGHT = 0.0, 1.0
UPDATES = 1200
EVERY = 20


class Case(NamedTuple):
    """A method on the bandit, and the value of pi(right) that the theory gives."""

    name: str
    weighting: Weighting
    theory: float


def with_floor(floor: float) -> float:
    """pi(right) at which the tempered weights of the successes have an effective sample size of `floor`."""
    ratio = max(np.roots([4 - 6 * floor, 4.0, 1 - 3 * floor]).real)  # x = w_right / w_left
    return float(2 * ratio / (2 * ratio + 1))


def cases() -> list[Case]:
    """The compared methods. Ratios of one step: the mean over the trajectory is the ratio itself, so temperature 1 is the paper's w."""
    tempered = Weighting(Kind.trajectory, temperature=1.0, ema_rate=1.0, min_ess=0.0)
    clipped = replace(tempered, rule=Rule.authors, normalize=False)
    found = [Case("SFT", Weighting(), 2 / 3), Case("iw-SFT", tempered, 1.0)]
    found += [Case(f"clipped at {c:g}", replace(clipped, maximum=c), c) for c in (0.75, 0.8, 0.9)]
    found += [Case(f"ESS at least {f:.0%}", replace(tempered, min_ess=f), with_floor(f)) for f in (0.9, 0.8, 0.7)]
    return found


def pulls() -> Trajectories:
    """Episodes of uniform pulls: left fails, left succeeds, right succeeds twice."""
    arms, rewards = torch.tensor([LEFT, LEFT, RIGHT, RIGHT]).unsqueeze(1), torch.tensor([0.0, 1.0, 1.0, 1.0])
    nothing, ended = torch.zeros(4, 1), torch.ones(4, dtype=torch.bool)
    return Trajectories(nothing, arms, rewards, nothing, ended, ~ended, torch.arange(5), num_actions=2)


def uniform() -> dict[str, Tensor]:
    """A uniform softmax over two arms: a linear layer whose observation is always 0, so that only its bias counts."""
    return {"0.weight": torch.zeros(1, 1, 2), "0.bias": torch.zeros(1, 2)}


def learn(weighting: Weighting, updates: int) -> list[tuple[int, float]]:
    """(update, pi(right)) every EVERY updates."""
    config = WeightedBCConfig(
        "bandit", batch_size=3, hidden=[], start=Start.pi_ref, learning_rate=0.05, sampler=Sampler.trajectories,
        curation=Curation(min_score=1.0), weighting=weighting,
    )  # fmt: skip
    algo = WeightedBC(config, pulls(), [0], uniform())
    count = len(algo.curated)
    batch = algo.stream._whole((torch.arange(count).double()[None] + 0.5) / count)
    curve = []
    for t in range(updates + 1):
        if t % EVERY == 0:
            curve.append((t, algo.policy()["0.bias"].softmax(-1)[0, 1].item()))
        algo.update(algo.state, batch)
    return curve


def study(options: Options) -> Found:
    updates = 100 if options.toy else UPDATES
    rows: list[dict[str, Any]] = []
    for case in cases():
        rows += [
            {"method": case.name, "update": t, "right": p, "mean_reward": 0.5 * (1 - p) + p, "theory": case.theory}
            for t, p in learn(case.weighting, updates)
        ]
    last = {case.name: next(r for r in reversed(rows) if r["method"] == case.name) for case in cases()}
    worst = max(abs(r["right"] - r["theory"]) for r in last.values())
    table = ["| method | pi(right), learned | theory | mean reward |", "| --- | ---: | ---: | ---: |"]
    table += [f"| {name} | {r['right']:.4f} | {r['theory']:.4f} | {r['mean_reward']:.4f} |" for name, r in last.items()]
    verdict = f"""{chr(10).join(table)}

The theory's values are met to {worst:.4f} after {updates:,} updates. SFT on successes stops at 5/6 of the best reward; iw-SFT reaches
all of it. A clip that binds, and a floor of the effective sample size, stop in between: both trade reward for variance. Under the likeliest
action all of them, SFT included, always go right: the gain is that of the stochastic policy."""
    return Found(rows, _figure(rows), verdict)


def _figure(rows: list[dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.add_subplot()
    for name in dict.fromkeys(r["method"] for r in rows):
        own = [r for r in rows if r["method"] == name]
        (line,) = axes.plot([r["update"] for r in own], [r["right"] for r in own], label=name)
        axes.axhline(own[0]["theory"], color=line.get_color(), linestyle=":", linewidth=0.8)
    axes.set(xlabel="update", ylabel="pi(right); dotted: theory", ylim=(0.48, 1.02))
    legend(figure, axes)
    return figure
