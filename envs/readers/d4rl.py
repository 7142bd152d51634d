"""D4RL's own HDF5 files (Fu et al. 2020, arXiv 2004.07219), read without gym, mujoco-py or the package d4rl.

    python -m bench convert FILE.hdf5 d4rl/hopper-medium-replay-v2     into a Minari data set
    python -m bench convert --list                                               every data set with an address

A file holds flat arrays of N steps: observations, actions, rewards, terminals, in most files timeouts, in some next_observations.

Episodes end where a flag is set, and nowhere else: `terminals` (the environment ended, do not bootstrap) or `timeouts` (it was cut off),
which stay apart; both may stand on one step. Nothing is ever counted to 1,000. Steps after the last flag are the beginning of an episode
whose end is not in the file: dropped, or kept as a truncated one (--trailing).

The observation after an episode's last step comes from next_observations. Files without them do not have it: it is then the last
observation once more, so that returns and lengths stay exact. It does not matter after a terminal; after a timeout it is an
approximation, and the number of such episodes is said (metadata.json, `d4rl`). With next_observations, each must be the following
observation within an episode; where it is not, an end is missing: refused, or cut there (--breaks cut).

infos (simulator states, the behaviour's log-densities, in some files its network) are not copied: nothing here reads them, and the file
stays where it is. It is read in pieces (envs.readers.d4rl_file), an episode at most, and may be larger than memory.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from envs.data.environments import find_spec
from envs.data.minari_root import datasets_root, publish
from envs.data.references import d4rl_row
from envs.errors import DataError
from envs.readers.d4rl_file import Flat, check, opened
from envs.readers.digests import verify
from envs.readers.download import fetch

TRAILING, BREAKS = ("drop", "keep"), ("refuse", "cut")


@dataclass(frozen=True)
class EvaluationEnv:
    """The environment `env_id` (with `kwargs`) that is nearest to D4RL's `original`."""

    env_id: str
    original: str
    kwargs: tuple[tuple[str, Any], ...] = ()
    difference: str = ""

    @property
    def note(self) -> str:
        return f"recorded on {self.original}, evaluated on {self.env_id}{self.difference}"


HAND_DISTANCE = ", whose dense reward pays for the hand's distance where D4RL's charges for it"
# -v4 keeps the rewards and observations of -v2 (on the newer simulator), -v5 does not.
ENVIRONMENTS = {
    "halfcheetah": EvaluationEnv("HalfCheetah-v4", "HalfCheetah-v2"),
    "hopper": EvaluationEnv("Hopper-v4", "Hopper-v2"),
    "walker2d": EvaluationEnv("Walker2d-v4", "Walker2d-v2"),
    "ant": EvaluationEnv("Ant-v4", "Ant-v2", (("use_contact_forces", True),)),
    # Seen in Gymnasium-Robotics 1.4.2: +0.1 times the distance of the hand, where D4RL has -0.1 (its notice speaks of it: -v1 was changed).
    "pen": EvaluationEnv("AdroitHandPen-v1", "D4RL's pen-v0"),
    "hammer": EvaluationEnv("AdroitHandHammer-v1", "D4RL's hammer-v0", difference=HAND_DISTANCE),
    "door": EvaluationEnv("AdroitHandDoor-v1", "D4RL's door-v0", difference=HAND_DISTANCE),
    "relocate": EvaluationEnv("AdroitHandRelocate-v1", "D4RL's relocate-v0", difference=HAND_DISTANCE),
}
# Others have no environment with the same observations (what differs); Minari has them, recorded again.
INSTEAD = {
    "maze2d": ("4 numbers, PointMaze's 6 have the goal in them", "D4RL/pointmaze/umaze-v2"),
    "antmaze": ("29 numbers, AntMaze-v4's 27 lack the position and have goals apart", "D4RL/antmaze/umaze-v1"),
    "kitchen": ("60 numbers with a goal for every joint, FrankaKitchen's 59 have velocities, and goals apart", "D4RL/kitchen/partial-v2"),
}


@cache
def addresses() -> dict[str, str]:
    """Address of every data set by D4RL's name (d4rl_addresses.csv)."""
    with open(Path(__file__).parent / "d4rl_addresses.csv", newline="") as f:
        return {row["dataset"]: row["url"] for row in csv.DictReader(f)}


def local_folder() -> Path:
    """Where D4RL itself keeps its files (D4RL_DATASET_DIR)."""
    import os

    return Path(os.environ.get("D4RL_DATASET_DIR", Path.home() / ".d4rl")) / "datasets"


def obtain(dataset: str) -> Path:
    """Convert `dataset` (d4rl/NAME) from D4RL's file, which is looked for in its local folder and else downloaded.

    Raises DataError for a name without an address, and with the command to run where there is no network.
    """
    name = dataset.removeprefix("d4rl/")
    if name not in addresses():
        import difflib

        near = difflib.get_close_matches(name, addresses(), 3, 0.5)
        raise DataError(f"no D4RL data set '{name}'; near names: {', '.join(near) or 'none'}; python -m bench convert --list names all")
    matching(name)  # before a long download
    url = addresses()[name]
    path = local_folder() / Path(url).name
    if not path.exists():
        try:
            fetch(url, path, check)
        except DataError as error:
            remedy = f"where there is a network, get {url}, put it into {local_folder()} and run the same command again"
            raise DataError(f"data set '{dataset}': {error}; {remedy}") from error
    else:
        verify(path)
    return convert(path, dataset)


def matching(name: str) -> EvaluationEnv:
    """The environment for D4RL's data set `name`. Raises DataError where there is none."""
    base = name.split("-")[0]
    if base in ENVIRONMENTS:
        return ENVIRONMENTS[base]
    differing, instead = INSTEAD.get(base, ("", ""))
    why = f" ({differing}); Minari has it recorded again, such as {instead}" if instead else ""
    raise DataError(f"D4RL's '{name}': no environment of Gymnasium has its observations{why}; --env ENVIRONMENT names one")


def episode_buffers(flat: Flat, starts: np.ndarray, stops: np.ndarray) -> Iterator[Any]:
    """Minari's buffers of the episodes, each read when it is asked for; steps that end one without a flag are truncated there."""
    from minari.data_collector import EpisodeBuffer

    for e, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        observations, rewards, (terminated, truncated) = flat.observations[start:stop], flat.rewards[start:stop], flat.flags(start, stop)
        after = observations[-1:] if flat.next_observations is None else flat.next_observations[stop - 1 : stop]
        truncated[-1] |= not terminated[-1]
        yield EpisodeBuffer(
            id=e, observations=np.concatenate([observations, after]), actions=flat.actions[start:stop], rewards=rewards,
            terminations=terminated, truncations=truncated,
        )  # fmt: skip


def convert(path: Path, dataset: str, trailing: str = "drop", breaks: str = "refuse", env: str | None = None) -> Path:
    """Convert D4RL file `path` into Minari data set `dataset` and return its folder; skipped if present.

    The environment and the reference scores are those of D4RL's data set of that name (the last part of the id), or `env` and none.
    Raises DataError.
    """
    from envs.data.selection import ID

    if not ID.fullmatch(dataset):
        raise DataError(f"'{dataset}' is not a Minari id; expected namespace/name-v0, such as d4rl/hopper-medium-replay-v2")
    root = datasets_root()
    if (root / dataset / "data" / "metadata.json").exists():
        return root / dataset
    name = dataset.split("/")[-1]
    match = EvaluationEnv(env, "an environment unknown") if env is not None else matching(name)
    with opened(path) as flat:
        starts, stops = flat.episodes(trailing, breaks)
        steps = len(flat.rewards)
        approximate = 0 if flat.next_observations is not None else sum(not flat.flags(stop - 1, stop)[0][0] for stop in stops.tolist())
        facts = {
            "file": path.name, "steps_in_file": steps, "trailing": trailing, "trailing_steps": steps - int(stops[-1]), "breaks": breaks,
            "next_observations": "present" if flat.next_observations is not None else "derived", "approximate_ends": approximate,
        }  # fmt: skip
        publish(dataset, root, lambda _: _write(flat, starts, stops, dataset, match, facts), "converted")
    return root / dataset


def spec_of(match: EvaluationEnv) -> Any:
    """Gymnasium's spec of `match`. Raises DataError for an environment that is not registered."""
    spec = find_spec(match.env_id)
    spec.kwargs.update(match.kwargs)
    return spec


def _write(flat: Flat, starts: np.ndarray, stops: np.ndarray, dataset: str, match: EvaluationEnv, facts: dict[str, Any]) -> None:
    import gymnasium
    import minari

    spec, wide = spec_of(match), flat.observations.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asks for an e-mail address and a link, and for a newer environment
        env = gymnasium.make(spec, disable_env_checker=True)
        action_space, observation_space = env.action_space, env.observation_space
        env.close()
        if (observation_space.shape, action_space.shape) != ((wide,), flat.actions.shape[1:]):
            raise DataError(
                f"{flat.file}: observations and actions are {wide} and {flat.actions.shape[1]} wide; environment {match.env_id} has "
                f"{observation_space} and {action_space}; --env ENVIRONMENT names another"
            )
        data = minari.create_dataset_from_buffers(
            dataset, episode_buffers(flat, starts, stops), env=spec, eval_env=spec,
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (wide,), flat.observations.dtype), action_space=action_space,
            algorithm_name="see D4RL", author="D4RL", description=f"Converted from D4RL's {facts['file']} (arXiv 2004.07219).",
        )  # fmt: skip
    update: dict[str, Any] = {"d4rl": facts, "note": match.note}
    if (row := d4rl_row(dataset.split("/")[-1])) is not None:
        update |= {"ref_min_score": float(row["random"]), "ref_max_score": float(row["expert"]), "reference": "d4rl"}
    data.storage.update_metadata(update)
