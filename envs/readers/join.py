"""Selected episodes of one or several Minari data sets, joined in one `LoggedData` with the environment of evaluation."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.data.actions import ActionUnits, supported
from envs.data.builder import Allocate, Builder
from envs.data.env_choice import OWN, EnvChoice, describe, same_environment
from envs.data.environments import import_packages
from envs.data.horizon import keep_horizon, limit_of, limited, longest_limit
from envs.data.logged_data import LoggedData
from envs.data.references import Reference
from envs.data.spaces import form, width
from envs.data.trajectories import Trajectories
from envs.data.trust import check_specs
from envs.errors import DataError, first_line
from envs.readers.arrow import ArrowFiles
from envs.readers.episode_files import EpisodeFiles, damaged, read_metadata
from envs.readers.hdf5 import Hdf5Files
from envs.readers.reference_scores import stated

FORMATS: dict[str, type[EpisodeFiles]] = {"hdf5": Hdf5Files, "arrow": ArrowFiles, "parquet": ArrowFiles}
SPECS = ("env_spec", "eval_env_spec")
ACTIONS = "expected a box of rank 1 or a discrete space"
SPACES = ("observation_space", "action_space")


@dataclass(frozen=True)
class Opened:
    """An open data set: its files, Minari's object, the numbers of the selected episodes."""

    files: EpisodeFiles
    data: Any
    episodes: np.ndarray


def open_dataset(dataset: str, folder: Path, stack: ExitStack, choice: EnvChoice = OWN) -> Opened:
    """Open the data set in `folder` until `stack` ends, all episodes selected. Raises DataError for damaged or unsupported files.

    Its environment may be absent or not trusted if `choice` replaces it and the files name their spaces.
    """
    import minari
    from minari.dataset.minari_storage import MinariStorage

    metadata = read_metadata(dataset, folder)
    reader = _reader(dataset, folder, metadata["data_format"])
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
    trajectories = builder.finish()
    reference = _common_reference(opened)
    units, spec, own_env, horizon = _environment(first, trajectories, reference, choice)
    units, narrowed = units.narrowed(trajectories.actions.numpy())
    clipped = 0.0 if discrete else units.scale_to_unit(trajectories.actions.numpy())
    notes = [str(o.files.metadata["note"]) for o in opened if o.files.metadata.get("note")]
    if narrowed:
        entries = ", ".join(map(str, narrowed))
        notes.append(f"action entries {entries} have no bounds near the data's: scaled by the data's smallest and largest values")
    reference = None if own_env or choice.without else reference
    return LoggedData(dataset, trajectories, units, spec, reference, clipped, "; ".join(dict.fromkeys(notes)), own_env, horizon)


def _check_alike(first: Opened, other: Opened) -> None:
    """Raise DataError unless both data sets have the same flat observations and actions."""
    observations, actions = ([form(getattr(o.data, f"{kind}_space")) for o in (first, other)] for kind in ("observation", "action"))
    for what, (a, b) in (("observations", observations), ("actions", actions)):
        if a != b:
            raise DataError(f"{other.files.dataset} cannot be combined with {first.files.dataset}: their {what} differ ({b} and {a})")


def _environment(
    opened: Opened, trajectories: Trajectories, reference: Reference | None, choice: EnvChoice
) -> tuple[ActionUnits, str, str, str]:
    """The units of actions and the spec (JSON) of the environment of evaluation, with its time limit; the data set's own in words, if that
    is another one; a remark on the time limit.

    The spec is empty if the data set names none and none is chosen. Raises DataError if the environment's spaces do not fit the data.
    """
    dataset, data = opened.files.dataset, opened.data
    own = data.env_spec if data._eval_env_spec is None else data._eval_env_spec  # Minari has no public name for it
    if choice.without or (own is None and not choice.replaces):
        return ActionUnits.of(data.action_space), "", "" if own is None else describe(own), ""
    try:
        env = gymnasium.make(choice.find(), disable_env_checker=True) if choice.replaces else _recover(data)
    except DataError:
        raise
    except Exception as error:  # an environment's constructor can raise anything
        name, remedy = (f"env = {choice.env}:", "") if choice.replaces else ("its", "; see env_spec in metadata.json")
        raise DataError(f"{dataset}: {name} environment cannot be made ({first_line(error)}){remedy}") from error
    try:
        space, action_space = env.observation_space, env.action_space
        if not supported(action_space):
            raise DataError(f"{dataset}: environment {env.spec.id} has actions {action_space}; {ACTIONS}")
        widths = width(space), 1 if isinstance(action_space, spaces.Discrete) else int(np.prod(action_space.shape, dtype=int))
        for name, expected, array, shown in (
            ("observations", widths[0], trajectories.observations, space),
            ("actions", widths[1], trajectories.actions, action_space),
        ):
            if expected != array.shape[1]:
                raise DataError(f"{dataset}: {name} are {array.shape[1]} wide; environment {env.spec.id} has {shown}")
        for name, logged, played in (("observations", data.observation_space, space), ("actions", data.action_space, action_space)):
            if form(logged) != form(played):
                remedy = "choose another environment" if choice.replaces else "write it again"
                raise DataError(f"{dataset}: its {name} have space {logged}, those of environment {env.spec.id} {played}; {remedy}")
        base = own if choice.replaces and own is not None else env.spec
        kept, horizon = keep_horizon(dataset, base, opened.files.metadata, reference, trajectories)
        spec = choice.limited(env.spec if choice.replaces and own is not None else kept)
        if limit_of(spec) is None:
            spec = limited(spec, longest_limit(trajectories))
        same = same_environment(spec, kept)
        return ActionUnits.of(action_space), spec.to_json(), "" if same else describe(kept), horizon if same else ""
    finally:
        env.close()


def _recover(data: Any) -> Any:
    """The environment that the files name."""
    return data.recover_environment(eval_env=True, disable_env_checker=True)


def _common_reference(opened: list[Opened]) -> Reference | None:
    """The reference scores in the data sets' metadata, if all have the same."""
    found = {stated(o.files.metadata).reference for o in opened}
    return found.pop() if len(found) == 1 else None
