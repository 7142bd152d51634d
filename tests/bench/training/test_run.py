"""One run: its files, reproducible results, exact resuming, no second training, a shared reference policy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from algos.methods.weighted_bc import WeightedBC
from bench.config.schema import Config
from bench.storage.rundir import RunDir, read_csv
from bench.training import pi_ref as reference_policy
from bench.training.parallel import MemberProcesses
from bench.training.population import Population
from bench.training.run import train_run, train_runs
from bench.training.shared import Shared

pytestmark = pytest.mark.usefixtures("fresh_data")


def rows(folder: RunDir) -> list[dict]:
    return read_csv(folder.path / "episodes.csv")


def test_evaluations_on_the_way_change_neither_policy_nor_final_episodes(config: Config, shared: Shared) -> None:
    """Studies take over rows that were trained with other evaluations (bench/studies/runs.py)."""
    often, once = (
        train_run(replace(config, eval=replace(config.eval, every=every, episodes=k)), shared) for every, k in ((15, 2), (1000, 1))
    )
    last = [[r for r in rows(folder) if r["update"] == "40"] for folder in (often, once)]
    assert len(rows(often)) > len(rows(once)) == len(last[1])
    assert last[0] == last[1]
    policies = [load_file(folder.path / "policy.safetensors") for folder in (often, once)]
    assert all(torch.equal(value, policies[1][name]) for name, value in policies[0].items())


def test_the_files_and_rows_of_a_run(config: Config, shared: Shared) -> None:
    folder = train_run(config, shared)
    assert sorted(p.name for p in folder.path.iterdir()) == [
        "checkpoint.safetensors", "config.yaml", "curve.csv", "episodes.csv", "manifest.json", "policy.safetensors", "run.json",
    ]  # fmt: skip
    episodes = rows(folder)
    counted = {(r["update"], r["seed"]): sum(q["update"] == r["update"] and q["seed"] == r["seed"] for q in episodes) for r in episodes}
    assert counted == {(u, s): (5 if u == "40" else 2) for u in ("15", "30", "40") for s in ("3", "1")}
    curve = read_csv(folder.path / "curve.csv")
    for name in (
        "loss",
        "log_prob_curated",
        "log_prob_all",
        "kl_q_pi_ref",
        "weight_ess_share",
        "weight_minimum",
        "weight_maximum",
        "weight_clipped_share",
    ):
        assert all(float(row[name]) == float(row[name]) for row in curve)
    record = json.loads((folder.path / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["config_hash"] == folder.hash
    assert set(record["versions"]) >= {"python", "torch", "mujoco", "gymnasium", "minari"}
    assert len(record["dataset_digest"]) == 64
    assert record["domain_settings"] is None
    assert record["strata_coincide"] is False
    assert load_file(folder.path / "policy.safetensors")["0.weight"].shape == (2, 4, 8)


def test_the_same_seeds_give_identical_episodes_and_others_do_not(config: Config, tmp_path: Path, shared: Shared) -> None:
    first = rows(train_run(config, shared))
    config.results_dir = str(tmp_path / "again")
    assert rows(train_run(config, shared)) == first
    config.seeds = [3, 2]
    other = rows(train_run(config, shared))
    assert other != first


def test_an_interrupted_run_resumes_exactly(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    whole = train_run(config, shared)
    config.results_dir = str(tmp_path / "interrupted")
    train = WeightedBC.train

    def dies(self: WeightedBC, start: int, stop: int) -> dict:
        if self.config.name != "bc" and start >= 15:
            raise KeyboardInterrupt
        return train(self, start, stop)

    with monkeypatch.context() as patch:
        patch.setattr(WeightedBC, "train", dies)
        with pytest.raises(KeyboardInterrupt):
            train_run(config, shared)
    folder = RunDir(config, shared.data(config.dataset).trajectories.digest, "cpu")
    assert not folder.finished
    # A row that was written after the last checkpoint is dropped.
    stray = (folder.path / "episodes.csv").read_text() + "30,3,0,99.0,99\n"
    (folder.path / "episodes.csv").write_text(stray)

    trained: list[tuple[int, int]] = []

    def counted(self: WeightedBC, start: int, stop: int) -> dict:
        trained.append((start, stop))
        return train(self, start, stop)

    with monkeypatch.context() as patch:
        patch.setattr(WeightedBC, "train", counted)
        resumed = train_run(config, shared)
    assert trained[0][0] == 15
    assert rows(resumed) == rows(whole)
    assert (resumed.path / "curve.csv").read_text() == (whole.path / "curve.csv").read_text()
    assert (resumed.path / "policy.safetensors").read_bytes() == (whole.path / "policy.safetensors").read_bytes()


def test_a_finished_run_is_not_trained_again_unless_forced(config: Config, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    folder = train_run(config, shared)
    before = (folder.path / "episodes.csv").read_bytes()

    def must_not_run(*_: object) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr(Population, "train", must_not_run)
        assert train_run(config, shared).path == folder.path
        config.force = True
        with pytest.raises(AssertionError, match="trained again"):
            train_run(config, shared)
    assert train_run(config, shared).finished
    assert (folder.path / "episodes.csv").read_bytes() == before


def test_seeds_run_in_portions_are_not_trained_again(config: Config, shared: Shared) -> None:
    """The config's seeds are 3 and 1: seed 3 alone, then both, then both in the other order."""
    runs = Path(config.results_dir) / config.suite / "runs"

    def seeds() -> list[list[int]]:
        return sorted(json.loads(path.read_text())["seeds"] for path in runs.glob("*/run.json"))

    train_runs([replace(config, seeds=[3])], shared)
    train_runs([config], shared)
    assert seeds() == [[1], [3]]
    train_runs([replace(config, seeds=[1, 3])], shared)
    assert seeds() == [[1], [3]]
    other = replace(config, algo=replace(config.algo, learning_rate=0.5))
    train_runs([other], shared)  # another setting is another method
    assert seeds() == [[1], [3], [3, 1]]
    whole = train_run(config, shared)  # `bench.train` returns one run of all its seeds
    assert len(rows(whole)) == 2 * (2 + 2 + 5)
    forced = replace(config, seeds=[1, 3], force=True)
    train_runs([forced], shared)
    assert seeds() == [[1], [1, 3], [3], [3, 1], [3, 1]]


@pytest.mark.parametrize(
    ("name", "starts_over"),
    [
        ("policy.safetensors", False), ("manifest.json", False), ("config.yaml", False), ("run.json", False),
        ("checkpoint.safetensors", True), ("episodes.csv", True), ("curve.csv", True), ("policy-15.safetensors", True),
    ],
)  # fmt: skip
def test_a_damaged_file_of_a_finished_run_is_named_and_written_again(
    config: Config, shared: Shared, capsys: pytest.CaptureFixture[str], name: str, starts_over: bool
) -> None:
    config.eval.keep_policies = True
    folder = train_run(config, shared)
    files = {p.name: p.read_bytes() for p in folder.path.iterdir()}
    content = bytearray(files[name])
    content[content.rindex(b"1") if b"1" in content else -1] ^= 1
    (folder.path / name).write_bytes(content)
    capsys.readouterr()
    assert train_run(config, shared).damage() == []
    said = capsys.readouterr().err
    assert f"{name} is damaged" in said
    assert ("update 15/40" in said) is starts_over
    for path in folder.path.iterdir():
        if path.name not in ("run.json", "manifest.json", "checkpoint.safetensors"):  # they hold times
            assert path.read_bytes() == files[path.name], path.name


def test_the_reference_is_trained_once_and_bc_shares_its_policy(config: Config, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    trained = train_run(replace(config, algo=config.pi_ref_algo), shared)

    def build_none(*_: object) -> None:
        raise AssertionError("pi_ref trained again")

    monkeypatch.setattr(reference_policy, "_build", build_none)
    train_run(config, shared)
    stored = list((Path(config.results_dir) / ".pi_ref").glob("*.safetensors"))
    assert len(stored) == 1
    assert stored[0].read_bytes() == (trained.path / "policy.safetensors").read_bytes()


def test_a_reference_trained_alone_is_the_bc_run(config: Config, tmp_path: Path, shared: Shared) -> None:
    train_run(config, shared)
    alone = next((Path(config.results_dir) / ".pi_ref").glob("*.safetensors"))
    bc = replace(config, algo=config.pi_ref_algo, results_dir=str(tmp_path / "bc"))
    assert (train_run(bc, shared).path / "policy.safetensors").read_bytes() == alone.read_bytes()


def test_other_settings_are_another_run(config: Config, shared: Shared) -> None:
    digest = shared.data(config.dataset).trajectories.digest
    base = RunDir(config, digest, "cpu").hash
    assert RunDir(config, "0" * 64, "cpu").hash != base
    assert RunDir(config, digest, "cuda").hash != base
    config.logger.wandb = True
    assert RunDir(config, digest, "cpu").hash == base
    config.eval.final_episodes += 1
    assert RunDir(config, digest, "cpu").hash != base


def test_a_full_disk_leaves_the_last_save_whole(config: Config, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    import errno

    from envs import files

    saves = iter(range(100))
    replace = files.os.replace

    def full(source: Path, target: Path) -> None:
        if target.name == "checkpoint.safetensors" and next(saves) == 1:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        with pytest.raises(OSError, match="No space left") as caught:
            train_run(config, shared)
    assert "checkpoint.safetensors" in caught.value.filename
    folder = RunDir(config, shared.data(config.dataset).trajectories.digest, "cpu")
    assert not [p for p in folder.path.iterdir() if p.name.startswith(".")]
    saved = folder.resume()
    assert saved is not None
    assert saved[0] == 15
    assert train_run(config, shared).finished


def test_worker_processes_train_the_same_run(config: Config, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    """Results are equal up to rounding, pi_ref included. An interrupted run resumes exactly."""
    whole = load_file(train_run(config, shared).path / "policy.safetensors")
    config.results_dir, config.trainer.processes = f"{config.results_dir}/workers", 2
    by_workers = load_file(train_run(config, shared).path / "policy.safetensors")
    config.results_dir, train = f"{config.results_dir}/interrupted", MemberProcesses.train

    def dies(self: MemberProcesses, start: int, stop: int) -> dict:
        if self.groups[0].config.name != "bc" and start >= 15:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return train(self, start, stop)

    with monkeypatch.context() as patch:
        patch.setattr(MemberProcesses, "train", dies)
        with pytest.raises(KeyboardInterrupt):
            train_run(config, shared)
    interrupted = load_file(train_run(config, shared).path / "policy.safetensors")
    assert by_workers.keys() == whole.keys()
    for name, value in whole.items():
        torch.testing.assert_close(by_workers[name], value, rtol=1e-3, atol=1e-5)
        assert torch.equal(interrupted[name], by_workers[name])
