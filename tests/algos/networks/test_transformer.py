"""The transformer equals NumPy; one pass a sequence equals a pass a step; answers with cached keys equal those of step after step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.batches.sequences import sequences_of as table_of
from algos.errors import ConfigError
from algos.networks.policies import Network, policy_for
from algos.networks.token_policy import PAD, TokenPolicy, check_widths, choose
from tests.helpers.episodes import from_episodes, random_episodes
from tests.helpers.sequences import CONTEXT, VOCABULARY, sequences_of, transformer

HIDDEN = (32, 32)


def policy(members: int = 2) -> tuple[TokenPolicy, torch.Tensor]:
    """A policy and parameters large enough that tokens differ in probability."""
    net = TokenPolicy(CONTEXT, VOCABULARY, HIDDEN)
    return net, 2 * net.init([torch.Generator().manual_seed(k) for k in range(members)])


def test_log_probabilities_equal_numpy() -> None:
    net, flat = policy()
    params = net.layout.views(flat)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, VOCABULARY, (2, 3, 9)))
    found = net.sequence_log_probs(params, tokens, torch.arange(9).expand(2, 3, 9))
    for k in range(2):
        for row in range(3):
            expected = transformer(params, k, tokens[k, row].tolist(), len(HIDDEN))
            np.testing.assert_allclose(found[k, row].numpy(), expected, atol=2e-5)


def test_padding_behind_a_sequence_changes_nothing() -> None:
    net, flat = policy()
    params = net.layout.views(flat)
    tokens = torch.randint(1, VOCABULARY, (2, 3, 9), generator=torch.Generator().manual_seed(1))
    padded = torch.cat([tokens, torch.zeros(2, 3, 3, dtype=torch.int64)], -1)
    torch.testing.assert_close(net.net(params, padded)[:, :, :9], net.net(params, tokens))


def test_a_pass_over_a_sequence_equals_a_pass_a_step() -> None:
    net, flat = policy()
    params, data = net.layout.views(flat), sequences_of()
    steps = torch.arange(len(data.actions)).expand(2, -1)
    table = table_of(data)
    tokens, places = table.of(steps.unsqueeze(-1))
    at_once = net.sequence_log_probs(params, tokens, places)[:, :, 0].gather(-1, data.actions[steps].long()).squeeze(-1)
    last = torch.where(data.observations != 0, torch.arange(CONTEXT), 0).amax(1)
    clear = last == places[0, :, 0]  # an answer's token that is PAD leaves no trace in an observation
    assert clear.float().mean() > 0.7
    by_step = net.log_prob(params, data.observations[steps], data.actions[steps])
    torch.testing.assert_close(at_once[:, clear], by_step[:, clear])


@pytest.mark.parametrize("sampled", [False, True])
def test_answers_equal_those_of_step_after_step(sampled: bool) -> None:
    net, flat = policy(3)
    params = net.layout.views(flat)
    generator = torch.Generator().manual_seed(5)
    rows, end = 40, 1
    lengths = torch.randint(1, 5, (3, rows), generator=generator)
    prompts = torch.randint(2, VOCABULARY, (3, rows, CONTEXT), generator=generator)
    prompts = torch.where(torch.arange(CONTEXT) < lengths.unsqueeze(-1), prompts, PAD)
    table = torch.rand(3, rows, CONTEXT, generator=generator, dtype=torch.float64)

    def noise(steps: torch.Tensor) -> torch.Tensor:
        return table.gather(2, steps.clamp(min=0).unsqueeze(-1)).squeeze(-1)

    found = net.write(params, prompts, lengths, end, noise if sampled else None)
    expected, at, running = prompts.clone(), lengths.clone(), torch.ones_like(lengths, dtype=torch.bool)
    while running.any():
        observations = expected.float()
        drawn = net.draw(params, observations, noise(at - lengths).unsqueeze(-1)) if sampled else net.mean(params, observations)
        token = drawn[..., 0].long()
        expected = torch.where((torch.arange(CONTEXT) == at.unsqueeze(-1)) & running.unsqueeze(-1), token.unsqueeze(-1), expected)
        at = at + 1
        running = running & (token != end) & (at < CONTEXT)
    assert torch.equal(found, expected)
    if sampled:
        answered = (found == end).any(-1)
        assert 0.2 < answered.float().mean() < 1  # some rows end early and leave the cache, some fill their context


def test_drawn_tokens_have_their_probabilities_and_are_never_padding() -> None:
    logits = torch.tensor([3.0, 1.0, 0.0, 2.0])
    uniform = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    drawn = choose(logits.expand(100_000, 4), uniform)
    expected = logits[1:].double().softmax(0)
    shares = torch.bincount(drawn, minlength=4).double() / 100_000
    assert shares[PAD] == 0
    torch.testing.assert_close(shares[1:], expected, rtol=0, atol=2e-5)
    assert choose(logits, None) == 3


def test_widths_are_equal_multiples_of_a_head() -> None:
    assert check_widths([64, 64])
    assert not check_widths([64, 32])
    assert not check_widths([24])


def test_data_that_are_no_token_sequences_are_one_line() -> None:
    with pytest.raises(
        ConfigError, match=r"^policy=transformer learns from token sequences; the actions of these data are continuous; use"
    ):
        policy_for(from_episodes(random_episodes(3)), [32], Network.transformer)
    data = sequences_of()
    data.observations[data.offsets[data.lengths.argmax()] + 2, 0] += 1
    with pytest.raises(
        ConfigError, match=r"episode \d+, step \d+: its observation is not the tokens so far, 0 after them; use policy=mlp$"
    ):
        table_of(data)
