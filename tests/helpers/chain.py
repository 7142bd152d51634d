"""A chain of five states with a known optimum, and mixed data of it.

States 0 .. 4 in a row; an action above 0 goes right, else left (state 0 stays). Right of state 4 the episode terminates with reward 1.
The logged policy goes left three times out of five, so its average action is wrong everywhere.
"""

from __future__ import annotations

import numpy as np

from envs.data.trajectories import Trajectories
from tests.helpers.episodes import from_episodes

STATES, DISCOUNT, LIMIT = 5, 0.9, 25


def move(state: int, right: bool) -> tuple[int, float, bool]:
    """The next state, the reward, and `terminated`."""
    if right and state == STATES - 1:
        return state, 1.0, True
    return max(0, state + (1 if right else -1)), 0.0, False


def mixed_data(episodes: int = 250) -> Trajectories:
    rng, eye, logged = np.random.default_rng(0), np.eye(STATES), []
    for _ in range(episodes):
        state, rows = int(rng.integers(STATES)), []
        while len(rows) < LIMIT:
            right = rng.random() < 0.4
            next_state, reward, terminated = move(state, right)
            rows.append((state, (1 if right else -1) * rng.uniform(0.6, 1.0), reward, terminated, next_state))
            if terminated:
                break
            state = next_state
        states, actions, rewards, ends, nexts = map(np.array, zip(*rows, strict=True))
        truncated = np.arange(len(rows)) == LIMIT - 1
        logged.append((eye[[*states, nexts[-1]]], actions[:, None], rewards, ends, truncated & ~ends))
    return from_episodes(logged)


def optimum() -> np.ndarray:
    """Q* [state, right], by value iteration."""
    q = np.zeros((STATES, 2))
    for _ in range(100):
        for s in range(STATES):
            for right in (0, 1):
                next_state, reward, terminated = move(s, bool(right))
                q[s, right] = reward + DISCOUNT * (not terminated) * q[next_state].max()
    return q
