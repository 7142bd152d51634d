"""Rows follow from rates: ratios round by round, the limit, CSV files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from algos.errors import ConfigError
from bench.errors import RunError
from bench.speed.measure import compared, peak, settings, table
from bench.speed.options import MeasureOptions, parse
from bench.speed.rows import read_csv, write_csv
from bench.speed.worker import Setting
from bench.speed.workload import Workload
from tests.helpers.speed import FakeWorker


def test_the_suite_is_compared_round_by_round_with_the_yardsticks_best_setting() -> None:
    one, four = Workload("iql", 1, 256, (256, 256)), Workload("iql", 4, 256, (256, 256))
    workers: Any = [
        FakeWorker(Setting("suite", four, 2), (300.0, 600.0, 330.0)),
        FakeWorker(Setting("yardstick", one, 1, environment="runtime"), (90.0, 900.0, 95.0)),  # one fast round does not make it the best
        FakeWorker(Setting("yardstick", one, 2, environment="suite"), (500.0, 500.0, 500.0)),  # not the environment of public code
        FakeWorker(Setting("yardstick", one, 2, environment="runtime"), (100.0, 200.0, 110.0)),
        FakeWorker(Setting("yardstick", replace(one, members=2), 1, 2, "runtime"), (150.0, 200.0, 150.0)),
    ]
    suite, *others = compared(workers, 5e8, 300e9, 0.01)
    assert (suite["ratio"], suite["ratio_low"], suite["ratio_high"]) == pytest.approx((3.0, 3.0, 3.0))
    assert suite["ratio_processes"] == pytest.approx(2.2)
    assert (suite["member_updates_per_s"], suite["updates_per_s_member"]) == (330.0, 82.5)
    assert suite["share_of_limit"] == pytest.approx(330 * 5e8 / 300e9)
    assert suite["spread"] == pytest.approx(300 / 330)
    assert all("ratio" not in row for row in others)
    assert "| iql | suite | float32 | 4 | 1 x 2 | 82.5 | 330 | 91% | 3.00 (3.00 to 3.00) | 2.20 | 165 | 55% | 300 |" in table(
        [suite, *others]
    )


def test_in_bfloat16_the_yardstick_is_measured_in_both_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The yardstick is measured in float32 and with torch.autocast; the ratio is to the faster one."""
    monkeypatch.setattr("bench.speed.options.precision_on", lambda device, precision: precision)
    options = parse(MeasureOptions, ["precision=bf16", "threads=2", "members=[4]", "device=cpu"])
    suite, yardstick = settings("iql", options)
    assert [(s.workload.precision, s.workload.members) for s in suite] == [("bf16", 4)]
    ways = [(1, 1, "runtime"), (2, 1, "suite"), (2, 1, "runtime"), (1, 2, "runtime")]
    assert [(s.workload.precision, s.threads, s.processes, s.environment) for s in yardstick] == [
        (p, *w) for p in ("float32", "bf16") for w in ways
    ]
    rates = [(90.0,), (99.0,), (100.0,), (150.0,), (91.0,), (99.0,), (110.0,), (140.0,)]
    workers: Any = [FakeWorker(suite[0], (330.0,)), *(FakeWorker(s, r) for s, r in zip(yardstick, rates, strict=True))]
    row = compared(workers, 5e8, 300e9, 0.01)[0]
    assert (row["ratio"], row["ratio_processes"]) == pytest.approx((3.0, 2.2))


def test_left_to_the_suite_the_precision_is_that_of_a_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.training.choice.has_bfloat16", lambda: True)
    assert parse(MeasureOptions, ["device=cpu"]).precision == "bf16"
    assert parse(MeasureOptions, ["device=cpu", "hidden=[32,32]"]).precision == "float32"
    monkeypatch.setattr("bench.training.choice.has_bfloat16", lambda: False)
    assert parse(MeasureOptions, ["device=cpu"]).precision == "float32"


def test_a_precision_without_gain_on_this_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.speed.options.precision_on", lambda device, precision: "float32")
    with pytest.raises(ConfigError, match=r"^precision = bf16: expected float32, because another is no faster on this processor$"):
        parse(MeasureOptions, ["precision=bf16", "device=cpu"])


def test_the_limit_is_the_fastest_product() -> None:
    square, layer = (Setting("limit", Workload(name, 4, 256, (256,)), 2) for name in ("square", "batched"))
    products: Any = [FakeWorker(square, (10.0, 12.0, 1.0)), FakeWorker(layer, (1e3, 5e3, 1e4))]
    assert peak(products) == pytest.approx(10 * 2 * 2048**3)
    products[1].rates = [1e4] * 3
    assert peak(products) == pytest.approx(1e4 * 2 * 256**3)


def test_a_csv_file_has_the_numbers_to_six_digits(tmp_path: Path) -> None:
    """Text stays text, unknown values are empty cells, keys that are no columns are left out."""
    rows = [{"method": "bc", "members": 4, "ratio": 2.34567891, "other": 1}, {"method": "limit", "members": 1}]
    write_csv(tmp_path / "rows.csv", rows, ("method", "members", "ratio"))
    expected = [{"method": "bc", "members": 4, "ratio": 2.34568}, {"method": "limit", "members": 1, "ratio": None}]
    assert read_csv(tmp_path / "rows.csv", ("method", "ratio")) == expected
    with pytest.raises(RunError, match=r"rows\.csv: no column spread; measure again"):
        read_csv(tmp_path / "rows.csv", ("spread",))
