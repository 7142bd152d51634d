"""Shards of a suite with their hours, from stand-ins for the measured rates."""

from __future__ import annotations

import math
from typing import Any

import pytest

from algos.errors import ConfigError
from bench.cli import run
from bench.config.compose import compose
from bench.config.schema import Config
from bench.launch import shards
from bench.launch.shards import Shard, _shard, jobs_of, online_hours, table


def test_jobs_are_those_of_the_sweep() -> None:
    names = [(c.dataset, c.algo.name, c.algo.updates) for c in jobs_of(["suite=reference", "algo=bc,iql", "dataset=iwsft/hopper/mixed-v0"])]
    assert names == [("iwsft/hopper/mixed-v0", "bc", 10_000), ("iwsft/hopper/mixed-v0", "iql", 1_000_000)]
    assert len(jobs_of(["suite=quick"])) == 8
    assert len(jobs_of(["algo=bc"])) == 1


def test_hours_are_those_of_all_members() -> None:
    config = compose(["suite=reference", "algo=iql"])
    found = _shard(config, rate=1000.0, steps=10_000.0)
    assert found.training == pytest.approx(4 * 1_000_000 / 1000 / 3600)
    assert found.evaluation == pytest.approx(4 * (19 * 10 + 50) * 1000 / 10_000 / 3600)
    short = _shard(compose(["suite=reference", "algo=iql", "eval.max_episode_steps=100"]), 1000.0, 10_000.0)
    assert short.evaluation == pytest.approx(found.evaluation / 10)
    assert _shard(compose(["suite=reference", "algo=iql", "env=none"]), 1000.0, float("inf")).evaluation == 0


def test_the_table_ends_with_the_sum() -> None:
    config = compose(["suite=reference", "algo=iql"])
    rows = table([Shard(config, 1000.0, 1.0, 0.5), Shard(config, 1000.0, 2.0, 0.25)])
    assert rows[1] == ["iwsft/hopper/medium-replay-v0", "iql", "4", "1,000,000", "1000", "1.00", "0.50", "1.50"]
    assert rows[-1] == ["all", "", "", "", "", "3.0", "0.8", "3.8"]


def test_steps_of_an_online_phase_are_timed_in_the_warm_up_and_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm-up of other updates, and the updates behind it, at the rate of each; no rate of updates where no update is offline."""
    made = []

    def stand_in(config: Config, data: object, members: int) -> tuple[object, int]:
        made.append((config.online.warmup, members))
        return (lambda steps: None), 1

    monkeypatch.setattr(shards, "suite", stand_in)
    monkeypatch.setattr(shards, "rate", lambda train, seconds: 50.0 if made[-1][0] else 20.0)
    monkeypatch.setattr(shards, "check_online", lambda config, data, members: None)
    config = compose(["algo=bc", "seeds=4", "online.stage=actor_critic", "online.steps=6000", "online.warmup=2000"])
    data: Any = None
    assert online_hours(config, data) == pytest.approx((2000 / 50 + 4000 / 20) / 3600)
    assert made == [(6000, 4), (0, 4)]
    made.clear()
    assert online_hours(compose(["algo=bc"]), data) == 0
    assert not made


def test_evaluations_of_an_online_phase_are_counted() -> None:
    arguments = ["algo=iql", "seeds=2", "algo.updates=600", "eval.every=600", "eval.episodes=5", "eval.final_episodes=20"]
    plain, online = (_shard(compose([*arguments, *more]), 10.0, 100.0, 0.5) for more in ([], ["online.steps=400", "online.every=100"]))
    assert plain.evaluation == pytest.approx(2 * 20 * 1000 / 100 / 3600)
    assert online.evaluation == pytest.approx(2 * (20 + 3 * 5 + 20) * 1000 / 100 / 3600)
    assert online.training == plain.training == pytest.approx(2 * 600 / 10 / 3600)
    assert online.together == pytest.approx(online.training + online.evaluation + 0.5)
    rows = table([online, _shard(compose(["algo=rlpd", "online.steps=400"]), math.nan, 100.0, 0.25)])
    assert rows[0][4:8] == ["member-updates/s", "online steps", "hours, training", "online"]
    assert rows[1][3:8] == ["600", "10", "400", "0.03", "0.50"]
    assert rows[2][3:8] == ["0", "-", "400", "0.00", "0.25"]
    assert rows[3][5:8] == ["", "0.0", "0.8"]
    assert {len(row) for row in rows} == {10}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["algo=iqll"], "algo=iqll: no such algo; near names: iql"),
        (["algo="], "algo"),
        (["dataset=iwsft/hopper/medium-reply-v0", "algo=bc"], "iwsft/hopper/medium-reply-v0"),
        (["algo=bc", "algo.updates=0"], "algo.updates = 0: expected a positive number"),
    ],
)
def test_a_shard_that_names_nothing_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["shards", "suite=reference", *arguments]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


def test_methods_with_equal_settings_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = []

    class Data:
        env_spec = ""

    class Shared:
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *a: None  # noqa: E731
        run_data = lambda self, config: Data()  # noqa: E731

    monkeypatch.setattr(shards, "Shared", Shared)
    monkeypatch.setattr(shards, "ensure", lambda dataset: None)
    monkeypatch.setattr(shards, "check_quiet", lambda say: 0.0)
    monkeypatch.setattr(shards, "member_updates_per_second", lambda config, data, say: timed.append(config.algo.name) or 100.0)
    found = shards.shards(["suite=reference", "algo=iql,edac"], lambda line: None)
    assert len(found) == 18
    assert timed.count("iql") == 1
    assert timed.count("edac") > 1  # its critics differ between data sets


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown key 'shard'"):
        jobs_of(["suite=reference", "shard=1"])
