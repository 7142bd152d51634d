"""A run of any origin: what its tables show is computed again; what its files say otherwise is a difference, with exit code 1."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from algos.methods.weighted_bc import Start, WeightedBCConfig
from bench import cli
from bench.config.saved import load_config
from bench.config.schema import PiRefConfig
from bench.errors import RunError
from bench.replay.verify import verify
from bench.storage import manifest
from bench.storage.layout import EPISODE_COLUMNS
from bench.storage.rundir import read_csv, to_csv
from bench.storage.tensors import pack, unpack
from bench.training.run import train_run, train_runs
from bench.training.shared import Shared

Rows = list[dict[str, Any]]


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run: seeds 0 and 1, 20 updates, evaluated once."""
    return shutil.copytree(finished, tmp_path / finished.name)


@pytest.fixture(scope="module")
def kept(finished: Path, tmp_path_factory: pytest.TempPathFactory, shared: Shared) -> Path:
    """A run that is evaluated after 8, 16 and 20 updates and keeps its policies."""
    config = load_config(finished)
    config.eval.every, config.eval.keep_policies, config.results_dir = 8, True, str(tmp_path_factory.mktemp("kept"))
    return train_run(config, shared).path


def rows_of(change: Callable[[Rows], Sequence[dict[str, Any]]]) -> Callable[[Path], None]:
    """A forgery of the rows of episodes.csv."""

    def forge(folder: Path) -> None:
        rows = [{k: float(v) if k == "return" else int(v) for k, v in row.items()} for row in read_csv(folder / "episodes.csv")]
        (folder / "episodes.csv").write_text(to_csv(change(rows), EPISODE_COLUMNS))

    return forge


def returns(change: Callable[[float], float], seeds: Sequence[int] = (0, 1), update: int = 20) -> Callable[[Path], None]:
    """A forgery of the returns of `seeds` after `update` updates."""

    def forged(row: dict[str, Any]) -> dict[str, Any]:
        ours = row["seed"] in seeds and row["update"] == update
        return row | {"return": change(row["return"])} if ours else row

    return rows_of(lambda rows: [forged(row) for row in rows])


def entry(**changes: Any) -> Callable[[Path], None]:
    """A forgery of entries of run.json."""

    def forge(folder: Path) -> None:
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(record | changes))

    return forge


FORGERIES = {
    "ten per cent": (returns(lambda x: 1.1 * x), "last: 8 of 8 episodes after 20 updates differ on the machine that trained them"),
    "one per mille of one seed": (returns(lambda x: 1.001 * x, [1]), "last: 4 of 8 .* the first: seed 1, episode 0"),
    "one return": (rows_of(lambda rows: [*rows[:-1], rows[-1] | {"return": 1e6}]), "last: 1 of 8 .* seed 1, episode 3, recorded 1e.06"),
    "a failed episode": (rows_of(lambda rows: [*rows[:-1], rows[-1] | {"return": "nan"}]), "last: 1 of 8 .* recorded nan"),
    "a length": (rows_of(lambda rows: [*rows[:-1], rows[-1] | {"length": 999}]), "last: 1 of 8"),
    "rows of another seed": (rows_of(lambda rows: [*rows, *(r | {"seed": 9} for r in rows[:4])]), "line 10: expected the end"),
    "a seed left out": (rows_of(lambda rows: rows[:4]), "line 6: expected update 20, seed 1, episode 0, found the end"),
    "huge returns": (returns(lambda x: 1e308), "return = 1e.308: expected a number"),
    "reference": (entry(reference={"name": "iwsft-2", "random": 0.0, "expert": 400.0}), "reference is iwsft-2 .random 0, exp"),
    "algo": (entry(algo="iw_sft"), "algo = 'iw_sft', but config.yaml has 'bc'"),
    "dataset": (entry(dataset="iwsft/hopper/medium-v0"), "dataset = .*, but config.yaml has"),
    "digest": (entry(dataset_digest="0" * 64), "trained on other data under the name iwsft/hopper/medium-replay-v0"),
    "seeds": (entry(seeds=[0, 1, 2]), "seeds = a list of 3, but config.yaml has a list of 2"),
    "updates": (entry(updates=1000), "updates = 1000, but config.yaml has 20"),
    "parameters": (entry(parameters=7), "parameters is 7; computed here: "),
    "the data's mean": (entry(data_return_mean=0.0), "data_return_mean is 0.0; computed here: "),
    "note": (entry(note="ours"), "note is 'ours'; computed here: ''"),
    "failed seeds": (entry(failed_seeds=[0]), "failed_seeds is a list of 1; computed here: a list of 0"),
    "hash": (entry(config_hash="0" * 12), "config_hash is '000000000000'; computed here"),
    "method hash": (entry(method_hash="0" * 12), "method_hash is '000000000000'; computed here"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_with_a_new_manifest_differ(copy: Path, name: str) -> None:
    forge, message = FORGERIES[name]
    forge(copy)
    manifest.sign(copy)
    verdict = verify(copy, workers=1)
    differing = [line for line in verdict.message.splitlines() if line.startswith("differs     ")]
    assert verdict.code == 1
    assert any(re.search(message, line) for line in differing), verdict.message
    assert verdict.message.splitlines()[-1].startswith(f"differs (exit code 1): {copy}: score ")  # that of the policies


def test_a_run_agrees(finished: Path) -> None:
    """The report says what was checked, what not, and the value that was computed."""
    verdict = verify(finished, workers=1)
    assert verdict.reproduces, verdict.message
    lines = verdict.message.splitlines()
    assert [line.split(":")[0] for line in lines[:5]] == [f"checked     {s}" for s in ("files", "run.json", "references", "rows", "last")]
    assert "all 8 episodes after 20 updates are equal" in lines[4]
    assert "best, mean_last_1: the run has one evaluation" in lines[5]
    assert [line[:11] for line in lines[6:-1]] == ["not checked"] * 2
    assert lines[-1].startswith(f"agrees (exit code 0): {finished}: score ")


def test_selections_over_evaluations_are_not_verifiable_without_their_policies(finished: Path, tmp_path: Path, shared: Shared) -> None:
    config = load_config(finished)
    config.eval.every, config.results_dir = 8, str(tmp_path)
    folder = train_run(config, shared).path
    returns(lambda x: 10 * x, update=8)(folder)
    manifest.sign(folder)
    verdict = verify(folder, workers=1)
    assert verdict.code == 0
    assert "not checked best, mean_last_3: not verifiable, the policies after 8 updates were not kept" in verdict.message


def test_kept_policies_make_them_verifiable(kept: Path, tmp_path: Path) -> None:
    assert sorted(p.name for p in kept.glob("policy*")) == ["policy-16.safetensors", "policy-8.safetensors", "policy.safetensors"]
    assert "best, mean_last_3: all 2 evaluations on the way are equal" in verify(kept, workers=1).message
    forged = shutil.copytree(kept, tmp_path / kept.name)
    returns(lambda x: 10 * x, update=16)(forged)
    manifest.sign(forged)
    verdict = verify(forged, workers=1)
    assert verdict.code == 1
    assert "differs     best, mean_last_3: 4 of 4 episodes after 16 updates differ" in verdict.message.replace("; the mean", " the mean")


def test_elsewhere_rounding_is_tolerated_and_a_forgery_is_not(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Returns of another machine: those of parameters that were rounded otherwise. So few episodes cannot exclude a change of 5 %."""
    from bench.replay.load import load_run
    from bench.replay.replays import Player, open_environments

    entry(processor="another")(copy)
    manifest.sign(copy)
    run = load_run(copy)
    with open_environments(run, 1) as environments:
        played = Player(run, environments, 2).play(run.parameters, 20, 4, perturbation=99).returns.flatten().tolist()
    for factor, goal, code in ((1.0, 0.05, 2), (1.0, 0.2, 0), (1.5, 0.2, 1)):
        monkeypatch.setattr("bench.replay.tolerance.GOAL", goal)
        values = iter(played)
        rows_of(lambda rows, values=values, factor=factor: [r | {"return": next(values) * factor} for r in rows])(copy)
        manifest.sign(copy)
        verdict = verify(copy, workers=1, plays=4)
        assert verdict.code == code, verdict.message
        said = {0: "by the noise of rounding on another machine", 1: "tolerances off, played 4 times each", 2: "with these episodes no"}
        assert said[code] in verdict.message
        assert ("cannot say  last: 8 of 8 episodes" in verdict.message) == (code == 2)


@pytest.mark.parametrize("name", ["policy.safetensors", "checkpoint.safetensors", "config.yaml", "run.json", "curve.csv", "manifest.json"])
@pytest.mark.parametrize("how", ["flip", "half", "zero"])
def test_damage_is_no_agreement(copy: Path, name: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray((copy / name).read_bytes())
    if how == "flip":
        content[-4] ^= 1
    (copy / name).write_bytes({"flip": content, "half": content[: len(content) // 2], "zero": bytes(len(content))}[how])
    assert cli.run(["verify", str(copy), "--workers", "1"]) in (1, 2)
    said = capsys.readouterr()
    assert name in said.out + said.err
    assert len(said.err.splitlines()) <= 1


def test_without_the_data_nothing_is_said_of_them(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The episodes are played all the same."""
    monkeypatch.setattr(Shared, "run_data", _absent)
    verdict = verify(copy, workers=1)
    assert verdict.code == 2
    assert "cannot say  data digest and references: no data" in verdict.message
    assert "all 8 episodes after 20 updates are equal" in verdict.message


def _absent(*_: object) -> None:
    raise RunError("no data")


def test_a_run_in_bfloat16_agrees(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    """Policies act in float32, those trained in bfloat16 included."""
    monkeypatch.setattr("bench.training.choice.has_bfloat16", lambda: True)
    config = load_config(finished)
    config.algo.hidden, config.trainer.precision, config.results_dir = [8, 8, 8], "bf16", str(tmp_path)
    rounded = train_run(config, shared).path
    monkeypatch.setattr("bench.training.choice.has_bfloat16", lambda: False)
    verdict = verify(rounded, workers=1)
    assert verdict.reproduces, verdict.message
    assert "all 8 episodes after 20 updates are equal" in verdict.message
    assert json.loads((rounded / "run.json").read_text())["precision"] == "bf16"


def test_a_run_whose_pi_ref_saw_other_data_agrees(finished: Path, tmp_path: Path, shared: Shared) -> None:
    from envs.recorded.record import record

    record("iwsft/hopper/medium-v0", steps=800, workers=1)
    config = load_config(finished)
    pi_ref = PiRefConfig(10, batch_size=32, dataset="iwsft/hopper/medium-v0")
    config = replace(config, algo=WeightedBCConfig("sft", 10, 32, [8], Start.pi_ref), pi_ref=pi_ref, results_dir=str(tmp_path))
    folder = train_run(config, shared).path
    verdict = verify(folder, workers=1)
    assert verdict.reproduces, verdict.message
    entry(pi_ref_digest="0" * 64)(folder)
    assert verify(folder, workers=1).code == 1


def test_a_run_of_a_larger_population_agrees(finished: Path, tmp_path: Path, shared: Shared) -> None:
    """Batches of its members among others have another shape, and round differently: 40 members play one episode each at a time."""
    config = load_config(finished)
    config.results_dir, config.trainer.max_members, config.seeds = str(tmp_path), 40, list(range(20))
    config.algo.hidden, config.eval.final_episodes = [64, 64], 3
    train_runs([config, replace(config, algo=replace(config.algo, learning_rate=2e-3))], shared)
    folder = next((tmp_path / "single" / "runs").iterdir())
    assert json.loads((folder / "run.json").read_text())["population_members"] == 40
    assert "all 60 episodes after 20 updates are equal" in verify(folder, workers=1).message


def test_another_policy_differs(copy: Path) -> None:
    policy, metadata = unpack(copy / "policy.safetensors")
    (copy / "policy.safetensors").write_bytes(pack({name: value + 0.5 for name, value in policy.items()}, metadata))
    manifest.sign(copy)
    assert verify(copy, workers=1).code == 1


def test_failed_seeds_agree_as_failures(copy: Path) -> None:
    """A policy that is not finite fails again: its episodes count as a random policy's on both sides."""
    rows_of(lambda rows: [r | ({"return": "nan", "length": 0} if r["seed"] == 1 else {}) for r in rows])(copy)
    policy, metadata = unpack(copy / "policy.safetensors")
    for value in policy.values():
        value[1] = float("nan")
    (copy / "policy.safetensors").write_bytes(pack(policy, metadata))
    entry(failed_seeds=[1])(copy)
    manifest.sign(copy)
    verdict = verify(copy, workers=1)
    assert verdict.reproduces, verdict.message
    assert "all 8 episodes after 20 updates are equal" in verdict.message


def test_a_simulation_shows_what_the_tolerance_finds(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["verify", str(copy), "--simulate", "50", "--plays", "2", "--workers", "1"]) == 0
    assert "| 2 seeds, 4 episodes |" in capsys.readouterr().out
    assert cli.run(["verify", str(copy), "--plays", "1"]) == 2
