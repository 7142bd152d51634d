"""No entry of run.json that configuration, data digest and policies determine is believed: a forged one is one line, or has no effect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.config.compose import compose, defaults
from bench.config.method_defaults import updates_by_default
from bench.config.saved import _Loader
from bench.errors import RunError
from bench.report.suite import rebuild
from bench.results.leaderboard import board_of
from bench.results.runs import open_run, read_suite, suite_runs
from bench.storage import manifest
from bench.storage.hashes import FORMAT, hashes_again, hashes_of
from tests.helpers.paths import ROOT
from tests.helpers.suites import make_run, with_hashes

METHODS = sorted(path.stem for path in (ROOT / "conf" / "algo").glob("*.yaml"))
OTHER = "0" * 12


def forge(folder: Path, **changes: Any) -> None:
    """Edit run.json, and sign the run anew, as a forger would."""
    record = json.loads((folder / "run.json").read_text()) | changes
    (folder / "run.json").write_text(json.dumps(record))
    manifest.sign(folder)


def with_batch(folder: Path, size: int) -> Path:
    """Give the run in `folder` another batch size, and the hashes of this version."""
    path = folder / "config.yaml"
    path.write_text(path.read_text().replace("  batch_size: 256", f"  batch_size: {size}", 1))
    return with_hashes(folder)


@pytest.mark.parametrize("algo", METHODS)
def test_config_yaml_gives_the_hashes_again(algo: str) -> None:
    """Of every method, from the text that a run saves."""
    import yaml
    from omegaconf import OmegaConf

    config = compose([f"algo={algo}", "dataset=iwsft/hopper/medium-v0", "seeds=2"])
    record = {"device": "cpu", "dataset_digest": "0" * 64, "format": FORMAT}
    tree = yaml.load(OmegaConf.to_yaml(OmegaConf.structured(config)), Loader=_Loader)
    found = hashes_again(tree, record)
    assert found.pop("default_pi_ref_updates") == (defaults(algo)["pi_ref.updates"] if config.algo.needs_pi_ref else None)
    assert found == hashes_of(config, record)


@pytest.mark.parametrize("algo", [*METHODS, "no_method", "../algo/bc", "x" * 3000, ""])
def test_the_default_updates_are_those_of_the_composed_configuration(algo: str) -> None:
    assert updates_by_default(algo) == (defaults(algo).get("algo.updates") if algo in METHODS else None)


@pytest.mark.parametrize(
    "forged",
    [
        {"config_hash": OTHER}, {"method_hash": OTHER}, {"settings_hash": OTHER}, {"precision": "bf16"}, {"device": "NVIDIA H100"},
        {"dataset_digest": OTHER}, {"method_hash": None},
    ],
)  # fmt: skip
def test_a_forged_identity_is_one_line_and_the_run_is_left_out(forged: dict[str, Any], tmp_path: Path) -> None:
    with_hashes(make_run(tmp_path / "suite", "sft"))
    folder = with_hashes(make_run(tmp_path / "suite", "bc"))
    assert len(read_suite(tmp_path / "suite").runs) == 2
    forge(folder, **forged)
    with pytest.raises(RunError, match=r"run.json: \w+ = .*, but config.yaml has .*; the files are of two runs"):
        open_run(folder)
    runs, left_out = read_suite(tmp_path / "suite")
    assert [record["algo"] for record, _ in runs] == ["sft"]
    assert [left.folder for left in left_out] == [folder]


@pytest.mark.parametrize(("asked", "used", "accepted"), [("auto", "bf16", True), ("auto", "float32", True), ("bf16", "float32", True),
    ("auto", "tf32", False), ("float32", "bf16", False)])  # fmt: skip
def test_a_precision_that_the_configuration_leaves_open_is_accepted(asked: str, used: str, accepted: bool, tmp_path: Path) -> None:
    folder = make_run(tmp_path, "bc", precision=used)
    path = folder / "config.yaml"
    assert "\n  precision: auto\n" in path.read_text()
    path.write_text(path.read_text().replace("\n  precision: auto\n", f"\n  precision: {asked}\n"))
    folder = with_hashes(folder)
    if accepted:
        assert open_run(folder)[0]["precision"] == used
    else:
        with pytest.raises(RunError, match=f"precision = '{used}', but config.yaml has '{asked}'"):
            open_run(folder)


def test_a_forged_hash_pools_no_two_runs(tmp_path: Path) -> None:
    """Neither with the hashes of this version, nor as a run of another one, whose hashes nobody can compute."""
    first, second = (with_batch(make_run(tmp_path, "iw_sft", seeds=[k]), size) for k, size in enumerate((64, 128)))
    stated = json.loads((first / "run.json").read_text())["method_hash"]
    forge(second, method_hash=stated)
    assert [record["folder"] for record, _ in suite_runs(tmp_path)] == [str(first)]
    forge(second, method_hash=stated, settings_hash=stated, format=FORMAT - 1)
    board = board_of(tmp_path, suite_runs(tmp_path))
    assert sorted(set(board["seeds"])) == ["0", "1"]


def test_a_run_with_the_hash_of_another_does_not_replace_it(tmp_path: Path) -> None:
    honest = with_hashes(make_run(tmp_path, "sft", level=300.0))
    forged = make_run(tmp_path, "sft", level=900.0, temperature=3.0).rename(honest.with_name("a-" + honest.name))
    forge(forged, config_hash=honest.name.split("-")[-1])
    runs, left_out = read_suite(tmp_path)
    assert [record["folder"] for record, _ in runs] == [str(honest)]
    assert f"is another run with the hash of {honest.name}" in left_out[0].reason


def test_forged_defaults_have_no_effect(tmp_path: Path) -> None:
    """The caption and the page say how the run differs from the method's defaults here."""
    folder = with_hashes(make_run(tmp_path / "suite", "iql", updates=200))
    forge(folder, default_updates=200, default_pi_ref_updates=None, defaults={})
    assert "Updates: 200 of 1,000,000" in rebuild(tmp_path / "suite")
    assert "<td>1000000</td><td>200</td>" in (tmp_path / "suite" / "report.html").read_text()
