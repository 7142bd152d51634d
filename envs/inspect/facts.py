"""Facts of a data set, and flags for those that hurt training."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from envs.data.logged_data import LoggedData
from envs.inspect.columns import deviations, parts, twins
from envs.inspect.strata import strata
from envs.inspect.tokens import solve_rates
from envs.readers.behaviours import Behaviours

SATURATED = 0.99  # of the unit box


@dataclass
class Facts:
    """Rows (name, value) by section, and flags: sentences on what will hurt training."""

    dataset: str
    sections: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)

    def add(self, section: str, name: str, value: object) -> None:
        self.sections.setdefault(section, []).append((name, str(value)))


def facts_of(data: LoggedData, recorded_by: Behaviours | None = None) -> Facts:
    """The facts of `data`. The data may be larger than memory: arrays are read in pieces. recorded_by: None if it is not known."""
    facts = Facts(data.dataset)
    _overview(facts, data)
    _episodes(facts, data)
    _actions(facts, data)
    _observations(facts, data)
    _duplicates(facts, data)
    _strata(facts, data, recorded_by)
    for name, value in solve_rates(data.dataset):
        facts.add("solved", name, value)
    return facts


def _spread(values: np.ndarray) -> str:
    low, middle, high = np.percentile(values, (0, 50, 100))
    return f"mean {values.mean():.6g}, std {values.std():.4g}, min {low:.6g}, median {middle:.6g}, max {high:.6g}"


def _overview(facts: Facts, data: LoggedData) -> None:
    t, section = data.trajectories, "data"
    facts.add(section, "episodes", f"{t.num_episodes:,}")
    facts.add(section, "steps", f"{t.num_steps:,}")
    facts.add(section, "observations", f"{data.observation_width} wide")
    facts.add(section, "actions", f"{t.num_actions}, discrete" if t.num_actions else f"{data.action_width} wide")
    facts.add(section, "environment", json.loads(data.env_spec)["id"] if data.env_spec else "none")
    if not data.env_spec:
        facts.flags.append("no environment: train with env=ID to play policies in one, or with env=none")
    if data.remarks:
        facts.add(section, "note", data.remarks)
    facts.add(section, "digest", t.digest)
    returns = t.returns.numpy()
    if data.reference is None:
        facts.add(section, "reference scores", "none in the data set")
        facts.flags.append("no reference scores: results are scored with a measured reference, which differs between data sets")
        return
    reference = data.reference
    facts.add(section, "reference scores", str(reference))
    facts.add(section, "score of the data", _spread(reference.score(returns)))
    if returns.mean() < reference.random:
        facts.flags.append(f"the data's mean return, {returns.mean():.4g}, is below that of a random policy, {reference.random:.4g}")


def _episodes(facts: Facts, data: LoggedData) -> None:
    t, section = data.trajectories, "episodes"
    returns, lengths = t.returns.numpy(), t.lengths.numpy()
    facts.add(section, "returns", _spread(returns))
    facts.add(section, "lengths", _spread(lengths))
    last = t.offsets[1:] - 1
    terminated, truncated = t.terminated[last].numpy(), t.truncated[last].numpy()
    for name, ended in (("terminated", terminated & ~truncated), ("truncated", truncated & ~terminated), ("both", terminated & truncated)):
        facts.add(section, f"ended {name}", _share(int(ended.sum()), len(ended)))
    open_ended = ~(terminated | truncated)
    facts.add(section, "ended by no flag", _share(int(open_ended.sum()), len(open_ended)))
    inside = int(t.terminated.sum()) + int(t.truncated.sum()) - int(terminated.sum()) - int(truncated.sum())
    facts.add(section, "flags before an episode's end", inside)
    if open_ended.any():
        facts.flags.append(f"{int(open_ended.sum())} episodes (the first is {int(open_ended.argmax())}) end without a flag")
    if inside:
        facts.flags.append(f"{inside} terminations or truncations are set before their episode's last step")
    repeated = (t.next_observations[last] == t.observations[last]).all(1).numpy()
    cut_off = int((repeated & ~terminated).sum())
    more = f"; {cut_off} of them truncated, where methods bootstrap from it" if cut_off else ""
    facts.add(section, "last observation repeated", _share(int(repeated.sum()), len(repeated)) + more)
    if cut_off:
        facts.flags.append(
            f"{cut_off} truncated episodes repeat their last observation: the one after it is missing, so bootstrapping is approximate"
        )
    if np.ptp(returns) == 0:
        facts.flags.append(f"every return is {returns[0]:.6g}: curation by return cannot rank episodes")


def _actions(facts: Facts, data: LoggedData) -> None:
    section, actions = "actions", data.trajectories.actions.numpy()
    if data.trajectories.num_actions:
        counts = np.bincount(actions[:, 0].astype(int), minlength=data.trajectories.num_actions) / len(actions)
        facts.add(section, "share of each", ", ".join(f"{k}: {v:.1%}" for k, v in enumerate(counts, data.units.start)))
        if (counts == 0).any():
            facts.flags.append(f"actions {', '.join(map(str, np.flatnonzero(counts == 0) + data.units.start))} are never taken")
        return
    saturated = sum((np.abs(part) >= SATURATED).sum(0) for part in parts(actions)) / len(actions)
    facts.add(section, "at the bounds", f"{saturated.mean():.2%} of entries; by column {', '.join(f'{v:.1%}' for v in saturated)}")
    facts.add(section, "out of bounds (clipped on load)", f"{data.clipped:.3%} of entries")
    facts.add(section, "standard deviation by column", ", ".join(f"{v:.3g}" for v in deviations(actions)))
    if saturated.mean() > 0.3:
        facts.flags.append(f"{saturated.mean():.0%} of action entries are at the bounds, where a Gaussian fits badly")
    if data.clipped > 0.001:
        facts.flags.append(f"{data.clipped:.2%} of action entries lay outside the bounds and were clipped")
    if (constant := np.flatnonzero(np.ptp(actions, 0) == 0)).size:
        facts.flags.append(f"action columns {', '.join(map(str, constant))} never change: their log-likelihood has no bound")


def _observations(facts: Facts, data: LoggedData) -> None:
    section, observations = "observations", data.trajectories.observations.numpy()
    facts.add(section, "not finite", "none (such data are refused on load)")
    std, span = deviations(observations), np.ptp(observations, 0)
    constant = np.flatnonzero(span == 0)
    facts.add(section, "constant columns", ", ".join(map(str, constant)) or "none")
    repeated = twins(observations, np.setdiff1d(np.arange(observations.shape[1]), constant))
    facts.add(section, "columns that repeat another", ", ".join(f"{b} is {a}" for a, b in repeated) or "none")
    varying = std[span > 0]
    if len(varying):
        facts.add(section, "standard deviations", f"{varying.min():.3g} to {varying.max():.3g}")
        if varying.max() > 100 * varying.min():
            facts.flags.append(
                f"observation scales differ by {varying.max() / varying.min():.0f} x (standard deviations {varying.min():.3g} to "
                f"{varying.max():.3g}), and they are not normalised"
            )
    largest = float(max(observations.max(), -observations.min()))
    facts.add(section, "largest magnitude", f"{largest:.6g}")
    if constant.size:
        facts.flags.append(f"{constant.size} observation columns are constant: no information in training, and they may vary in evaluation")
    if repeated:
        facts.flags.append(f"{len(repeated)} observation columns repeat another one")


def _duplicates(facts: Facts, data: LoggedData) -> None:
    t, section = data.trajectories, "duplicates"
    steps_seen: set[int] = set()
    episodes_seen: set[bytes] = set()
    for a, b in pairwise(t.offsets.tolist()):
        rows = np.concatenate([t.observations[a:b].numpy(), t.actions[a:b].numpy(), t.rewards[a:b].numpy()[:, None]], 1)
        steps_seen.update(hash(row.tobytes()) for row in rows)  # 64 bits in place of the row: a collision is one in billions
        episodes_seen.add(hashlib.sha256(rows.tobytes()).digest())
    steps, episodes = t.num_steps - len(steps_seen), t.num_episodes - len(episodes_seen)
    facts.add(section, "steps that repeat another", _share(steps, t.num_steps))
    facts.add(section, "episodes that repeat another", _share(episodes, t.num_episodes))
    if episodes:
        facts.flags.append(f"{episodes} episodes repeat another one, step by step")
    elif steps > 0.01 * t.num_steps:
        facts.flags.append(f"{steps / t.num_steps:.1%} of steps repeat another one")


def _strata(facts: Facts, data: LoggedData, recorded_by: Behaviours | None) -> None:
    rows, flags = strata(data.trajectories.returns.numpy(), data.trajectories.lengths.numpy(), recorded_by)
    for name, value in rows:
        facts.add("quality strata (by return)", name, value)
    facts.flags += flags


def _share(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})"
