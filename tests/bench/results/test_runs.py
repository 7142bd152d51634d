"""Reading of finished runs: other rows than the protocol expects are named, and run.json is not believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RunError
from bench.results.derive import reference_here
from bench.results.runs import runs_at, suite_runs
from bench.storage import manifest
from envs.data.references import Reference, built_in
from tests.helpers.suites import make_run, make_suite


def last(**changes: object) -> Any:
    """A function that changes the last row of episodes.csv."""
    return lambda rows: [*rows[:-1], rows[-1] | changes]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows, rows[0]], "line 20: expected the end, found update 100, seed 0, episode 0"),
        (
            lambda rows: [*rows[:6], rows[0], *rows[6:]],
            "line 8: expected update 200, seed 0, episode 0, found update 100, seed 0, episode 0",
        ),
        (lambda rows: rows[:-1], "line 19: expected update 200, seed 2, episode 3, found the end"),
        (lambda rows: rows[:6], "line 8: expected update 200, seed 0, episode 0, found the end"),
        (lambda rows: [r for r in rows if r["seed"] != 1], "line 4: expected update 100, seed 1, episode 0, found update 100, seed 2"),
        (lambda rows: [*rows, *(r | {"seed": 9} for r in rows if r["seed"] == 1)], "line 20: expected the end, found update 100, seed 9"),
        (lambda rows: rows[::-1], "line 2: expected update 100, seed 0, episode 0, found update 200, seed 2, episode 3"),
        (
            lambda rows: [r | {"update": 150 if r["update"] == 100 else 200} for r in rows],
            "line 2: expected update 100, .* found update 150",
        ),
        (last(**{"return": "much"}), "cannot be read"),
        (last(**{"return": "=1+1"}), "cannot be read .*=1.1"),
        (last(**{"return": "inf"}), "line 19: return = inf: expected a finite number"),
        (last(**{"return": "-1e400"}), "line 19: return = -inf"),
        (
            lambda rows: [*rows[:-2], *(r | {"return": "1e308"} for r in rows[-2:])],
            r"line 18: return = 1e.308: expected a number of at most 1e.50",
        ),
        (last(length=-1), "line 19: length = -1: expected a whole number"),
        (last(length="many"), "cannot be read"),
        (last(seed="9" * 30), "cannot be read"),
    ],
)
def test_other_rows_than_the_protocol_expects_are_named(tmp_path: Path, change: Any, message: str) -> None:
    make_run(tmp_path, change=change)
    with pytest.raises(RunError, match=message) as error:
        suite_runs(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "forged",
    [
        {"algo": "iw_sft"},
        {"dataset": "iwsft/walker2d/medium-v0"},
        {"seeds": [0, 1]},
        {"updates": 100},
        {"suite": "other"},
        {"last_k": 1},
        {"final_episodes": 2},
        {"eval_episodes": 1},
        {"eval_every": 50},
        {"mixed": True},
        {"pi_ref_dataset": "a/b-v0"},
    ],
)
def test_a_record_that_disagrees_with_the_configuration_is_refused(tmp_path: Path, forged: dict[str, Any]) -> None:
    path = make_run(tmp_path) / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | forged))
    (key,) = forged
    with pytest.raises(RunError, match=rf"run.json: {key} = .*, but config.yaml has .*; the files are of two runs"):
        suite_runs(tmp_path)


FORGED = ({"name": "iwsft", "random": 0.0, "expert": 10.0}, {"name": "d4rl", "random": 0.0, "expert": 10.0})


@pytest.mark.usefixtures("stated_references", "minari_root")
@pytest.mark.parametrize("reference", FORGED)
def test_references_are_those_of_the_data_set(tmp_path: Path, reference: Any) -> None:
    """Built-in data and D4RL's have the program's own, for any name and numbers that run.json holds."""
    make_run(tmp_path, "bc", "iwsft/hopper/medium-v0", reference=reference)
    make_run(tmp_path, "bc", "d4rl/hopper-medium-v2", reference=reference)
    found = {record["dataset"]: record["reference"] for record, _ in suite_runs(tmp_path)}
    assert found["d4rl/hopper-medium-v2"] == Reference("d4rl", -20.272305, 3234.3).to_json()  # Fu et al. 2020
    hopper = built_in("Hopper-v5")
    assert hopper is not None
    assert found["iwsft/hopper/medium-v0"] == hopper.to_json()


@pytest.mark.usefixtures("stated_references")
def test_references_of_a_data_set_on_this_machine(tmp_path: Path, minari_root: Path) -> None:
    metadata = minari_root / "own" / "task-v0" / "data" / "metadata.json"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(json.dumps({"ref_min_score": 1, "ref_max_score": 5}))
    make_run(tmp_path, "bc", "own/task-v0@top:5%", reference=FORGED[1])
    ((record, _),) = suite_runs(tmp_path)
    assert record["reference"] == Reference("minari", 1.0, 5.0).to_json()
    assert record["references_checked"]
    metadata.write_text("{}")  # it states none: its reference can only be a measured one
    ((record, _),) = suite_runs(tmp_path)
    assert record["reference"] is None
    metadata.unlink()
    ((record, _),) = suite_runs(tmp_path)
    assert record["reference"] == FORGED[1]
    assert not record["references_checked"]


@pytest.mark.usefixtures("stated_references")
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, (FORGED[0] | {"name": "minari"}, True)), ({"eval": {"max_episode_steps": 100}}, (FORGED[0] | {"name": "minari"}, True)),
        ({"eval": {"max_episode_steps": 50}}, (None, True)), ({"env": "Hopper-v5"}, (None, True)), ({"env": "none"}, (None, True)),
        ({"env": "Own-v0"}, (FORGED[0] | {"name": "minari"}, True)), ({"env": "Own-v0", "eval": {"max_episode_steps": 9}}, (None, True)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("recorded", [None, *FORGED])
def test_a_reference_that_is_left_out_or_added_shows_no_other_score(
    chosen: dict[str, Any], expected: Any, recorded: Any, tmp_path: Path, minari_root: Path
) -> None:
    """run.json may say `reference: null`, or give a reference to returns of another environment or horizon."""
    _metadata(minari_root, ref_min_score=0, ref_max_score=10, env_spec=json.dumps({"id": "Own-v0", "max_episode_steps": 100}))
    assert reference_here({"dataset": "own/task-v0", "env": None, "eval": {}} | chosen, recorded) == expected


@pytest.mark.usefixtures("stated_references")
@pytest.mark.parametrize(
    ("metadata", "recorded", "expected"),
    [
        ({"ref_min_score": 1, "ref_max_score": 1}, FORGED[0], (None, True)),  # no references, and none are measured
        ({}, None, (None, False)), ({}, FORGED[0], (None, True)),
        ({}, FORGED[0] | {"name": "measured"}, (FORGED[0] | {"name": "measured"}, False)),
        ({"ref_min_score": 0, "ref_max_score": 10, "env_spec": '{"id": "A-v0", "additional_wrappers": [{}]}'}, None, (None, False)),
        ({"ref_min_score": 0, "ref_max_score": 10, "env_spec": "no JSON"}, FORGED[0], (FORGED[0], False)),
    ],
)  # fmt: skip
def test_a_reference_that_the_name_alone_does_not_give_is_the_recorded_one(
    metadata: dict[str, Any], recorded: Any, expected: Any, minari_root: Path
) -> None:
    _metadata(minari_root, **metadata)
    assert reference_here({"dataset": "own/task-v0", "env": None, "eval": {}}, recorded) == expected


@pytest.mark.usefixtures("stated_references", "minari_root")
def test_a_run_without_its_reference_is_shown_with_that_of_its_data(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", "iwsft/hopper/medium-v0", reference=None)
    ((record, _),) = suite_runs(tmp_path)
    hopper = built_in("Hopper-v5")
    assert hopper is not None
    assert record["reference"] == hopper.to_json()


def _metadata(root: Path, **content: Any) -> None:
    path = root / "own" / "task-v0" / "data" / "metadata.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))


def test_a_file_that_changed_after_the_run_is_named(tmp_path: Path) -> None:
    folder = make_run(tmp_path, manifest=True)
    manifest.sign(folder)
    assert len(suite_runs(tmp_path)) == 1
    path = folder / "episodes.csv"
    path.write_text(path.read_text().replace(".", ".1", 1))
    with pytest.raises(RunError, match=r"episodes.csv is damaged .*; run it again with force=true"):
        suite_runs(tmp_path)


def test_only_finished_runs_are_read(tmp_path: Path) -> None:
    make_run(tmp_path, "bc")
    make_run(tmp_path, "sft", status="running")
    assert [record["algo"] for record, _ in suite_runs(tmp_path)] == ["bc"]


def test_a_suite_without_finished_runs_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path, status="running")
    with pytest.raises(RunError, match="no finished run"):
        suite_runs(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (make_run(tmp_path) / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"cannot be read \(.*; remove it and run again"):
        suite_runs(tmp_path)


def test_a_path_is_a_run_or_a_suite(tmp_path: Path) -> None:
    suite = make_suite(tmp_path / "suite")
    assert len(runs_at(suite)) == 6
    assert len(runs_at(next((suite / "runs").iterdir()))) == 1
    with pytest.raises(RunError, match="neither a run directory"):
        runs_at(tmp_path / "missing")
    with pytest.raises(RunError, match="is not finished"):
        runs_at(make_run(tmp_path / "other", status="running"))
