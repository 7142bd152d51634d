"""Success as environments report it: at any step of an episode, under one of two keys, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import pytest

from envs.evaluation import worker

BOX = gymnasium.spaces.Box(-1, 1, (1,), np.float32)


class Reports(gymnasium.Env[Any, Any]):
    """Episodes of three steps with `infos`, one for each step."""

    action_space = observation_space = BOX

    def __init__(self, infos: list[dict[str, Any]]) -> None:
        self.infos = infos

    def reset(self, **arguments: Any) -> tuple[np.ndarray, dict[str, Any]]:
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return np.zeros(1, np.float32), 1.0, self.t == 3, False, self.infos[self.t - 1]


@pytest.mark.parametrize(
    ("infos", "success"),
    [
        ([{"success": False}, {"success": True}, {"success": False}], 1.0),
        ([{"success": 0.0}, {"success": np.float32(0)}, {"success": np.bool_(False)}], 0.0),
        ([{}, {}, {"is_success": np.True_}], 1.0),
        ([{}, {}, {}], np.nan),
        ([{"success": "yes"}, {"success": [1]}, {"success": None}], np.nan),
    ],
)
def test_an_episode_succeeds_if_one_of_its_steps_does(
    monkeypatch: pytest.MonkeyPatch, infos: list[Mapping[str, Any]], success: float
) -> None:
    monkeypatch.setattr(worker, "make", lambda spec: Reports(list(map(dict, infos))))
    slot = worker.Slot("")
    slot.start([1, 2])
    while slot.running:
        slot.step(np.zeros(1))
    assert [(total, length) for total, length, _ in slot.results] == [(3.0, 3)] * 2
    np.testing.assert_array_equal([own for *_, own in slot.results], [success] * 2)
