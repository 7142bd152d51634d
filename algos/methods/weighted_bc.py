"""Weighted behaviour cloning: BC, filtered BC, SFT, SFT(Q), iw-SFT, iw-SFT(Q), DFT, ASFT, PSFT and PEAR are settings of it.

Qin & Springenberg, "Supervised Fine Tuning on Curated Data is Reinforcement Learning (and can be improved)", arXiv 2507.12856.

    loss(theta) = sum over curated steps of  coefficient * ( - w * log pi_theta(a | s) + anchor * KL(pi_ref(.|s) || pi_theta(.|s)) )

start      random, or a copy of pi_ref (BC on all data)
curation   every trajectory, or the multiset union of nested percentile filters of a trajectory score: D+ and D_Q+ of the paper
weighting  none: w = 1 (SFT: the bound from x >= 1 + log x on p_theta / pi_ref)
           trajectory: a function of mean_t rho_t, rho_t = log pi_q(a_t|s_t) - log pi_ref(a_t|s_t)
           step: the same function of rho_t
             rule tempered: exp(alpha * x) / mean(exp(alpha * x)), x = rho less its mean, alpha <= temperature such that the effective
               sample size is at least min_ess (algos/weights.py)
             rule pareto: temperature as it is, the largest weights smoothed by a fitted Pareto tail (algos/pareto.py)
             defensive: (1 - defensive) w + defensive, of these two rules
             rule authors: clip(exp(temperature * rho), minimum, maximum), scaled to mean 1 over a batch by `normalize`
           probability: w_t = pi_theta(a_t|s_t) ^ temperature, DFT at temperature 1 (Wu et al. 2025, arXiv 2508.05629, eq. 9);
             `normalize` scales a batch's to mean 1, which the equation does not
           suffix: the same rules for x_t = the sum over later steps k of rho_k + log discount: PEAR's suffix ratios at the level of
             tokens (Zhang et al. 2026, arXiv 2602.01058), with pi_ref for the behaviour policy
           clipped: w_t = r_t where r_t = pi_theta / pi_old <= 1 + clip, else 0, pi_old renewed every `refresh_every` updates: the gradient
             of PSFT's min(r_t, clip(r_t, 1 - clip, 1 + clip)) (Zhu et al. 2025, arXiv 2508.17784)
anchor     0, or the factor of the divergence from pi_ref: with kind probability ASFT (Zhu et al. 2025, arXiv 2509.23753; the direction
           of the KL is that of its authors' code)
policy     mlp: one step at a time. transformer: token sequences, algos/networks/token_policy.py

q is an exponential moving average of theta, updated before each gradient step. No weight carries a gradient: the bound
J >= E_ref[(q / pi_ref) (1 + log(p / q)) R] depends on theta through (q / pi_ref) log p alone. algos/importance.py computes
the weights, algos/batches/sampling.py the batches and their coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from algos.base import Episodes, MethodConfig, Metrics, State
from algos.batches.curation import SCORES, Curation, curate
from algos.batches.sampling import Batch, BatchStream, LengthWeighting, Sampler
from algos.errors import ConfigError, require, require_positive
from algos.importance import Kind, Rule, StepWeights, Weighting
from algos.learner import GradientLearner
from algos.likelihood import likelihood_for
from algos.members import batchable
from algos.networks.mlp import Params
from algos.networks.policies import Network, policy_for
from algos.networks.token_policy import check_widths
from algos.networks.transformer import HEAD
from algos.optimizer import Schedule

__all__ = ["SCORES", "Curation", "Kind", "Network", "Rule", "Sampler", "Start", "WeightedBC", "WeightedBCConfig", "Weighting"]

DIAGNOSTIC_STEPS = 10_000  # at most this many evenly spaced steps stand for a data set in diagnostics


class Start(Enum):
    """The policy that training starts from."""

    random = "random"
    pi_ref = "pi_ref"


@dataclass
class WeightedBCConfig(MethodConfig):
    """Settings of one method of the family."""

    name: str = "bc"
    updates: int = 10_000
    batch_size: int = 256  # transitions, or whole trajectories, by `sampler`
    hidden: list[int] = field(default_factory=lambda: [256, 256, 256])  # widths of hidden layers, or of a transformer's blocks
    start: Start = Start.random  # policy that training starts from: random | pi_ref
    learning_rate: float = batchable(1e-3)  # of Adam
    warmup: float = 0.0  # share of the updates over which the learning rate rises from 0
    schedule: Schedule = Schedule.constant  # of the learning rate after the warm-up: constant | cosine
    sampler: Sampler = Sampler.transitions  # of a batch: transitions | trajectories (whole ones)
    length_weighting: LengthWeighting = LengthWeighting.per_step  # what counts the same: per_step | per_episode
    curation: Curation = field(default_factory=Curation)
    weighting: Weighting = field(default_factory=Weighting)
    policy: Network = Network.mlp  # mlp | transformer (token sequences); the choice policy=transformer sets all that goes with it
    anchor: float = 0.0  # factor of KL(pi_ref || policy) in the loss

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require_positive(self, key, "learning_rate")
        require(0 <= self.anchor < float("inf"), f"{key}.anchor", self.anchor, "a number of at least 0")
        if self.policy is Network.transformer:
            require(check_widths(self.hidden), f"{key}.hidden", list(self.hidden), f"equal widths of blocks, a multiple of {HEAD} each")
        whole, kind = self.sampler is Sampler.trajectories, self.weighting.kind
        if self.policy is Network.transformer:
            require(whole, f"{key}.sampler", self.sampler.name, "trajectories: a transformer learns from whole sequences")
        if kind.needs_sequences:
            require(whole, f"{key}.sampler", self.sampler.name, f"trajectories, with {key}.weighting.kind = {kind.name}")
        share = f"a share of the updates, from 0 up to, not including, 1 ({300 / 4500:.4f} is 300 of 4500)"
        require(0 <= self.warmup < 1, f"{key}.warmup", self.warmup, share)
        self.curation.check(f"{key}.curation")
        self.weighting.check(f"{key}.weighting")

    @property
    def warmup_updates(self) -> int:
        """Updates over which the learning rate rises from 0."""
        return round(self.warmup * self.updates)

    @property
    def shapes_vary(self) -> bool:
        return self.sampler is Sampler.trajectories and self.policy is Network.mlp

    @property
    def needs_pi_ref(self) -> bool:
        return self.start is Start.pi_ref or self.weighting.kind.is_ratio or self.anchor > 0

    def determinants(self) -> dict[str, Any]:
        """The settings that the result depends on, without those that this method does not use."""
        found = super().determinants() | {"weighting": self.weighting.determinants(), "curation": self.curation.determinants()}
        plain = {"policy": Network.mlp, "anchor": 0.0}  # not named in hashes
        return {name: value for name, value in found.items() if name not in plain or value != plain[name]}


class WeightedBC(GradientLearner):
    """P members of one method of the family.

    `pi_ref` maps names to parameters [P, ...] of the reference policy, or is a function that returns them, called after curation has
    succeeded. Raises ConfigError if the method needs it and it is None.
    """

    actions = ("continuous", "discrete")

    def __init__(
        self,
        config: WeightedBCConfig,
        data: Episodes,
        seeds: Sequence[int],
        pi_ref: Callable[[], Mapping[str, Tensor]] | Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__(config, data, seeds)
        self.config, self.schedule, self.warmup = config, config.schedule, config.warmup_updates
        self.policy_net = policy_for(data, config.hidden, config.policy)
        self.curated = curate(data, config.curation)  # [M] episode numbers with repetition
        one_shape = config.policy is Network.transformer
        self.stream = BatchStream(data, self.curated, seeds, config.batch_size, config.sampler, config.length_weighting, one_shape)
        self.shapes_vary = config.shapes_vary
        if config.needs_pi_ref and pi_ref is None:
            raise ConfigError(f"{config.name} needs a reference policy: train one on all data first")
        found = pi_ref() if callable(pi_ref) else pi_ref
        self.pi_ref = None if found is None else self.policy_net.layout.flatten(found).to(self.device)  # [P, N]
        self.likelihood = likelihood_for(self.policy_net, data, config.batch_size)
        trajectories = config.batch_size if config.sampler is Sampler.trajectories else None
        weights = config.weighting, self.likelihood, self.curated, self.pi_ref, self.scalar, trajectories, self.stream.base
        self.weights = StepWeights(*weights)
        start = self.pi_ref if config.start is Start.pi_ref else None
        policy = self.policy_net.init(self.generators(0)) if start is None else start.clone()
        self.add("policy", policy, config.learning_rate)
        self.state |= self.weights.initial_state(self.state["policy"])

    def losses(self, params: Params, weights: Tensor, batch: Batch) -> Tensor:
        """Weighted negative log-likelihoods [P], the one loss of the family."""
        each = -weights * self.likelihood.of_batch(params, batch)
        if self.config.anchor and self.pi_ref is not None:
            each = each + self.config.anchor * self.likelihood.kl(self.params(self.pi_ref), params, batch.step)
        return (batch.coefficient * each).sum(-1)

    def update(self, state: State, batch: Batch) -> Metrics:
        """Move q, weigh the batch, take a gradient step."""
        if "q" in state:
            state["q"].lerp_(state["policy"], self.weights.ema_rate.unsqueeze(1))
        weights, rate = self.weights(state, batch), self.learning_rate(state, "policy")
        loss = self.minimise(state, "policy", lambda flat: self.losses(self.params(flat), weights, batch))
        return {"loss": loss, "learning_rate": rate}

    def before(self, update: int) -> None:
        self.weights.refresh(update, self.state)

    @torch.no_grad()
    def diagnostics(self) -> Metrics:
        """Mean log-likelihood per step on curated and on all data, KL(q || pi_ref) where there is a pi_ref, a summary of the weights."""
        policy, total = self.state["policy"], len(self.data.actions)
        curated = self.stream.spaced(DIAGNOSTIC_STEPS)
        everything = torch.arange(0, total, -(-total // DIAGNOSTIC_STEPS), device=self.device)
        found = {
            "log_prob_curated": self.likelihood.all_of(policy, curated).mean(1),
            "log_prob_all": self.likelihood.all_of(policy, everything).mean(1),
        }
        if self.pi_ref is not None:
            q, ref = (self.params(flat) for flat in (self.state.get("q", policy), self.pi_ref))
            found["kl_q_pi_ref"] = self.likelihood.mean_kl(q, ref, curated.expand(self.members, -1))
        return found | self.weights.diagnostics(self.state, curated)
