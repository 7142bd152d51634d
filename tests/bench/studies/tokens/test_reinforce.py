"""The stage of reinforcement learning: its loss by hand, members of their own, and a task that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.networks.token_policy import TokenPolicy
from bench.studies.tokens.answers import Answers, log_probs, write
from bench.studies.tokens.reinforce import Reinforce, losses, reinforce
from envs.evaluation.tokens.environment import TASKS
from envs.evaluation.tokens.task import Verdict
from envs.evaluation.tokens.vocabulary import CHARACTERS, CONTEXT, END

SMALL = Reinforce(updates=3, prompts=2, answers=4, learning_rate=1e-2)
NET = TokenPolicy(CONTEXT, len(CHARACTERS), (16,))


def policies(seeds: tuple[int, ...]) -> torch.Tensor:
    return NET.init([torch.Generator().manual_seed(seed) for seed in seeds])


def drawn(flat: torch.Tensor, solved: torch.Tensor) -> Answers:
    """Answers of two members to two prompts, four each, with rewards as given."""
    task, rng = TASKS["maze"], np.random.default_rng(0)
    own = [task.sample(rng, "train") for _ in range(2)]
    found = write(NET, flat, task, [[i for i in own for _ in range(4)]] * 2, rng.random((2, 8, CONTEXT)))
    return Answers(found.tokens, found.starts, found.lengths, solved)


def test_the_loss_by_hand() -> None:
    flat, solved = policies((0, 1)), torch.tensor([[1, 0, 0, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 1, 0, 0]]).bool()
    answers = drawn(flat, solved)
    found = losses(NET, flat, answers, 4)
    params = NET.layout.views(flat)
    for k in range(2):
        total = 0.0
        for i in range(8):
            others = [float(solved[k, j]) for j in range(8) if j // 4 == i // 4 and j != i]
            start, stop = int(answers.starts[k, i]), int(answers.lengths[k, i])
            places = torch.arange(start - 1, stop - 1).expand(2, 8, -1)
            every = NET.sequence_log_probs(params, answers.tokens, places)[k, i]
            log_p = every.gather(1, answers.tokens[k, i, start:stop, None]).sum()
            total -= (float(solved[k, i]) - np.mean(others)) * float(log_p) / 8
        assert float(found[k]) == pytest.approx(total, rel=1e-4, abs=1e-5)


def test_answers_end_where_they_say() -> None:
    answers = drawn(policies((0, 1)), torch.zeros(2, 8).bool())
    for k in range(2):
        for i in range(8):
            start, stop = int(answers.starts[k, i]), int(answers.lengths[k, i])
            own = answers.tokens[k, i, start:stop]
            assert (own[:-1] != END).all()
            assert own[-1] == END or stop == CONTEXT
    _, chosen, real = log_probs(NET, NET.layout.views(policies((0, 1))), answers)
    assert torch.equal(real.sum(-1), answers.lengths - answers.starts)
    assert (chosen <= 0).all()


def test_a_member_equals_itself_alone() -> None:
    together = reinforce(NET, policies((4, 7)), TASKS["maze"], (4, 7), SMALL)
    for k, seed in enumerate((4, 7)):
        alone = reinforce(NET, policies((seed,)), TASKS["maze"], (seed,), SMALL)
        torch.testing.assert_close(together[k], alone[0], rtol=1e-3, atol=1e-5)


def test_it_learns_what_is_rewarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a verifier that accepts every answer that starts with U, policies learn to write U."""
    task = TASKS["maze"]
    monkeypatch.setattr(type(task), "judge", lambda self, instance, answer: Verdict(answer.startswith("U"), 0, 1))
    before = policies((0,))
    after = reinforce(NET, before, task, (0,), Reinforce(updates=25, prompts=2, answers=8, learning_rate=1e-2))
    own = [task.sample(np.random.default_rng(1), "train")] * 100
    noise = np.random.default_rng(2).random((1, 100, CONTEXT))
    shares = [write(NET, flat, task, [own], noise).solved.float().mean() for flat in (before, after)]
    assert shares[0] < 0.2
    assert shares[1] > 0.5
