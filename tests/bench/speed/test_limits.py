"""Operations of an update equal formulas written out by hand."""

from __future__ import annotations

import pytest

from algos.registry import build_untrained
from bench.speed import limits
from bench.speed.workload import Work, rhythm
from bench.speed.yardstick import TRAINERS
from envs.data.trajectories import Trajectories
from tests.helpers.learners import ACT, OBS, configured
from tests.helpers.speed import BATCH, config_of


def hand_formula(method: str, steps: int, refresh: int) -> tuple[float, float, float]:
    """(needed, more in the suite, more in the yardstick): operations of an update with widths 7 and 6, batch 16."""

    def layers(a: int, b: int) -> tuple[int, int, int]:
        return a * 7, 7 * 6, 6 * b

    policy, q, v = layers(OBS, ACT), layers(OBS + ACT, 1), layers(OBS, 1)
    once = 2 * BATCH

    def step(net: tuple[int, int, int]) -> int:  # forward, gradients of weights, gradients of inputs of all layers but the first
        return once * (sum(net) + sum(net) + sum(net[1:]))

    if method == "bc":
        return step(policy), 0, 0
    if method == "iw_sft_q":
        return step(policy) + 2 * steps * sum(policy) / refresh, 0, 0
    if method == "iql":
        return 2 * once * sum(q) + step(v) + 2 * once * sum(v) + step(policy) + 2 * step(q), 0, 0
    half = (step(policy) + 2 * once * sum(q)) / 2
    # the policy's step: the suite's batched critics go through Q_2 as well, the yardstick computes unused gradients of Q_1's weights
    return once * (sum(policy) + 2 * sum(q)) + 2 * step(q) + half, once * sum(q), once * sum(q) / 2


@pytest.mark.parametrize("method", list(TRAINERS))
def test_operations_equal_the_hand_formulas(method: str, data: Trajectories) -> None:
    config = config_of(method)
    cycle, rare = rhythm(config)
    algo, two = build_untrained(config, data, [0]), build_untrained(config, data, [0, 1])
    steps = limits.refreshed_steps(config, algo)
    assert (steps > 0) == (rare > 0)
    needed, suite_more, yardstick_more = hand_formula(method, steps, rare or 1)
    assert limits.needed(config, OBS, ACT, BATCH, steps) == pytest.approx(needed)
    ours = limits.counted(Work(algo.train, cycle, rare))
    # a critic's last layer: its forward product is computed twice, its backward pass takes no product
    forwards, backwards = {"iql": (7, 3), "td3_bc": (4 + 2 / 2, 2 + 2 / 2)}.get(method, (0, 0))
    products = needed + (forwards - backwards) * 2 * BATCH * 6
    assert any(ours == pytest.approx(products + more) for more in {0.0, suite_more})  # no less than needed
    assert limits.counted(Work(two.train, cycle, rare), members=2) == pytest.approx(ours)
    plain = TRAINERS[method](config, data)
    assert limits.counted(Work(plain.train, cycle, rare)) == pytest.approx(needed + yardstick_more)


def test_passes_over_all_data_count_by_their_frequency(data: Trajectories) -> None:
    """Refreshing AWR's advantages is a forward pass of V over every step and each episode's end, every `refresh_every` updates."""
    config = configured("awr", "algo.hidden=[16,16]", f"algo.batch_size={BATCH}", "algo.refresh_every=5")
    cycle, rare = rhythm(config)
    assert rare == 5
    inner = 16 * 16
    last = 16  # V's last layer: in a step, the second forward product and the absent backward one cancel out
    v, policy = OBS * 16 + inner + last, OBS * 16 + inner + 16 * ACT
    step = 2 * BATCH * (3 * v - OBS * 16 + 3 * policy - OBS * 16)
    everything = 2 * (v + last) * (data.num_steps + data.num_episodes) / 5
    assert limits.counted(Work(build_untrained(config, data, [0]).train, cycle, rare)) == pytest.approx(step + everything)
