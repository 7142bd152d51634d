"""The built-in data sets of token tasks, iwsft/TASK/QUALITY-v0: training instances, answered by scripted solvers.

Policies trained on them are evaluated on held-out instances. Episode e is a function of its number alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs.data.minari_root import publish
from envs.evaluation.tokens.environment import TASKS, environment_id, spec_of
from envs.evaluation.tokens.task import Task, Verdict
from envs.evaluation.tokens.vocabulary import CONTEXT, PAD, encode
from envs.recorded.tokens.solvers import LEVELS, log_probs, solver, write
from envs.revision import code_revision

QUALITIES = {"weak": range(8), "medium": range(8, 16), "mixed": range(LEVELS)}  # levels of solvers
EPISODES = 2_000
SEED = 0


@dataclass(frozen=True)
class TokenSet:
    """A data set of token task `task`: `episodes` episodes, the solvers `levels` in turn."""

    dataset: str
    task: str
    levels: range
    episodes: int = EPISODES


class Answered(NamedTuple):
    """An episode: observations [T + 1, CONTEXT], actions and log_prob [T], the verdict, the solver's level, the instance's size."""

    observations: np.ndarray
    actions: np.ndarray
    log_prob: np.ndarray
    verdict: Verdict
    level: int
    size: int


def token_sets() -> dict[str, TokenSet]:
    """The data sets by id."""
    ids = {f"iwsft/{task}/{quality}-v0": (task, levels) for task in TASKS for quality, levels in QUALITIES.items()}
    return {dataset: TokenSet(dataset, task, levels) for dataset, (task, levels) in ids.items()}


def episodes(chosen: TokenSet) -> Iterator[Answered]:
    """The episodes of a data set."""
    task, solvers = TASKS[chosen.task], [solver(level) for level in chosen.levels]
    for number in range(chosen.episodes):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((SEED, *chosen.dataset.encode(), number))))
        size = int(rng.choice(task.sizes))
        which = number % len(solvers)
        instance = task.sample(rng, "train", size)
        answers = task.solutions(instance)
        tokens = write(solvers[which], answers, task.room(instance) + 1, rng)
        yield _answered(task, instance, tokens, log_probs(solvers, answers, tokens), chosen.levels[which], size)


def _answered(task: Task, instance: Any, tokens: np.ndarray, log_prob: np.ndarray, level: int, size: int) -> Answered:
    prompt = encode(task.prompt(instance))
    row = np.full(CONTEXT, PAD)
    row[: len(prompt) + len(tokens)] = [*prompt, *tokens]
    shown = np.arange(CONTEXT) < len(prompt) + np.arange(len(tokens) + 1)[:, None]
    return Answered(np.where(shown, row, PAD).astype(np.float32), tokens, log_prob, task.verdict(instance, tokens.tolist()), level, size)


def record_tokens(dataset: str, root: Path, episodes: int | None = None) -> Path:
    """Record data set `dataset` into Minari's root `root`, and return its folder."""
    chosen = token_sets()[dataset]
    return publish(dataset, root, lambda _: _write(chosen if episodes is None else replace(chosen, episodes=episodes)), "recorded")


def _write(chosen: TokenSet) -> None:
    import warnings

    import minari
    from minari.data_collector import EpisodeBuffer

    answered = list(episodes(chosen))
    buffers = []
    for number, e in enumerate(answered):
        last = np.arange(len(e.actions)) == len(e.actions) - 1
        infos = {"log_prob": e.log_prob, "partial": np.where(last, e.verdict.partial, 0.0)}
        buffers.append(EpisodeBuffer(
            id=number, observations=e.observations, actions=e.actions, rewards=np.where(last, float(e.verdict.solved), 0.0),
            terminations=last, truncations=np.zeros(len(last), bool), infos=infos,
        ))  # fmt: skip
    env_id, solvers = environment_id(chosen.task), [solver(level) for level in chosen.levels]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asks for an e-mail address and a link
        data = minari.create_dataset_from_buffers(
            chosen.dataset, buffers, env=spec_of(env_id), eval_env=spec_of(env_id, "held_out"), author="iwsft-bench",
            algorithm_name="scripted solvers",
            description=f"{len(answered)} episodes of {env_id} by {len(solvers)} scripted solvers in turn. infos/log_prob is the exact "
            f"log-probability of each token under the mixture of the solvers, infos/partial the share of right parts, at the end.",
            requirements=[f"gymnasium=={version('gymnasium')}"],
        )  # fmt: skip
    data.storage.update_episode_metadata([
        {"snapshot": e.level, "size": e.size, "solved": e.verdict.solved, "partial": e.verdict.partial} for e in answered
    ])  # fmt: skip
    data.storage.update_metadata({
        "ref_min_score": 0.0, "ref_max_score": 1.0, "reference": "solved", "code_revision": code_revision(), "seed": SEED,
        "solvers": [{"level": level, **own._asdict()} for level, own in zip(chosen.levels, solvers, strict=True)],
        "size_is": TASKS[chosen.task].size_is,
    })  # fmt: skip
