"""Time limits of evaluation: an episode ends after as many steps as the data's and the reference scores' own episodes could have.

The limit is, in this order:
    stated     by metadata.json (`max_episode_steps` or `time_limit`), or by D4RL for its data sets (references.csv)
    the data's for data without reference scores, and where the environment has no limit: the length of all truncated episodes,
               if it is the same and no episode is longer
    the environment's own
    LIMIT      where nothing states one: no evaluation is endless
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from envs.data.references import D4RL, Reference, table
from envs.errors import DataError

if TYPE_CHECKING:
    from envs.data.trajectories import Trajectories  # loads torch, which tables do not need

LIMIT = 1000  # steps of an episode that nothing else limits
STATED = ("max_episode_steps", "time_limit")  # keys of metadata.json


def limit_of(spec: Any) -> int | None:
    """The time limit of Gymnasium's `spec`, wrappers included, or None."""
    found = [spec.max_episode_steps, *(w.kwargs.get("max_episode_steps") for w in spec.additional_wrappers or () if limits_time(w))]
    return min((steps for steps in found if isinstance(steps, int) and steps > 0), default=None)


def limited(spec: Any, steps: int) -> Any:
    """A copy of Gymnasium's `spec` with time limit `steps`."""
    found = copy.deepcopy(spec)
    found.max_episode_steps = steps
    found.additional_wrappers = tuple(
        replace(wrapper, kwargs=wrapper.kwargs | {"max_episode_steps": steps}) if limits_time(wrapper) else wrapper
        for wrapper in spec.additional_wrappers or ()
    )
    return found


def limits_time(wrapper: Any) -> bool:
    return str(wrapper.entry_point).endswith(":TimeLimit") and isinstance(wrapper.kwargs, dict)


def longest_limit(data: Trajectories) -> int:
    """The time limit where nothing states one."""
    return max(LIMIT, int(data.lengths.max()))


def keep_horizon(dataset: str, spec: Any, metadata: dict[str, Any], reference: Reference | None, data: Trajectories) -> tuple[Any, str]:
    """Gymnasium's `spec` with the time limit of data set `dataset`, and a remark for tables where it is not the environment's own.

    metadata: the content of metadata.json. data: the episodes. Raises DataError for a limit in metadata.json that is no number of steps.
    """
    own, name = limit_of(spec), spec.id
    if (steps := stated_limit(dataset, metadata, reference)) is not None:
        note = f"evaluated over {steps} steps, its stated time limit ({name} has {own or 'none'})"
    elif (reference is None or own is None) and (steps := _data_limit(data)) is not None and (own is None or steps < own):
        limit = f"has {own}" if own else "states no max_episode_steps"
        note = f"evaluated over {steps} steps, as its episodes are ({name} {limit}; eval.max_episode_steps=N sets another)"
    elif own is None:
        steps = longest_limit(data)
        note = f"evaluated over at most {steps} steps ({name} states no max_episode_steps; eval.max_episode_steps=N sets another)"
    else:
        steps, note = own, ""
    return (spec, "") if steps == own else (limited(spec, steps), note)


def stated_limit(dataset: str, metadata: dict[str, Any], reference: Reference | None) -> int | None:
    """The time limit that metadata.json states, or D4RL for data set `dataset`; None if neither does. Raises DataError."""
    for key in STATED:
        if (steps := metadata.get(key)) is not None:
            if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
                raise DataError(f"{dataset}: {key} in metadata.json is {steps!r}; expected a number of steps")
            return steps
    namespace, *rest = dataset.split("/")
    if namespace.lower() != D4RL and (reference is None or reference.name != D4RL):
        return None
    names = {_unversioned(name) for name in ("-".join(rest), dataset.split("/")[-1])}
    limits = {int(row["time_limit"]) for row in table() if row["family"] == D4RL and _unversioned(row["dataset"]) in names}
    return limits.pop() if len(limits) == 1 else None


def _unversioned(name: str) -> str:
    return name.rsplit("-v", 1)[0]


def _data_limit(data: Trajectories) -> int | None:
    """The length of all truncated episodes, if there are several, it is the same, and no episode is longer; else None."""
    last = data.offsets[1:] - 1
    cut = data.lengths[data.truncated[last] & ~data.terminated[last]]
    longest = int(data.lengths.max())
    return longest if len(cut) > 1 and int(cut.min()) == longest else None
