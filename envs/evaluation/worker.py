"""A process that steps environments for `envs.evaluation.rollout`. It imports neither torch nor a policy."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
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


class Slots:
    """The environments of one process."""

    def __init__(self, env_spec: str) -> None:
        self.env_spec = env_spec
        self.all: list[Slot] = []

    def answer(self, command: str, payload: Any) -> tuple[np.ndarray, list[int], Any]:
        """The answer to a message of `work`."""
        ended = []
        if command == "start":
            while len(self.all) < len(payload):
                self.all.append(Slot(self.env_spec))
            self.active = self.all[: len(payload)]
            found = [slot.start(seeds) for slot, seeds in zip(self.active, payload, strict=True)]
            self.observations = np.stack(found).astype(np.float32)
        else:
            for i, slot in enumerate(self.active):
                if slot.running:
                    played = len(slot.results)
                    self.observations[i] = slot.step(payload[i])
                    if len(slot.results) > played:
                        ended.append(i)
        running = any(slot.running for slot in self.active)
        return self.observations, ended, None if running else [slot.results for slot in self.active]

    def close(self) -> None:
        """Close the environments; their errors no longer matter."""
        sys.unraisablehook = lambda _: None
        for slot in self.all:
            with suppress(Exception):
                slot.env.close()


def work(pipe: Connection, env_spec: str) -> None:
    """Serve `pipe` until it closes, or an environment fails.

    ("start", seeds of each slot) begins episodes, ("step", actions [slots, act]) continues the running ones. The answer is
    (observations [slots, obs], slots whose episode ended, None), with the (return, length, success) of every episode in place of None
    after the last one, or (error message, [], None).
    """
    ignore_signals()  # this process ends with its pipe
    slots, failed = Slots(env_spec), False
    with suppress(EOFError, ConnectionError):  # the main process has closed the pipe
        while not failed:
            command, payload = pipe.recv()
            answer: tuple[Any, list[int], Any]
            try:
                answer = slots.answer(command, payload)
            except BaseException as error:  # of any environment, which may also call exit()
                answer, failed = (message_of(error), [], None), True
            pipe.send(answer)
    slots.close()


def message_of(error: BaseException) -> str:
    """Type, text and place of `error` in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {text[:300]}' if text else ''}{where}"
