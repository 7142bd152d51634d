"""Selected episodes of one or several Minari data sets, joined in one `LoggedData` with the environment of evaluation."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces

from envs.data.actions import ActionUnits, supported
from envs.data.builder import Allocate, Builder
from envs.data.env_choice import OWN, EnvChoice
from envs.data.environments import import_packages
from envs.data.logged_data import LoggedData
from envs.data.spaces import form, width
from envs.data.trajectories import Trajectories
from envs.data.trust import check_specs
from envs.errors import DataError
from envs.readers.arrow import ArrowFiles
from envs.readers.declared_spaces import check_spaces
from envs.readers.episode_files import EpisodeFiles, damaged, read_metadata
from envs.readers.hdf5 import Hdf5Files
from envs.readers.played import ACTIONS, Opened, played_in
from envs.readers.reference_scores import stated

FORMATS: dict[str, type[EpisodeFiles]] = {"hdf5": Hdf5Files, "arrow": ArrowFiles, "parquet": ArrowFiles}
SPECS = ("env_spec", "eval_env_spec")
SPACES = ("observation_space", "action_space")


def open_dataset(dataset: str, folder: Path, stack: ExitStack, choice: EnvChoice = OWN) -> Opened:
    """Open the data set in `folder` until `stack` ends, all episodes selected. Raises DataError for damaged or unsupported files.

    Its environment may be absent or not trusted if `choice` replaces it and the files name their spaces.
    """
    import minari
    from minari.dataset.minari_storage import MinariStorage

    metadata = read_metadata(dataset, folder)
    reader = _reader(dataset, folder, metadata["data_format"])
    check_spaces(dataset, metadata, SPACES)
    if not (choice.replaces and all(metadata.get(key) is not None for key in SPACES)):
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
    if not supported(action_space):
        raise DataError(f"{dataset}: actions have space {action_space}; {ACTIONS}")
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


def join(dataset: str, opened: list[Opened], allocate: Allocate, choice: EnvChoice = OWN) -> LoggedData:
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
    trajectories = replace(builder.finish(), partial=_partial(opened) if discrete else None)
    statements = [stated(o.files.metadata) for o in opened]
    found = {statement.reference for statement in statements}
    reference = found.pop() if len(found) == 1 else None
    played = played_in(opened, trajectories, reference, choice)
    notes = [str(o.files.metadata["note"]) for o in opened if o.files.metadata.get("note")]
    notes += [note for statement in statements for note in (statement.fault, statement.note) if note]
    unscored = next((statement.fault for statement in statements if statement.fault), "")
    if played.rewards:
        unscored = f"recorded through {', '.join(played.rewards)}: returns are the environment's own, the data's rewards are not"
        notes.append(unscored)
    units, narrowed = played.units.narrowed(trajectories.actions.numpy())
    clipped = 0.0 if discrete else _scale_actions(trajectories, np.diff(starts), played.parts, played.units, units)
    if narrowed:
        entries = ", ".join(map(str, narrowed))
        notes.append(f"action entries {entries} have no bounds near the data's: scaled by the data's smallest and largest values")
    reference = None if played.own_env or choice.without or unscored else reference
    note = "; ".join(dict.fromkeys(notes))
    return LoggedData(
        dataset, trajectories, units, played.spec, reference, clipped, note, played.own_env, played.horizon, unscored, bool(played.rewards)
    )


def _partial(opened: list[Opened]) -> torch.Tensor | None:
    """The share of each selected episode that is right, [E]; None unless every episode states it as a number."""
    try:
        found = [part.files.info(episode, "partial")[-1] for part in opened for episode in part.episodes.tolist()]
    except DataError:
        return None
    return torch.tensor(np.array(found, np.float64))


def _scale_actions(data: Trajectories, episodes: np.ndarray, parts: list[ActionUnits], played: ActionUnits, units: ActionUnits) -> float:
    """Scale the actions of `data` to the unit box, each part by its own units; returns the share of entries outside the bounds.

    episodes: number of episodes of each part. Parts in the units `played` of the environment are scaled by `units`, its narrowed ones.
    """
    stops = data.offsets[np.cumsum(episodes)].tolist()
    outside, actions = 0.0, data.actions.numpy()
    for start, stop, own in zip([0, *stops[:-1]], stops, parts, strict=True):
        outside += (units if own is played else own).scale_to_unit(actions[start:stop]) * (stop - start)
    return outside / len(actions)


def _check_alike(first: Opened, other: Opened) -> None:
    """Raise DataError unless both data sets have the same flat observations and actions."""
    observations, actions = ([form(getattr(o.data, f"{kind}_space")) for o in (first, other)] for kind in ("observation", "action"))
    for what, (a, b) in (("observations", observations), ("actions", actions)):
        if a != b:
            raise DataError(f"{other.files.dataset} cannot be combined with {first.files.dataset}: their {what} differ ({b} and {a})")
