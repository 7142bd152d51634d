"""A tabular MDP with exact values: three states, two actions, deterministic moves; one action ends the episode."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from envs.data.trajectories import Trajectories
from tests.helpers.episodes import from_episodes

STATES, HORIZON, DISCOUNT = 3, 3, 0.9
NEXT = np.array([[1, 2], [2, 0], [0, 1]])  # [state, action] -> state
REWARD = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 3.0]])
BEHAVIOUR = np.array([[0.25, 0.75], [0.5, 0.5], [0.75, 0.25]])  # quarters: whole numbers of episodes have its exact shares
ENDS = (1, 0)  # this action in this state ends the episode
POLICIES = np.array([[[0.9, 0.1], [0.3, 0.7], [0.2, 0.8]], [[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]], BEHAVIOUR])  # [policy, state, action]


def episode(actions: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """States and actions of the episode from state 0 that takes `actions` until it ends."""
    states, taken = [0], []
    for action in actions:
        taken.append(action)
        ends = (states[-1], action) == ENDS
        states.append(int(NEXT[states[-1], action]))
        if ends:
            break
    return states, taken


def logged(episodes: list[tuple[list[int], list[int]]]) -> Trajectories:
    eye, rows = np.eye(STATES), []
    for states, actions in episodes:
        last = np.arange(len(actions)) == len(actions) - 1
        ended = last & ((states[len(actions) - 1], actions[-1]) == ENDS)
        rewards = np.array([REWARD[s, a] for s, a in zip(states, actions, strict=False)])
        rows.append((eye[states], np.array(actions, float)[:, None], rewards, ended, last & ~ended))
    return replace(from_episodes(rows), num_actions=2)


def enumerated() -> Trajectories:
    """Every episode as often as the behaviour plays it in 4^HORIZON episodes."""
    found = []
    for actions in itertools.product((0, 1), repeat=HORIZON):
        shares, state = [], 0
        for t, action in enumerate(actions):  # after its end an episode goes on by a fair coin, which splits its copies
            alive = t < len(episode(actions)[1])
            shares.append(BEHAVIOUR[state, action] if alive else 0.5)
            state = int(NEXT[state, action])
        found += [episode(actions)] * round(float(np.prod(shares)) * 4**HORIZON)
    assert len(found) == 4**HORIZON
    return logged(found)


def sampled(count: int, seed: int) -> Trajectories:
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        state, actions = 0, []
        while len(actions) < HORIZON:
            actions.append(int(rng.random() < BEHAVIOUR[state, 1]))
            if (state, actions[-1]) == ENDS:
                break
            state = int(NEXT[state, actions[-1]])
        found.append(episode(tuple(actions)))
    return logged(found)


def exact(policy: np.ndarray, horizon: int = HORIZON) -> float:
    """The policy's expected discounted return within `horizon` steps, by dynamic programming."""
    values = np.zeros(STATES)
    for _ in range(horizon):
        live = np.ones((STATES, 2))
        live[ENDS] = 0
        values = (policy * (REWARD + DISCOUNT * live * values[NEXT])).sum(1)
    return float(values[0])


def infinite() -> np.ndarray:
    """Q [policy, state, action] of POLICIES without a horizon."""
    q = np.zeros((len(POLICIES), STATES, 2))
    live = np.ones((STATES, 2))
    live[ENDS] = 0
    for _ in range(500):
        values = (POLICIES * q).sum(-1)
        q = REWARD + DISCOUNT * live * values[:, NEXT]
    return q
