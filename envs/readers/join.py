"""Selected episodes of one or several Minari data sets, joined in one `LoggedData` with the environment of evaluation."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.data.builder import Allocate, Builder
from envs.data.environments import import_packages
from envs.data.logged_data import LoggedData
from envs.data.references import Reference
from envs.data.spaces import leaves, width
from envs.data.trajectories import Trajectories
from envs.data.trust import check_specs
from envs.errors import DataError, first_line
from envs.readers.arrow import ArrowFiles
from envs.readers.episode_files import EpisodeFiles, damaged, read_metadata
from envs.readers.hdf5 import Hdf5Files

FORMATS: dict[str, type[EpisodeFiles]] = {"hdf5": Hdf5Files, "arrow": ArrowFiles, "parquet": ArrowFiles}
SPECS = ("env_spec", "eval_env_spec")
SCALED_ROWS = 16_384  # actions scaled at once


@dataclass(frozen=True)
class Opened:
    """An open data set: its files, Minari's object, the numbers of the selected episodes."""

    files: EpisodeFiles
    data: Any
    episodes: np.ndarray


def open_dataset(dataset: str, folder: Path, stack: ExitStack) -> Opened:
    """Open the data set in `folder` until `stack` ends, all episodes selected. Raises DataError for damaged or unsupported files."""
    import minari
    from minari.dataset.minari_storage import MinariStorage

    metadata = read_metadata(dataset, folder)
    reader = _reader(dataset, folder, metadata["data_format"])
    check_specs(dataset, metadata)  # before Minari makes the environment that the file names
    for key in SPECS:
        if metadata.get(key) is not None:
            import_packages(metadata[key])
    try:
        storage = MinariStorage.read(folder / "data")
    except Exception as error:  # several libraries rebuild spaces and specs from the file
        raise damaged(dataset, folder, "data/metadata.json or a file that it names", error) from error
    observation_space, action_space = storage.observation_space, storage.action_space
    try:
        width(observation_space)
    except TypeError:
        flat = "a box of rank 1, or a space that can be flattened to one"
        raise DataError(f"{dataset}: observations have space {observation_space}; expected {flat}") from None
    if not isinstance(action_space, spaces.Discrete) and not (isinstance(action_space, spaces.Box) and len(action_space.shape) == 1):
        raise DataError(f"{dataset}: actions have space {action_space}; expected a box of rank 1 or a discrete space")
    files = stack.enter_context(reader(dataset, folder, metadata, observation_space, action_space))
    if not len(files.lengths):
        raise DataError(f"{dataset}: no episode in it; expected at least one")
    try:
        data = minari.MinariDataset(storage)
    except Exception as error:  # specs of environments, and versions
        raise damaged(dataset, folder, "data/metadata.json", error) from error
    return Opened(files, data, np.arange(len(files.lengths)))


def _reader(dataset: str, folder: Path, data_format: str) -> type[EpisodeFiles]:
    if data_format not in FORMATS:
        expected = f"expected one of {', '.join(FORMATS)}"
        raise damaged(dataset, folder, "data/metadata.json", f"data_format is {data_format!r}; {expected}")
    if FORMATS[data_format] is ArrowFiles:
        try:
            import pyarrow.dataset  # noqa: F401
        except ImportError as error:
            raise DataError(f"{dataset}: its files are in {data_format} format; run: pip install 'iwsft-bench[arrow]'") from error
    return FORMATS[data_format]


def join(dataset: str, opened: list[Opened], allocate: Allocate) -> LoggedData:
    """The selected episodes of all data sets, one after another, in arrays from `allocate`. Raises DataError."""
    first = opened[0]
    for other in opened[1:]:
        _check_alike(first, other)
    discrete = isinstance(first.data.action_space, spaces.Discrete)
    starts = np.cumsum([0] + [len(o.episodes) for o in opened])

    def where(episode: int) -> str:
        part = int(np.searchsorted(starts, episode, side="right")) - 1
        return opened[part].files.where(int(opened[part].episodes[episode - starts[part]]))

    builder = Builder(
        dataset,
        np.concatenate([o.files.lengths[o.episodes] for o in opened]),
        first.files.observation_width,
        1 if discrete else first.data.action_space.shape[0],
        where,
        allocate,
        int(first.data.action_space.n) if discrete else 0,
    )
    for part in opened:
        for episode in part.episodes.tolist():
            builder.rows()  # refuses an empty episode before its arrays are read
            builder.add(*part.files.read(episode))
    trajectories = builder.finish()
    low, high, spec = _environment(first.files.dataset, first.data, trajectories)
    clipped = 0.0 if discrete else _scale_actions(trajectories, low, high)
    note = "; ".join(dict.fromkeys(str(o.files.metadata["note"]) for o in opened if o.files.metadata.get("note")))
    return LoggedData(dataset, trajectories, low, high, spec, _common_reference(opened), clipped, note)


def _check_alike(first: Opened, other: Opened) -> None:
    """Raise DataError unless both data sets have the same flat observations and actions."""
    names = [[(path, space.shape) for path, space in leaves(o.data.observation_space)] for o in (first, other)]
    actions = [(type(o.data.action_space), o.data.action_space.shape, getattr(o.data.action_space, "n", 0)) for o in (first, other)]
    for what, (a, b) in (("observations", names), ("actions", actions)):
        if a != b:
            raise DataError(f"{other.files.dataset} cannot be combined with {first.files.dataset}: their {what} differ ({b} and {a})")


def _environment(dataset: str, data: Any, trajectories: Trajectories) -> tuple[np.ndarray, np.ndarray, str]:
    """Action bounds [act] and the spec (JSON) of the environment of evaluation; an empty spec if the data set names none.

    Raises DataError if the environment's spaces do not fit the data.
    """
    if all(data.storage.metadata.get(key) is None for key in SPECS):
        return *_bounds(dataset, "its action space", data.action_space), ""
    try:
        env = data.recover_environment(eval_env=True, disable_env_checker=True)
    except Exception as error:  # an environment's constructor can raise anything
        raise DataError(f"{dataset}: its environment cannot be made ({first_line(error)}); see env_spec in metadata.json") from error
    try:
        space, action_space = env.observation_space, env.action_space
        widths = width(space), 1 if isinstance(action_space, spaces.Discrete) else int(np.prod(action_space.shape, dtype=int))
        for name, expected, array, shown in (
            ("observations", widths[0], trajectories.observations, space),
            ("actions", widths[1], trajectories.actions, action_space),
        ):
            if expected != array.shape[1]:
                raise DataError(f"{dataset}: {name} are {array.shape[1]} wide; environment {env.spec.id} has {shown}")
        if [path for path, _ in leaves(space)] != [path for path, _ in leaves(data.observation_space)]:
            raise DataError(f"{dataset}: its observations have other parts than those of environment {env.spec.id}, {space}")
        if int(getattr(action_space, "n", 0)) != trajectories.num_actions:
            raise DataError(f"{dataset}: it has {trajectories.num_actions} discrete actions; environment {env.spec.id} has {action_space}")
        return *_bounds(dataset, f"environment {env.spec.id}", action_space), env.spec.to_json()
    finally:
        env.close()


def _bounds(dataset: str, name: str, space: spaces.Space) -> tuple[np.ndarray, np.ndarray]:
    """The bounds (low, high) [act] float32 of an action space, empty for discrete actions. Raises DataError unless they are finite."""
    if isinstance(space, spaces.Discrete):
        return np.empty(0, np.float32), np.empty(0, np.float32)
    low, high = (np.asarray(bound, np.float32) for bound in (space.low, space.high))
    if not (np.isfinite(low) & np.isfinite(high)).all():
        raise DataError(f"{dataset}: {name} has no finite action bounds")
    return low, high


def _scale_actions(data: Trajectories, low: np.ndarray, high: np.ndarray) -> float:
    """Scale the actions of `data` to [-1, 1] and clip them, in place; returns the share of entries that were outside."""
    middle, half = (high + low) / 2, (high - low) / 2
    outside, everything = 0, data.actions.numpy()
    for start in range(0, len(everything), SCALED_ROWS):
        actions = everything[start : start + SCALED_ROWS]
        actions -= middle
        actions /= half
        outside += int((np.abs(actions) > 1).sum())
        np.clip(actions, -1, 1, out=actions)
    return outside / everything.size


def _common_reference(opened: list[Opened]) -> Reference | None:
    """The reference scores in the data sets' metadata, if all have the same."""
    found = {_reference(o.files.metadata) for o in opened}
    return found.pop() if len(found) == 1 else None


def _reference(metadata: dict[str, Any]) -> Reference | None:
    if metadata.get("ref_min_score") is None or metadata.get("ref_max_score") is None:
        return None
    return Reference(str(metadata.get("reference", "minari")), float(metadata["ref_min_score"]), float(metadata["ref_max_score"]))
