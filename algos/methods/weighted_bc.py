"""Weighted behaviour cloning: BC, filtered BC, SFT, SFT(Q), iw-SFT and iw-SFT(Q) are points of it (conf/algo/*.yaml).

Qin & Springenberg, "Supervised Fine Tuning on Curated Data is Reinforcement Learning (and can be improved)", arXiv 2507.12856.

    loss(theta) = - sum over curated steps of  coefficient * w * log pi_theta(a | s)

start      random, or a copy of pi_ref (BC on all data)
curation   every trajectory, or the multiset union of nested percentile filters of a trajectory score: D+ and D_Q+ of the paper
weighting  none: w = 1 (SFT: the bound from x >= 1 + log x on p_theta / pi_ref)
           trajectory: w = clip(exp(temperature * mean_t rho_t), 0, maximum), rho_t = log pi_q(a_t|s_t) - log pi_ref(a_t|s_t)
           step: w_t = clip(exp(temperature * rho_t), minimum, maximum)
           q is an exponential moving average of theta, moved before each gradient step; w carries no gradient (the bound
           J >= E_ref[(q / pi_ref) (1 + log(p / q)) R] depends on theta through (q / pi_ref) log p alone)
           probability: w_t = clip(pi_theta(a_t|s_t) ^ temperature, minimum, maximum), without gradient. Temperature 1 is DFT (Wu et al.
           2025, arXiv 2508.05629, eq. 9); its probabilities are of tokens, at most 1, ours are densities, so `normalize` sets their scale
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from algos.base import Algo, Episodes, MethodConfig, Metrics, State
from algos.batches.curation import SCORES, check_percentiles, strata
from algos.batches.random_blocks import Draws
from algos.batches.sampling import Batch, BatchStream, LengthWeighting, Sampler
from algos.errors import ConfigError, require, require_positive
from algos.members import batchable
from algos.networks.policies import policy_for
from algos.networks.precision import hidden_in_bfloat16
from algos.optimizer import Adam, Schedule, learning_rate
from algos.weights import mean_one, step_weights, summarise, trajectory_weights

CHUNK = 16_384  # steps a member in one forward pass where no gradient is needed
DIAGNOSTIC_STEPS = 10_000  # at most so many evenly spaced steps stand for a whole set in diagnostics


class Start(Enum):
    """Where training starts."""

    random = "random"
    pi_ref = "pi_ref"


class Kind(Enum):
    """What the importance weight is computed of."""

    none = "none"
    trajectory = "trajectory"
    step = "step"
    probability = "probability"

    @property
    def compares(self) -> bool:
        """Whether the weight is a ratio of q to pi_ref."""
        return self in (Kind.trajectory, Kind.step)


@dataclass
class Curation:
    """Which trajectories are imitated."""

    percentiles: list[float] = field(default_factory=list)  # nested filters; none means all trajectories
    score: str = "return"  # one of algos.batches.curation.SCORES
    min_score: float | None = None  # trajectories below it are dropped in any case

    def check(self, key: str) -> None:
        check_percentiles(self.percentiles, f"{key}.percentiles")
        require(self.score in SCORES, f"{key}.score", self.score, f"one of {', '.join(SCORES)}")


@dataclass
class Weighting:
    """How a curated log-likelihood is weighted."""

    kind: Kind = Kind.none
    temperature: float = batchable(10.0)
    minimum: float = batchable(0.0)  # of a step's weight; a trajectory's has no lower clip
    maximum: float = batchable(1000.0)
    normalize: bool = True  # scale the batch's weights to mean 1
    ema_rate: float = batchable(0.1)  # q <- (1 - rate) q + rate theta, before every gradient step
    refresh_every: int = 100  # updates between two computations of trajectory weights (transitions sampler only)

    def check(self, key: str) -> None:
        require(0 <= self.temperature < float("inf"), f"{key}.temperature", self.temperature, "a number of at least 0")
        require(self.maximum > 0, f"{key}.maximum", self.maximum, "a positive number")
        require(0 <= self.minimum < self.maximum, f"{key}.minimum", self.minimum, f"0 to {key}.maximum = {self.maximum}")
        require(0 < self.ema_rate <= 1, f"{key}.ema_rate", self.ema_rate, "a number above 0, at most 1")
        require(self.refresh_every > 0, f"{key}.refresh_every", self.refresh_every, "a positive number")


@dataclass
class WeightedBCConfig(MethodConfig):
    """A point of the family."""

    name: str = "bc"
    updates: int = 10_000
    batch_size: int = 256  # transitions, or whole trajectories, by `sampler`
    hidden: list[int] = field(default_factory=lambda: [256, 256, 256])
    start: Start = Start.random
    learning_rate: float = batchable(1e-3)
    warmup: int = 0  # updates over which the learning rate rises from 0
    schedule: Schedule = Schedule.constant  # of the learning rate
    sampler: Sampler = Sampler.transitions
    length_weighting: LengthWeighting = LengthWeighting.per_step
    curation: Curation = field(default_factory=Curation)
    weighting: Weighting = field(default_factory=Weighting)

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require_positive(self, key, "learning_rate")
        require(0 <= self.warmup <= self.updates, f"{key}.warmup", self.warmup, f"0 to {key}.updates = {self.updates}")
        self.curation.check(f"{key}.curation")
        self.weighting.check(f"{key}.weighting")

    @property
    def needs_pi_ref(self) -> bool:
        return self.start is Start.pi_ref or self.weighting.kind.compares

    def determinants(self) -> dict[str, Any]:
        """The settings that the result depends on, without those that this point does not use."""
        used = super().determinants()
        if not self.curation.percentiles and self.curation.min_score is None:
            used["curation"] = {}
        if self.weighting.kind is Kind.none:
            used["weighting"] = {}
        return used


class WeightedBC(Algo):
    """P members of a point of the family.

    `pi_ref` maps names to parameters [P, ...] of the frozen reference policy, or is a function that finds them, called only once the
    curation is known to leave something.
    """

    actions = ("continuous", "discrete")

    def __init__(
        self,
        config: WeightedBCConfig,
        data: Episodes,
        seeds: Sequence[int],
        pi_ref: Callable[[], Mapping[str, Tensor]] | Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(data, seeds)
        self.config, self.updates = config, config.updates
        self.net = policy_for(data, config.hidden)
        self.optimizer = Adam()
        scores = SCORES[config.curation.score](data).cpu().numpy()
        curated = strata(scores, config.curation.percentiles, config.curation.min_score)
        self.curated = torch.from_numpy(curated).to(self.device)  # [M] episode numbers with repetition
        self.stream = BatchStream(data, self.curated, seeds, config.batch_size, config.sampler, config.length_weighting)
        self.shapes_vary = config.sampler is Sampler.trajectories
        self.rate = self.scalar(config.learning_rate)
        w = config.weighting
        self.temperature, self.minimum, self.maximum, self.ema_rate = map(self.scalar, (w.temperature, w.minimum, w.maximum, w.ema_rate))
        if config.needs_pi_ref and pi_ref is None:
            raise ConfigError(f"{config.name} needs a reference policy: train one on all data first")
        reference = pi_ref() if callable(pi_ref) else pi_ref
        self.reference = None if reference is None else self.net.layout.flatten(reference).to(self.device)
        self.state = self._initial_state()
        if w.kind.compares:
            self._prepare_ratios()

    def _initial_state(self) -> State:
        if self.config.start is Start.pi_ref:
            assert self.reference is not None
            policy = self.reference.clone()
        else:
            policy = self.net.init(self.generators(0)).to(self.device)
        state = {"policy": policy, "update": torch.zeros((), dtype=torch.int64, device=self.device), **self.optimizer.init(policy)}
        if self.config.weighting.kind.compares:
            state["q"] = policy.clone()
        if self.uses_table:
            state["weights"] = torch.ones(self.members, len(self.curated), device=self.device)
        return state

    @property
    def uses_table(self) -> bool:
        """Whether trajectory weights come from a table [P, M] that is refreshed now and then (they need whole trajectories)."""
        return self.config.weighting.kind is Kind.trajectory and self.config.sampler is Sampler.transitions

    # The reference's log-likelihood of every curated step, once.

    def _prepare_ratios(self) -> None:
        """Lay out the distinct curated steps and compute log pi_ref of each, the one time it is needed."""
        episodes, self.episode_of_slot = torch.unique(self.curated, return_inverse=True)  # [U], [M] -> U
        lengths = self.data.lengths[episodes]
        self.episode_of_kept = torch.repeat_interleave(torch.arange(len(episodes), device=self.device), lengths)  # [K]
        first = lengths.cumsum(0) - lengths
        self.kept = (
            torch.arange(len(self.episode_of_kept), device=self.device) + (self.data.offsets[episodes] - first)[self.episode_of_kept]
        )
        self.kept_lengths = lengths
        self.position_of_step = torch.full((len(self.data.actions),), -1, device=self.device)
        self.position_of_step[self.kept] = torch.arange(len(self.kept), device=self.device)
        assert self.reference is not None
        self.reference_log_prob = self._log_prob(self.reference, self.kept)  # [P, K]

    @torch.no_grad()
    def _log_prob(self, flat: Tensor, steps: Tensor) -> Tensor:
        """[P, len(steps)] log-likelihoods under parameters `flat` [P, N]."""
        params = self.net.layout.views(flat)
        found = flat.new_empty(self.members, len(steps))  # made first: small results between large pieces would keep freed memory apart
        for part, chunk in zip(found.split(CHUNK, 1), steps.split(CHUNK), strict=True):
            part.copy_(self._step_log_prob(params, chunk.expand(self.members, -1)))
        return found

    def _step_log_prob(self, params: Mapping[str, Tensor], step: Tensor) -> Tensor:
        """[P, B] log-likelihoods of the steps `step` [P, B]."""
        return self.net.log_prob(params, self.data.observations[step], self.data.actions[step])

    def _mean_log_ratio(self) -> Tensor:
        """[P, M]: mean over each curated trajectory's steps of log pi_q - log pi_ref."""
        ratio = self._log_prob(self.state["q"], self.kept) - self.reference_log_prob
        sums = torch.zeros(self.members, len(self.kept_lengths), device=self.device).index_add(1, self.episode_of_kept, ratio)
        return (sums / self.kept_lengths)[:, self.episode_of_slot]

    # One update.

    @torch.no_grad()
    def weights(self, state: State, batch: Batch) -> Tensor:
        """[P, L] weight of every step of `batch` under q, before it multiplies the log-likelihood."""
        w = self.config.weighting
        if w.kind is Kind.none:
            return torch.ones_like(batch.coefficient)
        if w.kind is Kind.probability:
            log_prob = self._step_log_prob(self.net.layout.views(state["policy"]), batch.step)
            weights = step_weights(log_prob, self.temperature, self.minimum, self.maximum)
        elif self.uses_table:
            weights = state["weights"].gather(1, batch.slot)
        else:
            with hidden_in_bfloat16(False):  # as what it is compared with
                log_q = self._step_log_prob(self.net.layout.views(state["q"]), batch.step)
            ratio = log_q - self.reference_log_prob.gather(1, self.position_of_step[batch.step])
            if w.kind is Kind.step:
                weights = step_weights(ratio, self.temperature, self.minimum, self.maximum)
            else:
                weights = self._trajectory_weights(ratio, batch)
        return mean_one(weights, batch.coefficient) if w.normalize else weights

    def _trajectory_weights(self, ratio: Tensor, batch: Batch) -> Tensor:
        """[P, L] from the log-ratios [P, L] of a batch of whole trajectories."""
        real = (batch.coefficient > 0).to(ratio.dtype)
        zeros = torch.zeros(self.members, self.config.batch_size, device=self.device)
        mean = zeros.scatter_add(1, batch.row, ratio * real) / zeros.scatter_add(1, batch.row, real)
        return trajectory_weights(mean, self.temperature, self.maximum).gather(1, batch.row)

    def losses(self, params: Mapping[str, Tensor], weights: Tensor, batch: Batch) -> Tensor:
        """[P] weighted negative log-likelihood: the one loss of the family."""
        log_prob = self._step_log_prob(params, batch.step)
        return -(batch.coefficient * weights * log_prob).sum(-1)

    def update(self, state: State, batch: Batch) -> Metrics:
        """One gradient step on `state`, in place: move q, weigh, differentiate, step. Reads nothing back to the host."""
        if "q" in state:
            state["q"].lerp_(state["policy"], self.ema_rate.unsqueeze(1))
        weights = self.weights(state, batch)
        flat = state["policy"].detach().requires_grad_()
        with torch.enable_grad():
            losses = self.losses(self.net.layout.views(flat), weights, batch)
            (grad,) = torch.autograd.grad(losses.sum(), flat)
        rate = learning_rate(state["update"], self.rate, self.config.warmup, self.updates, self.config.schedule)
        self.optimizer.step(state["policy"], grad, state, state["update"], rate)
        state["update"] += 1
        return {"loss": losses.detach(), "learning_rate": rate}

    def before(self, update: int) -> None:
        if self.uses_table and update % self.config.weighting.refresh_every == 0:
            self.state["weights"].copy_(trajectory_weights(self._mean_log_ratio(), self.temperature, self.maximum))

    def draws(self, update: int) -> Draws:
        return self.stream.draws(update)

    def step(self, phase: int, draws: Draws) -> Metrics:
        return self.update(self.state, self.stream.of(draws))

    # What others see of it.

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        return self.net.mean(self.policy(), observations)

    def policy(self) -> dict[str, Tensor]:
        return dict(self.net.layout.views(self.state["policy"]))

    @torch.no_grad()
    def diagnostics(self) -> Metrics:
        """Log-likelihood a step on curated and on all data; with weights: KL(q || pi_ref) and the weights' summary (see algos.weights)."""
        data, policy = self.data, self.state["policy"]
        steps = self._spaced(self.stream.total)
        slot = torch.searchsorted(self.stream.ends, steps, right=True)
        curated = self.stream.starts[slot] + steps - (self.stream.ends[slot] - self.stream.lengths[slot])
        everything = self._spaced(len(data.actions))
        found = {
            "log_prob_curated": self._log_prob(policy, curated).mean(1),
            "log_prob_all": self._log_prob(policy, everything).mean(1),
        }
        if self.reference is not None:
            q, ref = (self.net.layout.views(flat) for flat in (self.state.get("q", policy), self.reference))
            found["kl_q_pi_ref"] = self.net.kl(q, ref, data.observations[curated].expand(self.members, -1, -1)).mean(1)
        kind = self.config.weighting.kind
        if kind is not Kind.none:
            if kind is Kind.trajectory:
                weights, minimum = (
                    trajectory_weights(self._mean_log_ratio(), self.temperature, self.maximum),
                    torch.zeros_like(self.minimum),
                )
            else:
                ratio = self._log_prob(self.state.get("q", policy), curated)
                if kind is Kind.step:
                    ratio = ratio - self.reference_log_prob[:, self.position_of_step[curated]]
                weights, minimum = step_weights(ratio, self.temperature, self.minimum, self.maximum), self.minimum
            summary = summarise(weights, minimum, self.maximum)
            found |= {f"weight_{name}": value for name, value in summary._asdict().items()}
        return found

    def _spaced(self, total: int) -> Tensor:
        """At most DIAGNOSTIC_STEPS evenly spaced numbers below `total`."""
        return torch.arange(0, total, -(-total // DIAGNOSTIC_STEPS), device=self.device)
