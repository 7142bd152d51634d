"""The cost of loading is measured in four ways, against h5py and the size of the arrays."""

from __future__ import annotations

import pytest

from bench.speed.loading import KINDS, loading_cost


@pytest.mark.slow  # four processes
def test_every_way_of_loading_is_measured() -> None:
    """20,000 steps of Hopper take 106 bytes each: two observations of 11, an action of 3 and a reward in single precision, two flags."""
    first, _, *table = loading_cost(20_000, 500, rounds=1).splitlines()
    assert first == "20,000 steps in episodes of 500; the arrays of Trajectories take 2 MB"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table]
    assert [row[0] for row in rows[2:]] == list(KINDS)
    assert rows[2][2] == "1.00"
    assert all(float(row[1]) > 0 for row in rows[2:])
