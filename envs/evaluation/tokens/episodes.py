"""Episodes of token tasks, all side by side in this process: token by token, or written whole by a policy that can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.errors import DataError
from envs.evaluation.episodes import Act, Moments, Returns, Write
from envs.evaluation.tokens.environment import ENTRY_POINT, TokenBatch, TokenTask
from envs.evaluation.tokens.vocabulary import CONTEXT, END


class TokenEpisodes:
    """Environments equal to `TokenTask(**settings)`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.env = TokenTask(**settings)
        self.closed = False

    def run(self, act: Act, seeds: np.ndarray, on_step: Callable[[], None], write: Write | None = None) -> Returns:
        """Play `seeds` as `envs.evaluation.rollout.Evaluator.run` says. Raises DataError after `close`."""
        if write is not None:
            batch = self._batch(seeds.ravel())
            batch.finish(write(batch.tokens, batch.starts, seeds.ravel(), END))
            on_step()
            return _returns([batch], seeds.shape)
        batches = []
        for episode in range(seeds.shape[1]):
            batches.append(batch := self._batch(seeds[:, episode]))
            while batch.running.any():
                moments = Moments(seeds[:, episode], batch.lengths - batch.starts)
                actions = act(batch.tokens.astype(np.float32), moments)
                if self.closed:
                    raise DataError("the environments were closed during an evaluation")
                batch.step(actions)
                on_step()
        return _returns(batches, seeds.shape[::-1]).transposed()

    def close(self) -> None:
        """A `run` of another thread ends after its present step."""
        self.closed = True

    def _batch(self, seeds: np.ndarray) -> TokenBatch:
        """The instances that the environment draws when it is reset with `seeds` [B]."""
        instances = []
        for seed in seeds.tolist():
            self.env.reset(seed=seed)
            instances.append(self.env.instance)
        return TokenBatch(self.env.task, instances)


def _returns(batches: list[TokenBatch], shape: tuple[int, ...]) -> Returns:
    rewards = np.concatenate([batch.rewards for batch in batches]).reshape(shape)
    lengths = np.concatenate([batch.lengths - batch.starts for batch in batches]).reshape(shape)
    return Returns(rewards, lengths, rewards.copy())


def open_tokens(env_spec: str) -> TokenEpisodes | None:
    """Episodes of `env_spec` (Gymnasium's JSON); None if it is no token task, or one with a wrapper or another limit of steps."""
    spec = EnvSpec.from_json(env_spec)
    if spec.entry_point != ENTRY_POINT or spec.additional_wrappers or spec.max_episode_steps != CONTEXT:
        return None
    return TokenEpisodes(spec.kwargs)
