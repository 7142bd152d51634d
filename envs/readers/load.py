"""Data sets by id: found, recorded, converted or downloaded, then read; built-in ones no differently from any other.

A Minari episode has T + 1 observations and T of everything else; row t of observations belongs to action t within the episode only.
"""

from __future__ import annotations

import difflib
import io
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.data.builder import Allocate, Builder, in_memory
from envs.data.cache import Cache, Scratch, key_of
from envs.data.environments import import_packages
from envs.data.logged_data import LoggedData
from envs.data.minari_root import datasets_root, publish
from envs.data.references import Reference
from envs.data.selection import Part, parse
from envs.data.spaces import leaves, width
from envs.data.trajectories import Trajectories
from envs.data.trust import check_specs
from envs.errors import DataError, first_line
from envs.readers import d4rl
from envs.readers.download import unreachable
from envs.readers.minari import FORMATS, EpisodeFiles, damaged, read_metadata, returns_of
from envs.recorded.record import recipes, record

SCALED_ROWS = 16_384  # actions brought to the unit box in one go


def ensure(dataset: str) -> None:
    """Make sure that every part of `dataset` is in Minari's root: found, recorded if built in, converted, else downloaded.

    Raises DataError, with near names, for an id that is none of these.
    """
    for part in parse(dataset):
        _ensure(part)


def _ensure(part: Part) -> None:
    dataset, root = part.dataset, datasets_root()
    if (root / dataset / "data").exists():
        return
    if dataset in recipes():
        record(dataset)
        return
    near = _near(dataset, root)
    if dataset.startswith("iwsft/"):
        raise DataError(f"no data set '{dataset}'{near}")
    if dataset.startswith("d4rl/"):
        d4rl.obtain(dataset)
        return
    publish(dataset, root, lambda _: _download(part, f"is not in {root}", near), "downloaded")


def _download(part: Part, missing: str, near: str) -> None:
    """Minari's own download (with its progress bar), into Minari's root."""
    import minari

    full = part.dataset if part.remote is None else f"{part.remote}/{part.dataset}"
    remote = part.remote or os.environ.get("MINARI_REMOTE", "hf://")
    try:
        if remote.startswith("hf://") and (reason := unreachable(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))):
            raise ConnectionError(reason)
        print(f"downloading {full}", file=sys.stderr)
        with redirect_stdout(io.StringIO()):  # Minari tells of the scratch folder; its bars are on stderr
            minari.download_dataset(full)
    except Exception as error:  # whatever the network, the host or Minari makes of it: the user's remedy is the same
        reason = shorten(str(error).strip().splitlines()[-1], 300) if str(error).strip() else type(error).__name__
        raise DataError(
            f"data set '{part.dataset}' {missing} and cannot be downloaded ({reason}){near}; "
            f"where there is a network, run: minari download {full}"
        ) from error


def _near(dataset: str, root: Path) -> str:
    """A hint at ids that look like `dataset`."""
    local = {str(p.parent.parent.relative_to(root)) for p in root.glob("**/data/metadata.json")}
    close = difflib.get_close_matches(dataset, sorted(local | set(recipes())), 3, 0.5)
    return f"; near names: {', '.join(close)}" if close else ""


def load(dataset: str, cache: bool = True) -> LoggedData:
    """Read data set `dataset` (an expression of envs.data.selection; recorded, converted or downloaded first where needed).

    A second call opens a memory-mapped copy (envs.data.cache) unless `cache` is false. Raises DataError for data that cannot be used:
    unknown id, damaged files, an environment that does not fit, spaces that have no flat form, non-finite numbers, arrays that do
    not line up.
    """
    parts = parse(dataset)
    for part in parts:
        _ensure(part)
    root = datasets_root()
    if not cache:
        return _read(dataset, parts, in_memory)
    store, key = Cache(root), key_of(dataset, [root / part.dataset for part in parts])
    if (kept := store.find(key)) is not None:
        return _from_about(dataset, *kept)
    scratch = store.scratch()
    if scratch is None:
        return _read(dataset, parts, in_memory)
    with scratch:
        return _read_and_keep(dataset, parts, scratch, key)


def _read_and_keep(dataset: str, parts: list[Part], scratch: Scratch, key: str) -> LoggedData:
    """Read into the cache; without it where there is no space for it."""
    try:
        data = _read(dataset, parts, scratch.allocate)
        scratch.keep(key, data.trajectories, _about(data))
    except OSError:
        return _read(dataset, parts, in_memory)
    kept = scratch.cache.find(key)
    return data if kept is None else _from_about(dataset, *kept)


def _about(data: LoggedData) -> dict[str, Any]:
    """What is known of `data` beside its trajectories, as plain data."""
    reference = None if data.reference is None else vars(data.reference)
    bounds = {"action_low": data.action_low.tolist(), "action_high": data.action_high.tolist()}
    return bounds | {"env_spec": data.env_spec, "reference": reference, "clipped": data.clipped, "note": data.note}


def _from_about(dataset: str, trajectories: Trajectories, about: dict[str, Any]) -> LoggedData:
    low, high = (np.array(about[k], np.float32) for k in ("action_low", "action_high"))
    reference = None if about["reference"] is None else Reference(**about["reference"])
    return LoggedData(dataset, trajectories, low, high, about["env_spec"], reference, about["clipped"], about["note"])


@dataclass(frozen=True)
class _Opened:
    """A part of an expression: its files, its Minari data set, the numbers of its selected episodes."""

    files: EpisodeFiles
    data: Any
    episodes: np.ndarray


def load_filtered(data: Any, condition: Callable[[Any], bool] | None = None) -> LoggedData:
    """The episodes of `data`, an id or a Minari data set (filtered already or not), for which `condition` holds.

    `condition` is that of Minari's filter_episodes: it sees an EpisodeData. Never cached. Raises DataError as `load` does.
    """
    import minari

    if isinstance(data, str):
        _ensure(part := parse(data)[0])
        with ExitStack() as stack:
            data = _open(part.dataset, datasets_root() / part.dataset, stack).data
    if condition is not None:
        data = data.filter_episodes(condition)
    assert isinstance(data, minari.MinariDataset)
    if not len(data.episode_indices):
        raise DataError(f"{data.id}: no episode is left by the filter")
    with ExitStack() as stack:
        opened = _open(data.id, Path(data.storage.data_path).parent, stack)
        return _join(data.id, [replace(opened, episodes=np.asarray(data.episode_indices))], in_memory)


def _open(dataset: str, folder: Path, stack: ExitStack) -> _Opened:
    """Open the data set in `folder`, all of its episodes selected."""
    import minari
    from minari.dataset.minari_storage import MinariStorage

    metadata = read_metadata(dataset, folder)
    if metadata["data_format"] not in FORMATS:
        what = f"data_format is {metadata['data_format']!r}; expected one of {', '.join(FORMATS)}"
        raise damaged(dataset, folder, "data/metadata.json", what)
    check_specs(dataset, metadata)  # before Minari makes the environment that the file names
    for key in ("env_spec", "eval_env_spec"):
        if metadata.get(key) is not None:
            import_packages(metadata[key])
    try:
        storage = MinariStorage.read(folder / "data")
    except Exception as error:  # spaces and specs are rebuilt from what the file says, by several libraries
        raise damaged(dataset, folder, "data/metadata.json or what it names", error) from error
    try:
        width(storage.observation_space)
    except TypeError:
        flat = "a box of rank 1, or what can be flattened to one"
        raise DataError(f"{dataset}: observations have space {storage.observation_space}; expected {flat}") from None
    action_space = storage.action_space
    if not isinstance(action_space, spaces.Discrete) and not (isinstance(action_space, spaces.Box) and len(action_space.shape) == 1):
        raise DataError(f"{dataset}: actions have space {action_space}; expected a box of rank 1 or a discrete space")
    files = FORMATS[metadata["data_format"]](dataset, folder, metadata, storage.observation_space, action_space)
    stack.enter_context(files)
    if not len(files.lengths):
        raise DataError(f"{dataset}: no episode in it; expected at least one")
    try:
        data = minari.MinariDataset(storage)
    except Exception as error:  # the environments' specs, and versions
        raise damaged(dataset, folder, "data/metadata.json", error) from error
    return _Opened(files, data, np.arange(len(files.lengths)))


def _read(dataset: str, parts: list[Part], allocate: Allocate) -> LoggedData:
    """Read the selected episodes of all parts."""
    with ExitStack() as stack:
        opened = []
        for part in parts:
            found = _open(part.dataset, datasets_root() / part.dataset, stack)
            if part.rules:
                lengths = found.files.lengths
                found = replace(found, episodes=part.select(returns_of(found.files, range(len(lengths))), lengths))
            opened.append(found)
        return _join(dataset, opened, allocate)


def _join(dataset: str, opened: list[_Opened], allocate: Allocate) -> LoggedData:
    """The selected episodes of open data sets in one `Trajectories`, whose arrays come from `allocate`."""
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
            builder.rows()  # an empty episode is refused before its arrays are looked at
            builder.add(*part.files.read(episode))
    trajectories = builder.finish()
    low, high, spec = _environment(first.files.dataset, first.data, trajectories)
    clipped = 0.0 if discrete else _to_unit_box(trajectories, low, high)
    return LoggedData(dataset, trajectories, low, high, spec, _common_reference(opened), clipped, _note(opened))


def _check_alike(first: _Opened, other: _Opened) -> None:
    """Raise DataError unless the two sets have the same flat observations and actions."""
    names = [[(path, space.shape) for path, space in leaves(o.data.observation_space)] for o in (first, other)]
    actions = [(type(o.data.action_space), o.data.action_space.shape, getattr(o.data.action_space, "n", 0)) for o in (first, other)]
    for what, (a, b) in (("observations", names), ("actions", actions)):
        if a != b:
            raise DataError(f"{other.files.dataset} cannot be combined with {first.files.dataset}: their {what} differ ({b} and {a})")


def _environment(dataset: str, data: Any, trajectories: Trajectories) -> tuple[np.ndarray, np.ndarray, str]:
    """The action bounds and the spec (JSON) of the environment to evaluate in, after a check that its spaces fit the data."""
    if all(data.storage.metadata.get(key) is None for key in ("env_spec", "eval_env_spec")):
        return *_bounds(dataset, "its action space", data.action_space), ""
    try:
        env = data.recover_environment(eval_env=True, disable_env_checker=True)
    except Exception as error:  # an environment's constructor can raise anything
        reason = first_line(error)
        raise DataError(f"{dataset}: its environment cannot be made ({reason}); see env_spec in metadata.json") from error
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
            raise DataError(f"{dataset}: its observations are made of other parts than those of environment {env.spec.id}, {space}")
        if int(getattr(action_space, "n", 0)) != trajectories.num_actions:
            raise DataError(f"{dataset}: it has {trajectories.num_actions} discrete actions; environment {env.spec.id} has {action_space}")
        return *_bounds(dataset, f"environment {env.spec.id}", action_space), env.spec.to_json()
    finally:
        env.close()


def _bounds(dataset: str, name: str, space: spaces.Space) -> tuple[np.ndarray, np.ndarray]:
    """The action bounds (low, high) [act] float32 of `space`, empty for discrete actions. Raises DataError unless they are finite."""
    if isinstance(space, spaces.Discrete):
        return np.empty(0, np.float32), np.empty(0, np.float32)
    low, high = (np.asarray(bound, np.float32) for bound in (space.low, space.high))
    if not (np.isfinite(low) & np.isfinite(high)).all():
        raise DataError(f"{dataset}: {name} has no finite action bounds")
    return low, high


def _to_unit_box(data: Trajectories, low: np.ndarray, high: np.ndarray) -> float:
    """Scale the actions of `data` to [-1, 1] and clip them, in place; the share of entries that were outside."""
    middle, half = (high + low) / 2, (high - low) / 2
    outside, everything = 0, data.actions.numpy()
    for start in range(0, len(everything), SCALED_ROWS):
        actions = everything[start : start + SCALED_ROWS]
        actions -= middle
        actions /= half
        outside += int((np.abs(actions) > 1).sum())
        np.clip(actions, -1, 1, out=actions)
    return outside / everything.size


def _common_reference(opened: list[_Opened]) -> Reference | None:
    """The reference scores that the data sets carry themselves, if all carry the same ones."""
    found = {_reference(o.files.metadata) for o in opened}
    return found.pop() if len(found) == 1 else None


def _reference(metadata: dict) -> Reference | None:
    """The data set's own reference scores, if it has any."""
    if metadata.get("ref_min_score") is None or metadata.get("ref_max_score") is None:
        return None
    return Reference(str(metadata.get("reference", "minari")), float(metadata["ref_min_score"]), float(metadata["ref_max_score"]))


def _note(opened: list[_Opened]) -> str:
    return "; ".join(dict.fromkeys(str(o.files.metadata["note"]) for o in opened if o.files.metadata.get("note")))
