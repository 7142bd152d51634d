"""Measuring speed: the yardstick does the suite's work, operations are counted right, tables and estimates follow from the figures."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from algos.batches.transitions import Transitions
from algos.errors import ConfigError
from algos.networks.precision import has_bfloat16
from algos.optimizer import Adam
from bench import cli
from bench.errors import RunError
from bench.speed import flops
from bench.speed.estimate import estimate, write_estimate
from bench.speed.figure import scale_figure, speed_figure
from bench.speed.measure import compared, settings, table
from bench.speed.options import MeasureOptions, ProfileOptions, ScaleOptions, parse
from bench.speed.profile import KINDS, OPTIMISER, SAMPLING, kind_of, kind_of_kernel, profile
from bench.speed.rows import COLUMNS, ROUND_COLUMNS, read_csv, write_csv
from bench.speed.scale import COLUMNS as SCALE_COLUMNS
from bench.speed.scale import curves
from bench.speed.stopwatch import Stopwatch
from bench.speed.turns import at_work, peak, take_turns
from bench.speed.worker import Setting
from bench.speed.workload import Work, Workload, population, resized, rhythm
from bench.speed.yardstick import TRAINERS, Trainer
from envs.data.trajectories import Trajectories
from tests.helpers.learners import ACT, OBS, configured, episodes_of
from tests.helpers.paths import ROOT

HIDDEN, BATCH, UPDATES = [7, 6], 16, 5
OWN = {
    "td3_bc": ["algo.policy_noise=0"],  # its noise is drawn by another generator; without it both do the same
    "iw_sft_q": ["algo.warmup=0", "algo.learning_rate=0.05", "algo.weighting.refresh_every=2"],  # so that weights differ
}
"""What sets a method's test configuration apart."""


def config_of(method: str, hidden: list[int] = HIDDEN, batch: int = BATCH) -> Any:
    updates = 400 if method == "iw_sft_q" else 20
    sizes = (f"algo.hidden={hidden}", f"algo.updates={updates}", f"algo.batch_size={batch}")
    return configured(method, *sizes, *OWN.get(method, []))


@pytest.fixture(scope="module")
def data() -> Trajectories:
    return episodes_of(count=30)


def load(module: nn.Module, flat: torch.Tensor) -> None:
    """Fill a yardstick's network with one of the suite's: weights transposed; what is no layer's (log_std) comes last."""
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    pieces = [p for layer in linear for p in (layer.weight, layer.bias)]
    pieces += [p for name, p in module.named_parameters() if name == "log_std"]
    at = 0
    for p in pieces:
        part = flat[at : at + p.numel()]
        p.data.copy_(part.view(p.shape[::-1]).T if p.ndim == 2 else part)
        at += p.numel()
    assert at == len(flat)


def flat_of(module: nn.Module) -> torch.Tensor:
    """The other way round."""
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    parts = [part for layer in linear for part in (layer.weight.T.reshape(-1), layer.bias)]
    return torch.cat([*parts, *(p for name, p in module.named_parameters() if name == "log_std")]).detach()


def paired(method: str, data: Trajectories) -> tuple[Any, Any]:
    """The suite with one member and the yardstick, at the same parameters."""
    torch.manual_seed(1)
    config = config_of(method)
    algo, plain = population(config, data, [3]), TRAINERS[method](config, data)
    for name, network in networks(plain).items():
        load(network, algo.state[name][0])
    if method == "iw_sft_q":
        plain.start_from(plain.actor.state_dict())
    return algo, plain


def networks(plain: Any) -> dict[str, nn.Module]:
    """The yardstick's networks under the names that the suite gives their parameters."""
    found = {"policy": "actor", "q": "q", "critic": "critic", "value": "value", "target": "target", "policy_target": "actor_target"}
    return {name: getattr(plain, attribute) for name, attribute in found.items() if hasattr(plain, attribute)}


def recorded(algo: Any) -> list[Any]:
    """The batches that the suite will use."""
    seen, make = [], algo.stream.of

    def of(draws: Any) -> Any:
        seen.append(make(draws))
        return seen[-1]

    algo.stream.of = of
    return seen


def given(plain: Trainer, batch: Any) -> tuple[torch.Tensor, ...]:
    """The same batch for the yardstick."""
    if isinstance(batch, Transitions):
        return tuple(x[0] for x in batch[1:6])
    step, slot = batch.step[0], batch.slot[0]
    if type(plain).__name__ == "BC":
        return plain.observations[step], plain.actions[step]  # type: ignore[attr-defined]
    return step, slot


@pytest.mark.parametrize("method", list(TRAINERS))
def test_the_yardstick_does_the_suites_work(method: str, data: Trajectories) -> None:
    """Losses of the same parameters on the same batch, and every network after some updates, are the same."""
    algo, plain = paired(method, data)
    seen = recorded(algo)
    for t in range(UPDATES):
        ours = algo.train(t, t + 1)
        losses = plain.update(t, *given(plain, seen[-1]))
        for name, loss in losses.items():
            if name in ours:
                torch.testing.assert_close(loss.detach(), ours[name][0], rtol=1e-5, atol=1e-5, check_dtype=False)
        assert losses
    if method == "iw_sft_q":
        assert algo.state["weights"].std() > 0.01  # else they were not looked at
    for name, network in networks(plain).items():
        torch.testing.assert_close(flat_of(network), algo.state[name][0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", list(TRAINERS))
def test_the_yardstick_trains_on_batches_of_its_own(method: str, data: Trajectories) -> None:
    plain: Any = TRAINERS[method](config_of(method), data)
    before = flat_of(plain.actor)
    plain.train(0, 4)
    assert plain.sample()[0].shape[0] == BATCH
    assert math.isfinite(next(iter(plain.logged.values())))
    assert not torch.equal(flat_of(plain.actor), before)


def hand_formula(method: str, steps: int, refresh: int) -> tuple[float, float, float]:
    """Operations of an update with widths 7 and 6, batch 16: what is needed, and what suite and yardstick do beyond it."""

    def layers(a: int, b: int) -> tuple[int, int, int]:
        return a * 7, 7 * 6, 6 * b

    policy, q, v = layers(OBS, ACT), layers(OBS + ACT, 1), layers(OBS, 1)
    once = 2 * BATCH

    def step(net: tuple[int, int, int]) -> int:  # forward, weights' gradients, inputs' gradients of all layers but the first
        return once * (sum(net) + sum(net) + sum(net[1:]))

    if method == "bc":
        return step(policy), 0, 0
    if method == "iw_sft_q":
        return step(policy) + 2 * steps * sum(policy) / refresh, 0, 0
    if method == "iql":
        return 2 * once * sum(q) + step(v) + 2 * once * sum(v) + step(policy) + 2 * step(q), 0, 0
    half = (step(policy) + 2 * once * sum(q)) / 2
    # the policy's step: the suite's batched critics go through Q_2 as well, the yardstick has Q_1's weights' gradients made in vain
    return once * (sum(policy) + 2 * sum(q)) + 2 * step(q) + half, once * sum(q), once * sum(q) / 2


@pytest.mark.parametrize("method", list(TRAINERS))
def test_operations_are_the_hand_formulas(method: str, data: Trajectories) -> None:
    config = config_of(method)
    cycle, rare = rhythm(config)
    algo, two = population(config, data, [0]), population(config, data, [0, 1])
    steps = flops.refreshed_steps(config, algo)
    assert (steps > 0) == (rare > 0)
    needed, suite_more, yardstick_more = hand_formula(method, steps, rare or 1)
    assert flops.needed(config, OBS, ACT, BATCH, steps) == pytest.approx(needed)
    ours = flops.counted(Work(algo.train, cycle, rare))
    # through a critic's last layer: forwards are done twice over, backwards without a product
    forwards, backwards = {"iql": (7, 3), "td3_bc": (4 + 2 / 2, 2 + 2 / 2)}.get(method, (0, 0))
    products = needed + (forwards - backwards) * 2 * BATCH * 6
    assert any(ours == pytest.approx(products + more) for more in {0.0, suite_more})  # no less than needed, no more than is known
    assert flops.counted(Work(two.train, cycle, rare), members=2) == pytest.approx(ours)
    plain = TRAINERS[method](config, data)
    assert flops.counted(Work(plain.train, cycle, rare)) == pytest.approx(needed + yardstick_more)


def test_passes_over_all_data_count_as_often_as_they_come(data: Trajectories) -> None:
    """AWR's advantages: V of every step and of the one after each episode, forwards, every `refresh_every` updates."""
    config = configured("awr", "algo.hidden=[16,16]", f"algo.batch_size={BATCH}", "algo.refresh_every=5")
    cycle, rare = rhythm(config)
    assert rare == 5
    inner = 16 * 16
    last = 16  # V's: forwards done twice over, and to its inputs without a product: in a step the same number
    v, policy = OBS * 16 + inner + last, OBS * 16 + inner + 16 * ACT
    step = 2 * BATCH * (3 * v - OBS * 16 + 3 * policy - OBS * 16)
    everything = 2 * (v + last) * (data.num_steps + data.num_episodes) / 5
    assert flops.counted(Work(population(config, data, [0]).train, cycle, rare)) == pytest.approx(step + everything)


def test_rare_long_updates_count_as_often_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tenth update takes 11 s, the others 1 s: 2 s on average, wherever the measured time begins and ends."""
    clock = [0.0]
    monkeypatch.setattr("bench.speed.stopwatch.time.perf_counter", lambda: clock[0])

    def train(start: int, stop: int) -> None:
        clock[0] += sum(11.0 if t % 10 == 0 else 1.0 for t in range(start, stop))

    watch = Stopwatch(Work(train, 1, 10), "cpu")
    for seconds in (1.0, 14.0, 60.0):
        assert watch.rate(seconds) == pytest.approx(0.5)
    assert Stopwatch(Work(lambda a, b: clock.__setitem__(0, clock[0] + 0.25 * (b - a)), 2), "cpu").rate(3.0) == pytest.approx(4.0)


def test_resized_data_are_whole_episodes(data: Trajectories) -> None:
    for steps in (5, data.num_steps, 3 * data.num_steps + 1):
        found = resized(data, steps)
        assert steps <= found.num_steps < steps + int(data.lengths.max())
        assert found.offsets[-1] == found.num_steps == len(found.actions)
        first = min(found.num_episodes, data.num_episodes)
        assert torch.equal(found.lengths[:first], data.lengths[:first])
    torch.testing.assert_close(resized(data, 3 * data.num_steps).returns, data.returns.repeat(3))


# The command, in a folder of its own, on data of its own.

DATASET = "dataset=test/pendulum/random-v0"
QUICK = ("members=[2]", "rounds=2", "seconds=0.05", "threads=1", "hidden=[8,8]", "batch=16", "device=cpu", DATASET)


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """From a folder that is not the checkout."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from bench.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, "speed", *arguments], cwd=folder, capture_output=True, text=True, timeout=900)


def test_measuring_leaves_tables_and_a_figure(pendulum_data: Any, tmp_path: Path) -> None:
    pendulum_data()
    done = command(tmp_path, "methods=[iql]", *QUICK)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results" / "speed"
    assert {p.name for p in folder.iterdir()} == {"speed-cpu.csv", "rounds-cpu.csv", "speed-cpu.svg", "speed-cpu.png"}
    header = (folder / "speed-cpu.csv").read_text().splitlines()[0].split(",")
    assert header == [
        "device", "cpu_model", "cores", "threads", "processes", "environment", "engine", "precision", "torch_version", "code_revision",
        "dataset", "method", "members", "batch", "hidden", "after", "who", "updates_per_s_member", "member_updates_per_s",
        "flops_per_update", "gflops", "share_of_limit", "memory_mib", "rounds", "spread", "ratio", "ratio_low", "ratio_high",
        "ratio_processes", "others_busy",
    ]  # fmt: skip
    rows, rounds = read_csv(folder / "speed-cpu.csv", COLUMNS), read_csv(folder / "rounds-cpu.csv", ROUND_COLUMNS)
    assert [(r["who"], r["members"]) for r in rows] == [("suite", 2), ("yardstick", 1), ("limit", 1), ("limit", 2)]
    suite, plain = rows[:2]
    of_suite, of_plain = (
        [x["member_updates_per_s"] for x in rounds if (x["who"], x["members"]) == (r["who"], r["members"]) and x["method"] == "iql"]
        for r in (suite, plain)
    )
    assert len(of_suite) == len(of_plain) == suite["rounds"] == 2
    ratios = sorted(a / b for a, b in zip(of_suite, of_plain, strict=True))
    assert (suite["ratio_low"], suite["ratio_high"]) == pytest.approx(ratios, rel=1e-4)
    assert suite["member_updates_per_s"] == pytest.approx(2 * suite["updates_per_s_member"], rel=1e-4)
    assert suite["flops_per_update"] == plain["flops_per_update"] == flops.needed(_pendulum(), 4, 1, 16)
    assert max(r["share_of_limit"] for r in rows if r["who"] == "limit") == 1
    assert all(100 < r["memory_mib"] < 2000 for r in rows)
    assert f"| iql | suite | float32 | 2 | 1 x 1 | {suite['updates_per_s_member']:.4g} |" in done.stdout
    assert "limit" in (folder / "speed-cpu.svg").read_text()


def _pendulum() -> Any:
    config = config_of("iql", [8, 8], 16)
    assert config.hidden == [8, 8]
    return config


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["method=[bc]"], "'method=[bc]': expected key=value with a key out of dataset, device,"),
        (["methods=[sac]"], "methods = ['sac']: expected some of bc, iw_sft_q, iql, td3_bc"),
        (["rounds=many"], "rounds: Value 'many' of type 'str' could not be converted to Integer"),
        (["seconds=0"], "seconds = 0.0: expected a positive number"),
        (["profile", "algo=iqll"], "algo=iqll: no such algo; near names: iql"),
        (["scale", "dataset=test/none-v0"], "test/none-v0"),
        (["estimate"], "results/speed: no scale-cpu.csv or scale-cuda.csv; measure them with python -m bench speed scale"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(
    arguments: list[str], said: str, minari_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["speed", *arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "load average" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert said in lines[0]
    assert not (tmp_path / "results").exists()


def test_a_worker_that_dies_is_said_and_leaves_nothing_behind(pendulum_data: Any) -> None:
    pendulum_data()
    what = Workload("iql", 1, 16, (8, 8), dataset="test/pendulum/random-v0")
    with at_work([Setting("suite", what, 1)]) as workers:
        workers[0].processes[0].kill()
        with pytest.raises(RunError, match=r"suite of iql with 1 members ended early \(killed"):
            workers[0].measure(0.01)
    assert workers[0].processes[0].poll() is not None


def test_members_are_dealt_out_over_processes() -> None:
    setting = Setting("suite", Workload("iql", 7), 1, 3)
    assert [w.members for w in setting.each()] == [3, 2, 2]


def curve(name: str, x: Any, rate: float | None, **more: Any) -> dict[str, Any]:
    machine = {"device": "cpu", "cpu_model": "Abacus", "cores": 2, "threads": 2, "share_of_limit": 0.5, "own_updates": 1_000_000}
    return machine | {"curve": name, "x": x, "member_updates_per_s": rate, "members": 10, "method": "iql"} | more


MADE_UP = [
    curve("members", 1, 50.0, members=1),
    curve("members", 100, 200.0, members=100),
    curve("method", "bc", 1000.0, own_updates=10_000),
    curve("method", "iql", 100.0),
    curve("evaluation", 10, None, env_steps_per_s=10_450.0),
]


def test_the_estimate_follows_from_the_curves(tmp_path: Path) -> None:
    """9 sets x 10 seeds x 1M updates: 90,000 s at 1,000 a second; 2,090,000 environment steps a seed: 200 s at 10,450 a second."""
    write_csv(tmp_path / "scale-cpu.csv", MADE_UP, SCALE_COLUMNS)
    text = write_estimate(tmp_path).read_text()
    assert "9 data sets x 2 methods x 10 seeds x 1,000,000 updates" in text
    assert "at most 2,090,000 environment steps a seed" in text
    assert "| bc | 1000 | 50% | 2.78 | 1.04 | 10,000 | 0.01 |" in text  # 10,000 s a set; 90,000 s; 900 s
    assert "| iql | 100 | 50% | 27.78 | 10.42 | 1,000,000 | 10.42 |" in text
    # 990,000 s and 9 x 10 x 2 x 200 s; with own updates bc has one evaluation but the last: 9 x 10 x (110,000 + 2,090,000) / 10,450 s
    assert "| 1,000,000 updates each | 11.5 days | 10.0 hours | 11.9 days | 11.5 days |" in text
    assert "| own updates | 10.4 days | 5.3 hours | 10.6 days | 10.4 days |" in text
    assert "10 ms a member's update with 10 members in a process; the least is 5 ms, with 100" in text  # half-way by a power law
    assert "there is no scale-cuda.csv here" in text
    slower = [row | ({"member_updates_per_s": row["member_updates_per_s"] / 2} if row["curve"] == "method" else {}) for row in MADE_UP]
    assert "| bc | 500 | 50% | 5.56 |" in estimate({"cuda": slower, "cpu": None}, tmp_path)


def test_a_curve_file_without_a_column_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "scale-cuda.csv", MADE_UP, ("curve", "x", "device"))
    with pytest.raises(RunError, match=r"scale-cuda.csv: no column cpu_model, .*measure again"):
        write_estimate(tmp_path)


def test_curves_vary_one_thing_at_a_time() -> None:
    options = parse(ScaleOptions, ["members=[1,8]", "batches=[64]", "widths=[32]", "steps=[1000]", "methods=[bc,iql]", "device=cpu"])
    found = {(name, x): what for name, x, what in curves(options)}
    base = found["members", 8]
    assert replace(found["members", 1], members=8) == base == replace(found["batch", 64], batch=256, members=8)
    assert found["width", 32].hidden == (32, 32)
    assert found["steps", 1000].steps == 1000
    assert found["method", "bc"].hidden == (256, 256, 256)
    assert found["method", "iql"].members == 10


def test_kinds_of_work() -> None:
    """An operator in the optimiser is the optimiser's, whatever it does."""
    assert kind_of("aten::baddbmm", set()) == kind_of("aten::addmm", {"autograd"}) == "matrix products"
    assert kind_of("aten::baddbmm", {OPTIMISER}) == OPTIMISER
    assert kind_of("aten::index", set()) == kind_of("aten::add", {SAMPLING}) == SAMPLING
    assert kind_of("aten::relu", set()) == "elementwise and reductions"
    assert kind_of_kernel("sm90_xmma_gemm_f32f32_f32f32_f32_nn_n_tilesize32x32x8") == "matrix products"
    assert kind_of_kernel("void at::native::index_elementwise_kernel<128, 4>") == kind_of_kernel("Memcpy DtoD") == SAMPLING
    assert kind_of_kernel("void at::native::vectorized_elementwise_kernel<4>") == "elementwise and reductions"


def test_the_profile_adds_up(pendulum_data: Any) -> None:
    pendulum_data()
    shared = ["hidden=[64,64]", "batch=64", DATASET, "device=cpu", "threads=1", "updates=4", "members=2"]
    text = profile(parse(ProfileOptions, ["algo=td3_bc", *shared]))
    table = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [row[0].removeprefix("| ") for row in table] == list(KINDS)
    assert all(float(row[1]) > 0 for row in table)
    assert sum(int(row[2].split("%")[0]) for row in table) == pytest.approx(100, abs=3)
    assert not hasattr(Adam.step, "__wrapped__")
    assert Adam.step.__qualname__ == "Adam.step"  # what was marked is as before


class Fake:
    """A worker without a process, that notes its turns."""

    def __init__(self, setting: Setting, rates: tuple[float, ...] = (), turns: list[str] | None = None) -> None:
        self.setting, self.rates, self.memory_mib, self.turns = setting, list(rates), 300.0, turns

    def measure(self, seconds: float, keep: bool) -> None:
        self.turns.append(f"{self.setting.who}{self.setting.what.members} {seconds:g} {keep}")  # type: ignore[union-attr]


def test_the_suite_is_compared_round_by_round_with_the_yardsticks_best_setting() -> None:
    one, four = Workload("iql", 1, 256, (256, 256)), Workload("iql", 4, 256, (256, 256))
    workers: Any = [
        Fake(Setting("suite", four, 2), (300.0, 600.0, 330.0)),
        Fake(Setting("yardstick", one, 1, environment="runtime"), (90.0, 900.0, 95.0)),  # a lucky round makes no best setting
        Fake(Setting("yardstick", one, 2, environment="suite"), (500.0, 500.0, 500.0)),  # nobody runs it so
        Fake(Setting("yardstick", one, 2, environment="runtime"), (100.0, 200.0, 110.0)),
        Fake(Setting("yardstick", replace(one, members=2), 1, 2, "runtime"), (150.0, 200.0, 150.0)),
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


def test_in_bfloat16_the_yardstick_is_measured_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody gets without asking, and with torch.autocast; the faster one is what the suite is compared with."""
    monkeypatch.setattr("bench.speed.options.precision_on", lambda device, precision: precision)
    options = parse(MeasureOptions, ["precision=bf16", "threads=2", "members=[4]", "device=cpu"])
    suite, yardstick = settings("iql", options)
    assert [(s.what.precision, s.what.members) for s in suite] == [("bf16", 4)]
    ways = [(1, 1, "runtime"), (2, 1, "suite"), (2, 1, "runtime"), (1, 2, "runtime")]
    assert [(s.what.precision, s.threads, s.processes, s.environment) for s in yardstick] == [
        (p, *w) for p in ("float32", "bf16") for w in ways
    ]
    rates = [(90.0,), (99.0,), (100.0,), (150.0,), (91.0,), (99.0,), (110.0,), (140.0,)]
    workers: Any = [Fake(suite[0], (330.0,)), *(Fake(s, r) for s, r in zip(yardstick, rates, strict=True))]
    row = compared(workers, 5e8, 300e9, 0.01)[0]
    assert (row["ratio"], row["ratio_processes"]) == pytest.approx((3.0, 2.2))


def test_a_precision_that_is_not_there_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.speed.options.precision_on", lambda device, precision: "float32")
    with pytest.raises(ConfigError, match=r"^precision = bf16: expected float32, for this processor is no faster with another$"):
        parse(MeasureOptions, ["precision=bf16", "device=cpu"])


@pytest.mark.skipif(not has_bfloat16(), reason="this processor is no faster with bfloat16")
def test_measuring_in_bfloat16(pendulum_data: Any, tmp_path: Path) -> None:
    pendulum_data()
    done = command(tmp_path, "methods=[iql]", *QUICK, "precision=bf16")
    assert done.returncode == 0, done.stderr
    rows = read_csv(tmp_path / "results" / "speed" / "speed-cpu.csv", COLUMNS)
    assert [(r["who"], r["precision"]) for r in rows] == [
        ("suite", "bf16"), ("yardstick", "float32"), ("yardstick", "bf16"), ("limit", "bf16"), ("limit", "bf16"),
    ]  # fmt: skip
    assert all(r["member_updates_per_s"] > 0 for r in rows)


def test_updates_before_the_first_measured_one() -> None:
    """To the beginning of a cycle, once."""
    calls: list[tuple[int, int]] = []
    watch = Stopwatch(Work(lambda a, b: calls.append((a, b)), cycle=2), "cpu", after=5)
    assert calls == [(0, 6)]
    watch.rate(0.0)
    assert calls[1:] == [(6, 8)]


def test_the_limit_is_the_fastest_product() -> None:
    square, layer = (Setting("limit", Workload(name, 4, 256, (256,)), 2) for name in ("square", "batched"))
    products: Any = [Fake(square, (10.0, 12.0, 1.0)), Fake(layer, (1e3, 5e3, 1e4))]
    assert peak(products) == pytest.approx(10 * 2 * 2048**3)
    products[1].rates = [1e4] * 3
    assert peak(products) == pytest.approx(1e4 * 2 * 256**3)


def test_all_take_turns() -> None:
    turns: list[str] = []
    suite: Any = [Fake(Setting("suite", Workload("bc", p), 1), turns=turns) for p in (1, 4)]
    plain: Any = [Fake(Setting("yardstick", Workload("bc"), 1), turns=turns)]
    product: Any = [Fake(Setting("limit", Workload("square"), 1), turns=turns)]
    take_turns([suite, plain, product], rounds=2, seconds=2.0)
    once = ["suite1 2 True", "yardstick1 2 True", "limit1 0.5 True", "suite4 2 True"]
    assert turns[:4] == ["suite1 1 False", "yardstick1 1 False", "limit1 0.25 False", "suite4 1 False"]  # warm-up
    assert turns[4:] == [*once, *reversed(once)]


def test_the_figures_limits_are_told_apart_without_colour() -> None:
    """Drawn from the committed measurements: each method's limit carries the marker of its curve."""
    rows = pd.read_csv(ROOT / "results" / "speed" / "speed-cpu.csv").to_dict("records")
    lines = {line.get_label(): line for line in speed_figure(rows, "a machine").axes[0].get_lines()}
    methods = [name for name in lines if f"{name}, limit" in lines]
    assert len(methods) >= 2
    assert len({lines[f"{name}, limit"].get_marker() for name in methods}) == len(methods)
    assert all(lines[f"{name}, limit"].get_marker() == lines[name].get_marker() for name in methods)


def test_what_was_not_measured_has_no_panel() -> None:
    rows = [{"curve": "batch", "x": x, "method": "bc", "member_updates_per_s": 1e4 / x, "share_of_limit": 0.5} for x in (8, 16)]
    panels = scale_figure([*rows, rows[0] | {"curve": "method", "x": "bc"}], "a machine").axes
    assert [axes.get_xlabel() for axes in panels if axes.axison] == ["batch"]


def test_costs_that_hardly_differ_have_numbers_beside_them() -> None:
    """Of powers of two there may be none between 4.2 and 7.6."""
    rows = [
        {"curve": "batch", "x": x, "method": "bc", "member_updates_per_s": rate, "share_of_limit": 0.9} for x, rate in ((8, 200), (16, 140))
    ]
    axes = next(a for a in scale_figure(rows, "a machine").axes if a.axison)
    low, high = axes.get_ylim()
    assert sum(low <= y <= high for y in axes.get_yticks()) >= 1
