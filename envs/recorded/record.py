"""Built-in data sets recorded into Minari's root.

An episode is a function of (snapshot, episode number) alone: a data set does not depend on the number of processes that record it.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from envs.data.minari_root import datasets_root, publish
from envs.errors import DataError
from envs.recorded.episodes import SEED, Episode, run_episodes, spec_of
from envs.recorded.recipes import STEPS, Recipe, provenance, recipes
from envs.recorded.tokens.sets import record_tokens, token_sets
from envs.revision import code_revision

ROUND = 4  # episodes per snapshot between two checks of the number of steps


def built_in_sets() -> list[str]:
    """The ids of all built-in data sets."""
    return [*recipes(), *token_sets()]


def record(dataset: str, steps: int | None = None, workers: int | None = None, root: Path | None = None) -> Path:
    """Record built-in data set `dataset` and return its folder; do nothing if it exists.

    steps: steps per group of snapshots, in place of the recipe's; token sets have a number of episodes instead. workers: processes, by
    default one per core. root: Minari's root.
    Raises DataError for an id that is not built in or a root that cannot be written, or without the package of the environment.
    """
    if dataset not in (known := built_in_sets()):
        raise DataError(f"data set '{dataset}' is not built in; built in are {', '.join(known)}")
    root = root or datasets_root()
    if (root / dataset / "data" / "metadata.json").exists():
        return root / dataset
    if dataset in token_sets():
        return record_tokens(dataset, root)
    recipe = recipes()[dataset] if steps is None else replace(recipes()[dataset], steps=steps)
    spec = spec_of(recipe.env_id)  # before any step: its package may be missing

    def write(_: Path) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            if not console.is_terminal:
                console.print(f"recording {dataset}: {recipe.steps:,} steps from {len(recipe.groups)} group(s) of snapshots")
            with closing(_episodes(recipe, progress, workers)) as episodes:
                _write(recipe, spec, list(episodes))

    return publish(dataset, root, write, "recorded")


def _episodes(recipe: Recipe, progress: Progress, workers: int | None) -> Generator[Episode]:
    """Rounds of equal numbers of episodes per snapshot, group by group, until the group has its steps."""
    for group in recipe.groups:
        bar = progress.add_task(f"recording {recipe.dataset}", total=recipe.steps)
        # One long stream of jobs keeps every core busy; it ends with the round that reaches the number of steps.
        endless = (recipe.job(s, r * ROUND + i) for r in range(STEPS) for i in range(ROUND) for s in group)
        steps = 0
        with closing(run_episodes(endless, workers)) as played:
            for count, episode in enumerate(played, 1):
                yield episode
                steps += len(episode.rewards)
                progress.update(bar, completed=min(steps, recipe.steps))
                if steps >= recipe.steps and count % (ROUND * len(group)) == 0:
                    break


def packages_of(entry_point: str) -> tuple[str, ...]:
    """The packages that the environment at import path `entry_point` needs, as PyPI calls them."""
    if entry_point.startswith("gymnasium_robotics"):
        return "mujoco", "gymnasium", "gymnasium-robotics"
    return ("mujoco", "gymnasium") if entry_point.startswith("gymnasium") else ("gymnasium",)


def _write(recipe: Recipe, spec: Any, episodes: list[Episode]) -> None:
    """Write `episodes` in the environment of `spec` as a Minari data set into Minari's root."""
    import minari
    from minari.data_collector import EpisodeBuffer

    origin = provenance(recipe)
    buffers = [
        EpisodeBuffer(
            id=i, seed=e.seed, observations=e.observations, actions=e.actions, rewards=e.rewards,
            terminations=e.terminated, truncations=e.truncated, infos={"log_prob": e.log_prob},
        )
        for i, e in enumerate(episodes)
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asks for an e-mail address and a link
        data = minari.create_dataset_from_buffers(
            recipe.dataset, buffers, env=spec, eval_env=spec, author="iwsft-bench",
            algorithm_name=f"{origin.algorithm}, stochastic, tanh-squashed Gaussian",
            description=f"{len(episodes)} episodes of {recipe.env_id} by {origin.by}. infos/log_prob is the behaviour's exact log-density "
            f"of each action.",
            requirements=[f"{p}=={version(p)}" for p in packages_of(str(spec.entry_point))],
        )  # fmt: skip
    data.storage.update_episode_metadata([{"snapshot": e.job.snapshot, "episode": e.job.episode, "noise": e.job.noise} for e in episodes])
    # Set after creation, which drops reference scores silently in some cases.
    data.storage.update_metadata({
        **({} if origin.reference is None else
           {"ref_min_score": origin.reference.random, "ref_max_score": origin.reference.expert, "reference": origin.reference.name,
            "ref_min_score_error": origin.reference.random_error, "ref_max_score_error": origin.reference.expert_error}),
        "code_revision": code_revision(), "seed": SEED, "snapshots": [list(g) for g in recipe.groups],
        "behaviour": origin.behaviour,
    })  # fmt: skip
