"""Batches of logged and own steps: shares, transitions, rewards, next actions, and slots that are written over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algos.batches.replay import MixedStream, Replay
from tests.helpers.learners import ACT, OBS, episodes_of, small

SIZE = 10


def filled(taken: int, members: int = 2) -> tuple[Replay, list[dict[str, torch.Tensor]]]:
    """A buffer after `taken` steps of random content, and these steps."""
    rng = torch.Generator().manual_seed(1)
    replay = Replay(Replay.empty(members, SIZE, OBS, ACT, torch.device("cpu")))
    steps = []
    for _ in range(taken):
        step = {name: torch.randn(members, *value.shape[2:], generator=rng) for name, value in replay.state.items()}
        step |= {name: torch.rand(members, generator=rng) < 0.4 for name in ("terminated", "ended")}
        steps.append(step)
        replay.add(step)
    return replay, steps


def online(name: str = "rebrac", share: float = 0.5, taken: int = 7, *overrides: str) -> tuple[Any, MixedStream, list[Any]]:
    algo = small(name, episodes_of(), (3, 8), "algo.reward_scale=2", "algo.reward_shift=-1", *overrides)
    replay, steps = filled(taken)
    algo.go_online(replay, share)
    return algo, algo.stream, steps


def test_the_buffer_keeps_the_last_steps() -> None:
    replay, steps = filled(13)
    assert replay.filled == SIZE
    for k in range(3, 13):
        for name, value in steps[k].items():
            assert torch.equal(replay.state[name][:, k % SIZE], value)


@pytest.mark.parametrize(("share", "logged"), [(0.0, 0), (0.25, 4), (0.5, 8), (1.0, 16)])
def test_a_batch_has_the_stated_share_of_logged_steps(share: float, logged: int) -> None:
    algo, stream, _ = online(share=share)
    batch = stream.from_draws(stream.draws(50))
    assert ((batch.step < len(algo.data.rewards)).sum(1) == logged).all()


@pytest.mark.parametrize("taken", [1, 7, 23])
def test_transitions_are_those_of_their_steps(taken: int) -> None:
    """Every field of every row, beside the data and the steps that were written; rewards in the method's units."""
    algo, stream, steps = online("awac", 0.5, taken)
    total, data = len(algo.data.rewards), algo.data
    newest = {k % SIZE: steps[k] for k in range(taken)}
    seen: set[int] = set()
    for update in range(20):
        batch = stream.from_draws(stream.draws(update))
        for p, b in np.ndindex(2, 16):
            step = int(batch.step[p, b])
            if step < total:
                own = {
                    name: getattr(data, name)[step] for name in ("observations", "actions", "rewards", "next_observations", "terminated")
                }
            else:
                seen.add(step - total)
                own = {name: value[p] for name, value in newest[step - total].items()}
            torch.testing.assert_close(batch.observations[p, b], (own["observations"] - stream.shift) / stream.scale)
            torch.testing.assert_close(batch.next_observations[p, b], (own["next_observations"] - stream.shift) / stream.scale)
            assert torch.equal(batch.actions[p, b], own["actions"])
            torch.testing.assert_close(batch.rewards[p, b], 2 * own["rewards"] - 1)
            assert batch.live[p, b] == float(not own["terminated"])
    assert seen == set(range(min(taken, SIZE)))


@pytest.mark.parametrize("taken", [7, 23])
def test_next_actions_are_those_of_the_next_step_of_the_same_episode(taken: int) -> None:
    algo, stream, steps = online(taken=taken)
    total = len(algo.data.rewards)
    batch = stream.from_draws(stream.draws(3))
    actions, mask = stream.next_actions(batch.step)
    for p, b in np.ndindex(2, 16):
        if (slot := int(batch.step[p, b]) - total) < 0:
            continue
        number = max(k for k in range(taken) if k % SIZE == slot)
        follows = number + 1 < taken and not bool(steps[number]["ended"][p])
        assert bool(mask[p, b]) == follows
        if follows:
            assert torch.equal(actions[p, b], steps[number + 1]["actions"][p])


def test_a_members_batches_do_not_depend_on_the_others() -> None:
    both = online()[1]
    alone = small("rebrac", episodes_of(), (8,), "algo.reward_scale=2", "algo.reward_shift=-1")
    replay = Replay({name: value[1:] for name, value in both.replay.state.items()}, both.replay.taken)
    alone.go_online(replay, 0.5)
    one, other = (s.from_draws(s.draws(9)) for s in (both, alone.stream))
    for a, b in zip(one[:-1], other[:-1], strict=True):
        assert torch.equal(a[1:], b)


def test_a_penalty_that_has_gone_leaves_the_data_out() -> None:
    """With a penalty share of 0, TD3+BC and ReBRAC are TD3 with a scaled Q: logged actions have no influence on the policy's loss."""
    for name in ("td3_bc", "rebrac"):
        algo, stream, _ = online(name)
        batch = stream.from_draws(stream.draws(2))
        others = batch._replace(actions=batch.actions + 1)
        losses = [algo.policy_losses(algo.state["policy"], algo.state, b) for b in (batch, others)]
        assert not torch.equal(*losses)
        algo.penalty_share = 0.0
        assert torch.equal(*(algo.policy_losses(algo.state["policy"], algo.state, b) for b in (batch, others)))


def test_the_learning_rate_no_longer_falls() -> None:
    algo = small("iql", episodes_of())
    algo.state["update"] += 20
    assert float(algo.learning_rate(algo.state, "policy")[0]) == 0
    algo.go_online(filled(2)[0], 0.5)
    assert torch.equal(algo.learning_rate(algo.state, "policy"), algo.rates["policy"])
