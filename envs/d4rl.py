"""D4RL's own HDF5 files (Fu et al. 2020, arXiv 2004.07219), read without gym, mujoco-py or the package d4rl.

    python -m envs.d4rl convert FILE.hdf5 d4rl/hopper-medium-replay-v2     into a Minari data set
    python -m envs.d4rl list                                               every data set with an address

A file holds flat arrays of N steps: observations, actions, rewards, terminals, in most files timeouts, in some next_observations.

Episodes end where a flag is set, and nowhere else: `terminals` (the environment ended, do not bootstrap) or `timeouts` (it was cut off),
which stay apart; both may stand on one step. Nothing is ever counted to 1,000. Steps after the last flag are the beginning of an episode
whose end is not in the file: dropped, or kept as a truncated one (--trailing).

The observation after an episode's last step comes from next_observations. Files without them do not have it: it is then the last
observation once more, so that returns and lengths stay exact. It does not matter after a terminal; after a timeout it is an
approximation, and the number of such episodes is said (metadata.json, `d4rl`). With next_observations, each must be the following
observation within an episode; where it is not, an end is missing: refused, or cut there (--breaks cut).

infos (simulator states, the behaviour's log-densities, in some files its network) are not copied: nothing here reads them, and the file
stays where it is.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from envs.digests import verify
from envs.download import fetch
from envs.errors import DataError
from envs.publish import datasets_root, publish
from envs.references import d4rl_row

MAX_EXPANSION = 2000  # how much larger than its file an array may be: above what compression reaches, a header lies
TRAILING, BREAKS = ("drop", "keep"), ("refuse", "cut")
REQUIRED = ("observations", "actions", "rewards", "terminals")


@dataclass(frozen=True)
class Matching:
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
    "halfcheetah": Matching("HalfCheetah-v4", "HalfCheetah-v2"),
    "hopper": Matching("Hopper-v4", "Hopper-v2"),
    "walker2d": Matching("Walker2d-v4", "Walker2d-v2"),
    "ant": Matching("Ant-v4", "Ant-v2", (("use_contact_forces", True),)),
    # Seen in Gymnasium-Robotics 1.4.2: +0.1 times the distance of the hand, where D4RL has -0.1 (its notice speaks of it: -v1 was changed).
    "pen": Matching("AdroitHandPen-v1", "D4RL's pen-v0"),
    "hammer": Matching("AdroitHandHammer-v1", "D4RL's hammer-v0", difference=HAND_DISTANCE),
    "door": Matching("AdroitHandDoor-v1", "D4RL's door-v0", difference=HAND_DISTANCE),
    "relocate": Matching("AdroitHandRelocate-v1", "D4RL's relocate-v0", difference=HAND_DISTANCE),
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
        raise DataError(f"no D4RL data set '{name}'; near names: {', '.join(near) or 'none'}; python -m envs.d4rl list names all")
    matching(name)  # before a long download
    url = addresses()[name]
    path = local_folder() / Path(url).name
    if not path.exists():
        try:
            fetch(url, path, read)
        except DataError as error:
            remedy = f"where there is a network, get {url}, put it into {local_folder()} and run the same command again"
            raise DataError(f"data set '{dataset}': {error}; {remedy}") from error
    else:
        verify(path)
    return convert(path, dataset)


def matching(name: str) -> Matching:
    """The environment for D4RL's data set `name`. Raises DataError where there is none."""
    base = name.split("-")[0]
    if base in ENVIRONMENTS:
        return ENVIRONMENTS[base]
    differing, instead = INSTEAD.get(base, ("", ""))
    why = f" ({differing}); Minari has it recorded again, such as {instead}" if instead else ""
    raise DataError(f"D4RL's '{name}': no environment of Gymnasium has its observations{why}; --env ENVIRONMENT names one")


@dataclass(frozen=True)
class Flat:
    """The arrays of a file: [N, obs], [N, act], [N], and the flags [N] bool; next_observations [N, obs] or None."""

    file: str
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminals: np.ndarray
    timeouts: np.ndarray
    next_observations: np.ndarray | None

    def episodes(self, trailing: str = "drop", breaks: str = "refuse") -> tuple[np.ndarray, np.ndarray]:
        """(starts, stops) of the episodes, rows starts[e] .. stops[e] - 1. Raises DataError if no episode ends."""
        ends = self.terminals | self.timeouts
        if not ends.any():
            raise DataError(f"{self.file}: no terminal and no timeout is set, so no episode ends; this file has no episodes to read")
        if self.next_observations is not None:
            ends = ends | self._broken(ends, breaks)
        stops = np.flatnonzero(ends) + 1
        if stops[-1] < len(ends) and trailing == "keep":
            stops = np.append(stops, len(ends))
        return np.concatenate([[0], stops[:-1]]), stops

    def _broken(self, ends: np.ndarray, breaks: str) -> np.ndarray:
        """[N] steps within an episode whose next observation is not the following one."""
        assert self.next_observations is not None
        same = np.isclose(self.next_observations[:-1], self.observations[1:], rtol=1e-5, atol=1e-6).all(1)
        broken = np.append(~same, False) & ~ends
        if broken.any() and breaks == "refuse":
            step = int(broken.argmax())
            raise DataError(
                f"{self.file}: step {step} has no flag, but its next_observations are not the observations of step {step + 1} "
                f"({int(broken.sum())} such steps): an episode's end is missing; --breaks cut ends a (truncated) episode there"
            )
        return broken


def read(path: Path) -> Flat:
    """The arrays of D4RL file `path`. Raises DataError naming file, array, episode and step for anything that cannot be used."""
    try:
        with h5py.File(path, "r") as file:
            found = {name: _array(path, file, name) for name in (*REQUIRED, "timeouts", "next_observations") if name in file}
            present = sorted(file)
    except OSError as error:
        reason = "it is missing" if not path.exists() else f"truncated, or no HDF5 file: {str(error).splitlines()[0]}"
        raise DataError(f"{path} cannot be read ({reason}); get the file again") from error
    for name in REQUIRED:
        if name not in found:
            raise DataError(f"{path}: no array '{name}'; it has {', '.join(present) or 'nothing'}; expected {', '.join(REQUIRED)}")
    steps = len(found["observations"])
    if steps == 0:
        raise DataError(f"{path}: observations has no row; get the file again")
    for name, array in found.items():
        rank = 2 if name in ("observations", "actions", "next_observations") else 1
        if array.ndim != rank or len(array) != steps:
            raise DataError(f"{path}: {name} has shape {array.shape}; expected {steps} rows of rank {rank}, as many as observations")
    if "next_observations" in found and found["next_observations"].shape != found["observations"].shape:
        raise DataError(f"{path}: next_observations has shape {found['next_observations'].shape}; expected that of observations")
    terminals, timeouts = (_flags(path, name, found.get(name, np.zeros(steps, bool))) for name in ("terminals", "timeouts"))
    observations, actions, rewards = (found[name] for name in REQUIRED[:3])
    flat = Flat(str(path), observations, actions, rewards, terminals, timeouts, found.get("next_observations"))
    for name in ("observations", "actions", "rewards", "next_observations"):
        if name in found:
            _check_finite(flat, name, found[name])
    return flat


def _array(path: Path, file: Any, name: str) -> np.ndarray:
    source = file[name]
    if not isinstance(source, h5py.Dataset):
        raise DataError(f"{path}: {name} is a group; expected an array")
    if source.dtype.kind not in "fiub":
        raise DataError(f"{path}: {name} has type {source.dtype}; expected numbers")
    if source.nbytes > MAX_EXPANSION * path.stat().st_size:
        raise DataError(
            f"{path}: {name} claims {source.nbytes:,} bytes (shape {source.shape}) in a file of {path.stat().st_size:,}; get it again"
        )
    array = source[()]
    return array[:, 0] if name in ("rewards", "terminals", "timeouts") and array.ndim == 2 and array.shape[1] == 1 else array


def _flags(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    wrong = ~np.isin(array, (0, 1))
    if wrong.any():
        raise DataError(f"{path}: {name} is {array[wrong.argmax()]} at step {int(wrong.argmax())}; expected flags, 0 or 1")
    return array.astype(bool)


def _check_finite(flat: Flat, name: str, array: np.ndarray) -> None:
    finite = np.isfinite(array.reshape(len(array), -1)).all(1)
    if not finite.all():
        row = int((~finite).argmax())
        ends = np.flatnonzero((flat.terminals | flat.timeouts)[:row])
        start = int(ends[-1]) + 1 if len(ends) else 0
        raise DataError(f"{flat.file}: episode {len(ends)}, step {row - start} (row {row}): {name} is not finite; get the file again")


def episode_buffers(flat: Flat, starts: np.ndarray, stops: np.ndarray) -> list[Any]:
    """Minari's buffers of the episodes; steps that end one without a flag are truncated there."""
    from minari.data_collector import EpisodeBuffer

    buffers = []
    for e, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        after = flat.observations[stop - 1] if flat.next_observations is None else flat.next_observations[stop - 1]
        truncated = flat.timeouts[start:stop].copy()
        truncated[-1] |= not flat.terminals[stop - 1]
        buffers.append(
            EpisodeBuffer(
                id=e, observations=np.concatenate([flat.observations[start:stop], after[None]]), actions=flat.actions[start:stop],
                rewards=flat.rewards[start:stop], terminations=flat.terminals[start:stop], truncations=truncated,
            )
        )  # fmt: skip
    return buffers


def convert(path: Path, dataset: str, trailing: str = "drop", breaks: str = "refuse", env: str | None = None) -> Path:
    """Convert D4RL file `path` into Minari data set `dataset` and return its folder; skipped if present.

    The environment and the reference scores are those of D4RL's data set of that name (the last part of the id), or `env` and none.
    Raises DataError.
    """
    from envs.ids import ID

    if not ID.fullmatch(dataset):
        raise DataError(f"'{dataset}' is not a Minari id; expected namespace/name-v0, such as d4rl/hopper-medium-replay-v2")
    root = datasets_root()
    if (root / dataset / "data" / "metadata.json").exists():
        return root / dataset
    name = dataset.split("/")[-1]
    match = Matching(env, "an environment unknown") if env is not None else matching(name)
    flat = read(path)
    starts, stops = flat.episodes(trailing, breaks)
    dropped = len(flat.rewards) - int(stops[-1])
    approximate = 0 if flat.next_observations is not None else int((~flat.terminals[stops - 1]).sum())
    facts = {
        "file": path.name, "steps_in_file": len(flat.rewards), "trailing": trailing, "trailing_steps": dropped, "breaks": breaks,
        "next_observations": "present" if flat.next_observations is not None else "derived", "approximate_ends": approximate,
    }  # fmt: skip
    publish(dataset, root, lambda _: _write(flat, starts, stops, dataset, match, facts), "converted")
    return root / dataset


def spec_of(match: Matching) -> Any:
    """Gymnasium's spec of `match`. Raises DataError for an environment that is not registered."""
    import copy

    import gymnasium
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    try:
        spec = copy.deepcopy(gymnasium.spec(match.env_id))
    except gymnasium.error.Error as error:
        raise DataError(f"--env {match.env_id}: {str(error).splitlines()[0]}") from error
    spec.kwargs.update(match.kwargs)
    return spec


def _write(flat: Flat, starts: np.ndarray, stops: np.ndarray, dataset: str, match: Matching, facts: dict[str, Any]) -> None:
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m envs.d4rl", description="D4RL's HDF5 files as Minari data sets.")
    commands = parser.add_subparsers(dest="command", required=True)
    to = commands.add_parser("convert", help="convert a file")
    to.add_argument("file", type=Path)
    to.add_argument("dataset", metavar="ID", help="such as d4rl/hopper-medium-replay-v2")
    to.add_argument("--trailing", choices=TRAILING, default="drop", help="steps after the last flag (default: drop)")
    to.add_argument("--breaks", choices=BREAKS, default="refuse", help="where next_observations do not follow (default: refuse)")
    to.add_argument("--env", help="Gymnasium's environment, where the id names none of D4RL's")
    commands.add_parser("list", help="every data set with an address")
    args = parser.parse_args()
    if args.command == "list":
        print("\n".join(f"d4rl/{name}  {url}" for name, url in addresses().items()))
        return
    try:
        print(convert(args.file, args.dataset, args.trailing, args.breaks, args.env))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
