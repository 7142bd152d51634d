"""The online phase: resumed to the bit wherever it was killed, members apart, one line for each mistake, and learning from own steps."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from algos.methods.awac import AWACConfig
from algos.methods.cal_ql import CalQLConfig
from algos.methods.iql import IQLConfig
from algos.methods.rebrac import ReBRACConfig
from algos.methods.rlpd import RLPDConfig
from algos.methods.td3_bc import TD3BCConfig
from algos.methods.weighted_bc import WeightedBCConfig
from bench.config.schema import Config, EvalConfig, OnlineConfig, TrainerConfig
from bench.errors import RunError
from bench.report.suite import rebuild
from bench.results.online import online_results
from bench.results.pooling import pooled
from bench.results.runs import open_run
from bench.storage.rundir import RunDir, read_csv
from bench.storage.tensors import unpack
from bench.training import online, signals
from bench.training.online import Online
from bench.training.population import run_dir
from bench.training.run import train_run
from bench.training.shared import Shared
from envs.errors import DataError
from tests.helpers.episodes import random_episodes, write_minari
from tests.helpers.toys import record, spec, trust

ID, CORRIDOR, FORGETFUL = "test/pendulum/random-v0", "test/corridor/left-v0", "test/forgetful/random-v0"


@pytest.fixture(scope="module", autouse=True)
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Small data sets and their environments, for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("minari")))
        trust(patch)
        write_minari(ID, random_episodes(30, obs=4, act=1), ref_min_score=5.0, ref_max_score=1000.0)
        record(CORRIDOR, spec("Corridor", 20), 10, lambda _: np.array([-0.5], np.float32))
        record(FORGETFUL, spec("Forgetful", 20), 10)
        with Shared() as shared:
            yield shared


def small(folder: Path, **more: Any) -> Config:
    """IQL: 12 updates, then 30 environment steps, two updates each; evaluated every 8, and every 10 steps."""
    algo = IQLConfig(updates=12, batch_size=16, hidden=[8])
    config = Config(
        algo, ID, seeds=[3, 1], eval=EvalConfig(8, 1, 2, workers=1), results_dir=str(folder), device="cpu",
        online=OnlineConfig(steps=30, updates=2, every=10), trainer=TrainerConfig(processes=1),
    )  # fmt: skip
    return replace(config, **more)


METHODS = {
    "iql": {},
    "awac": {
        "algo": AWACConfig(updates=12, batch_size=16, hidden=[8]), "online": OnlineConfig(30, every=10, warmup=9, critic_updates=3),
    },
    "td3_bc": {"algo": TD3BCConfig(updates=12, batch_size=16, hidden=[8]), "online": OnlineConfig(30, every=10, buffer=25)},
    "rebrac": {"algo": ReBRACConfig(updates=12, batch_size=16, hidden=[8]), "online": OnlineConfig(30, every=10, offline_share=0.25)},
    "cal_ql": {"algo": CalQLConfig(updates=12, batch_size=16, hidden=[8], samples=2), "online": OnlineConfig(30, every=10)},
    "rlpd": {"algo": RLPDConfig(batch_size=16, hidden=[8], critics=3, updates=0), "online": OnlineConfig(30, every=10, updates=2)},
    "bc": {
        "algo": WeightedBCConfig("bc", 12, 16, [8]),
        "online": OnlineConfig(30, "actor_critic", every=10, warmup=5, critic_updates=2, batch_size=16),
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def short_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a buffer of 25 steps hold an episode: these episodes are short."""
    monkeypatch.setattr(online, "longest_episode", lambda spec: 25)


def content_of(folder: RunDir) -> dict[str, Any]:
    """Rows, policies, and the whole state: parameters, moments, buffers and present episodes."""
    state, about = unpack(folder.path / "checkpoint.safetensors")
    policy, _ = unpack(folder.path / "policy.safetensors")
    tensors = {**state, **{f"policy/{k}": v for k, v in policy.items()}}
    return {
        **{name: (folder.path / name).read_text() for name in ("episodes.csv", "curve.csv")},
        **{name: value.numpy().tobytes() for name, value in tensors.items()},
        "update": about["update"],
    }


@pytest.fixture(scope="module", params=METHODS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared: Shared) -> tuple[str, dict[str, Any]]:
    """A method, and the content of its run in one piece."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(online, "longest_episode", lambda spec: 25)
        return request.param, content_of(train_run(small(tmp_path_factory.mktemp("whole"), **METHODS[request.param]), shared))


@pytest.fixture
def after_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[Online], None]], None]:
    """Call a function once, in the middle of environment step `k`: collected, not yet learned from."""

    def arrange(k: int, what: Callable[[Online], None]) -> None:
        collect, done = Online._collect, []

        def watched(self: Online) -> None:
            collect(self)
            if self.at == k + 1 and not done:
                done.append(k)
                what(self)

        monkeypatch.setattr(Online, "_collect", watched)

    return arrange


@pytest.mark.parametrize("k", [17, *(pytest.param(k, marks=pytest.mark.slow) for k in (0, 4, 29))])
def test_a_signal_while_collecting(k: int, whole: tuple[str, dict[str, Any]], tmp_path: Path, after_step: Any, shared: Shared) -> None:
    name, expected = whole
    config = small(tmp_path, **METHODS[name])
    after_step(k, lambda algo: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(signals.Terminated):
        train_run(config, shared)
    saved = run_dir(config, shared).resume()
    assert saved is not None
    assert saved.update > config.algo.updates + k
    assert content_of(train_run(config, shared)) == expected


@pytest.mark.parametrize("k", [23, pytest.param(3, marks=pytest.mark.slow)])
def test_a_crash_in_the_middle_of_collecting(
    k: int, whole: tuple[str, dict[str, Any]], tmp_path: Path, after_step: Any, shared: Shared
) -> None:
    """Steps since the last save are collected again, and are the same."""
    name, expected = whole
    config = small(tmp_path, **METHODS[name])

    def crash(algo: Online) -> None:
        raise KeyboardInterrupt

    after_step(k, crash)
    with pytest.raises(KeyboardInterrupt):
        train_run(config, shared)
    assert content_of(train_run(config, shared)) == expected


def test_it_goes_on_from_a_finished_offline_run(
    whole: tuple[str, dict[str, Any]], tmp_path: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finished run of the same settings is the first phase, which is not trained again."""
    name, expected = whole
    if name == "rlpd":
        pytest.skip("it has no first phase")
    config = small(tmp_path, **METHODS[name])
    first = train_run(replace(config, online=OnlineConfig()), shared)
    trained: list[int] = []
    own = Online.train

    def watched(self: Online, start: int, stop: int) -> dict:
        trained.append(start)
        return own(self, start, stop)

    monkeypatch.setattr(Online, "train", watched)
    folder = train_run(config, shared)
    assert min(trained) == 12
    assert content_of(folder) == expected
    rows = (first.path / "episodes.csv").read_text()
    assert (folder.path / "episodes.csv").read_text().startswith(rows)


def test_worker_processes_collect_the_same(tmp_path: Path, shared: Shared) -> None:
    """Members in two processes collect and learn as in one, and resume after SIGTERM to the whole job."""
    config = small(tmp_path / "two", trainer=TrainerConfig(processes=2))
    whole = content_of(train_run(replace(config, results_dir=str(tmp_path / "whole")), shared))
    one = content_of(train_run(small(tmp_path / "one"), shared))
    assert whole["episodes.csv"] == one["episodes.csv"]
    shared.close_evaluator()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        save = RunDir.save

        def watched(self: RunDir, update: int, *more: Any) -> None:
            save(self, update, *more)
            if update == 22:
                os.killpg(0, signal.SIGKILL)

        RunDir.save = watched  # type: ignore[method-assign]
        train_run(config, shared)
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert content_of(train_run(config, shared)) == whole


def test_members_are_those_of_runs_alone(tmp_path: Path, shared: Shared) -> None:
    both = train_run(small(tmp_path / "both"), shared)
    alone = train_run(small(tmp_path / "alone", seeds=[1]), shared)
    state, other = (unpack(f.path / "checkpoint.safetensors")[0] for f in (both, alone))
    for name in ("buffer.actions", "buffer.observations", "buffer.rewards", "policy", "critic"):
        torch.testing.assert_close(state[name][1:], other[name], rtol=1e-4, atol=1e-5)
    assert not torch.equal(state["buffer.actions"][0], state["buffer.actions"][1])


def test_a_failed_member_leaves_the_others_as_they_are(tmp_path: Path, after_step: Any, shared: Shared) -> None:
    undisturbed = train_run(small(tmp_path / "fine"), shared)

    def poison(algo: Online) -> None:
        algo.algo.state["policy"][1, 5] = float("nan")

    after_step(14, poison)
    config = small(tmp_path / "poisoned")
    folder = train_run(config, shared)
    assert json.loads((folder.path / "run.json").read_text())["failed_seeds"] == [1]
    kept = [[r for r in read_csv(f.path / "episodes.csv") if r["seed"] == "3"] for f in (folder, undisturbed)]
    assert kept[0] == kept[1]
    after_step(14, poison)
    whole = content_of(folder)
    config = small(tmp_path / "resumed")
    save = RunDir.save

    def stopped(self: RunDir, update: int, *more: Any) -> None:
        save(self, update, *more)
        if update == 32:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDir, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            train_run(config, shared)
    assert content_of(train_run(config, shared)) == whole


def test_the_table_says_before_after_area_and_regret(tmp_path: Path, shared: Shared) -> None:
    folder = train_run(small(tmp_path), shared)
    ((record_, episodes),) = pooled([open_run(folder.path)])
    found = online_results(record_, episodes)
    rows, curve = (pd.read_csv(folder.path / name) for name in ("episodes.csv", "curve.csv"))
    assert list(rows["update"].unique()) == [8, 12, 22, 32, 42]
    score = lambda x: 100 * (x - 5) / 995  # noqa: E731
    for seed in (3, 1):
        own = rows[rows["seed"] == seed]
        assert found.at[seed, "before"] == pytest.approx(score(own[own["update"] == 12]["return"].mean()))
        assert found.at[seed, "after"] == pytest.approx(score(own[own["update"] == 42]["return"].mean()))
        first = own[own["episode"] == 0].set_index("update")["return"].loc[[12, 22, 32, 42]].to_numpy()
        assert found.at[seed, "area"] == pytest.approx(score((first[:-1] + first[1:]).mean() / 2))
        collected = curve[(curve["seed"] == seed) & (curve["update"] == 42)]["online_return"].item()
        assert found.at[seed, "regret"] == pytest.approx(100 - score(collected))
    table = rebuild(Path(folder.config.results_dir) / "single", page=False)
    assert "## Online" in table
    assert "12 of 1,000,000, then 30 environment steps" in table
    assert (Path(folder.config.results_dir) / "single" / "online.csv").exists()


def test_the_collected_return_is_that_of_the_buffers_episodes(tmp_path: Path, shared: Shared) -> None:
    folder = train_run(small(tmp_path), shared)
    state, _ = unpack(folder.path / "checkpoint.safetensors")
    last = pd.read_csv(folder.path / "curve.csv").query("update == 42").set_index("seed")["online_return"]
    for k, seed in enumerate((3, 1)):
        ends = state["buffer.ended"][k].nonzero()[:, 0].tolist()
        episodes = torch.tensor_split(state["buffer.rewards"][k], [e + 1 for e in ends])[:-1]
        assert last[seed] == pytest.approx(np.mean([float(e.sum()) for e in episodes]))


def test_cal_qls_bound_of_own_steps_is_their_return(tmp_path: Path, shared: Shared) -> None:
    """Discounted, in the units of the method, to the end of each episode that has ended; no bound for the one that has not."""
    algo = replace(METHODS["cal_ql"]["algo"], reward_scale=2.0, reward_shift=-0.5)
    folder = train_run(small(tmp_path, algo=algo, online=OnlineConfig(30, every=10)), shared)
    state, _ = unpack(folder.path / "checkpoint.safetensors")
    for k in range(2):
        found, expected = 0.0, []
        ended = False
        for reward, last in zip(reversed(state["buffer.rewards"][k].tolist()), reversed(state["buffer.ended"][k].tolist()), strict=True):
            found, ended = (0.0 if last else found), ended or last
            found = 2 * reward - 0.5 + 0.99 * found
            expected.insert(0, found if ended else -np.inf)
        np.testing.assert_allclose(state["buffer.return_to_go"][k].numpy(), expected, rtol=1e-5)


def test_a_method_without_offline_updates_needs_online_ones(tmp_path: Path, shared: Shared) -> None:
    with pytest.raises(RunError, match=r"algo.updates = 0: rlpd learns from its own steps, .*; say how many with online.steps"):
        train_run(small(tmp_path, algo=RLPDConfig(updates=0), online=OnlineConfig()), shared)


@pytest.mark.parametrize("name", ["td3_bc", *(pytest.param(n, marks=pytest.mark.slow) for n in ("iql", "awac", "rebrac", "rlpd"))])
def test_what_no_logged_step_shows_is_found_online(name: str, tmp_path: Path, shared: Shared) -> None:
    """The logged policy of the corridor goes left everywhere and never sees a reward; after the online phase the policy goes right
    from most of them."""
    settings = {"updates": 20, "batch_size": 64, "hidden": [32, 32], "discount": 0.9, "learning_rate": 2e-3, "critic_learning_rate": 2e-3}
    algo = {
        "iql": IQLConfig(**settings, expectile=0.9, temperature=10, target_rate=0.02),
        "awac": AWACConfig(**settings, temperature=0.03, target_rate=0.02, normalize_observations=False),
        "td3_bc": TD3BCConfig(**settings, target_rate=0.05, alpha=10, normalize_observations=False),
        "rlpd": RLPDConfig(**settings | {"updates": 0}, critics=4, target_rate=0.05, reward_scale=10, entropy_learning_rate=1e-2),
        "rebrac": ReBRACConfig(**settings, target_rate=0.05, policy_penalty=0.02, critic_penalty=0.0),
    }[name]
    phase = OnlineConfig(1500, every=1500, noise=0.8, offline_share=0.25, penalty=0.0)
    evaluation = EvalConfig(20, 1, 20, workers=1)
    folder = train_run(small(tmp_path, algo=algo, dataset=CORRIDOR, seeds=[0], online=phase, eval=evaluation), shared)
    found = pd.read_csv(folder.path / "episodes.csv").groupby("update")["return"].mean()
    assert name == "rlpd" or found[20] == 0
    assert found[found.index.max()] > 0.6


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"algo": WeightedBCConfig("bc", 12)}, "online.steps = 30: bc does not go on online by itself; awac, cal_ql, cql, crr, iql, "),
        ({"env": "none"}, "online.steps = 30: expected 0 with env=none: there is no environment to act in"),
        ({"online": OnlineConfig(30, critic_updates=2)}, "online.critic_updates = 2: expected 0: iql has no such updates"),
        ({"online": OnlineConfig(30, warmup=30)}, "online.warmup = 30: expected a number below online.steps = 30: no policy learns in"),
        ({"online": OnlineConfig(30, "other")}, "online.stage = other: expected own or actor_critic"),
        ({"online": OnlineConfig(30, offline_share=1.5)}, "online.offline_share = 1.5: expected a number from 0 to 1"),
        ({"online": OnlineConfig(30, buffer=0)}, "online.buffer = 0: expected a positive number of steps, or null"),
    ],
)
def test_a_mistake_is_one_line(changes: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="online") as caught:
        small(tmp_path, **changes).check()
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_buffer_that_cannot_be_held_is_one_line(tmp_path: Path, shared: Shared) -> None:
    with pytest.raises(RunError, match=r"online.buffer: 2 members with 10,000,000,000,000 steps each need .* GB, this machine has"):
        train_run(small(tmp_path, online=OnlineConfig(10**13)), shared)
    with pytest.raises(RunError, match=r"online.buffer = 20: expected at least 25, the longest episode"):
        train_run(small(tmp_path, online=OnlineConfig(30, buffer=20)), shared)
    assert not list(tmp_path.rglob("run.json"))


def test_a_buffer_on_a_gpu_has_the_gpus_memory(tmp_path: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(tmp_path)
    monkeypatch.setattr(online, "device_of", lambda device: torch.device("cuda", 1))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=2000))
    with pytest.raises(RunError, match=r"2 members with 30 steps each need 0.0 GB, cuda:1 has 0.0 GB; keep fewer"):
        online.check_online(config, shared.run_data(config), 2)


def test_an_environment_that_does_not_repeat_itself_cannot_be_resumed(tmp_path: Path, after_step: Any, shared: Shared) -> None:
    config = small(tmp_path, dataset=FORGETFUL)
    after_step(7, lambda algo: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(signals.Terminated):
        train_run(config, shared)
    with pytest.raises(DataError, match=r"does not repeat an episode from its seed and actions, .*; force=true begins it anew"):
        train_run(config, shared)


def test_an_offline_run_has_the_hashes_that_it_had(tmp_path: Path) -> None:
    """Settings of a phase that there is not are in no hash."""
    one, other = (RunDir(small(tmp_path, online=o), "digest", "cpu") for o in (OnlineConfig(), OnlineConfig(noise=0.7)))
    assert (one.hash, one.method_hash) == (other.hash, other.method_hash)
    assert one.hash != RunDir(small(tmp_path), "digest", "cpu").hash
