from __future__ import annotations

import pytest

from envs.data.trajectories import Trajectories
from tests.helpers.learners import episodes_of


@pytest.fixture(scope="module")
def data() -> Trajectories:
    return episodes_of(count=30)
