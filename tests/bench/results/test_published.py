"""Published scores: every number is the paper's, and only those of the same tasks are found."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.results import published

QUALITIES = ("medium", "medium-replay", "medium-expert")


def test_every_number_is_the_papers() -> None:
    rows = pd.DataFrame(published.rows([f"{e}-{q}-v2" for e in ("hopper", "halfcheetah", "walker2d") for q in QUALITIES]))
    assert len(rows) == 180 + 45
    for name in ("corl.csv", "iql_paper.csv"):
        raw = pd.read_csv(Path(published.__file__).parent / name)
        own = rows[rows["citation"] == next(s.citation for s in published.SOURCES if s.file == name)]
        assert list(own["score_mean"]) == list(raw["mean"])
        assert list(own["dataset"]) == list(raw["dataset"])
        assert list(own["algo"]) == [published.METHODS[a] for a in raw["algorithm"]]
    row = rows.query("dataset == 'hopper-medium-expert-v2' and algo == 'awac' and selection == 'best'").iloc[0]
    assert (row["score_mean"], row["score_std"]) == (113.26, 0.49)


def test_rows_name_their_source() -> None:
    rows = pd.DataFrame(published.rows(["iwsft/hopper/medium-v0"]))
    assert set(rows["reference"]) == {published.FAMILY}
    assert rows["citation"].str.contains("arXiv").all()
    assert set(rows["std_ddof"]) == {0}
    assert set(rows["selection"]) == {"last", "best", "unstated"}


@pytest.mark.parametrize(
    ("dataset", "count"),
    [
        ("iwsft/hopper/medium-replay-v0", 25), ("mujoco/hopper/medium-v0", 25), ("d4rl/walker2d-medium-expert-v2", 25),
        ("iwsft/hopper/medium-replay-v0@top:5%", 0), ("iwsft/ant/medium-v0", 0), ("mujoco/hopper/simple-v0", 0),
        ("own/shopper/medium-v0", 0),
    ],
)  # fmt: skip
def test_published_rows_are_those_of_the_same_task(dataset: str, count: int) -> None:
    assert len(published.rows([dataset])) == count
