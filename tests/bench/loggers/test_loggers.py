"""Loggers beside the run directory: they receive curves, and their failures neither stop nor delay a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from algos.methods.weighted_bc import WeightedBCConfig
from bench.config.schema import Config, EvalConfig, LoggerConfig
from bench.errors import RunError
from bench.loggers import check_loggers, make_logger, threaded
from bench.loggers import wandb as wandb_logger
from bench.loggers.base import Guarded, Several, flat_curves
from bench.loggers.jsonl import Jsonl
from bench.loggers.threaded import Threaded
from bench.loggers.wandb import Wandb, has_account, server_error, tags
from bench.storage.layout import Row
from bench.storage.rundir import RunDir

ID = "test/pendulum/random-v0"


def rows(update: int) -> list[Row]:
    return [{"seed": 0, "update": update, "loss": 1.0}, {"seed": 1, "update": update, "loss": 3.0}]


def config_of(folder: Path, **logger: Any) -> Config:
    return Config(WeightedBCConfig(), seeds=[0, 1], logger=LoggerConfig(**logger), results_dir=str(folder))


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove accounts and the state that an earlier test left in the modules."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "/nonexistent")
    monkeypatch.setattr(wandb_logger, "_offline", [])
    monkeypatch.setattr(threaded, "_spent", {})


class Recorder:
    """A back end that records its calls and raises at those in `fails`."""

    def __init__(self, fails: tuple[str, ...] = ()) -> None:
        self.calls: list[Any] = []
        self.fails = fails

    def log(self, update: int, rows: Sequence[Row]) -> None:
        self._note("log", update)

    def finish(self, summary: Row) -> None:
        self._note("finish", summary)

    def _note(self, name: str, what: Any) -> None:
        self.calls.append((name, what))
        if name in self.fails:
            raise RuntimeError("server is gone\nmore")


# Choice of back ends.


def test_without_a_logger_there_is_no_back_end(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    logger = make_logger(config, RunDir(config, "0", "cpu"))
    assert isinstance(logger, Several)
    assert logger.backends == []


def test_several_back_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb_logger, "Wandb", lambda *_: Recorder())
    config = config_of(tmp_path, jsonl=True, tensorboard=True, wandb=True)
    logger = make_logger(config, RunDir(config, "0", "cpu"))
    assert isinstance(logger, Several)
    assert [b.name for b in logger.backends] == ["jsonl", "tensorboard", "wandb"]  # type: ignore[attr-defined]


def test_curves_by_seed_and_their_mean() -> None:
    assert flat_curves(rows(5)) == {"seed_0/loss": 1.0, "seed_1/loss": 3.0, "loss": 2.0}
    assert flat_curves([*rows(5), {"seed": 2, "update": 5, "return_mean": 7.0}])["return_mean"] == 7.0


# Failing and slow back ends.


@pytest.mark.parametrize("wrap", [Guarded, Threaded])
@pytest.mark.parametrize("fails", ["log", "finish", "make"])
def test_a_failing_back_end_is_reported_once(fails: str, wrap: Any, capsys: pytest.CaptureFixture) -> None:
    backend = Recorder(fails=(fails,))

    def make() -> Recorder:
        backend._note("make", None)
        return backend

    logger = wrap("there", make)
    logger.log(5, rows(5))
    logger.log(6, rows(6))
    logger.finish({})
    if wrap is Threaded:
        logger.thread.join(60)
    assert capsys.readouterr().err == "there: server is gone; continuing without it\n"
    assert [name for name, _ in backend.calls] == {"log": ["make", "log"], "finish": ["make", "log", "log", "finish"], "make": ["make"]}[
        fails
    ]


def test_a_slow_back_end_delays_no_call_and_receives_every_row() -> None:
    backend, answered = Recorder(), Event()

    def make() -> Recorder:
        answered.wait(60)
        return backend

    logger = Threaded("slow", make)
    for update in range(10):
        logger.log(update, rows(update))
    assert backend.calls == []  # `log` returned before the server answered
    answered.set()
    logger.finish({})
    assert [what for name, what in backend.calls if name == "log"] == list(range(10))
    assert backend.calls[-1][0] == "finish"


def test_the_wait_for_back_ends_that_hang_is_limited_in_total(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(threaded, "PATIENCE", 0.7)
    begun = time.perf_counter()
    for _ in range(2):
        logger = Threaded("hung", lambda: time.sleep(60))  # type: ignore[arg-type, return-value]
        logger.log(1, rows(1))
        logger.finish({})
    assert 1.1 < time.perf_counter() - begun < 30  # 0.7 s for the first, the minimum of 0.5 s for the next
    assert capsys.readouterr().err.count("continuing without it") == 2


def test_the_queue_of_a_back_end_that_hangs_is_limited(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(threaded, "WAITING", 3)
    logger = Threaded("hung", lambda: time.sleep(5))  # type: ignore[arg-type, return-value]
    for update in range(20):
        logger.log(update, rows(update))
    assert logger.calls.qsize() == 3
    assert capsys.readouterr().err == "hung: 3 calls behind; later ones are dropped\n"


def test_a_run_with_loggers_that_raise_at_every_call_gives_the_same_result(
    tmp_path: Path, pendulum_data: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from bench.training import run as runner
    from bench.training.shared import Shared

    pendulum_data(ref_min_score=5.0, ref_max_score=1000.0)
    found, shared = [], Shared()
    for folder in ("plain", "failing"):
        algo = WeightedBCConfig("bc", hidden=[8])
        algo.updates, algo.batch_size, algo.warmup = 20, 8, 0
        config = Config(algo, ID, seeds=[0], eval=EvalConfig(10, 1, 2, workers=1), results_dir=str(tmp_path / folder), device="cpu")
        found.append(runner.train_run(config, shared))
        backends = [wrap("there", lambda: Recorder(fails=("log", "finish"))) for wrap in (Guarded, Threaded)]
        monkeypatch.setattr("bench.training.run_progress.make_logger", lambda *_, made=backends: Several(made))
    for name in ("policy.safetensors", "episodes.csv", "curve.csv"):
        assert (found[0].path / name).read_bytes() == (found[1].path / name).read_bytes()
    assert capsys.readouterr().err.count("there: server is gone; continuing without it") == 2
    shared.close()


# JSONL.


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_jsonl_has_a_line_per_row(tmp_path: Path) -> None:
    logger = Jsonl(tmp_path / "log.jsonl")
    logger.log(5, rows(5))
    logger.log(10, [{"seed": 0, "update": 10, "loss": float("nan")}])
    assert read(tmp_path / "log.jsonl") == [*rows(5), {"seed": 0, "update": 10, "loss": None}]


@pytest.mark.parametrize("cut", ["", '{"seed": 0, "upda', '{"seed": 0, "update": 5, "loss": 9}'])
def test_jsonl_after_a_kill_has_every_row_once(cut: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    before = Jsonl(path)
    for update in (5, 10, 15):  # killed after logging 15, before the checkpoint of 15, perhaps within a line
        before.log(update, rows(update))
    path.write_text(path.read_text() + cut)
    after = Jsonl(path)
    for update in (15, 20):
        after.log(update, rows(update))
    assert read(path) == [row for update in (5, 10, 15, 20) for row in rows(update)]


# TensorBoard.


def test_tensorboard_after_a_kill_has_every_row_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra `tensorboard`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from bench.loggers.tensorboard import TensorBoard

    config = config_of(tmp_path)
    before = TensorBoard(config, tmp_path / "tb")
    for update in (5, 10, 15):
        before.log(update, rows(update))
    time.sleep(1.1)  # event files are named and read in order of seconds
    after = TensorBoard(config, tmp_path / "tb")
    for update in (15, 20):
        after.log(update, [row | {"loss": row["loss"] + 1} for row in rows(update)])
    after.finish({"return_mean": 7.0})
    events = EventAccumulator(str(tmp_path / "tb")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(5, 2), (10, 2), (15, 3), (20, 3)]
    assert [(e.step, e.value) for e in events.Scalars("final/return_mean")] == [(20, 7)]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_one_line_before_anything_starts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_loggers(config_of(tmp_path, **{name: True}).logger)
    monkeypatch.setattr("bench.config.extras.find_spec", lambda package: None)
    check_loggers(config_of(tmp_path).logger)
    with pytest.raises(RunError, match=rf"^logger={name}: the package {name} is not installed; pip install 'iwsft-bench\[{name}\]'$"):
        check_loggers(config_of(tmp_path, **{name: True}).logger)


# Weights & Biases.


def finished_run(config: Config) -> RunDir:
    """The directory of a finished run with two evaluations and two seeds."""
    from bench.storage.layout import EPISODE_COLUMNS
    from bench.storage.rundir import to_csv

    run = RunDir(config, "0", "cpu")
    run.path.mkdir(parents=True)
    episodes = [{"update": u, "seed": s, "episode": e, "return": u + s, "length": 9} for u in (5, 10) for s in (0, 1) for e in (0, 1)]
    (run.path / "episodes.csv").write_text(to_csv(episodes, EPISODE_COLUMNS))
    curve = [{"update": u, "seed": s, "return_mean": u + s, "loss": 1.0} for u in (5, 10) for s in (0, 1)]
    (run.path / "curve.csv").write_text(to_csv(curve, list(curve[0])))
    record = {
        "dataset": config.dataset, "algo": "bc", "suite": "single", "seeds": [0, 1], "updates": 10, "eval_episodes": 2, "last_k": 3,
        "final_episodes": 2, "reference": None, "config_hash": run.hash, "dataset_digest": "0", "status": "finished",
    }  # fmt: skip
    (run.path / "run.json").write_text(json.dumps(record))
    for name in ("checkpoint.safetensors", "policy.safetensors"):
        (run.path / name).write_bytes(b"x")
    return run


def fake_wandb(monkeypatch: pytest.MonkeyPatch, refuses: str = "") -> list[Any]:
    """Replace wandb by a module that records its calls and refuses mode `refuses`; return the list of calls."""
    calls: list[Any] = []

    def step(name: str, result: Any = None) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append((name, args, kwargs))
            if name == "init" and kwargs["mode"] == refuses:
                raise RuntimeError("401\nmore")
            return result() if result else None

        return call

    run = SimpleNamespace(
        id="id",
        step=0,
        log=step("log"),
        finish=step("finish"),
        log_artifact=step("artifact"),
        summary=SimpleNamespace(update=step("summary")),
    )
    found = SimpleNamespace(
        init=step("init", lambda: run), Settings=dict, teardown=step("teardown"), Table=step("table"),
        Artifact=step("make", lambda: SimpleNamespace(add_file=step("add"))),
    )  # fmt: skip
    monkeypatch.setitem(__import__("sys").modules, "wandb", found)
    return calls


def test_wandb_receives_config_curves_episodes_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_wandb(monkeypatch)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setattr(wandb_logger, "server_error", lambda: None)
    config = config_of(tmp_path, wandb=True, project="p" * 9 + "k" * 40)
    run = finished_run(config)
    logger = Wandb(config, run.path, run.hash)
    logger.log(5, rows(5))
    logger.finish({"return_mean": 2.0})
    start = calls[0][2]
    assert (start["mode"], start["resume"], start["id"]) == ("online", "allow", run.hash)
    assert start["group"] == "single/iwsft/hopper/medium-replay-v0"
    assert start["job_type"] == "bc"
    assert start["tags"] == ["single", "iwsft/hopper/medium-replay-v0", "bc"]
    assert start["config"]["algo"]["weighting"]["temperature"] == config.algo.weighting.temperature
    assert "kkkkkkkk" not in json.dumps(start["config"], default=str)
    assert calls[1] == ("log", ({"seed_0/loss": 1.0, "seed_1/loss": 3.0, "loss": 2.0},), {"step": 5})
    table = next(kwargs for name, _, kwargs in calls if name == "table")
    assert table["data"] == [[0, 0, 10.0, 9], [0, 1, 10.0, 9], [1, 0, 11.0, 9], [1, 1, 11.0, 9]]
    last = [args[0] for name, args, _ in calls if name == "log"][-1]
    assert set(last) == {"final_episodes"}
    sent = [Path(args[0]).name for name, args, _ in calls if name == "add"]
    assert sent == ["run.json", "episodes.csv", "curve.csv", "checkpoint.safetensors", "policy.safetensors"]
    assert calls[-1][0] == "finish"


def test_a_server_that_refuses_leaves_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    calls = fake_wandb(monkeypatch, refuses="online")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setattr(wandb_logger, "server_error", lambda: None)
    for _ in range(2):
        Wandb(config_of(tmp_path, wandb=True), tmp_path, "id")
    assert [kwargs["mode"] for name, _, kwargs in calls if name == "init"] == ["online", "offline", "offline"]
    assert capsys.readouterr().err == "wandb: 401; logging offline, `wandb sync` sends it later\n"


def test_a_server_out_of_reach_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    calls = fake_wandb(monkeypatch)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    for url in ("http://127.0.0.1:9", "not a url"):
        monkeypatch.setenv("WANDB_BASE_URL", url)
        assert str(server_error()).startswith(f"{url}: ")
        Wandb(config_of(tmp_path, wandb=True), tmp_path, "id")
    assert [kwargs["mode"] for name, _, kwargs in calls if name == "init"] == ["offline", "offline"]
    assert capsys.readouterr().err.count("logging offline") == 1


def test_steps_that_a_server_has_are_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_wandb(monkeypatch)
    logger = Wandb(config_of(tmp_path, wandb=True), tmp_path, "id")
    logger.run.step = 11  # the server has 10
    for update in (5, 10, 15):
        logger.log(update, rows(update))
    assert [kwargs["step"] for name, _, kwargs in calls if name == "log"] == [15]


def test_an_account_is_a_key_in_the_environment_or_in_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_account()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert has_account()
    monkeypatch.setenv("WANDB_BASE_URL", "https://elsewhere.example")
    assert not has_account()
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert has_account()


def test_tags_are_short_and_differ() -> None:
    assert tags("bc", "bc", "d" * 100) == ["bc", "d" * 64]


@pytest.mark.filterwarnings("ignore")
def test_wandb_works_offline(tmp_path: Path) -> None:
    """wandb's own library, called from a thread, writes an offline run with config, curves, episodes and files."""
    config = config_of(tmp_path, wandb=True)
    run = finished_run(config)
    logger = make_logger(config, run)
    logger.log(5, rows(5))
    logger.log(10, rows(10))
    logger.finish({"return_mean": 2.0})
    content, name = b"", ""
    for _ in range(200):  # the service writes and closes the file some time after `finish` has returned
        for file in run.path.glob("wandb/offline-run-*/run-*.wandb"):
            content, name = file.read_bytes(), file.name
        if b"return_mean" in content and b"policy.safetensors" in content:
            break
        time.sleep(0.05)
    assert run.hash in name
    for word in (b"seed_1/loss", b"single/iwsft/hopper/medium-replay-v0", b"final_episodes", b"policy.safetensors", b"return_mean"):
        assert word in content
