"""`python -m bench speed` writes tables and figures, and refuses a mistake in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from algos.networks.precision import has_bfloat16
from bench import cli
from bench.speed import limits
from bench.speed.engines import measure_engines, table
from bench.speed.options import EngineOptions, parse
from bench.speed.rows import COLUMNS, ROUND_COLUMNS, read_csv
from tests.helpers.cli import bench
from tests.helpers.episodes import PENDULUM
from tests.helpers.speed import config_of

QUICK = (
    "members=[2]", "rounds=2", "seconds=0.05", "threads=1", "hidden=[8,8]", "batch=16", "device=cpu", f"dataset={PENDULUM}",
)  # fmt: skip


def test_measuring_leaves_tables_and_a_figure(pendulum_data: Any, tmp_path: Path) -> None:
    pendulum_data()
    done = bench(tmp_path, "speed", "methods=[iql]", *QUICK)
    folder = tmp_path / "results" / "speed"
    assert {p.name for p in folder.iterdir()} == {"speed-cpu.csv", "rounds-cpu.csv", "speed-cpu.svg", "speed-cpu.png"}
    rows, rounds = read_csv(folder / "speed-cpu.csv", COLUMNS), read_csv(folder / "rounds-cpu.csv", ROUND_COLUMNS)
    assert [(r["kind"], r["members"]) for r in rows] == [("suite", 2), ("yardstick", 1), ("limit", 1), ("limit", 2)]
    suite, plain = rows[:2]
    of_suite, of_plain = (
        [x["member_updates_per_s"] for x in rounds if (x["kind"], x["members"]) == (r["kind"], r["members"]) and x["method"] == "iql"]
        for r in (suite, plain)
    )
    assert len(of_suite) == len(of_plain) == suite["rounds"] == 2
    ratios = sorted(a / b for a, b in zip(of_suite, of_plain, strict=True))
    assert (suite["ratio_low"], suite["ratio_high"]) == pytest.approx(ratios, rel=1e-4)
    assert suite["member_updates_per_s"] == pytest.approx(2 * suite["updates_per_s_member"], rel=1e-4)
    assert suite["flops_per_update"] == plain["flops_per_update"] == limits.needed(config_of("iql", [8, 8]), 4, 1, 16)
    assert max(r["share_of_limit"] for r in rows if r["kind"] == "limit") == 1
    assert {name for name in COLUMNS if suite[name] is None} == {"ratio_processes"}  # one thread: no yardstick in several processes
    (printed,) = re.findall(r"\| iql \| suite \| float32 \| 2 \| 1 x 1 \| (\S+) \|", done.stdout)
    assert float(printed) == pytest.approx(suite["updates_per_s_member"], rel=2e-3)  # four digits, of a number that the file has with six
    assert "limit" in (folder / "speed-cpu.svg").read_text()


@pytest.mark.skipif(not has_bfloat16(), reason="this processor is no faster with bfloat16")
def test_measuring_in_bfloat16(pendulum_data: Any, tmp_path: Path) -> None:
    pendulum_data()
    bench(tmp_path, "speed", "methods=[iql]", *QUICK, "precision=bf16")
    rows = read_csv(tmp_path / "results" / "speed" / "speed-cpu.csv", COLUMNS)
    assert [(r["kind"], r["precision"]) for r in rows] == [
        ("suite", "bf16"), ("yardstick", "float32"), ("yardstick", "bf16"), ("limit", "bf16"), ("limit", "bf16"),
    ]  # fmt: skip
    assert all(r["member_updates_per_s"] > 0 for r in rows)


def test_engines_are_measured_until_the_limit(pendulum_data: Any, tmp_path: Path) -> None:
    """Settings beyond the limit of time are listed as not measured; ratios are to the plain loop."""
    pendulum_data()
    toy = [o for o in QUICK if not o.startswith(("members", "rounds"))]
    o = parse(EngineOptions, [*toy, "methods=[bc]", "members=[1,2]", "engines=[eager]", "precisions=[float32]"])
    rows = measure_engines(o, lambda line: None)
    assert [(r["kind"], r["members"], r["skipped"]) for r in rows] == [("yardstick", 1, ""), ("suite", 1, ""), ("suite", 2, "")]
    assert rows[2]["member_updates_per_s"] == pytest.approx(2 * rows[2]["updates_per_s_member"])
    assert rows[2]["ratio"] == pytest.approx(rows[2]["member_updates_per_s"] / rows[0]["member_updates_per_s"])
    o.limit = 0.0
    assert "not measured: bc suite eager float32 P = 2 (limit of 0 s)" in table(measure_engines(o, lambda line: None))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["method=[bc]"], "'method=[bc]': expected key=value with a key out of dataset, device,"),
        (["methods=[sac]"], "methods = ['sac']: expected some of bc, iw_sft_q, iql, td3_bc"),
        (["rounds=many"], "rounds=many: expected a whole number"),
        (["members=4"], "members=4: expected a list, such as 'members=[4]'"),
        (["members=[1,x]"], "members=[1,x]: expected a whole number"),
        (["seconds=0"], "seconds = 0.0: expected a positive number"),
        (["profile", "algo=iqll"], "algo=iqll: no such algo; near names: iql"),
        (["scale", "dataset=test/none-v0"], "test/none-v0"),
        (["estimate"], "results/speed: no scale-cpu.csv or scale-cuda.csv; measure them with python -m bench speed scale"),
        (["evaluation", "tasks=[CartPole-v1]"], "tasks = CartPole-v1: expected a task that threads step"),
        (["evaluation", "tasks=[Hoper-v5]"], "Hoper-v5"),
        (["evaluation", "environments=[0]"], "environments = [0]: expected positive numbers"),
        (["data", "steps=5"], "length = 1000: expected 1 to steps = 5"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    minari_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["speed", *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "load average" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert not (tmp_path / "results").exists()
