"""Log-densities of logged actions: read for the selected episodes in their order; data sets without them are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.errors import DataError
from envs.readers.densities import log_densities
from envs.readers.load import load
from tests.helpers.logged import ragged, write


def densities(seed: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [e | {"infos": {"log_prob": rng.normal(size=len(e["rewards"]))}} for e in ragged(seed)]


def test_selected_episodes_of_several_data_sets(minari_root: Path) -> None:
    one, other = densities(0), densities(1)
    write("tt/one-v0", one)
    write("tt/other-v0", other)
    expression = "tt/other-v0@episodes:1|4+tt/one-v0"
    expected = np.concatenate([e["infos"]["log_prob"] for e in (other[1], other[4], *one)])
    np.testing.assert_array_equal(log_densities(expression), expected)
    assert len(expected) == load(expression).trajectories.num_steps


def test_absent_and_wrong_ones_are_named(minari_root: Path) -> None:
    for data_format in ("hdf5", "arrow"):
        write(f"tt/{data_format}-v0", ragged(0), data_format=data_format)
        with pytest.raises(DataError, match=rf"^tt/{data_format}-v0: episode 0: states no infos/log_prob$"):
            log_densities(f"tt/{data_format}-v0")
    episodes = densities(0)
    episodes[2]["infos"]["log_prob"][0] = np.inf
    write("tt/infinite-v0", episodes)
    with pytest.raises(DataError, match=r"^tt/infinite-v0: episode 2, step 0: infos/log_prob is not finite$"):
        log_densities("tt/infinite-v0")
    episodes[2]["infos"] = {"log_prob": np.zeros(len(episodes[2]["rewards"]) + 1)}
    write("tt/longer-v0", episodes)
    with pytest.raises(DataError, match=r"^tt/longer-v0: episode 2: infos/log_prob has shape"):
        log_densities("tt/longer-v0")
