"""A Minari data set from arrays in memory, so that `dataset=ID` trains on them and, with an environment, evaluates.

Steps are rows. Episodes are lists of arrays, or one after another in flat arrays, where each ends at its termination or truncation.
Observations have a row per step (N in all), or one more per episode: the observation after its last step. Without it and without
`next_observations` the last observation is repeated: returns and lengths stay exact, bootstrapping from a truncated end is approximate.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.data.actions import supported
from envs.data.environments import find_spec
from envs.data.minari_root import datasets_root, publish
from envs.data.selection import ID
from envs.data.spaces import is_image, row_shape
from envs.data.wrappers import stripped
from envs.errors import DataError
from envs.readers.steps import NAMES, REQUIRED, Source, Steps, steps_of

ALIASES = {"terminals": "terminations", "terminated": "terminations", "timeouts": "truncations", "truncated": "truncations"}
IGNORED = ("infos", "metadata")  # beginnings of other names in D4RL's dicts
MARGIN = 1e-5  # of the width of the action bounds: actions this far outside are rounded, not wrong


def data_from_arrays(
    dataset: str,
    observations: Any,
    actions: Any,
    rewards: Any,
    terminations: Any,
    truncations: Any = None,
    env: Any = None,
    *,
    next_observations: Any = None,
    overwrite: bool = False,
    clip: bool = False,
) -> Path:
    """Write Minari data set `dataset` and return its folder. `envs.readers.load.load(dataset)` reads it.

    observations: [N, obs], [N + E, obs] or a list of E arrays [T, obs] or [T + 1, obs]. actions: [N, act], or [N] whole numbers for
    discrete actions. rewards: [N]. terminations, truncations: [N], 0 or 1; no truncations means none. next_observations: [N, obs].
    All are flat, or all are lists with an array per episode. The last step ends an episode, truncated if no flag is set there.

    env: an id such as "Hopper-v5", a Gymnasium spec or environment. Without it observations have no bounds, actions are bounded by
    their largest magnitude, at least 1, and training needs env=ID or env=none. clip: clip actions to the bounds instead of refusing those
    outside.

    Raises DataError naming array, row, episode and step for arrays that do not fit together or the environment, numbers that are not
    finite, an id that is built in, or taken (unless `overwrite`).
    """
    given = dict(zip(NAMES, (observations, actions, rewards, terminations, truncations, next_observations), strict=True))
    return write_arrays(dataset, given, env, Source(), overwrite=overwrite, clip=clip)


def data_from_dict(
    dataset: str, arrays: Mapping[str, Any], env: Any = None, *, overwrite: bool = False, clip: bool = False, source: str = "arrays"
) -> Path:
    """Write `dataset` from a dict of arrays and return its folder; names are those of `data_from_arrays`, Gymnasium's or D4RL's.

    D4RL's `terminals` and `timeouts` are terminations and truncations; `infos/...` and `metadata/...` are ignored. source: name of the
    arrays in error lines. Raises DataError as `data_from_arrays` does, and for names that are unknown, absent or given twice.
    """
    found: dict[str, Any] = {}
    for key, array in arrays.items():
        name = ALIASES.get(key, key)
        if name in found:
            raise DataError(f"{source}: '{key}' is another name of {name}, which is given, too; remove one")
        if name in NAMES:
            found[name] = array
        elif not key.startswith(IGNORED):
            raise DataError(f"{source}: unknown array '{key}'; expected {', '.join((*NAMES, *ALIASES))}; rename or remove it")
    for name in REQUIRED:
        if name not in found:
            raise DataError(f"{source}: no array '{name}'; it has {', '.join(arrays) or 'none'}; expected {', '.join(REQUIRED)}")
    return write_arrays(dataset, found, env, Source(source), overwrite=overwrite, clip=clip)


def write_arrays(
    dataset: str,
    given: Mapping[str, Any],
    env: Any,
    source: Source,
    lengths: np.ndarray | None = None,
    *,
    overwrite: bool = False,
    clip: bool = False,
) -> Path:
    """`data_from_arrays`, with a source for error lines. lengths: [E], of the episodes of flat arrays; None: flags end them."""
    root = _check_id(dataset, overwrite)
    steps = steps_of({name: array for name, array in given.items() if array is not None}, source, lengths)
    spec, observation_space, action_space = _spaces(env, steps)
    steps = _fitted(steps, observation_space, action_space, "the data" if spec is None else f"environment {spec.id}", clip)

    def write(_: Path) -> None:
        import minari

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # asks for an e-mail address and a link
            data = minari.create_dataset_from_buffers(
                dataset, _buffers(steps), env=spec, eval_env=spec, observation_space=observation_space, action_space=action_space,
                algorithm_name="unknown", author="unknown", description=f"{len(steps.ends)} episodes from {Path(source.name).name}.",
            )  # fmt: skip
        data.storage.update_metadata({"arrays": {"source": Path(source.name).name, "approximate_ends": steps.approximate}})

    return publish(dataset, root, write, overwrite=overwrite)


def _check_id(dataset: str, overwrite: bool) -> Path:
    """Minari's root, after a check that `dataset` may be written there."""
    if not isinstance(dataset, str):
        raise DataError(
            f"the first argument is of type {type(dataset).__name__}; expected the id of the data set, such as 'mine/hopper-v0'"
        )
    if not ID.fullmatch(dataset) or "://" in dataset:
        raise DataError(f"'{dataset}' is not a Minari id; expected namespace/name-v0, such as mine/hopper-v0")
    if dataset.startswith("iwsft/"):
        raise DataError(f"'{dataset}': ids that begin with iwsft/ are the built-in data sets; choose another name")
    root = datasets_root()
    if (root / dataset).exists() and not overwrite:
        raise DataError(f"data set '{dataset}' exists in {root}; choose another id, or overwrite it (overwrite=True, --overwrite)")
    return root


def _spaces(env: Any, steps: Steps) -> tuple[Any, spaces.Space, spaces.Space]:
    """The environment's spec (None without one), and the data set's spaces. Raises DataError for spaces that flat arrays cannot fill."""
    import gymnasium

    if env is None:
        return None, _unbounded(steps.observations, steps.observations.shape[1:] or (1,)), _inferred(steps)
    spec = find_spec(env) if isinstance(env, str) else getattr(env, "spec", env)
    stripped(steps.source.name, spec)  # refuses wrappers that no evaluation can repeat before anything is written
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a newer version exists
        made = gymnasium.make(spec, disable_env_checker=True)
    observation_space, action_space = made.observation_space, made.action_space
    made.close()
    if isinstance(observation_space, spaces.Dict | spaces.Tuple) or is_image(observation_space):
        raise DataError(f"environment {spec.id} has observations {observation_space}; expected one array of numbers per observation")
    if not supported(action_space):
        raise DataError(f"environment {spec.id} has actions {action_space}; expected a box of rank 1 or a discrete space")
    if isinstance(observation_space, spaces.Box):
        observation_space = _unbounded(steps.observations, observation_space.shape)
    return spec, observation_space, action_space


def _unbounded(rows: np.ndarray, shape: tuple[int, ...]) -> spaces.Box:
    dtype: Any = rows.dtype if rows.dtype.kind == "f" else np.float32
    return spaces.Box(-np.inf, np.inf, shape, dtype)


def _inferred(steps: Steps) -> spaces.Space:
    """A discrete space for whole numbers [N], else a box as wide as the actions, at least from -1 to 1."""
    actions = steps.actions
    if actions.ndim == 1 and actions.dtype.kind in "iu":
        if actions.min() < 0:
            raise DataError(f"{steps.where(int(actions.argmin()))}: action {actions.min()}; expected discrete actions, counted from 0")
        return spaces.Discrete(int(actions.max()) + 1)
    bound = np.maximum(np.abs(actions.reshape(len(actions), -1)).max(0), 1).astype(np.float32)
    return spaces.Box(-bound, bound, dtype=np.float32)


def _fitted(steps: Steps, observation_space: spaces.Space, action_space: spaces.Space, named: str, clip: bool) -> Steps:
    """`steps` with rows of their spaces' shapes. Raises DataError, naming the environment, for rows that do not fit."""

    def shaped(name: str, rows: np.ndarray, space: spaces.Space) -> np.ndarray:
        shape = row_shape(space)
        if np.prod(rows.shape[1:], dtype=int) != np.prod(shape, dtype=int):
            raise DataError(
                f"{steps.source.name}: {name} has rows of shape {rows.shape[1:]}; {named} has {space}; choose another environment"
            )
        rows = rows.reshape(len(rows), *shape)
        return rows if rows.dtype.kind == "f" or not isinstance(space, spaces.Box) else rows.astype(np.float32)

    return replace(
        steps,
        observations=shaped("observations", steps.observations, observation_space),
        after=shaped("observations", steps.after, observation_space),
        actions=_bounded(steps, shaped("actions", steps.actions, action_space), action_space, named, clip),
    )


def _bounded(steps: Steps, actions: np.ndarray, space: spaces.Space, named: str, clip: bool) -> np.ndarray:
    """`actions` within `space`. Raises DataError for actions outside, unless `clip`."""
    if isinstance(space, spaces.Discrete):
        wrong = (actions < space.start) | (actions >= space.start + space.n) | (actions != np.floor(actions))
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(f"{steps.where(row)}: action {actions[row]} is none of {space}, the actions of {named}; correct the action")
        return actions.astype(np.int64)
    assert isinstance(space, spaces.Box)
    margin = MARGIN * (space.high - space.low)
    outside = (actions < space.low - margin) | (actions > space.high + margin)
    if outside.any() and not clip:
        row, column = (int(i) for i in np.argwhere(outside)[0])
        what = f"action {actions[row, column]:.6g} in column {column}; {named} accepts {space.low[column]:.6g} to {space.high[column]:.6g}"
        raise DataError(f"{steps.where(row)}: {what} ({outside.sum()} such entries); scale the actions, or clip them (clip=True, --clip)")
    return np.clip(actions, space.low, space.high).astype(actions.dtype) if clip else actions


def _buffers(steps: Steps) -> Iterator[Any]:
    """Minari's buffers of the episodes."""
    from minari.data_collector import EpisodeBuffer

    stops = (steps.ends + 1).tolist()
    for e, (start, stop) in enumerate(zip([0, *stops[:-1]], stops, strict=True)):
        yield EpisodeBuffer(
            id=e, observations=np.concatenate([steps.observations[start:stop], steps.after[e : e + 1]]), actions=steps.actions[start:stop],
            rewards=steps.rewards[start:stop].astype(np.float64), terminations=steps.terminated[start:stop],
            truncations=steps.truncated[start:stop],
        )  # fmt: skip
