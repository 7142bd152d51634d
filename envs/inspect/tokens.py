"""Solve rates of the built-in data sets of token tasks, by solver and by difficulty."""

from __future__ import annotations

from collections.abc import Sequence

from envs.evaluation.tokens.environment import TASKS
from envs.recorded.tokens.sets import token_sets
from envs.recorded.tokens.solvers import solver


def solve_rates(dataset: str) -> list[tuple[str, str]]:
    """Rows (name, value) of a recorded data set; none for other data sets, and for parts of one (`@top:5%`)."""
    if dataset not in (known := token_sets()):
        return []
    import minari

    storage = minari.load_dataset(dataset).storage
    episodes = list(storage.get_episode_metadata(range(storage.total_episodes)))
    solved = [bool(e["solved"]) for e in episodes]
    rows = [("all", _rate(solved)), ("partial", f"{sum(float(e['partial']) for e in episodes) / len(episodes):.1%} of parts, on average")]
    for level in known[dataset].levels:
        own = solver(level)
        traits = f"error {own.error:.1%}, habit {own.habit:+.1f}, temperature {own.temperature:.1f}"
        found = [s for s, e in zip(solved, episodes, strict=True) if int(e["snapshot"]) == level]
        rows.append((f"solver {level}", f"{_rate(found)}; {traits}"))
    task = TASKS[known[dataset].task]
    for size in task.sizes:
        found = [s for s, e in zip(solved, episodes, strict=True) if int(e["size"]) == size]
        rows.append((f"{size} {task.size_is}", _rate(found)))
    return rows


def _rate(solved: Sequence[bool]) -> str:
    return f"{sum(solved)} of {len(solved)} ({sum(solved) / max(len(solved), 1):.1%})"
