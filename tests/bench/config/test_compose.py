"""Defaults of a method, and the settings in which a configuration differs from them."""

from __future__ import annotations

from bench.config.compose import defaults
from bench.config.tree import difference


def test_settings_are_compared_with_the_methods_defaults() -> None:
    base = defaults("iw_sft")
    assert base["algo.weighting.kind"] == "trajectory"
    config = {"algo": {"batch_size": 7, "weighting": {"kind": "trajectory"}}, "results_dir": "elsewhere"}
    found = difference(config, base)
    assert ("algo.batch_size", "-" if "algo.batch_size" not in base else str(base["algo.batch_size"]), "7") in found
    assert not [key for key, _, _ in found if key in ("results_dir", "algo.weighting.kind")]
    assert defaults("no_such_method") == {}
