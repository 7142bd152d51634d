"""D4RL's HDF5 files (Fu et al. 2020, arXiv 2004.07219) as Minari data sets, read without gym, mujoco-py or the package d4rl.

A file holds flat arrays of N steps: observations, actions, rewards, terminals, in most files timeouts, in some next_observations.

An episode ends where a flag is set: `terminals` (the environment ended, do not bootstrap) or `timeouts` (cut off); one step may have both.
Lengths, such as 1,000, are not used. Steps after the last flag are an episode without its end: `trailing` drops or keeps it as truncated.

The observation after an episode's last step comes from next_observations. A file without them lacks it, and the last observation is
repeated: returns and lengths stay exact, and it has no effect after a terminal. After a timeout it is an approximation; metadata.json
counts these episodes (`d4rl`). With next_observations, each must be the following observation within an episode. Where it is not, an
end is missing: `breaks` refuses the file, or cuts the episode there.

infos (simulator states, log-densities of the behaviour, sometimes its network) are not copied. The file is read in pieces of at most an
episode (envs.readers.d4rl_file) and may be larger than memory.
"""

from __future__ import annotations

import csv
import difflib
import os
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from envs.data.minari_root import datasets_root, publish
from envs.data.references import d4rl_row
from envs.data.selection import ID
from envs.errors import DataError
from envs.readers.d4rl_environments import CONTACT_FREE, ENVIRONMENTS, FORCES, EvaluationEnv, evaluation_env, has_d4rl_rewards
from envs.readers.d4rl_file import Flat, check, opened
from envs.readers.download import digest_of, fetch, verify
from envs.untrusted import read_json

CONVERTER = 2  # raised when a file is converted differently
WORDS = {"sha256": "the file", "trailing": "--trailing", "breaks": "--breaks", "env": "--env", "converter": "the version of the converter"}


@cache
def addresses() -> dict[str, str]:
    """The address of every data set by D4RL's name (d4rl_addresses.csv)."""
    with open(Path(__file__).parent / "d4rl_addresses.csv", newline="") as f:
        return {row["dataset"]: row["url"] for row in csv.DictReader(f)}


def local_folder() -> Path:
    """The folder in which D4RL keeps its files (D4RL_DATASET_DIR)."""
    return Path(os.environ.get("D4RL_DATASET_DIR", Path.home() / ".d4rl")) / "datasets"


def obtain(dataset: str) -> Path:
    """Convert `dataset` (d4rl/NAME) from D4RL's file in its local folder, downloaded if it is absent; returns the data set's folder.

    Raises DataError for an unknown name and, without a network, with the command to run.
    """
    name = dataset.removeprefix("d4rl/")
    if name not in addresses():
        near = difflib.get_close_matches(name, addresses(), 3, 0.5)
        raise DataError(f"no D4RL data set '{name}'; near names: {', '.join(near) or 'none'}; python -m bench convert --list shows all")
    evaluation_env(name)  # refuse before a long download
    url, path = addresses()[name], _local_file(name)
    if not path.exists():
        try:
            fetch(url, path, check)
        except DataError as error:
            remedy = f"where there is a network, get {url}, put it into {local_folder()} and run the same command again"
            raise DataError(f"data set '{dataset}': {error}; {remedy}") from error
    else:
        verify(path)
    return convert(path, dataset, obtained=True)


def refresh(dataset: str) -> None:
    """Convert `dataset` (d4rl/NAME) again if D4RL's local file changed since `obtain` converted it, or a later version reads it otherwise.

    Data sets that `convert` was asked for stay, and so do those whose file is absent. Raises DataError for a file that cannot be used.
    """
    name = dataset.removeprefix("d4rl/")
    if name not in addresses() or not (path := _local_file(name)).exists():
        return
    facts = _facts(datasets_root() / dataset) or {}
    if not facts.get("obtained", "sha256" not in facts) or "file" not in facts:
        return
    stat = path.stat()
    if [facts.get(key) for key in ("bytes", "modified_ns", "converter")] != [stat.st_size, stat.st_mtime_ns, CONVERTER]:
        verify(path)
        convert(path, dataset, facts.get("trailing", "drop"), facts.get("breaks", "refuse"), facts.get("env"), obtained=True)


def _local_file(name: str) -> Path:
    """The place of the file of D4RL's data set `name` in its local folder."""
    return local_folder() / Path(addresses()[name]).name


def _facts(folder: Path) -> dict[str, Any] | None:
    """The record that `convert` wrote into the data set in `folder`; None for a data set that is no conversion."""
    try:
        facts = read_json(folder, "data/metadata.json").get("d4rl")
    except (OSError, DataError, AttributeError):
        return None
    return facts if isinstance(facts, dict) else None


def convert(
    path: Path, dataset: str, trailing: str = "drop", breaks: str = "refuse", env: str | None = None, obtained: bool = False
) -> Path:
    """Convert D4RL file `path` into Minari data set `dataset` and return its folder.

    A conversion of the same file with the same options stays; one of another file or with other options is replaced, with a line. trailing:
    "drop" or "keep". breaks: "refuse" or "cut". env: an environment's id; without it environment and reference scores are those of D4RL's
    data set named by the last part of `dataset`. Another environment pays other rewards, so it gets no reference scores. obtained: the
    conversion follows the file (`refresh`). Raises DataError, also for a data set of this id that is no conversion.
    """
    if not ID.fullmatch(dataset):
        raise DataError(f"'{dataset}' is not a Minari id; expected namespace/name-v0, such as d4rl/hopper-medium-replay-v2")
    root = datasets_root()
    options = {"trailing": trailing, "breaks": breaks, "env": env, "converter": CONVERTER}
    wanted = {"sha256": digest_of(path) if path.is_file() else None} | options  # `opened` refuses a file that is absent
    exists = (root / dataset / "data" / "metadata.json").exists()
    if exists:
        if (before := _facts(root / dataset)) is None:
            raise DataError(f"data set '{dataset}' exists in {root} and was not converted from a D4RL file; choose another id")
        changed = [WORDS[key] for key, value in wanted.items() if before.get(key) != value]
        if not changed:
            return root / dataset
        print(f"{dataset}: converting again, because {' and '.join(changed)} changed", file=sys.stderr, flush=True)
    name = dataset.split("/")[-1]
    environment = evaluation_env(name, env)
    with opened(path) as flat:
        starts, stops = flat.episodes(trailing, breaks)
        steps = len(flat.rewards)
        approximate = 0 if flat.next_observations is not None else sum(not flat.flags(stop - 1, stop)[0][0] for stop in stops.tolist())
        stat = path.stat()
        facts = wanted | {
            "file": path.name, "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns, "obtained": obtained, "steps_in_file": steps,
            "trailing_steps": steps - int(stops[-1]),
            "next_observations": "derived" if flat.next_observations is None else "present", "approximate_ends": approximate,
        }  # fmt: skip
        publish(dataset, root, lambda _: _write(flat, starts, stops, dataset, environment, facts), "converted", overwrite=exists)
    return root / dataset


def _write(flat: Flat, starts: np.ndarray, stops: np.ndarray, dataset: str, environment: EvaluationEnv, facts: dict[str, Any]) -> None:
    """Write the episodes as a Minari data set into Minari's root."""
    import gymnasium
    import minari

    wide = flat.observations.shape[1]
    if environment == ENVIRONMENTS["ant"] and not any(piece[:, FORCES].any() for _, piece in flat.observations.pieces()):
        environment = CONTACT_FREE
    spec = environment.spec()
    if (row := d4rl_row(dataset.split("/")[-1])) is not None and has_d4rl_rewards(environment.env_id):
        spec.max_episode_steps = int(row["time_limit"])  # pen: 100 steps, where AdroitHandPen has 200
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asks for an e-mail address and a link, and for a newer environment
        env = gymnasium.make(spec, disable_env_checker=True)
        action_space, observation_space = env.action_space, env.observation_space
        env.close()
        if (observation_space.shape, action_space.shape) != ((wide,), flat.actions.shape[1:]):
            raise DataError(
                f"{flat.file}: observations and actions are {wide} and {flat.actions.shape[1]} wide; environment {environment.env_id} has "
                f"{observation_space} and {action_space}; --env ENVIRONMENT names another"
            )
        data = minari.create_dataset_from_buffers(
            dataset, _episode_buffers(flat, starts, stops), env=spec, eval_env=spec,
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (wide,), flat.observations.dtype), action_space=action_space,
            algorithm_name="see D4RL", author="D4RL", description=f"Converted from D4RL's {facts['file']} (arXiv 2004.07219).",
        )  # fmt: skip
    update: dict[str, Any] = {"d4rl": facts, "note": environment.note}
    if row is not None and not has_d4rl_rewards(environment.env_id):
        update["note"] += f", of which D4RL has no reference scores (they are those of {row['env_id']})"
    elif row is not None:
        update |= {"ref_min_score": float(row["random"]), "ref_max_score": float(row["expert"]), "reference": "d4rl"}
    data.storage.update_metadata(update)


def _episode_buffers(flat: Flat, starts: np.ndarray, stops: np.ndarray) -> Iterator[Any]:
    """Minari's buffers of the episodes, each read when it is needed; an episode without a flag at its end is truncated there."""
    from minari.data_collector import EpisodeBuffer

    for e, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        observations, rewards, (terminated, truncated) = flat.observations[start:stop], flat.rewards[start:stop], flat.flags(start, stop)
        after = observations[-1:] if flat.next_observations is None else flat.next_observations[stop - 1 : stop]
        truncated[-1] |= not terminated[-1]
        yield EpisodeBuffer(
            id=e, observations=np.concatenate([observations, after]), actions=flat.actions[start:stop], rewards=rewards,
            terminations=terminated, truncations=truncated,
        )  # fmt: skip
