"""A run that is interrupted, killed, disturbed or partly failing leaves the files of an undisturbed run, bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from algos.methods.weighted_bc import Curation, Kind, Start, WeightedBC, WeightedBCConfig, Weighting
from bench.config.schema import Config, EvalConfig, PiRefConfig, TrainerConfig
from bench.errors import RunError
from bench.report.suite import rebuild
from bench.storage.locks import Lock
from bench.storage.rundir import RunDir, read_csv
from bench.storage.tensors import unpack
from bench.training import evaluate, run_progress, signals
from bench.training import run_loop as training
from bench.training.parallel import MemberProcesses
from bench.training.population import run_dir
from bench.training.run import train_run, train_runs
from bench.training.shared import Shared
from envs.errors import DataError
from tests.helpers.episodes import random_episodes, write_minari
from tests.helpers.paths import ROOT

ID = "test/pendulum/random-v0"


@pytest.fixture(scope="module", autouse=True)
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A small data set and its environments, for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("minari")))
        write_minari(ID, random_episodes(30, obs=4, act=1), ref_min_score=5.0, ref_max_score=1000.0)
        with Shared() as shared:
            yield shared


def small(folder: Path) -> Config:
    """iw-SFT(Q) with a table of weights and q: 40 updates, evaluated every 15, in this process, so that tests can replace its parts."""
    algo = WeightedBCConfig(
        "iw_sft_q", 40, 16, [8], Start.pi_ref, curation=Curation([50, 75]),
        weighting=Weighting(Kind.trajectory, temperature=2.0, refresh_every=7),
    )  # fmt: skip
    return Config(
        algo, ID, seeds=[3, 1], eval=EvalConfig(15, 1, 2, workers=1), results_dir=str(folder), device="cpu",
        pi_ref=PiRefConfig(20, batch_size=16), trainer=TrainerConfig(processes=1),
    )  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return small(tmp_path / "results")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shared: Shared) -> RunDir:
    return train_run(small(tmp_path_factory.mktemp("undisturbed")), shared)


@pytest.fixture(scope="module")
def whole(undisturbed: RunDir) -> dict[str, Any]:
    """The content of the undisturbed run."""
    return content_of(undisturbed)


def content_of(folder: RunDir) -> dict[str, Any]:
    """Rows, parameters, optimiser, averages and counters of a run."""
    state, about = unpack(folder.path / "checkpoint.safetensors")
    policy, _ = unpack(folder.path / "policy.safetensors")
    tensors = {**state, **{f"policy/{k}": v for k, v in policy.items()}}
    return {
        **{name: (folder.path / name).read_text() for name in ("episodes.csv", "curve.csv")},
        **{name: value.numpy().tobytes() for name, value in tensors.items()},
        "update": about["update"],
    }


@pytest.fixture
def at_update(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[WeightedBC], None], str], None]:
    """Call a function once, after the chunk of training that reaches an update."""

    def arrange(update: int, what: Callable[[WeightedBC], None], name: str = "iw_sft_q") -> None:
        train, done = WeightedBC.train, []

        def watched(self: WeightedBC, start: int, stop: int) -> dict:
            found = train(self, start, stop)
            if self.config.name == name and stop >= update and not done:
                done.append(stop)
                what(self)
            return found

        monkeypatch.setattr(WeightedBC, "train", watched)

    return arrange


@pytest.mark.parametrize("how", ["signal", "kill"])
def test_worker_processes_resume_exactly(config: Config, tmp_path: Path, how: str, shared: Shared) -> None:
    """Runs resume exactly after a signal to all processes of a job at once, as schedulers send it, and after SIGKILL."""
    config.trainer.processes = 2
    whole = content_of(train_run(replace(config, results_dir=str(tmp_path / "whole")), shared))
    shared.close_evaluator()  # a fork makes its own
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        train = MemberProcesses.train

        def watched(self: MemberProcesses, start: int, stop: int) -> dict:
            found = train(self, start, stop)
            if self.updates == 40 and stop >= (9 if how == "signal" else 20):
                if how == "signal":
                    os.killpg(0, signal.SIGTERM)
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            return found

        MemberProcesses.train = watched  # type: ignore[method-assign]
        try:
            train_run(config, shared)
        except signals.Terminated as left:
            os._exit(int(left.code or 0))
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == (75 if how == "signal" else -signal.SIGKILL)
    assert content_of(train_run(config, shared)) == whole


@pytest.mark.parametrize(("update", "number"), [(1, signal.SIGUSR1), (9, signal.SIGTERM), (15, signal.SIGTERM), (37, signal.SIGUSR1)])
def test_a_signal_saves_between_evaluations_and_exits(
    config: Config, whole: dict, at_update: Any, update: int, number: int, shared: Shared
) -> None:
    at_update(update, lambda algo: os.kill(os.getpid(), number))
    before = signal.getsignal(number)
    with pytest.raises(signals.Terminated) as caught:
        train_run(config, shared)
    assert caught.value.code == 75
    assert signal.getsignal(number) is before
    folder = run_dir(config, shared)
    saved = folder.resume()
    assert saved is not None
    assert saved.update >= update
    assert update == 15 or saved.update != saved.evaluated
    assert content_of(train_run(config, shared)) == whole


def test_a_signal_while_pi_ref_is_trained(config: Config, whole: dict, at_update: Any, shared: Shared) -> None:
    at_update(5, lambda algo: os.kill(os.getpid(), signal.SIGTERM), "bc")
    with pytest.raises(signals.Terminated):
        train_run(config, shared)
    assert list((Path(config.results_dir) / ".pi_ref").glob("*.training.safetensors"))
    assert content_of(train_run(config, shared)) == whole
    assert len([p for p in (Path(config.results_dir) / ".pi_ref").iterdir() if p.name != ".locks"]) == 1


def test_a_signal_during_an_evaluation(config: Config, whole: dict, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    """The state before the evaluation is saved, and the resumed run plays the evaluation again."""
    act, acted = WeightedBC.act, iter(range(10**6))

    def signalled(self: WeightedBC, observations: torch.Tensor) -> torch.Tensor:
        if next(acted) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return act(self, observations)

    with monkeypatch.context() as patch:
        patch.setattr(WeightedBC, "act", signalled)
        with pytest.raises(signals.Terminated):
            train_run(config, shared)
    folder = run_dir(config, shared)
    saved = folder.resume()
    assert saved is not None
    assert saved.point == (15, 0)
    assert list(saved.metrics) == ["loss", "learning_rate"]  # in this order: they are columns of curve.csv
    assert content_of(train_run(config, shared)) == whole


def test_a_resumed_run_logs_its_whole_curve_again(config: Config, at_update: Any, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    """A killed process loses what its loggers had not sent, such as the last rows of wandb's file offline."""
    logged: list[dict[str, Any]] = []

    class Recorder:
        def log(self, update: int, rows: Any) -> None:
            logged.extend(dict(row) for row in rows)

        def finish(self, summary: Any) -> None: ...

    monkeypatch.setattr(run_progress, "make_logger", lambda *_: Recorder())
    train_run(replace(config, results_dir=f"{config.results_dir}/undisturbed"), shared)
    undisturbed = logged.copy()
    logged.clear()
    at_update(38, lambda algo: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(signals.Terminated):
        train_run(config, shared)
    assert {row["update"] for row in logged} == {15, 30}
    logged.clear()
    train_run(config, shared)
    assert logged == undisturbed


def test_a_previous_handler_is_called_after_the_save(config: Config, whole: dict, at_update: Any, shared: Shared) -> None:
    """A previous handler, such as submitit's, requeues the job. Training continues if it returns."""
    seen: list[tuple[int, int]] = []

    def handler(number: int, frame: object) -> None:
        saved = run_dir(config, shared).resume()
        assert saved is not None
        seen.append((number, saved.update))

    before = [signal.signal(s, handler) for s in (signal.SIGTERM, signal.SIGUSR2)]
    try:
        at_update(9, lambda algo: [os.kill(os.getpid(), s) for s in (signal.SIGTERM, signal.SIGUSR2)])
        assert content_of(train_run(config, shared)) == whole
    finally:
        for number, old in zip((signal.SIGTERM, signal.SIGUSR2), before, strict=True):
            signal.signal(number, old)
    assert [number for number, _ in seen] == [signal.SIGUSR2, signal.SIGTERM]
    assert all(update >= 9 for _, update in seen)


def test_checkpoints_by_time_change_no_result(config: Config, whole: dict, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    saves: list[int] = []
    save = RunDir.save

    def counted(self: RunDir, update: int, *more: Any) -> None:
        saves.append(update)
        save(self, update, *more)

    monkeypatch.setattr(RunDir, "save", counted)
    assert content_of(train_run(replace(config, trainer=TrainerConfig(processes=1, checkpoint_minutes=0.0)), shared)) == whole
    assert set(saves) > {15, 30, 40}


def test_a_clock_that_jumps_changes_no_duration(
    config: Config, whole: dict, at_update: Any, monkeypatch: pytest.MonkeyPatch, shared: Shared
) -> None:
    jumps = iter(np.random.default_rng(0).uniform(-1e8, 1e8, 10**4))
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + next(jumps))
    folder = train_run(config, shared)
    assert content_of(folder) == whole
    record = json.loads((folder.path / "run.json").read_text())
    assert 0 <= record["wall_time_s"] < 60
    assert 0 <= record["set_up_time_s"] < 60
    seconds = record["seconds"]
    assert set(seconds) == {"set_up", "training", "evaluation", "saving"}
    assert min(seconds.values()) >= 0
    assert sum(seconds.values()) - seconds["set_up"] == pytest.approx(record["wall_time_s"], abs=0.05)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("what", ["checkpoint", "cut checkpoint", "rows", "missing rows", "everything"])
def test_a_damaged_checkpoint_is_skipped(
    config: Config, whole: dict, at_update: Any, what: str, capsys: pytest.CaptureFixture[str], shared: Shared
) -> None:
    at_update(38, lambda algo: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(signals.Terminated):
        train_run(config, shared)
    folder = run_dir(config, shared)
    newest = folder.checkpoints.newest
    if what == "cut checkpoint":
        newest.write_bytes(newest.read_bytes()[:100])
    elif what == "rows":
        path = folder.path / "episodes.csv"
        path.write_text(path.read_text().replace("\n30,1,0,", "\n30,1,0,1"))
    elif what == "missing rows":
        (folder.path / "curve.csv").unlink()
    else:
        damage(newest)
        if what == "everything":
            damage(folder.checkpoints.previous)
    capsys.readouterr()
    assert content_of(train_run(config, shared)) == whole
    said = [line for line in capsys.readouterr().err.splitlines() if "is damaged" in line]
    if what in ("checkpoint", "cut checkpoint"):
        assert len(said) == 1
        assert said[0].startswith(str(newest))
        assert said[0].endswith("; resuming from the one before it, at update 30")
    else:
        assert said[-1].endswith("; starting over")


@pytest.mark.parametrize("how", ["a bit flips", "cut"])
def test_a_damaged_pi_ref_is_trained_again(
    config: Config, whole: dict, how: str, capsys: pytest.CaptureFixture[str], shared: Shared
) -> None:
    train_run(config, shared)
    (path,) = (Path(config.results_dir) / ".pi_ref").glob("*.safetensors")
    undamaged = path.read_bytes()
    if how == "cut":
        path.write_bytes(undamaged[:50])
    else:
        damage(path)
    capsys.readouterr()
    config.force = True
    assert content_of(train_run(config, shared)) == whole
    assert [line for line in capsys.readouterr().err.splitlines() if f"{path} is damaged (" in line and "trained again" in line]
    assert path.read_bytes() == undamaged


def poison(algo: WeightedBC) -> None:
    """Set a parameter of the second member to NaN."""
    algo.state["policy"][1, 5] = float("nan")


def test_a_member_that_fails_is_marked_and_the_others_are_unchanged(
    config: Config, undisturbed: RunDir, at_update: Any, shared: Shared
) -> None:
    at_update(20, poison)
    folder = train_run(config, shared)
    record = json.loads((folder.path / "run.json").read_text())
    assert (record["status"], record["failed_seeds"]) == ("finished", [1])
    for name, column in (("episodes.csv", "return"), ("curve.csv", "return_mean")):
        found, before = (read_csv(f.path / name) for f in (folder, undisturbed))
        failed = [r for r in found if r["seed"] == "1" and r["update"] != "15"]
        assert {r[column] for r in failed} == {"nan"}
        assert [r for r in found if r not in failed] == [r for r in before if r["seed"] == "3" or r["update"] == "15"]
        assert len(found) == len(before)
    policies = [load_file(f.path / "policy.safetensors") for f in (folder, undisturbed)]
    for name, value in policies[1].items():
        assert torch.equal(policies[0][name][0], value[0])
        assert policies[0][name][1].isnan().all()
    table = rebuild(Path(config.results_dir) / "single", page=False)
    assert "(3 failed) †" in table  # of 3 after update 15
    assert "Failed: the episode's return was no finite number; it counts as score 0." in table


def test_a_run_whose_members_all_fail_does_not_stop_another(config: Config, shared: Shared) -> None:
    """The failed run trains one update per evaluation, for the names of its metrics."""
    hot = replace(config, algo=replace(config.algo, learning_rate=1e38))
    train_runs([hot, config], shared)
    failed, fine = (run_dir(c, shared) for c in (hot, config))
    assert fine.finished
    assert json.loads((failed.path / "run.json").read_text())["failed_seeds"] == [3, 1]
    assert json.loads((fine.path / "run.json").read_text())["failed_seeds"] == []
    assert {r["return"] for r in read_csv(failed.path / "episodes.csv")} == {"nan"}
    assert len(read_csv(failed.path / "episodes.csv")) == len(read_csv(fine.path / "episodes.csv"))


def test_a_failed_member_is_failed_after_a_resume(config: Config, tmp_path: Path, at_update: Any, shared: Shared) -> None:
    at_update(10, poison)
    whole = content_of(train_run(config, shared))
    config = small(tmp_path / "again")
    at_update(10, poison)
    at_update(33, lambda algo: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(signals.Terminated):
        train_run(config, shared)
    folder = train_run(config, shared)
    assert json.loads((folder.path / "run.json").read_text())["failed_seeds"] == [1]
    assert content_of(folder) == whole


def test_a_population_killed_between_two_saves_is_trained_together_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Shared
) -> None:
    """All its runs resume from the latest update that all have saved."""
    configs = [replace(config, seeds=[s]) for s in (0, 1, 2)]
    train_runs(configs, shared)
    whole = [content_of(f) for f in (run_dir(c, shared) for c in configs)]
    configs = [replace(c, results_dir=str(tmp_path / "again")) for c in configs]
    save, saves = RunDir.save, iter(range(100))

    def dies(self: RunDir, *more: Any) -> None:
        if next(saves) == 4:  # the second run's second save
            raise KeyboardInterrupt
        save(self, *more)

    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "save", dies)
        with pytest.raises(KeyboardInterrupt):
            train_runs(configs, shared)
    folders = [run_dir(c, shared) for c in configs]
    assert [f.points() for f in folders] == [[(30, 30), (15, 15)], [(15, 15)], [(15, 15)]]
    together: list[int] = []
    train = WeightedBC.train

    def counted(self: WeightedBC, start: int, stop: int) -> dict:
        together.append(self.members)
        return train(self, start, stop)

    monkeypatch.setattr(WeightedBC, "train", counted)
    train_runs(configs, shared)
    assert set(together) == {3}
    assert [content_of(f) for f in folders] == whole


@pytest.mark.parametrize(("fitting", "said"), [(3, [3]), (1, [3, 2, 1])])
def test_a_population_that_does_not_fit_the_memory_is_halved(
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fitting: int,
    said: list[int],
    shared: Shared,
) -> None:
    """The parts resume from the last save with their reference policies. Results are equal up to rounding of batched arithmetic."""
    configs = [replace(config, seeds=[3, 1, 2]), replace(config, seeds=[4, 5])]
    train_runs(configs, shared)
    whole = [(read_csv(f.path / "episodes.csv"), load_file(f.path / "policy.safetensors")) for f in (run_dir(c, shared) for c in configs)]
    configs = [replace(c, results_dir=str(tmp_path / "again")) for c in configs]
    train = WeightedBC.train

    def limited(self: WeightedBC, start: int, stop: int) -> dict:
        if self.members > fitting and stop > 17:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return train(self, start, stop)

    monkeypatch.setattr(WeightedBC, "train", limited)
    capsys.readouterr()
    train_runs(configs, shared)
    found = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    assert [line.split("; ")[1] for line in found] == [f"continuing with {size} of 5 members at a time" for size in said]
    for folder, (rows, policy) in zip([run_dir(c, shared) for c in configs], whole, strict=True):
        again = read_csv(folder.path / "episodes.csv")
        assert [(r["update"], r["seed"], r["length"]) for r in again] == [(r["update"], r["seed"], r["length"]) for r in rows]
        for name, value in load_file(folder.path / "policy.safetensors").items():
            torch.testing.assert_close(value, policy[name], rtol=1e-4, atol=1e-5)


def test_one_member_that_does_not_fit_is_an_error(config: Config, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    def never(self: WeightedBC, start: int, stop: int) -> dict:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes.")

    monkeypatch.setattr(WeightedBC, "train", never)
    with pytest.raises(RunError, match="iw_sft_q: out of memory with one member at a time; choose a smaller batch or network"):
        train_run(config, shared)


def test_a_locked_run_is_returned_or_waited_for(config: Config, capsys: pytest.CaptureFixture[str], shared: Shared) -> None:
    folder = run_dir(config, shared)
    other = Lock(folder.lock.path)
    assert other.take()
    (locked,) = train_runs([config], shared, wait=False)
    assert locked == config
    assert not folder.path.exists()
    assert f"process {os.getpid()} on" in capsys.readouterr().err

    polled = []
    sleep = time.sleep

    def finishes(seconds: float) -> None:
        polled.append(seconds)
        other.release()
        sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.storage.locks.time.sleep", finishes)
        assert train_run(config, shared).finished
    assert polled
    assert "waiting for process" in capsys.readouterr().err


def test_a_forced_run_is_resumed_after_a_signal(config: Config, whole: dict, at_update: Any, shared: Shared) -> None:
    """force=true restarts a finished run, but resumes an unfinished one: otherwise a requeued job would never end."""
    train_run(config, shared)
    config = replace(config, force=True)
    at_update(33, lambda algo: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(signals.Terminated):
        train_run(config, shared)
    saved = run_dir(config, shared).resume()
    assert saved is not None
    assert saved.update >= 33
    assert content_of(train_run(config, shared)) == whole


def test_a_finished_run_needs_no_lock(config: Config, shared: Shared) -> None:
    """A finished run is read from a read-only folder, too."""
    folder = train_run(config, shared)
    shutil.rmtree(folder.lock.path.parent, ignore_errors=True)
    folder.lock.path.parent.write_text("no folder: a lock cannot be made here")
    assert train_run(config, shared).finished


def test_members_that_are_not_finite_return_nan(config: Config, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    data = shared.data(ID)
    algo = WeightedBC(config.pi_ref_algo, data.trajectories, [0, 1])
    algo.state["policy"][0, 0] = float("inf")
    played = evaluate.play(algo, data, shared.evaluator(data.env_spec, 1), 1, 2, lambda: None)
    assert np.isnan(played.returns[0]).all()
    assert (played.lengths[0] == 0).all()
    assert np.isfinite(played.returns[1]).all()


def test_the_command_exits_with_75_and_resumes(tmp_path: Path) -> None:
    """A signal to `python -m bench` and its evaluation processes at once, as schedulers send it, saves the run."""
    updates, root = 4_000_000, ROOT
    overrides = [
        "algo=bc", "seeds=[0]", "algo.hidden=[8]", f"algo.updates={updates}", f"dataset={ID}", "device=cpu",
        "eval.every=30", "eval.episodes=1", "eval.final_episodes=1", "eval.workers=1",
    ]  # fmt: skip
    command = [sys.executable, "-m", "bench", *overrides]
    environment = os.environ | {"PYTHONPATH": str(root)}
    saved = []
    for _ in range(2):
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
            assert process.stderr is not None
            said = [next(line for line in process.stderr if ": update " in line)]  # after the first evaluation
            os.killpg(process.pid, signal.SIGTERM)
            said += process.stderr.readlines()
        assert process.returncode == 75, said
        assert said[-1] == "SIGTERM: saved; run the same command again to resume (exit code 75)\n"
        assert not any("Traceback" in line for line in said)
        (path,) = tmp_path.glob("results/single/runs/*/checkpoint.safetensors")
        saved.append(int(unpack(path)[1]["update"]))
    assert 30 <= saved[0] < saved[1]


def test_a_signal_to_the_group_during_an_evaluation(tmp_path: Path) -> None:
    """The environments' processes survive the signal: the state before the evaluation is saved."""
    overrides = [
        "algo=bc", "seeds=[0]", "algo.hidden=[8]", "algo.updates=2", "algo.warmup=0", f"dataset={ID}", "device=cpu", "eval.every=1",
        "eval.episodes=5000", "eval.final_episodes=5000", "eval.workers=2",
    ]  # fmt: skip
    command = [sys.executable, "-m", "bench", *overrides]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if ": training, " in line)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGTERM)
        said = process.stderr.readlines()
    assert (process.returncode, said) == (75, ["SIGTERM: saved; run the same command again to resume (exit code 75)\n"])
    assert list(tmp_path.glob("results/single/runs/*/checkpoint.safetensors"))


class Held:
    """Evaluations before the last one begin and then wait for `go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.begun = threading.Event(), []
        play = training.play

        def held(algo: Any, data: Any, environments: Any, update: int, *more: Any, **options: Any) -> Any:
            self.begun.append(update)
            assert update == 40 or self.go.wait(60)
            return play(algo, data, environments, update, *more, **options)

        monkeypatch.setattr(training, "play", held)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_evaluation_in_the_background_changes_no_result(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_update: Any, processes: int, shared: Shared
) -> None:
    config = replace(config, eval=replace(config.eval, overlap=True), trainer=TrainerConfig(processes=processes))
    plain = replace(config, eval=replace(config.eval, overlap=False), results_dir=str(tmp_path / "plain"))
    expected = content_of(train_run(plain, shared))
    held = Held(monkeypatch)
    if processes == 1:  # the evaluation after update 15 waits until update 16 is done
        at_update(16, lambda algo: held.go.set())
    else:
        held.go.set()
    assert content_of(train_run(config, shared)) == expected
    assert held.begun == [15, 30, 40]


def test_evaluations_overlap_by_default_where_training_leaves_a_core(
    config: Config, monkeypatch: pytest.MonkeyPatch, shared: Shared, whole: dict
) -> None:
    monkeypatch.setattr("bench.training.run_loop.leaves_a_core", lambda *_: True)
    threads: list[str] = []
    play = training.play

    def noted(*arguments: Any, **options: Any) -> Any:
        threads.append("main" if threading.current_thread() is threading.main_thread() else "other")
        return play(*arguments, **options)

    monkeypatch.setattr(training, "play", noted)
    assert content_of(train_run(config, shared)) == whole
    assert threads == ["other", "other", "main"]


@pytest.mark.parametrize("how", ["killed", "signal"])
def test_a_run_interrupted_during_a_background_evaluation_resumes_exactly(
    config: Config, whole: dict, monkeypatch: pytest.MonkeyPatch, at_update: Any, how: str, shared: Shared
) -> None:
    config.eval.overlap = True
    held = Held(monkeypatch)

    def end(algo: WeightedBC) -> None:
        held.go.set()
        if how == "killed":
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGTERM)

    at_update(17, end)
    with pytest.raises(KeyboardInterrupt if how == "killed" else signals.Terminated):
        train_run(config, shared)
    folder = run_dir(config, shared)
    point = folder.points()[0]
    assert point == (15, 0) if how == "killed" else point[0] >= 17 and point[1] == 15, point
    assert content_of(train_run(config, shared)) == whole


def test_an_error_of_a_background_evaluation_is_raised(config: Config, monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    config.eval.overlap = True

    def fails(*_: Any, **__: Any) -> None:
        raise DataError("an environment failed: fell off")

    monkeypatch.setattr(training, "play", fails)
    with pytest.raises(DataError, match="fell off"):
        train_run(config, shared)
