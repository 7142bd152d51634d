"""Sampling with a key-value cache: equal to the model's answers token by token, and distributed as the model says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("transformers", reason="the extra `language` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

from bench.language.sampling import sample  # noqa: E402

PROMPTS = [[3, 4, 5], [6], [7, 8, 9, 2, 3]]
END = 1


def model(vocabulary: int = 12) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def greedy_without_cache(net: Any, prompt: list[int], length: int) -> list[int]:
    ids = list(prompt)
    for _ in range(length):
        ids.append(int(net(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == END:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_likeliest_completions_are_those_of_single_prompts_without_a_cache(batch_size: int) -> None:
    net = model()
    found = sample(net, PROMPTS, 1, temperature=0, length=7, ends={END}, seed=0, batch_size=batch_size)
    assert [own[0] for own in found] == [greedy_without_cache(net, prompt, 7) for prompt in PROMPTS]


def test_samples_have_the_models_distribution() -> None:
    """Two tokens of one prompt beside a longer one: frequencies of the second token against the probabilities of the model."""
    net, draws = model(6), 4_000
    found = sample(net, [[3, 4], [2, 3, 4, 5]], draws, temperature=1.0, length=2, ends={END}, seed=1, batch_size=2 * draws)[0]
    with torch.no_grad():
        first = net(torch.tensor([[3, 4]])).logits[0, -1].softmax(-1)
        second = torch.stack([net(torch.tensor([[3, 4, t]])).logits[0, -1].softmax(-1) for t in range(6)])
    assert all((len(c) == 1) == (c[0] == END) for c in found)
    for t in range(6):
        assert sum(c[0] == t for c in found) / draws == pytest.approx(first[t].item(), abs=0.03)
    expected = sum(first[t] * second[t] for t in range(6) if t != END)
    for t in range(6):
        assert sum(c[1:] == [t] for c in found) / draws == pytest.approx(expected[t].item(), abs=0.03)


def test_a_seed_gives_the_same_samples_and_training_mode_is_kept() -> None:
    net = model().train()
    first, again, other = (sample(net, PROMPTS, 3, temperature=1.0, length=6, ends={END}, seed=s) for s in (0, 0, 1))
    assert first == again != other
    assert net.training
