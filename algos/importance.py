"""Importance weights of logged actions: their likelihood ratio of q, a moving average of the policy, to pi_ref (arXiv 2507.12856).

    rho_t = log pi_q(a_t|s_t) - log pi_ref(a_t|s_t),   q <- (1 - ema_rate) q + ema_rate theta before every gradient step

algos/weights.py and algos/pareto.py turn log-ratios into weights. log pi_ref is computed once. Trajectory weights need whole
trajectories. If batches are single transitions, a table holds the weights, and every `refresh_every` updates it is computed anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from algos.base import Metrics, State
from algos.batches.sampling import Batch
from algos.errors import require
from algos.likelihood import StepLikelihood
from algos.members import batchable
from algos.networks.precision import hidden_in_bfloat16
from algos.pareto import pareto_weights
from algos.weights import (
    LARGEST_DENSITY,
    clipped_ratio_weights,
    defensive_mixture,
    mean_one,
    probability_weights,
    step_weights,
    summarise,
    tempered_weights,
    trajectory_weights,
)


class Kind(Enum):
    """The quantity that a weight is computed from."""

    none = "none"  # w = 1
    trajectory = "trajectory"  # the mean of rho_t over the trajectory
    step = "step"  # rho_t
    suffix = "suffix"  # the sum of rho_k + log discount over the later steps k of the trajectory (PEAR)
    probability = "probability"  # pi_theta(a_t|s_t)
    clipped = "clipped"  # pi_theta / pi_old where at most 1 + clip, else 0 (PSFT)

    @property
    def is_ratio(self) -> bool:
        """True if the weight compares q with pi_ref."""
        return self in (Kind.trajectory, Kind.step, Kind.suffix)

    @property
    def needs_sequences(self) -> bool:
        """True if the weight of a step depends on later ones, so that batches must hold whole trajectories."""
        return self is Kind.suffix


class Rule(Enum):
    """The way from log-ratios to weights."""

    tempered = "tempered"  # centred, self-normalised, the temperature lowered until enough of the sample counts
    pareto = "pareto"  # centred, self-normalised, the largest weights smoothed by a fitted Pareto tail
    authors = "authors"  # clip(exp(temperature * rho), minimum, maximum), the form of the paper and of its authors' code

    @property
    def self_normalised(self) -> bool:
        """True if the rule's weights have mean 1 of themselves."""
        return self is not Rule.authors


@dataclass
class Weighting:
    """Settings of the weights of curated log-likelihoods.

    `rule`, `ema_rate` and `refresh_every` apply to ratios only, `min_ess` and `min_trajectories` to the rule `tempered`, `defensive` to
    `tempered` and `pareto`, `minimum`, `maximum` and `normalize` to the rule `authors` (`normalize` to probabilities, too), `discount` to
    the kind `suffix`, `clip` and `refresh_every` to the kind `clipped`.
    """

    kind: Kind = Kind.none  # of the ratio q / pi_ref: none (weight 1) | trajectory | step | suffix; of the policy: probability | clipped
    temperature: float = batchable(10.0)  # the factor of the log-ratios; an upper limit with rule tempered
    minimum: float = batchable(0.0)  # of a step's weight; a trajectory's has no lower clip
    maximum: float = batchable(1000.0)  # of a weight, a clip
    normalize: bool = True  # scale the weights of a batch to mean 1
    ema_rate: float = batchable(0.1)  # at which q follows the policy
    refresh_every: int = 100  # updates between refreshes of the table of trajectory weights, or of pi_old
    rule: Rule = Rule.tempered  # tempered | pareto | authors
    min_ess: float = batchable(0.8)  # effective sample size at least, as a share of the curated data; 0: no limit
    min_trajectories: float = batchable(0.0)  # the same as a number of distinct trajectories, for trajectory weights; 0: no limit
    defensive: float = batchable(0.0)  # share d of the uniform weight in the weights, (1 - d) w + d
    discount: float = batchable(1.0)  # of each later step's ratio in the weight of kind suffix
    clip: float = batchable(0.28)  # ratio above 1 from which on kind clipped leaves a step out

    def determinants(self) -> dict[str, Any]:
        """The settings that weights of this kind depend on."""
        used = {"kind", "temperature"} if self.kind is not Kind.none else set()
        if self.kind is Kind.probability:
            used |= {"normalize"}
        if self.kind.is_ratio:
            used |= {"rule", "ema_rate"}
            used |= {Rule.tempered: {"min_ess"}, Rule.pareto: set[str](), Rule.authors: {"maximum", "normalize"}}[self.rule]
            used |= {"defensive"} if self.defensive and self.rule is not Rule.authors else set()
        if self.kind is Kind.trajectory:
            used |= {"refresh_every"} | ({"min_trajectories"} if self.rule is Rule.tempered else set())
        elif self.kind in (Kind.step, Kind.suffix) and self.rule is Rule.authors:
            used |= {"minimum"}
        if self.kind is Kind.suffix:
            used |= {"discount"}
        if self.kind is Kind.clipped:
            used = {"kind", "clip", "refresh_every"}
        return {k: v for k, v in asdict(self).items() if k in used}

    def check(self, key: str) -> None:
        """Raise ConfigError for a value that cannot be used."""
        require(0 <= self.temperature < float("inf"), f"{key}.temperature", self.temperature, "a number of at least 0")
        require(0 <= self.min_ess < 1, f"{key}.min_ess", self.min_ess, "0 up to, not including, 1")
        require(0 <= self.min_trajectories < float("inf"), f"{key}.min_trajectories", self.min_trajectories, "a number of at least 0")
        require(0 <= self.defensive < 1, f"{key}.defensive", self.defensive, "0 up to, not including, 1")
        require(self.maximum > 0, f"{key}.maximum", self.maximum, "a positive number")
        require(0 <= self.minimum < self.maximum, f"{key}.minimum", self.minimum, f"0 to {key}.maximum = {self.maximum}")
        require(0 < self.ema_rate <= 1, f"{key}.ema_rate", self.ema_rate, "a number above 0, at most 1")
        if self.kind is not Kind.trajectory:
            expected = f"0: it counts trajectories, and {key}.kind is {self.kind.name}; use {key}.min_ess"
            require(self.min_trajectories == 0, f"{key}.min_trajectories", self.min_trajectories, expected)
        require(0 < self.discount <= 1, f"{key}.discount", self.discount, "a number above 0, at most 1")
        require(0 < self.clip < float("inf"), f"{key}.clip", self.clip, "a positive number")
        require(self.refresh_every > 0, f"{key}.refresh_every", self.refresh_every, "a positive number")


def ratio_weights(
    weighting: Weighting,
    log_ratio: Tensor,
    base: Tensor,
    temperature: Tensor,
    minimum: Tensor,
    maximum: Tensor,
    floor: Tensor,
    defensive: Tensor,
) -> tuple[Tensor, Tensor]:
    """Weights [P, E] from log-ratios [P, E] by the kind and rule of `weighting`, and the temperature [P] that gave them.

    `base` [P, E] and `floor` [P] as in `tempered_weights`; the other settings [P]. A log-ratio is that of a step, a trajectory's mean, or a
    step's suffix.
    """
    if weighting.rule.self_normalised:
        if weighting.rule is Rule.pareto:
            weights = pareto_weights(log_ratio, base, temperature)
        else:
            weights, temperature = tempered_weights(log_ratio, base, temperature, floor)
        return defensive_mixture(weights, defensive), temperature
    if weighting.kind is not Kind.trajectory:
        return step_weights(log_ratio, temperature, minimum, maximum), temperature
    return trajectory_weights(log_ratio, temperature, maximum), temperature


def suffix_sums(log_ratio: Tensor, row: Tensor, real: Tensor, rows: int, log_discount: Tensor) -> Tensor:
    """The sum of log_ratio + log_discount over the later steps of each step's row, [P, L]; 0 for a row's last step.

    PEAR's suffix ratio at the level of tokens (Zhang et al. 2026, arXiv 2602.01058): the product over k > t of discount * q / pi_ref.
    `log_ratio` [P, L], `row` and `real` [P, L] or [L], `log_discount` [P]; the steps of a row are neighbours, in order.
    """
    wide = torch.where(real, log_ratio.double() + log_discount.double().unsqueeze(1), 0.0)
    row = row.expand(wide.shape)
    ends = wide.new_zeros(len(wide), rows).scatter_add(1, row, wide).cumsum(1)
    return (ends.gather(1, row) - wide.cumsum(1)).to(log_ratio.dtype)


class LogRatios:
    """log pi_q - log pi_ref of the steps of curated trajectories `curated` [M] (episode numbers, with repetition)."""

    def __init__(self, likelihood: StepLikelihood, pi_ref: Tensor, curated: Tensor) -> None:
        data, device = likelihood.data, curated.device
        self.likelihood = likelihood
        episodes, self.slot = torch.unique(curated, return_inverse=True)  # [U] distinct episodes, [M] positions among them
        self.lengths = data.lengths[episodes]
        self.episode = torch.repeat_interleave(torch.arange(len(episodes), device=device), self.lengths)  # [K], of every distinct step
        first = self.lengths.cumsum(0) - self.lengths
        self.steps = torch.arange(len(self.episode), device=device) + (data.offsets[episodes] - first)[self.episode]  # [K]
        self.position = torch.full((len(data.actions),), -1, device=device)  # of a step of the data among `steps`
        self.position[self.steps] = torch.arange(len(self.steps), device=device)
        self.log_pi_ref = likelihood.all_of(pi_ref, self.steps)  # [P, K]

    def at(self, log_q: Tensor, step: Tensor) -> Tensor:
        """Log-ratios [P, B] of the steps `step` [P, B], from their log pi_q [P, B]."""
        return log_q - self.log_pi_ref.gather(1, self.position[step])

    def of(self, q: Tensor, steps: Tensor, log_discount: Tensor | None) -> Tensor:
        """Log-ratios [P, K] of the steps `steps` [K] under flat parameters `q` [P, N]; suffix sums with `log_discount` [P]."""
        if log_discount is None:
            return self.at(self.likelihood.all_of(q, steps), steps.expand(len(q), -1))
        ratio, real = self.likelihood.all_of(q, self.steps) - self.log_pi_ref, torch.ones_like(self.episode, dtype=torch.bool)
        return suffix_sums(ratio, self.episode, real, len(self.lengths), log_discount)[:, self.position[steps]]

    def trajectory_means(self, q: Tensor) -> Tensor:
        """Mean log-ratio [P, M] over the steps of each curated trajectory, under flat parameters `q` [P, N]."""
        ratio = self.likelihood.all_of(q, self.steps) - self.log_pi_ref
        sums = torch.zeros(len(q), len(self.lengths), device=q.device).index_add(1, self.episode, ratio)
        return (sums / self.lengths)[:, self.slot]


class StepWeights:
    """The weight of every step of a batch.

    scalar: makes a tensor [P] of a setting. pi_ref: flat parameters [P, N], which a ratio needs. trajectories: the number of whole
    trajectories per batch, or None if batches are single transitions. base: the share [M] of each curated trajectory in the loss without
    weights.
    """

    def __init__(
        self,
        weighting: Weighting,
        likelihood: StepLikelihood,
        curated: Tensor,
        pi_ref: Tensor | None,
        scalar: Callable[[float], Tensor],
        trajectories: int | None,
        base: Tensor,
    ) -> None:
        w = weighting
        self.weighting, self.kind, self.likelihood, self.trajectories, self.base = w, w.kind, likelihood, trajectories, base
        self.temperature, self.minimum, self.maximum, self.ema_rate = map(scalar, (w.temperature, w.minimum, w.maximum, w.ema_rate))
        self.self_normalised = w.kind.is_ratio and w.rule.self_normalised
        self.uses_table = w.kind is Kind.trajectory and trajectories is None
        self.slots, self.distinct = len(curated), len(torch.unique(curated))
        self.floor, self.defensive = scalar(w.min_ess), scalar(w.defensive)
        self.log_discount, self.clip = scalar(w.discount).log(), scalar(w.clip)
        if w.kind is Kind.trajectory:
            self.floor = torch.maximum(self.floor, scalar(w.min_trajectories) / self.distinct).clamp(max=1.0)
        if w.kind.is_ratio:
            assert pi_ref is not None
            self.ratios = LogRatios(likelihood, pi_ref, curated)

    def initial_state(self, policy: Tensor) -> State:
        """The entries of the state: q and pi_old start as the policy [P, N]; the table of trajectory weights is [P, M]."""
        if self.kind is Kind.clipped:
            return {"old": policy.clone()}
        table = {"weights": torch.ones(len(policy), self.slots, device=policy.device)} if self.uses_table else {}
        return {"q": policy.clone(), **table} if self.kind.is_ratio else {}

    def refresh(self, update: int, state: State) -> None:
        """Recompute the table, or copy the policy to pi_old, in place, if it is due before update number `update`."""
        if self.kind is Kind.clipped and update % self.weighting.refresh_every == 0:
            state["old"].copy_(state["policy"])
        if self.uses_table and update % self.weighting.refresh_every == 0:
            state["weights"].copy_(self.of_trajectories(state)[0])

    def of_trajectories(self, state: State) -> tuple[Tensor, Tensor]:
        """The weight [P, M] of every curated trajectory under q, and the temperature [P] that gave it."""
        means = self.ratios.trajectory_means(state["q"])
        return self._weights(means, self.base.expand_as(means))

    def _weights(self, log_ratio: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
        """`ratio_weights` with the members' own settings."""
        own = self.temperature, self.minimum, self.maximum, self.floor, self.defensive
        return ratio_weights(self.weighting, log_ratio, base, *own)

    @torch.no_grad()
    def __call__(self, state: State, batch: Batch) -> Tensor:
        """The weight [P, L] of every step of `batch`."""
        if self.kind is Kind.none:
            return torch.ones_like(batch.coefficient)
        views = self.likelihood.policy_net.layout.views
        if self.kind is Kind.clipped:
            now, old = (self.likelihood.of_batch(views(state[name]), batch) for name in ("policy", "old"))
            return clipped_ratio_weights(now - old, self.clip)
        if self.kind is Kind.probability:
            weights = probability_weights(self.likelihood.of_batch(views(state["policy"]), batch), self.temperature)
        elif self.uses_table:
            weights = state["weights"].gather(1, batch.slot)
        else:
            with hidden_in_bfloat16(False):  # log pi_ref was not rounded either
                ratio = self.ratios.at(self.likelihood.of_batch(views(state["q"]), batch), batch.step)
            weights = self._of_ratios(ratio, batch)
        return weights if self.self_normalised or not self.weighting.normalize else mean_one(weights, batch.coefficient)

    def _of_ratios(self, ratio: Tensor, batch: Batch) -> Tensor:
        """Weights [P, L] from log-ratios [P, L] of a batch: of single steps, or of whole trajectories."""
        if self.kind is Kind.suffix:
            ratio = suffix_sums(ratio, batch.row, batch.coefficient > 0, self.trajectories or 0, self.log_discount)
        if self.kind is not Kind.trajectory:
            return self._weights(ratio, batch.coefficient)[0]
        real = (batch.coefficient > 0).to(ratio.dtype)  # 0 for padding
        zeros = torch.zeros(len(ratio), self.trajectories or 0, device=ratio.device, dtype=ratio.dtype)
        mean = zeros.scatter_add(1, batch.row, ratio * real) / zeros.scatter_add(1, batch.row, real)
        base = zeros.scatter_add(1, batch.row, batch.coefficient.to(ratio.dtype))
        return self._weights(mean, base)[0].gather(1, batch.row)

    @torch.no_grad()
    def diagnostics(self, state: State, steps: Tensor) -> Metrics:
        """Summary of the weights of all curated trajectories, or of the steps `steps` [K] (algos.weights.WeightSummary), each [P].

        With rule `authors`, of the weights before they are normalised. With ratios also `weight_temperature`, the temperature that
        gave them, and for trajectory weights `weight_trajectories`, the effective sample size as a number of distinct trajectories.
        """
        if self.kind in (Kind.none, Kind.clipped):
            return {}
        minimum, maximum = torch.zeros_like(self.minimum), self.maximum
        base, temperature = torch.ones(1, len(steps), device=steps.device), self.temperature
        if self.kind is Kind.trajectory:
            (weights, temperature), base = self.of_trajectories(state), self.base.expand(1, -1)
        elif self.kind is Kind.probability:
            weights = probability_weights(self.likelihood.all_of(state["policy"], steps), self.temperature)
            maximum = torch.full_like(maximum, LARGEST_DENSITY)
        else:
            ratio = self.ratios.of(state["q"], steps, self.log_discount if self.kind is Kind.suffix else None)
            (weights, temperature), minimum = self._weights(ratio, base.expand_as(ratio)), self.minimum
        if self.self_normalised:
            minimum, maximum = torch.zeros_like(minimum), torch.full_like(maximum, torch.inf)  # no clips
        found = {f"weight_{name}": value for name, value in summarise(weights, base, minimum, maximum)._asdict().items()}
        if self.kind.is_ratio:
            found["weight_temperature"] = temperature
        if self.kind is Kind.trajectory:
            found["weight_trajectories"] = found["weight_ess_share"] * self.distinct
        return found
