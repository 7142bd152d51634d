"""Recipes of the built-in data sets: behaviour, environment, snapshots, number of steps, provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.data.references import Reference, built_in
from envs.recorded import fork, hands, kitchen, pointmaze
from envs.recorded.episodes import SEED, Job
from envs.recorded.policy import record_of

NAMES = ("halfcheetah", "hopper", "walker2d")
MAZES = ("umaze", "medium")
QUALITIES = ("medium", "medium-expert", "medium-replay", "mixed")
STEPS = 200_000
MAZE_STEPS = 100_000
KITCHEN_STEPS, HAND_STEPS = 14_000, 10_000
FORK_STEPS = 8_000  # 400 episodes
KITCHENS = {"complete": (4,), "partial": (2, 3), "mixed": (0, 1, 2, 3, 4)}  # levels of noise (envs.recorded.kitchen), 4 the weakest


MIXED_NOISE = (0.25, 3.0)  # factors of a snapshot's standard deviation in the sets "mixed", between these
MIXED_FROM = 500_000  # first episode number of these sets, so that they share no episode's start with the others


@dataclass(frozen=True)
class Recipe:
    """A built-in data set: each group of snapshots gives at least `steps` steps, each snapshot of a group as many episodes.

    name: the behaviour. A scripted behaviour has levels of noise or pull in place of snapshots. mixed: every episode has an action noise of
    its own, so that the quality of behaviour varies continuously, also among the best episodes.
    """

    dataset: str
    name: str
    env_id: str
    groups: tuple[tuple[int, ...], ...]
    steps: int
    mixed: bool = False

    def job(self, snapshot: int, number: int) -> Job:
        """The episode number `number` (from 0) of a snapshot."""
        if not self.mixed:
            return Job(self.name, self.env_id, snapshot, number)
        low, high = np.log(MIXED_NOISE)
        drawn = np.random.Generator(np.random.PCG64(np.random.SeedSequence((SEED, MIXED_FROM, snapshot, number)))).uniform(low, high)
        return Job(self.name, self.env_id, snapshot, MIXED_FROM + number, noise=float(np.exp(drawn)))


def recipes() -> dict[str, Recipe]:
    """The recipe of every built-in data set by its id."""
    found = [_locomotion(name, quality) for name in NAMES for quality in QUALITIES]
    found.append(_locomotion("ant", "medium-replay"))
    for maze in MAZES:
        env_id, levels = record_of(f"pointmaze-{maze}")["settings"]["env"], tuple(range(len(pointmaze.PULL)))
        found.append(Recipe(f"iwsft/pointmaze/{maze}-v0", f"pointmaze-{maze}", env_id, (levels,), MAZE_STEPS))
    for quality, levels in KITCHENS.items():
        found.append(Recipe(f"iwsft/kitchen/{quality}-v0", "kitchen", kitchen.ENVIRONMENT, (levels,), KITCHEN_STEPS))
    for hand, env_id in hands.ENVIRONMENTS.items():
        found.append(Recipe(f"iwsft/{hand}/noise-v0", hand, env_id, (tuple(range(len(hands.NOISE))),), HAND_STEPS))
    found.append(Recipe("iwsft/fork-v0", "fork", fork.ENVIRONMENT, (tuple(range(fork.LEVELS)),), FORK_STEPS))
    return {recipe.dataset: recipe for recipe in found}


def _locomotion(name: str, quality: str) -> Recipe:
    record = record_of(name)
    medium, last = record["medium"], len(record["snapshot_updates"]) - 1
    groups = {"medium": ((medium,),), "medium-expert": ((medium,), (last,)), "medium-replay": (tuple(range(medium + 1)),)}
    groups |= {"mixed": (tuple(range(last + 1)),)}
    found = groups[quality]
    return Recipe(f"iwsft/{name}/{quality}-v0", name, record["settings"]["env"], found, STEPS // len(found), quality == "mixed")


@dataclass(frozen=True)
class Provenance:
    """The metadata of a recording: algorithm, description of the behaviour, reference (None: measured on demand), settings."""

    algorithm: str
    by: str
    reference: Reference | None
    behaviour: dict[str, Any]


def provenance(recipe: Recipe) -> Provenance:
    """The provenance of the recordings of `recipe`."""
    if recipe.name == "kitchen":
        by = f"a scripted arm, no trained policy, with noise {_levels(kitchen.NOISE, recipe)}, equal numbers of episodes from each"
        settings = {"noise": kitchen.NOISE, "tasks": list(kitchen.TASKS), "gain": kitchen.GAIN, "speed": kitchen.SPEED}
        return Provenance("scripted arm", by, built_in(recipe.env_id), {"settings": settings})
    if recipe.name in hands.ENVIRONMENTS:
        by = f"a hand that holds still, no trained policy, with noise {_levels(hands.NOISE, recipe)}, equal numbers of episodes from each"
        return Provenance("noise", by, None, {"settings": {"noise": hands.NOISE}})
    record = record_of(recipe.name)
    reference = built_in(recipe.env_id)
    behaviour = {k: record[k] for k in ("settings", "packages")}
    if recipe.name.startswith("pointmaze"):
        by = f"a waypoint controller with pull {_levels(pointmaze.PULL, recipe)}, equal numbers of episodes from each"
        return Provenance("waypoint controller", by, reference, behaviour)
    if recipe.name == "fork":
        by = f"{fork.LEVELS} demonstrators, each with its own side, detour, speed and noise, equal numbers of episodes from each"
        return Provenance("scripted demonstrators", by, reference, behaviour)
    groups = "; ".join(f"snapshots {', '.join(map(str, g))}" for g in recipe.groups)
    by = f"{groups} of one PPO run (0 is the first), equal numbers of episodes from each snapshot of a group"
    if recipe.mixed:
        low, high = MIXED_NOISE
        by += f", each episode with {low:g} to {high:g} times the policy's action noise (log-uniform; `noise` in its metadata)"
    return Provenance("PPO (SBX) snapshots", by, reference, behaviour)


def _levels(values: tuple[float, ...], recipe: Recipe) -> str:
    return ", ".join(str(values[level]) for group in recipe.groups for level in group)
