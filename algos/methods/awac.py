"""AWAC and CRR: imitation weighted by the advantage under the Q of the policy itself.

AWAC (Nair et al. 2020, arXiv 2006.09359), CORL's update:

    L_Q = sum_k mean (Q_k(s, a) - r - discount * live * min_k Qbar_k(s', a'))^2,  a' ~ pi(s')
    A = min_k Q_k(s, a) - min_k Q_k(s, b),  b ~ pi(s)                 (Q after its step, the policy before its own)
    L_pi = - mean min(exp(A / temperature), max_weight) log pi(a | s)
    Qbar <- (1 - target_rate) Qbar + target_rate Q

CRR (Wang et al. 2020, arXiv 2006.15134) is the same with `samples` actions b_j: A = Q(s, a) - mean_j Q(s, b_j) (`baseline` mean) or
max_j (`baseline` max), and w = 1[A > 0] (`weight` binary) or the clipped exponential (`weight` exp); a' ~ pibar(s'), the target network of
the policy (`next_action` target). Q is trained by the squared error, as in d3rlpy (the paper's Q is distributional).

The policy is the suite's Gaussian, mean tanh(net) and free log_std in [-5, 2] (CORL: mean net, log_std in [-20, 2]); sampled actions are
clipped to the unit box. Defaults are CORL's for D4RL v2 locomotion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from torch import Tensor

from algos.base import Draws, Episodes, Metrics, State
from algos.batches.transitions import Noise, Transitions
from algos.errors import require_positive, require_share
from algos.learner import Learner, LearnerConfig
from algos.members import batchable
from algos.networks.critics import QEnsemble, polyak, td_losses
from algos.networks.policies import GaussianPolicy
from algos.weights import advantage_weights


class Baseline(Enum):
    """The term subtracted from Q(s, a): the mean or the maximum over actions sampled from the policy."""

    mean = "mean"
    max = "max"


class Weight(Enum):
    """The weight of an advantage A. exp: min(exp(A / temperature), max_weight). binary: 1 where A > 0, else 0."""

    exp = "exp"
    binary = "binary"


class NextAction(Enum):
    """The policy that chooses the next action in the target of Q: the policy itself, or its target network."""

    policy = "policy"
    target = "target"


@dataclass
class AWACConfig(LearnerConfig):
    """Settings of AWAC and CRR."""

    name: str = "awac"
    hidden: list[int] = field(default_factory=lambda: [256, 256, 256])
    normalize_observations: bool = True
    temperature: float = batchable(1 / 3)  # divides the advantage
    max_weight: float = batchable(100.0)  # of a step, a clip
    critics: int = 2  # Q networks; their minimum is used
    samples: int = 1  # actions of the policy that an action is compared with
    baseline: Baseline = Baseline.mean  # what is subtracted from Q: mean | max over the samples
    weight: Weight = Weight.exp  # of an advantage: exp | binary (1 where it is positive)
    next_action: NextAction = NextAction.policy  # in the target of Q, from: policy | target (its target network)
    target_rate: float = batchable(0.005)  # at which the target networks follow

    def check(self, key: str = "algo") -> None:
        super().check(key)
        require_positive(self, key, "temperature", "max_weight", "critics", "samples")
        require_share(self, key, "target_rate")

    def determinants(self) -> dict[str, Any]:
        """The settings that the result depends on: a binary weight has no temperature and no clip."""
        unused = ("temperature", "max_weight") if self.weight is Weight.binary else ()
        return {k: v for k, v in super().determinants().items() if k not in unused}


class AWAC(Learner):
    goes_online = True
    config: AWACConfig
    policy_net: GaussianPolicy

    def __init__(self, config: AWACConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.policy_net = GaussianPolicy(self.observation_width, self.action_width, self.hidden)
        self.critic = QEnsemble(self.observation_width, self.action_width, self.hidden, config.critics)
        self.add("policy", self.policy_net.init(self.generators(0)))
        self.add("critic", self.critic.init(self.generators(1)))
        self.state["target_critic"] = self.state["critic"].clone()
        if config.next_action is NextAction.target:
            self.state["target_policy"] = self.state["policy"].clone()
        self.temperature, self.max_weight = self.scalar(config.temperature), self.scalar(config.max_weight)
        self.target_rate = self.scalar(config.target_rate)

    def noise(self) -> dict[str, Noise]:
        batch, samples = self.config.batch_size, self.config.samples
        return {"next": Noise((batch, self.action_width)), "own": Noise((samples, batch, self.action_width))}

    def sample(self, flat: Tensor, observations: Tensor, noise: Tensor) -> Tensor:
        """Actions [P, B, act] from standard normal `noise` [P, B, act]."""
        return self.policy_net.sample(self.params(flat), observations, noise)

    def critic_losses(self, flat: Tensor, batch: Transitions, target: Tensor) -> Tensor:
        return td_losses(self.critic(flat, batch.observations, batch.actions), target)

    def advantage(self, state: State, batch: Transitions) -> Tensor:
        """The advantages A [P, B] of the batch's actions."""
        samples = self.config.samples
        observations = batch.observations.repeat(1, samples, 1)
        own = self.critic(state["critic"], observations, self.sample(state["policy"], observations, batch.noise["own"].flatten(1, 2)))
        own = own.amin(1).unflatten(1, (samples, -1))
        value = own.mean(1) if self.config.baseline is Baseline.mean else own.amax(1)
        return self.critic(state["critic"], batch.observations, batch.actions).amin(1) - value

    def weights(self, advantage: Tensor) -> Tensor:
        """The weights w [P, B] of advantages A [P, B]."""
        if self.config.weight is Weight.binary:
            return (advantage > 0).to(advantage.dtype)
        return advantage_weights(advantage, 1 / self.temperature, self.max_weight)

    def critic_step(self, state: State, batch: Transitions) -> tuple[Tensor, Tensor]:
        """Take the critics' step; return the target [P, B] and the losses [P] before it."""
        next_actions = self.sample(state.get("target_policy", state["policy"]), batch.next_observations, batch.noise["next"])
        target = self.backup(batch, self.critic(state["target_critic"], batch.next_observations, next_actions).amin(1))
        return target, self.minimise(state, "critic", lambda flat: self.critic_losses(flat, batch, target))

    def evaluate_policy(self, draws: Draws, rate: Tensor) -> Metrics:
        """One update of fitted Q evaluation (Le et al. 2019, arXiv 1903.08738) of the present policy, which stays as it is:

        L_Q as above, then Qbar <- (1 - rate) Qbar + rate Q
        """
        state, batch = self.state, self.stream.from_draws(draws)
        target, critic_loss = self.critic_step(state, batch)
        polyak(state["target_critic"], state["critic"], rate)
        return {"critic_loss": critic_loss, "q_target": target.mean(-1)}

    def update(self, state: State, batch: Transitions) -> Metrics:
        target, critic_loss = self.critic_step(state, batch)
        advantage = self.advantage(state, batch)
        weights = self.weights(advantage)
        policy_loss = self.minimise(state, "policy", lambda flat: self.likelihood_losses(flat, batch, weights))
        polyak(state["target_critic"], state["critic"], self.target_rate)
        if "target_policy" in state:
            polyak(state["target_policy"], state["policy"], self.target_rate)
        return {
            "loss": policy_loss, "critic_loss": critic_loss,
            "q_target": target.mean(-1), "advantage": advantage.mean(-1), "weight": weights.mean(-1),
        }  # fmt: skip
