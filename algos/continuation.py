"""What goes on online after a method's offline updates: the method itself, or actor-critic updates of the policy that it has trained.

The second takes any Gaussian policy, by the updates of AWAC (algos/methods/awac.py): weighted imitation of logged and own actions by the
advantage under a critic of its own, first trained to evaluate the policy as it is. All policies then go on by the same updates.
"""

from __future__ import annotations

import torch

from algos.base import Algo
from algos.errors import ConfigError
from algos.learner import Learner
from algos.methods.awac import AWAC, AWACConfig
from algos.networks.policies import GaussianPolicy

PREFIX = "stage."  # of the names of the stage's state


def own_stage(algo: Algo) -> Learner:
    """The method itself. Raises ConfigError for one that does not go on online."""
    if not (isinstance(algo, Learner) and algo.goes_online):
        raise ConfigError(f"{type(algo).__name__} does not go on online")
    return algo


def actor_critic(algo: Algo, batch_size: int, critic_learning_rate: float) -> AWAC:
    """AWAC on the data and the seeds of `algo`, whose policy it trains: both hold it in the same memory.

    Raises ConfigError unless the policy is a Gaussian of continuous actions.
    """
    net = getattr(algo, "policy_net", None)
    if not isinstance(net, GaussianPolicy):
        raise ConfigError(
            f"online.stage = actor_critic: it needs a Gaussian policy of continuous actions, and {type(algo).__name__} has none"
        )
    normalises = isinstance(algo, Learner) and algo.config.normalize_observations
    config = AWACConfig(
        hidden=list(net.hidden), batch_size=batch_size, normalize_observations=normalises, critic_learning_rate=critic_learning_rate
    )
    stage = AWAC(config, algo.data, algo.seeds)
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
