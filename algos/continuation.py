"""The stage after a method's offline updates, online: the method itself, or actor-critic updates of the policy that it has trained.

`ActorCritic` takes any Gaussian policy as it is, so that all policies go on by the same updates: those of AWAC (algos/methods/awac.py), but

    L_pi = - mean over own steps of min(exp(A / temperature), max_weight) log pi(a | s) + kl * mean over own steps of KL(pi || pi_0)

Critics learn from logged and own steps, the policy from its own alone: it moves to those of its own actions that turned out well, and
logged actions of other policies do not pull it away. pi_0 is the policy that the stage began with: few own steps must not undo it, as in
the fine-tuning of language models. Rewards are divided by the deviation of the data's discounted returns to go, as in
algos/estimators/fitted_q.py, so that one temperature serves every task. It is half a deviation, so that smaller
differences, such as errors of the critic, hardly tell actions apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from algos.base import Algo, Episodes
from algos.batches.replay import MixedStream
from algos.batches.returns import deviation_of_returns
from algos.batches.transitions import Transitions
from algos.errors import ConfigError
from algos.learner import Learner
from algos.members import batchable
from algos.methods.awac import AWAC, AWACConfig
from algos.networks.policies import GaussianPolicy

PREFIX = "stage."  # of the names of the stage's state
DISCOUNT = 0.99


@dataclass
class ActorCriticConfig(AWACConfig):
    """Settings of the stage."""

    name: str = "actor_critic"
    hidden: list[int] = field(default_factory=lambda: [256, 256])
    learning_rate: float = 3e-5
    temperature: float = batchable(0.5)
    max_weight: float = batchable(20.0)
    discount: float = DISCOUNT
    kl: float = batchable(3.0)  # of the distance to the policy that the stage began with


class ActorCritic(AWAC):
    """AWAC whose policy learns from its own steps alone, near the policy that it began with."""

    config: ActorCriticConfig

    def __init__(self, config: ActorCriticConfig, data: Episodes, seeds: Sequence[int]) -> None:
        super().__init__(config, data, seeds)
        self.state["first_policy"] = self.state["policy"].clone()
        self.kl = self.scalar(config.kl)

    def begin(self) -> None:
        """Take the present policy as pi_0."""
        self.state["first_policy"].copy_(self.state["policy"])

    def likelihood_losses(self, flat: Tensor, batch: Transitions, weights: Tensor) -> Tensor:
        stream = self.stream
        assert isinstance(stream, MixedStream)
        own = slice(stream.logged, None)
        parts = batch._replace(observations=batch.observations[:, own], actions=batch.actions[:, own])
        first = self.params(self.state["first_policy"])
        distance = self.policy_net.kl(self.params(flat), first, parts.observations).mean(-1)
        return super().likelihood_losses(flat, parts, weights[:, own]) + self.kl * distance


def own_stage(algo: Algo) -> Learner:
    """The method itself. Raises ConfigError for one that does not go on online."""
    if not (isinstance(algo, Learner) and algo.goes_online):
        raise ConfigError(f"{type(algo).__name__} does not go on online")
    return algo


def actor_critic(algo: Algo, batch_size: int, critic_learning_rate: float) -> ActorCritic:
    """The stage on the data and the seeds of `algo`, whose policy it trains: both hold it in the same memory.

    Raises ConfigError unless the policy is a Gaussian of continuous actions.
    """
    net = getattr(algo, "policy_net", None)
    if not isinstance(net, GaussianPolicy):
        raise ConfigError(
            f"online.stage = actor_critic: it needs a Gaussian policy of continuous actions, and {type(algo).__name__} has none"
        )
    config = ActorCriticConfig(
        hidden=list(net.hidden), batch_size=batch_size, critic_learning_rate=critic_learning_rate,
        normalize_observations=isinstance(algo, Learner) and algo.config.normalize_observations,
        reward_scale=1 / deviation_of_returns(algo.data, DISCOUNT),
    )  # fmt: skip
    stage = ActorCritic(config, algo.data, algo.seeds)
    stage.state["policy"] = algo.state["policy"]
    return stage


def joined_state(algo: Algo, stage: Learner) -> dict[str, torch.Tensor]:
    """The state of `algo` with what `stage` adds to it."""
    if stage is algo:
        return algo.state
    return algo.state | {PREFIX + name: value for name, value in stage.state.items() if name != "policy"}


def load_state(algo: Algo, stage: Learner, state: dict[str, torch.Tensor]) -> None:
    """Use `state`, as `joined_state` returns it, as the state of both."""
    algo.state = {name: value for name, value in state.items() if not name.startswith(PREFIX)}
    if stage is not algo:
        own = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
        stage.state = {"policy": algo.state["policy"], **own}
