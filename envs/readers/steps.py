"""Arrays of logged steps: checked against each other, cut into episodes, with the observation after each episode's last step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from envs.errors import DataError

FLAGS = ("terminations", "truncations")
NAMES = ("observations", "actions", "rewards", *FLAGS, "next_observations")
REQUIRED = NAMES[:4]


class Source(NamedTuple):
    """The source in error lines: the arrays' name, the word for a row, and the number of the first row."""

    name: str = "arrays"
    unit: str = "row"
    first: int = 0

    def where(self, ends: np.ndarray, row: int) -> str:
        """`row` in words: its number, its episode and its step there. ends: [E], the last row of each episode."""
        episode = int(np.searchsorted(ends, row))
        step = row - (int(ends[episode - 1]) + 1 if episode else 0)
        return f"{self.name}: {self.unit} {self.first + row} (episode {episode}, step {step})"


@dataclass(frozen=True)
class Steps:
    """N steps: observations [N, ...], actions [N, ...], rewards [N], terminated and truncated [N] bool; ends [E], each episode's last row.

    after: [E, ...], the observation after each episode's last step. approximate: the number of truncated ends where it is not known and
    repeats the last observation.
    """

    source: Source
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    ends: np.ndarray
    after: np.ndarray
    approximate: int

    def where(self, row: int) -> str:
        return self.source.where(self.ends, row)


def steps_of(given: dict[str, Any], source: Source, lengths: np.ndarray | None = None) -> Steps:
    """The steps in arrays `given` (names: NAMES), flat or lists with an array per episode. lengths: [E], of the episodes of flat arrays.

    Raises DataError, beginning with `source`, for arrays that do not fit together and numbers that are not finite.
    """
    rewards = given["rewards"]
    longer: np.ndarray | None = None  # [E] True for episodes with T + 1 observations
    if isinstance(rewards, list | tuple) and len(rewards) and np.ndim(rewards[0]) == 1:
        arrays, lengths, longer = _joined(given, source)
    else:
        arrays = {name: _numbers(source, name, array) for name, array in given.items()}
    steps = len(arrays["rewards"])
    if not steps:
        raise DataError(f"{source.name}: no step in it; expected at least one")
    for name, array in arrays.items():
        if name != "observations" and len(array) != steps:
            raise DataError(f"{source.name}: {name} has {len(array)} rows for {steps} rewards; expected as many")
    terminated, truncated = (arrays[name].astype(bool) if name in arrays else np.zeros(steps, bool) for name in FLAGS)
    ends = _ends(source, terminated | truncated, lengths)
    truncated[ends] |= ~terminated[ends]
    observations, next_observations = arrays["observations"], arrays.get("next_observations")
    if longer is None:
        if len(observations) not in (steps, steps + len(ends)):
            expected = f"{steps}, or {steps + len(ends)} with a last observation for each of {len(ends)} episodes"
            raise DataError(f"{source.name}: observations has {len(observations)} rows for {steps} rewards; expected {expected}")
        longer = np.full(len(ends), len(observations) > steps)
    last = np.cumsum(np.diff(ends, prepend=-1) + longer) - 1  # each episode's last row of observations
    own = np.ones(len(observations), bool)
    own[last[longer]] = False
    after, observations = observations[last], observations[own]
    for name, array in (arrays | {"observations": observations}).items():
        _check_finite(source, name, array, ends, np.arange(len(array)))
    _check_finite(source, "the observation after it", after, ends, ends)
    if next_observations is not None:
        _check_breaks(source, observations, next_observations, ends)
        after[~longer] = next_observations[ends[~longer]]
        longer = np.ones(len(ends), bool)
    approximate = int((~longer & ~terminated[ends]).sum())
    return Steps(source, observations, arrays["actions"], arrays["rewards"], terminated, truncated, ends, after, approximate)


def _numbers(source: Source, name: str, array: Any) -> np.ndarray:
    """`array` as numbers, with a rank that its name can have. Raises DataError."""
    try:
        found = np.asarray(array)
    except ValueError as error:
        raise DataError(f"{source.name}: {name} is no array ({error}); expected rows of one shape") from error
    if found.dtype.kind not in "fiub":
        raise DataError(f"{source.name}: {name} has type {found.dtype}; expected numbers")
    if name in ("rewards", *FLAGS) and found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    ranks = (1, 2) if name == "actions" else (1,) if name in ("rewards", *FLAGS) else (1, 2, 3, 4)
    if found.ndim not in ranks:
        raise DataError(f"{source.name}: {name} has shape {found.shape}; expected rank {' or '.join(map(str, ranks))}, a row for each step")
    if name in FLAGS and (wrong := ~np.isin(found, (0, 1))).any():
        row = int(wrong.argmax())
        raise DataError(f"{source.name}: {source.unit} {source.first + row}: {name} is {found[row]}; expected 0 or 1")
    return found


def _joined(given: dict[str, Any], source: Source) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Flat arrays of the episodes in lists, their lengths [E], and [E] True for those with T + 1 observations."""
    count = len(given["rewards"])
    for name, episodes in given.items():
        if not isinstance(episodes, list | tuple) or len(episodes) != count:
            found = f"{len(episodes)} episodes" if isinstance(episodes, list | tuple) else f"a {type(episodes).__name__}"
            raise DataError(f"{source.name}: {name} is {found}, rewards {count} episodes; expected a list with an array per episode")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in given}
    for e in range(count):
        episode = Source(f"{source.name}: episode {e}", "step")
        for name, episodes in given.items():
            parts[name].append(_numbers(episode, name, episodes[e]))
        steps = len(parts["rewards"][e])
        if not steps:
            raise DataError(f"{episode.name}: no step in it; remove the episode")
        for name, arrays in parts.items():
            expected = (steps, steps + 1) if name == "observations" else (steps,)
            if len(arrays[e]) not in expected:
                rows = " or ".join(map(str, expected))
                raise DataError(f"{episode.name}: {name} has {len(arrays[e])} rows for {steps} rewards; expected {rows}")
            if arrays[e].shape[1:] != arrays[0].shape[1:]:
                raise DataError(f"{episode.name}: {name} has rows of shape {arrays[e].shape[1:]}; episode 0 has {arrays[0].shape[1:]}")
    lengths = np.array([len(rewards) for rewards in parts["rewards"]])
    longer = np.array([len(observations) for observations in parts["observations"]]) > lengths
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}, lengths, longer


def _ends(source: Source, flags: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """The last row [E] of each episode: from `lengths`, within which no flag may be set; or at every flag and at the last row."""
    if lengths is None:
        if not flags.any():
            what = "no termination and no truncation is set, so no episode ends"
            raise DataError(f"{source.name}: {what}; set the flags, or give lists with an array per episode")
        return np.union1d(np.flatnonzero(flags), [len(flags) - 1])
    ends = np.cumsum(lengths) - 1
    early = np.setdiff1d(np.flatnonzero(flags), ends)
    if len(early):
        where = source.where(ends, int(early[0]))
        raise DataError(f"{where}: a termination or truncation before the episode's last step; split the episode there")
    return ends


def _check_finite(source: Source, name: str, array: np.ndarray, ends: np.ndarray, rows: np.ndarray) -> None:
    """Raise DataError unless all numbers of `array`, whose rows belong to steps `rows`, are finite."""
    finite = np.isfinite(array).reshape(len(array), -1).all(1)
    if not finite.all():
        raise DataError(f"{source.where(ends, int(rows[(~finite).argmax()]))}: {name} is not finite; correct or remove the episode")


def _check_breaks(source: Source, observations: np.ndarray, next_observations: np.ndarray, ends: np.ndarray) -> None:
    """Raise DataError where the next observation of a step within an episode is not the observation of the following row."""
    if next_observations.shape != observations.shape:
        raise DataError(f"{source.name}: next_observations has shape {next_observations.shape}; expected {observations.shape}")
    close = np.isclose(next_observations[:-1], observations[1:], rtol=1e-5, atol=1e-6).reshape(len(observations) - 1, -1).all(1)
    broken = np.setdiff1d(np.flatnonzero(~close), ends)
    if len(broken):
        row = int(broken[0])
        what = f"next_observations are not the observations of {source.unit} {source.first + row + 1} ({len(broken)} such rows)"
        raise DataError(f"{source.where(ends, row)}: {what}; set a truncation where an episode ends")
