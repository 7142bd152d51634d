from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bench
from tests.helpers.episodes import PENDULUM, random_episodes, write_minari

SMALL = {"eval": {"every": 20, "episodes": 2, "final_episodes": 4, "workers": 1}, "device": "cpu", "pi_ref": {"updates": 20}}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder, with a Minari root that has PENDULUM with reference scores."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "minari").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(folder / "minari"))
        patch.chdir(folder)
        write_minari(PENDULUM, random_episodes(30, obs=4, act=1), ref_min_score=5.0, ref_max_score=1000.0)
        yield folder


@pytest.fixture(scope="module")
def small_keys() -> dict[str, Any]:
    """Keys of a run that takes a second."""
    return SMALL


@pytest.fixture(scope="module")
def run(workplace: Path) -> bench.Run:
    """iw-SFT(Q), two seeds, trained through the API."""
    return bench.train("iw_sft_q", PENDULUM, seeds=[3, 1], settings={"hidden": [8], "updates": 40, "warmup": 0.1}, **SMALL)
