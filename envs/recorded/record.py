"""Record the built-in data sets into Minari's root: `python -m bench record iwsft/hopper/medium-v0`, or `--all`.

An episode is a function of (snapshot, episode number) alone, so a data set is reproducible and does not depend on how many processes
record it. A data set is written beside its final place and renamed when complete: there is never half of one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from envs.data.minari_root import datasets_root, publish
from envs.data.references import BUILT_IN, D4RL, Reference, lookup
from envs.errors import DataError
from envs.recorded import hands, kitchen, pointmaze
from envs.recorded.episodes import SCRIPTED, SEED, Episode, Job, run_episodes, spec_of
from envs.recorded.policy import record_of
from envs.revision import code_revision

NAMES = ("halfcheetah", "hopper", "walker2d")
MAZES = ("umaze", "medium")
QUALITIES = ("medium", "medium-expert", "medium-replay")
STEPS = 200_000
MAZE_STEPS = 100_000
KITCHEN_STEPS, HAND_STEPS = 14_000, 10_000
KITCHENS = {"complete": (4,), "partial": (2, 3), "mixed": (0, 1, 2, 3, 4)}  # strengths of noise (envs.recorded.kitchen), 4 the weakest
ROUND = 4  # episodes a snapshot between two looks at the number of steps


@dataclass(frozen=True)
class Recipe:
    """A built-in data set: groups of snapshots; each group gives at least `steps` steps, its snapshots equal numbers of episodes."""

    dataset: str
    name: str
    env_id: str
    groups: tuple[tuple[int, ...], ...]
    steps: int


def recipes() -> dict[str, Recipe]:
    """Every built-in data set by its id."""
    found = {}
    for name in NAMES:
        record = record_of(name)
        medium, last = record["medium"], len(record["snapshot_updates"]) - 1
        for quality, groups in (
            ("medium", ((medium,),)),
            ("medium-replay", (tuple(range(medium + 1)),)),
            ("medium-expert", ((medium,), (last,))),
        ):
            dataset = f"iwsft/{name}/{quality}-v0"
            found[dataset] = Recipe(dataset, name, record["settings"]["env"], groups, STEPS // len(groups))
    ant = record_of("ant")
    groups = (tuple(range(ant["medium"] + 1)),)
    found["iwsft/ant/medium-replay-v0"] = Recipe("iwsft/ant/medium-replay-v0", "ant", ant["settings"]["env"], groups, STEPS)
    for maze in MAZES:
        dataset, record = f"iwsft/pointmaze/{maze}-v0", record_of(f"pointmaze-{maze}")
        found[dataset] = Recipe(dataset, f"pointmaze-{maze}", record["settings"]["env"], (tuple(range(len(pointmaze.PULL))),), MAZE_STEPS)
    for quality, strengths in KITCHENS.items():
        dataset = f"iwsft/kitchen/{quality}-v0"
        found[dataset] = Recipe(dataset, "kitchen", kitchen.ENVIRONMENT, (strengths,), KITCHEN_STEPS)
    for hand, env_id in hands.ENVIRONMENTS.items():
        dataset = f"iwsft/{hand}/noise-v0"
        found[dataset] = Recipe(dataset, hand, env_id, (tuple(range(len(hands.NOISE))),), HAND_STEPS)
    return found


@dataclass(frozen=True)
class Provenance:
    """What the metadata say of who acted: a name, a description, a reference (None: one is measured where it is needed), settings."""

    algorithm: str
    by: str
    reference: Reference | None
    behaviour: dict


def _told(recipe: Recipe) -> Provenance:
    if recipe.name == "kitchen":
        by = f"a scripted arm, no trained policy, with noise {_listed(kitchen.NOISE, recipe)}, equal numbers of episodes from each"
        settings = {"noise": kitchen.NOISE, "tasks": list(kitchen.TASKS), "gain": kitchen.GAIN, "speed": kitchen.SPEED}
        return Provenance("scripted arm", by, lookup(recipe.env_id, BUILT_IN), {"settings": settings})
    if recipe.name in hands.ENVIRONMENTS:
        by = f"a hand that holds still, no trained policy, with noise {_listed(hands.NOISE, recipe)}, equal numbers of episodes from each"
        return Provenance("noise", by, None, {"settings": {"noise": hands.NOISE}})
    record = record_of(recipe.name)
    reference = Reference(BUILT_IN, *(record["reference"][k]["mean"] for k in ("random", "expert")))
    behaviour = {k: record[k] for k in ("settings", "packages")}
    if recipe.name.startswith("pointmaze"):
        by = f"a waypoint controller with pull {_listed(pointmaze.PULL, recipe)}, equal numbers of episodes from each"
        return Provenance("waypoint controller", by, reference, behaviour)
    groups = "; ".join(f"snapshots {', '.join(map(str, g))}" for g in recipe.groups)
    by = f"{groups} of one PPO run (0 is the first), equal numbers of episodes from each snapshot of a group"
    return Provenance("PPO (SBX) snapshots", by, reference, behaviour)


def _listed(strengths: tuple[float, ...], recipe: Recipe) -> str:
    return ", ".join(str(strengths[s]) for group in recipe.groups for s in group)


def _episodes(recipe: Recipe, progress: Progress, workers: int | None) -> Iterator[Episode]:
    """Rounds of equal numbers of episodes a snapshot, group by group, until the group has its steps."""
    for group in recipe.groups:
        bar = progress.add_task(f"recording {recipe.dataset}", total=recipe.steps)
        # One long stream of jobs keeps every core busy; it is cut at the end of the round that reaches the number of steps.
        endless = (Job(recipe.name, recipe.env_id, s, r * ROUND + i) for r in range(STEPS) for i in range(ROUND) for s in group)
        steps = 0
        for count, episode in enumerate(run_episodes(endless, workers), 1):
            yield episode
            steps += len(episode.rewards)
            progress.update(bar, completed=min(steps, recipe.steps))
            if steps >= recipe.steps and count % (ROUND * len(group)) == 0:
                break


def record(dataset: str, steps: int | None = None, workers: int | None = None, root: Path | None = None) -> Path:
    """Record built-in data set `dataset` (with `steps` steps a group in place of the recipe's) and return its folder; skipped if present.

    Raises DataError for an id that is not built in or a root that cannot be written.
    """
    if dataset not in (known := recipes()):
        raise DataError(f"data set '{dataset}' is not built in; built in are {', '.join(known)}")
    recipe = known[dataset]
    if steps is not None:
        recipe = Recipe(recipe.dataset, recipe.name, recipe.env_id, recipe.groups, steps)
    root = root or datasets_root()
    if (root / dataset / "data" / "metadata.json").exists():
        return root / dataset

    def write(scratch: Path) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress:
            if not console.is_terminal:
                console.print(f"recording {dataset}: {recipe.steps:,} steps from {len(recipe.groups)} group(s) of snapshots")
            _write(recipe, list(_episodes(recipe, progress, workers)))

    return publish(dataset, root, write, "recorded")


def _write(recipe: Recipe, episodes: list[Episode]) -> None:
    """Write `episodes` as a Minari data set in Minari's root."""
    import minari
    from minari.data_collector import EpisodeBuffer

    told, d4rl = _told(recipe), _d4rl(recipe.env_id)
    buffers = [
        EpisodeBuffer(
            id=i, seed=e.seed, observations=e.observations, actions=e.actions, rewards=e.rewards,
            terminations=e.terminated, truncations=e.truncated, infos={"log_prob": e.log_prob},
        )
        for i, e in enumerate(episodes)
    ]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asks for an e-mail address and a link
        spec = spec_of(recipe.env_id)
        packages = ("mujoco", "gymnasium", "gymnasium-robotics") if recipe.env_id.startswith(tuple(SCRIPTED)) else ("mujoco", "gymnasium")
        data = minari.create_dataset_from_buffers(
            recipe.dataset, buffers, env=spec, eval_env=spec, author="iwsft-bench",
            algorithm_name=f"{told.algorithm}, stochastic, tanh-squashed Gaussian",
            description=f"{len(episodes)} episodes of {recipe.env_id} by {told.by}. infos/log_prob is the behaviour's exact log-density "
            f"of each action.",
            requirements=[f"{p}=={version(p)}" for p in packages],
        )  # fmt: skip
    data.storage.update_episode_metadata([{"snapshot": e.job.snapshot, "episode": e.job.episode} for e in episodes])
    # Set here and not above: creation drops reference scores silently in some cases.
    data.storage.update_metadata({
        **({} if told.reference is None else
           {"ref_min_score": told.reference.random, "ref_max_score": told.reference.expert, "reference": told.reference.name}),
        **({} if d4rl is None else {"d4rl_ref_min_score": d4rl.random, "d4rl_ref_max_score": d4rl.expert}),
        "code_revision": code_revision(), "seed": SEED, "snapshots": [list(g) for g in recipe.groups],
        "behaviour": told.behaviour,
    })  # fmt: skip


def _d4rl(env_id: str) -> Reference | None:
    try:
        return lookup(env_id, D4RL)
    except KeyError:
        return None
