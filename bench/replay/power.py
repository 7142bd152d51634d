"""Simulation of honest and forged submissions of a run: how often the tolerance of `bench.replay.tolerance` refuses each.

The run's policies play the final episodes many times, each time with other rounding. A submission takes one of these returns for each
episode, the verifier others; a forged submission multiplies its returns. So both have the noise of this policy in this environment.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.errors import RunError
from bench.replay.load import load_run
from bench.replay.replays import Player, open_environments
from bench.replay.tolerance import MORE, compare
from bench.report.render import markdown_rows

FORGERIES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1)  # shares that are added to every return; 0 is an honest submission
SPARE = 2  # rollouts of an episode in the pool for each that a trial takes
SEED = 0


def simulate(folder: Path, trials: int, workers: int | None = None, plays: int = 8) -> str:
    """A Markdown table of the share of `trials` submissions that are found to differ, by forgery and number of episodes a seed.

    plays: rollouts of each episode by the verifier, MORE times as many where it would use them. Columns `finds` and `bound`: the change of
    the mean that is found 99 times in 100, and the smallest that any verifier could find so. Raises RunError, DataError as `load_run` and
    `Player.play`.
    """
    if trials < 1 or plays < 2:
        raise RunError(f"--simulate {trials} --plays {plays}: expected at least 1 trial and 2 plays")
    run = load_run(folder)
    update, episodes, sampled = run.record["updates"], run.record["final_episodes"], run.record["actions"] == "sampled"
    with open_environments(run, workers) as environments:
        player = Player(run, environments, plays)

        def extended(pool: list[np.ndarray], length: int) -> list[np.ndarray]:
            return [*pool, *(player.play(run.parameters, update, episodes, k, sampled).returns for k in range(len(pool) + 1, length + 1))]

        found = extended([], SPARE * (plays + 1))
        alive = ~np.isnan(found).any((0, 2))
        if not alive.any():
            raise RunError(f"{folder}: every seed failed; there is nothing to simulate")
        if not compare(found[0][alive], np.stack(found)[1 : plays + 1, alive]).decides:
            found = extended(found, SPARE * (MORE * plays + 1))
    pool = np.stack(found)[:, alive]
    head = [f"{plays} plays of each episode", *("honest" if f == 0 else f"+{f:.0%}" for f in FORGERIES)]
    rows = [[*head, "noise of an episode", "finds", "bound"]]
    for count in sorted({n for n in (10, 25, 50, 100, episodes) if n <= episodes}):
        part = pool[:, :, :count]
        shares = [found_share(part, f, trials, plays) for f in FORGERIES]
        noise = np.sqrt(part.var(0, ddof=1).mean()) / abs(part.mean())
        best = compare(part[0], part[1 : _most(part, plays) + 1])
        limits = [f"{x:.1%} of the mean" for x in (noise, best.share, abs(best.bound / best.mean))]
        rows.append([f"{pool.shape[1]} seeds, {count} episodes", *(f"{share:.2%}" for share in shares), *limits])
    return "\n".join([f"Found to differ, of {trials} submissions each: {folder.name}", "", *markdown_rows(rows)])


def found_share(pool: np.ndarray, forgery: float, trials: int, plays: int) -> float:
    """Share of `trials` submissions, with returns raised by the share `forgery`, that differ. pool: returns [R, S, E], R > plays."""
    draws, most = np.random.default_rng(SEED), _most(pool, plays)
    found = 0
    for _ in range(trials):
        order = draws.random(pool.shape).argsort(0)[: most + 1]
        drawn = np.take_along_axis(pool, order, 0)
        recorded = drawn[0] * (1 + forgery)
        comparison = compare(recorded, drawn[1 : plays + 1])
        if comparison.within and not comparison.decides and most > plays:
            comparison = compare(recorded, drawn[1:])
        found += not comparison.within
    return found / trials


def _most(pool: np.ndarray, plays: int) -> int:
    """The plays of an episode where its noise is large."""
    return MORE * plays if len(pool) > MORE * plays else plays
