"""A process that steps environments for `envs.evaluation.rollout`. It imports neither torch nor a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from envs.data.environments import make
from envs.data.spaces import Flattener
from envs.processes import ignore_signals


class Slot:
    """One environment, which plays a list of episodes, given by their seeds."""

    def __init__(self, env_spec: str) -> None:
        self.env = make(env_spec)
        self.flat = Flattener(self.env.observation_space)

    def start(self, seeds: Sequence[int]) -> np.ndarray:
        """Begin the first episode; its first observation [obs]."""
        self.waiting = list(seeds)
        self.results: list[tuple[float, int, float]] = []
        return self._next()

    def _next(self) -> np.ndarray:
        self.total, self.length, self.success = 0.0, 0, np.nan
        self.running = bool(self.waiting)
        return self.flat(self.env.reset(seed=int(self.waiting.pop(0)))[0]) if self.running else np.zeros(self.flat.width)

    def step(self, action: np.ndarray) -> np.ndarray:
        """The observation [obs] after `action`: the next episode's first one if this episode ends."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.total, self.length = self.total + float(reward), self.length + 1
        self.success = np.fmax(self.success, success_of(info))
        if terminated or truncated:
            self.results.append((self.total, self.length, float(self.success)))
            return self._next()
        return self.flat(observation)


def success_of(info: Mapping[str, Any]) -> float:
    """1 or 0 for a step's `success` or `is_success`, NaN where the environment reports neither as a truth value or number."""
    found = next((info[key] for key in ("success", "is_success") if key in info), None)
    return float(found > 0) if isinstance(found, bool | int | float | np.bool_ | np.number) else np.nan


def work(pipe: Connection, env_spec: str) -> None:
    """Serve `pipe` until it closes.

    ("start", seeds of each slot) begins episodes, ("step", actions [slots, act]) continues the running ones. The answer is
    (observations [slots, obs], None), with the (return, length, success) of every episode in place of None after the last one, or
    (error message, None).
    """
    ignore_signals()  # this process ends with its pipe
    slots: list[Slot] = []
    try:
        while True:
            command, payload = pipe.recv()
            if command == "start":
                slots += [Slot(env_spec) for _ in range(len(payload) - len(slots))]
                active = slots[: len(payload)]
                observations = np.stack([slot.start(seeds) for slot, seeds in zip(active, payload, strict=True)]).astype(np.float32)
            else:
                for i, slot in enumerate(active):
                    if slot.running:
                        observations[i] = slot.step(payload[i])
            running = any(slot.running for slot in active)
            pipe.send((observations, None if running else [slot.results for slot in active]))
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        pipe.send((f"{type(error).__name__}: {error}", None))
