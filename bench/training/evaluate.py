"""Evaluation of a population: the episodes of all members side by side in one vectorised environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from algos.base import Algo
from bench.storage.layout import SAMPLED, SUCCESS, Row
from envs.data.logged_data import LoggedData
from envs.errors import DataError
from envs.evaluation.action_noise import uniform
from envs.evaluation.rollout import Evaluator, Moments, Returns, episode_seeds

ENVIRONMENTS = 64  # at most, side by side; at least one for each member


def environments_a_member(members: int, episodes: int) -> int:
    """Environments that play side by side for each member of a population."""
    return max(1, min(episodes, ENVIRONMENTS // members))


def play(
    algo: Algo,
    data: LoggedData,
    environments: Evaluator,
    update: int,
    episodes: int,
    on_step: Callable[[], None] = lambda: None,
    side_by_side: int | None = None,
    sampled: bool = False,
) -> Returns:
    """Play `episodes` episodes with every member's mean actions, or `sampled` ones: [P, episodes]. Members with equal seeds play from equal
    starts, with equal noise in sampled actions; a deterministic policy plays its mean.

    A member whose parameters are not finite has return NaN, length 0 and no success; a return that is not finite is NaN. `on_step` is
    called after every step. side_by_side: environments of each member, if not `environments_a_member`. Raises DataError for an environment
    that fails, or whose observations are not as wide as the data's.
    """
    members, device, width = algo.members, algo.device, algo.noise_width if sampled else 0
    side_by_side = side_by_side or environments_a_member(members, episodes)
    rounds = -(-episodes // side_by_side)
    seeds = episode_seeds(algo.seeds, update, rounds * side_by_side)  # the surplus of the last round is dropped below

    def act(observations: np.ndarray, moments: Moments) -> np.ndarray:
        if (found := observations.shape[1]) != (expected := data.observation_width):
            raise DataError(f"an observation of the environment has {found} numbers; the policies take {expected}")
        batch = torch.from_numpy(observations).to(device).view(members, side_by_side, -1)
        if width:
            noise = torch.from_numpy(uniform(moments, width)).to(device).view(members, side_by_side, width)
            actions = algo.act_sampled(batch, noise)
        else:
            actions = algo.act(batch)
        return data.to_env(np.nan_to_num(actions.flatten(0, 1).cpu().numpy()))  # environments may refuse NaN

    def write(prompts: np.ndarray, lengths: np.ndarray, own: np.ndarray, end: int) -> np.ndarray:
        given, long = (torch.from_numpy(x).to(device).unflatten(0, (members, -1)) for x in (prompts, lengths))

        def noise(steps: torch.Tensor) -> torch.Tensor:
            moments = Moments(own, steps.clamp(min=0).flatten().cpu().numpy())
            return torch.from_numpy(uniform(moments, width)[:, 0]).to(device).view(steps.shape)

        return algo.write(given, long, end, noise if width else None).flatten(0, 1).cpu().numpy()

    # Environment i of a member plays its episodes i, i + side_by_side, ...
    queues = seeds.reshape(members, rounds, side_by_side).transpose(0, 2, 1).reshape(members * side_by_side, rounds)
    played = environments.run(act, queues, on_step, write) if algo.writes else environments.run(act, queues, on_step)
    found = Returns(*(a.reshape(members, side_by_side, rounds).transpose(0, 2, 1).reshape(members, -1)[:, :episodes] for a in played))
    failed = ~finite(algo)[:, None]
    successes = np.where(failed & ~np.isnan(found.successes), 0.0, found.successes)
    return Returns(np.where(failed | ~np.isfinite(found.returns), np.nan, found.returns), np.where(failed, 0, found.lengths), successes)


def finite(algo: Algo) -> np.ndarray:
    """A mask [P]: True for members whose policy parameters are all finite."""
    return torch.stack([p.isfinite().flatten(1).all(1) for p in algo.policy().values()]).all(0).cpu().numpy()


def evaluate(algo: Algo, data: LoggedData, environments: Evaluator, update: int, episodes: int, on_step: Callable[[], None]) -> list[Row]:
    """`play`, as rows of episodes.csv."""
    return episode_rows(algo.seeds, update, play(algo, data, environments, update, episodes, on_step))


def episode_rows(seeds: Sequence[int], update: int, played: Returns, sampled: bool | None = None) -> list[Row]:
    """Rows of episodes.csv, one per episode of `played` [len(seeds), episodes]; with the column `success` if one reports it, and with the
    column `sampled` unless `sampled` is None."""
    reported, mode = not np.isnan(played.successes).all(), {} if sampled is None else {SAMPLED: int(sampled)}
    return [
        {"update": update, "seed": seed, "episode": e, "return": float(played.returns[k, e]), "length": int(played.lengths[k, e])}
        | ({SUCCESS: "" if np.isnan(played.successes[k, e]) else int(played.successes[k, e])} if reported else {})
        | mode
        for k, seed in enumerate(seeds)
        for e in range(played.returns.shape[1])
    ]
