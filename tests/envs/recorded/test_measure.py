"""Reference returns of the built-in data: the mean action of the best snapshot, with standard errors, stated the same way everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from envs.data import references
from envs.data.references import BUILT_IN, Reference, built_in, built_in_table
from envs.readers.load import load
from envs.recorded import measure
from envs.recorded.episodes import Job, run_episode
from envs.recorded.policy import SNAPSHOTS, record_of
from envs.recorded.record import record

NAMES = sorted(path.stem for path in SNAPSHOTS.glob("*.json"))
HOPPER = "iwsft/hopper/medium-v0"


@pytest.mark.parametrize("name", NAMES)
def test_the_expert_is_the_best_snapshot_by_its_mean_action(name: str) -> None:
    found = record_of(name)
    means, reference = found["mean_action_returns"], found["reference"]
    assert means[reference["expert"]["snapshot"]] == max(means)
    assert len(means) == found["settings"].get("levels", len(found.get("snapshot_returns", ())))
    for policy in reference.values():
        assert policy["episodes"] >= 100
        assert policy["error"] == pytest.approx(policy["std"] / policy["episodes"] ** 0.5)
    # Measured on other episodes than it was chosen on, and equal to that choice up to the errors of both.
    expert = reference["expert"]
    noise = np.hypot(expert["error"], expert["std"] / found["mean_action_episodes"] ** 0.5)
    assert abs(expert["mean"] - max(means)) <= 4 * noise


def test_hoppers_expert_is_not_the_noisy_last_snapshot() -> None:
    """By the mean action of the best snapshot; the last one with noise returns 2,430."""
    expert = record_of("hopper")["reference"]["expert"]
    assert expert["snapshot"] < len(record_of("hopper")["snapshot_updates"]) - 1
    assert expert["mean"] > 3000


@pytest.mark.parametrize("name", NAMES)
def test_the_table_has_what_was_measured(name: str) -> None:
    found = record_of(name)
    random, expert = (found["reference"][k] for k in ("random", "expert"))
    reference = Reference(BUILT_IN, random["mean"], expert["mean"], random["error"], expert["error"])
    assert built_in(found["settings"]["env"]) == reference


def test_a_mean_action_has_no_noise() -> None:
    job = Job("hopper", "Hopper-v5", 14, 0, mean=True)
    first, again, noisy = run_episode(job), run_episode(job), run_episode(job._replace(mean=False))
    np.testing.assert_array_equal(first.actions, again.actions)
    np.testing.assert_array_equal(first.observations[0], noisy.observations[0])  # the same start
    assert not np.array_equal(first.actions[0], noisy.actions[0])
    snapshot = measure.record_of("hopper")
    assert snapshot["settings"]["env"] == "Hopper-v5"
    from envs.recorded.policy import load_snapshot

    policy = load_snapshot("hopper", 14)
    np.testing.assert_allclose(first.actions[3], np.tanh(policy.mean(first.observations[3])), rtol=1e-6)


def test_a_measurement_is_written_to_the_record_and_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hopper.json").write_text((SNAPSHOTS / "hopper.json").read_text())
    (tmp_path / "table.csv").write_text(references.BUILT_IN_TABLE.read_text())
    for module, name, value in (
        (measure, "SNAPSHOTS", tmp_path), (measure, "BUILT_IN_TABLE", tmp_path / "table.csv"),
        (references, "BUILT_IN_TABLE", tmp_path / "table.csv"), (measure, "MEAN_ACTION_EPISODES", 1), (measure, "REFERENCE_EPISODES", 3),
        (measure, "_snapshots", lambda name: range(2)),  # the second is worse
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    before = built_in_table()
    found = measure.measure_references("hopper")
    assert found["reference"]["expert"]["snapshot"] == int(np.argmax(found["mean_action_returns"]))
    measure.write_references("hopper", found)
    written = built_in("Hopper-v5")
    assert written is not None
    assert (written.random, written.expert) == tuple(found["reference"][k]["mean"] for k in ("random", "expert"))
    assert [row["name"] for row in built_in_table()] == [row["name"] for row in before]
    assert [row for row in built_in_table() if row["name"] != "hopper"] == [row for row in before if row["name"] != "hopper"]
    assert json.loads((tmp_path / "hopper.json").read_text())["medium"] == record_of("hopper")["medium"]
    references.forget_tables()


@pytest.mark.parametrize("cached", [False, True])
def test_a_recording_of_an_earlier_version_gets_the_references_of_this_one(minari_root: Path, cached: bool) -> None:
    path = record(HOPPER, steps=200, workers=1) / "data" / "metadata.json"
    if cached:
        load(HOPPER)
    old = {"reference": "iwsft", "ref_min_score": 15.81178855973874, "ref_max_score": 2429.6131434106774}
    path.write_text(json.dumps(json.loads(path.read_text()) | old))
    assert load(HOPPER).reference == built_in("Hopper-v5")
    assert load(HOPPER).reference == built_in("Hopper-v5")  # from the cache


def test_the_error_of_a_score_is_that_of_a_simulation() -> None:
    reference, rng, size = Reference("x", 10.0, 1000.0, 4.0, 30.0), np.random.default_rng(0), 200_000
    random, expert = rng.normal(10, 4, size), rng.normal(1000, 30, size)
    for score in (0.0, 50.0, 100.0, 130.0):
        value = 10 + score / 100 * 990
        simulated = (100 * (value - random) / (expert - random)).std()
        assert reference.score_error(score) == pytest.approx(simulated, rel=0.02)
    assert Reference("d4rl", 0.0, 1.0).score_error(50.0) is None
