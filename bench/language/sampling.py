"""Completions sampled from a causal language model: batches of prompts, several draws of each, one key-value cache."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor

Tokens = list[int]


@torch.no_grad()
def sample(
    model: Any,
    prompts: Sequence[Tokens],
    draws: int,
    *,
    temperature: float,
    length: int,
    ends: Collection[int],
    seed: int,
    batch_size: int = 128,
) -> list[list[Tokens]]:
    """`draws` completions of each prompt, of at most `length` tokens, the first of `ends` included.

    temperature: it divides, as is usual for language models; 0 takes the likeliest token. batch_size: completions at once. A prompt is read
    once for all of its draws, and finished completions leave the batch.
    """
    device, training = next(model.parameters()).device, model.training
    generator = torch.Generator(device).manual_seed(seed)
    size = max(1, batch_size // draws)
    found: list[list[Tokens]] = []
    model.eval()
    try:
        for start in range(0, len(prompts), size):
            some = prompts[start : start + size]
            flat = _complete(model, some, draws, temperature, length, ends, generator)
            found += [flat[k : k + draws] for k in range(0, len(flat), draws)]
    finally:
        model.train(training)
    return found


def _complete(
    model: Any, prompts: Sequence[Tokens], draws: int, temperature: float, length: int, ends: Collection[int], generator: torch.Generator
) -> list[Tokens]:
    device, width = generator.device, max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    name = "cache" if "cache" in signature(model.forward).parameters else "past_key_values"  # of older transformers
    read = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        use_cache=True,
        logits_to_keep=1,
        **{name: cache},
    )
    cache.batch_repeat_interleave(draws)
    logits, mask = (x.repeat_interleave(draws, 0) for x in (read.logits[:, -1], mask))
    stops = torch.tensor(sorted(ends), device=device)
    found: list[Tokens] = [[] for _ in range(len(prompts) * draws)]
    active = list(range(len(found)))
    for step in range(length):
        token = _next(logits, temperature, generator)
        for row, value in zip(active, token.tolist(), strict=True):
            found[row].append(value)
        going = (~torch.isin(token, stops)).nonzero()[:, 0]
        if step == length - 1 or not len(going):
            break
        if len(going) < len(active):
            active, token, mask = [active[k] for k in going.tolist()], token[going], mask[going]
            cache.batch_select_indices(going)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        position = mask.sum(1, keepdim=True) - 1
        logits = model(input_ids=token[:, None], attention_mask=mask, position_ids=position, use_cache=True, **{name: cache}).logits[:, -1]
    return found


def _next(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """One token [B] for each row of `logits` [B, V]."""
    if temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial((logits.float() / temperature).softmax(-1), 1, generator=generator)[:, 0]
