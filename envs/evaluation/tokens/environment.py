"""Token tasks as a Gymnasium environment, one instance an episode, and as a batch of instances for fast generation.

`spec_of("iwsft/Addition-v0", split="held_out")` is the spec that gymnasium.make takes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from envs.errors import DataError
from envs.evaluation.tokens.addition import Addition
from envs.evaluation.tokens.countdown import Countdown
from envs.evaluation.tokens.maze import Maze
from envs.evaluation.tokens.sorting import Sorting
from envs.evaluation.tokens.task import SPLITS, Task, Verdict
from envs.evaluation.tokens.vocabulary import CHARACTERS, CONTEXT, END, PAD, encode

ENTRY_POINT = "envs.evaluation.tokens.environment:TokenTask"
TASKS: dict[str, Task] = {task.name: task for task in (Addition(), Sorting(), Countdown(), Maze())}


def environment_id(task: str) -> str:
    """The id of a task's environment, such as iwsft/Addition-v0."""
    return f"iwsft/{task.capitalize()}-v0"


def spec_of(env_id: str, split: str = "train", size: int | None = None) -> EnvSpec:
    """The spec of environment `env_id`. Raises DataError for an unknown id, split or size."""
    known = {environment_id(name): name for name in TASKS}
    if env_id not in known:
        near = get_close_matches(env_id, known, 1)
        raise DataError(
            f"environment '{env_id}' is no token task{f'; did you mean {near[0]}?' if near else ''} (known: {', '.join(known)})"
        )
    TokenTask(known[env_id], split, size)
    chosen = {"task": known[env_id], "split": split, "size": size}
    return EnvSpec(env_id, entry_point=ENTRY_POINT, max_episode_steps=CONTEXT, kwargs=chosen)


class TokenTask(gymnasium.Env[np.ndarray, int]):
    """Observation: the tokens of the prompt and of the answer so far [CONTEXT], PAD after them. Action: the next token.

    END, or a full context, ends the episode, with reward 1 for a right answer and 0 for others; info has `success` and `partial` then.
    task: a key of TASKS. split: train, held_out or larger. size: of every instance; None: each size of the split as often.
    """

    def __init__(self, task: str, split: str = "train", size: int | None = None) -> None:
        self.task = find_task(task)
        if split not in SPLITS:
            raise DataError(f"{task}: split = {split}: expected {', '.join(SPLITS)}")
        if size is not None and size not in self.task.sizes_of(split):
            expected = ", ".join(map(str, self.task.sizes_of(split)))
            raise DataError(f"{task}: size = {size}: expected {expected} ({self.task.size_is} of split {split})")
        self.split, self.size = split, size
        self.observation_space = gymnasium.spaces.Box(0, len(CHARACTERS) - 1, (CONTEXT,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(len(CHARACTERS))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.instance = self.task.sample(self.np_random, self.split, self.size)
        self.batch = TokenBatch(self.task, [self.instance])
        return self._observation(), {"prompt": self.task.prompt(self.instance)}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        ended = bool(self.batch.step(np.array([action]))[0])
        verdict = self.batch.verdicts[0]
        info = {} if verdict is None else {"success": verdict.solved, "partial": verdict.partial}
        return self._observation(), float(verdict is not None and verdict.solved), ended, False, info

    def _observation(self) -> np.ndarray:
        return self.batch.tokens[0].astype(np.float32)


class TokenBatch:
    """Episodes of B instances at once.

    tokens: [B, CONTEXT] prompts and answers, PAD after them. lengths: [B] tokens in them. running: [B]. verdicts: of each ended episode,
    None before its end.
    """

    def __init__(self, task: Task, instances: Sequence[Any]) -> None:
        self.task, self.instances = task, list(instances)
        prompts = [encode(task.prompt(instance)) for instance in instances]
        self.starts = np.array([len(prompt) for prompt in prompts])
        self.tokens = np.full((len(prompts), CONTEXT), PAD, np.int64)
        for row, prompt in zip(self.tokens, prompts, strict=True):
            row[: len(prompt)] = prompt
        self.lengths, self.running = self.starts.copy(), np.ones(len(prompts), bool)
        self.verdicts: list[Verdict | None] = [None] * len(prompts)

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Append `actions` [B] to the running episodes; True [B] for those that end with it. Actions of ended episodes are ignored."""
        rows = np.flatnonzero(self.running)
        self.tokens[rows, self.lengths[rows]] = actions[rows]
        self.lengths[rows] += 1
        ends = np.zeros(len(self.running), bool)
        ends[rows] = (actions[rows] == END) | (self.lengths[rows] == CONTEXT)
        for row in np.flatnonzero(ends).tolist():
            self.verdicts[row] = self.task.verdict(self.instances[row], self.tokens[row, self.starts[row] : self.lengths[row]].tolist())
        self.running &= ~ends
        return ends

    def finish(self, tokens: np.ndarray) -> None:
        """Replace the rows by `tokens` [B, CONTEXT], the same prompts with answers up to END or a full context, and judge them."""
        answered = (tokens == END) & (np.arange(CONTEXT) >= self.starts[:, None])
        self.tokens, self.running = tokens, np.zeros(len(tokens), bool)
        self.lengths = np.where(answered.any(1), answered.argmax(1) + 1, CONTEXT)
        for row, (start, stop) in enumerate(zip(self.starts, self.lengths, strict=True)):
            self.verdicts[row] = self.task.verdict(self.instances[row], tokens[row, start:stop].tolist())

    @property
    def rewards(self) -> np.ndarray:
        """1 for each solved instance, 0 for others [B]."""
        return np.array([float(verdict is not None and verdict.solved) for verdict in self.verdicts])


def find_task(name: str) -> Task:
    """The task of a name. Raises DataError for an unknown one, with the nearest name."""
    if name not in TASKS:
        raise DataError(f"token task '{name}' is unknown{_near(name, TASKS)}")
    return TASKS[name]


def _near(name: str, known: Collection[str]) -> str:
    """The end of an error line: the nearest known name, and all of them."""
    near = get_close_matches(name, known, 1)
    return f"{f'; did you mean {near[0]}?' if near else ''} (known: {', '.join(known)})"
