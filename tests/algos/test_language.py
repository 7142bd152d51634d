"""Weights and losses of token sequences: the authors' numbers, NumPy, batches, padding, packing and gradient accumulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from algos.errors import ConfigError
from algos.language import IGNORED, OBJECTIVES, Kind, Rule, Weighting, language_loss, target_mask, token_logprobs, token_weights
from algos.weights import ess_share
from tests.helpers.paths import FIXTURES

VOCABULARY = 11
TRAJECTORY, STEP = OBJECTIVES["iw_sft"], OBJECTIVES["iw_sft_step"]
TEMPERED = Weighting(Kind.trajectory, temperature=5.0, rule=Rule.tempered, min_ess=0.5)
SUFFIX = replace(STEP, kind=Kind.suffix, discount=0.9)
EVERY = [*OBJECTIVES.values(), TEMPERED, replace(TEMPERED, kind=Kind.step), replace(TRAJECTORY, normalize=True), SUFFIX]

Example = tuple[Tensor, Tensor, Tensor]
"""Logits [T, V], labels [T] and log pi_ref [T] of one sequence."""


def sequence(seed: int, length: int = 9, prompt: int = 3) -> Example:
    """A random sequence, its first `prompt` tokens no targets."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(length, VOCABULARY, generator=generator)
    labels = torch.randint(VOCABULARY, (length,), generator=generator)
    labels[:prompt] = IGNORED
    ref = token_logprobs((logits + 0.5 * torch.randn(length, VOCABULARY, generator=generator))[None], labels[None])[0]
    return logits, labels, ref


def padded(examples: list[Example], length: int, left: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """The examples as rows of a batch of `length` columns; padding holds numbers that must not count."""
    logits, labels = torch.randn(len(examples), length, VOCABULARY), torch.full((len(examples), length), IGNORED)
    ref = torch.full((len(examples), length), 123.0)
    for row, example in enumerate(examples):
        where = slice(length - len(example[1]), length) if left else slice(len(example[1]))
        logits[row, where], labels[row, where], ref[row, where] = example
    return logits, labels, ref


def packed(examples: list[Example]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The examples in one row, with the number of each token's sequence."""
    logits, labels, ref = (torch.cat(parts)[None] for parts in zip(*examples, strict=True))
    lengths = torch.tensor([len(example[1]) for example in examples])
    return logits, labels, ref, torch.repeat_interleave(torch.arange(len(examples)), lengths)[None]


@pytest.fixture(scope="module")
def authors() -> Mapping[str, np.ndarray]:
    """Losses and gradients that the authors' language code (emmyqin/iw_sft at 9a3e4e4) computed for single sequences."""
    with np.load(FIXTURES / "language_authors.npz") as values:
        return dict(values)


@pytest.mark.parametrize("example", range(3))
@pytest.mark.parametrize(
    ("name", "weighting"),
    [("none", OBJECTIVES["sft"]), ("step/1", STEP), ("trajectory/1", TRAJECTORY), ("trajectory/2", replace(TRAJECTORY, temperature=2.0))],
)
def test_one_sequence_equals_the_authors_code(authors: Mapping[str, np.ndarray], example: int, name: str, weighting: Weighting) -> None:
    """The third example's trajectory weight stands at the clip of 16, and its tokens at both of theirs."""
    logits, ref_logits, labels = (torch.from_numpy(authors[f"{example}/{k}"]) for k in ("logits", "ref_logits", "labels"))
    loss = language_loss(logits.requires_grad_(), labels, token_logprobs(ref_logits, labels), weighting, num_items_in_batch=17)
    loss.backward()
    np.testing.assert_allclose(loss.item(), authors[f"{example}/{name}/loss"], rtol=1e-5)
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad, authors[f"{example}/{name}/grad"], rtol=1e-5, atol=1e-5)


def numpy_loss(examples: list[Example], weighting: Weighting, items: int) -> float:
    """The loss in NumPy, sequence by sequence, from the equations of arXiv 2507.12856 and 2508.05629."""
    total = 0.0
    for logits, labels, ref in examples:
        x = logits.double().numpy()
        log_p = x - np.log(np.exp(x).sum(-1, keepdims=True))
        at = [t for t in range(1, len(labels)) if labels[t] != IGNORED]
        log_pi = np.array([log_p[t - 1, labels[t]] for t in at])
        ratio = log_pi - ref.double().numpy()[at]
        weights = {
            Kind.none: lambda p, r: np.ones_like(r),
            Kind.step: lambda p, r: np.clip(np.exp(weighting.temperature * r), weighting.minimum, weighting.maximum),
            Kind.trajectory: lambda p, r: np.full_like(r, min(np.exp(weighting.temperature * r.mean()), weighting.maximum)),
            Kind.probability: lambda p, r: np.exp(weighting.temperature * p),
        }[weighting.kind](log_pi, ratio)
        total -= (weights * log_pi).sum()
    return total / items


EXAMPLES = [sequence(0), sequence(1, length=12, prompt=1), sequence(2, length=5, prompt=4), sequence(3, length=9, prompt=6)]
ITEMS = sum(int((labels[1:] != IGNORED).sum()) for _, labels, _ in EXAMPLES)


@pytest.mark.parametrize("name", list(OBJECTIVES))
@pytest.mark.parametrize("left", [False, True])
def test_a_padded_batch_is_the_sum_of_its_sequences(name: str, left: bool) -> None:
    logits, labels, ref = padded(EXAMPLES, 14, left)
    found = language_loss(logits, labels, ref, OBJECTIVES[name])
    np.testing.assert_allclose(found.item(), numpy_loss(EXAMPLES, OBJECTIVES[name], ITEMS), rtol=1e-5)


@pytest.mark.parametrize("weighting", EVERY, ids=str)
def test_a_packed_row_equals_the_padded_batch(weighting: Weighting) -> None:
    """Also where a sequence begins with a target: its first token is predicted from the sequence before it and does not count."""
    examples = [*EXAMPLES, sequence(4, length=6, prompt=0)]
    *row, ids = packed(examples)
    found = language_loss(row[0], row[1], row[2], weighting, sequence_ids=ids)
    expected = language_loss(*padded(examples, 14), weighting)
    np.testing.assert_allclose(found.item(), expected.item(), rtol=1e-5)


def test_rows_may_number_their_sequences_alike() -> None:
    """Sequence 0 of one row is not sequence 0 of another."""
    rows = [packed(EXAMPLES[:2]), packed(EXAMPLES[:1:-1])]
    width = max(row[1].shape[1] for row in rows)
    logits, labels, ref = padded([(row[0][0], row[1][0], row[2][0]) for row in rows], width)
    ids = torch.stack([torch.nn.functional.pad(row[3][0], (0, width - row[3].shape[1]), value=1) for row in rows])
    found = language_loss(logits, labels, ref, TRAJECTORY, sequence_ids=ids)
    np.testing.assert_allclose(found.item(), numpy_loss(EXAMPLES, TRAJECTORY, ITEMS), rtol=1e-5)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_gradient_accumulation_gives_the_gradient_of_the_whole_batch(name: str) -> None:
    logits, labels, ref = padded(EXAMPLES, 14)
    whole = logits.clone().requires_grad_()
    language_loss(whole, labels, ref, OBJECTIVES[name]).backward()
    parts = logits.clone().requires_grad_()
    for part in (slice(0, 1), slice(1, 4)):
        language_loss(parts[part], labels[part], ref[part], OBJECTIVES[name], num_items_in_batch=torch.tensor(ITEMS)).backward()
    assert parts.grad is not None
    torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-5, atol=1e-7)


def test_weights_of_the_whole_data_make_any_rule_right_under_accumulation() -> None:
    """A normalised rule depends on the other sequences: given as `weights`, they are those of the whole batch in every micro-batch."""
    logits, labels, ref = padded(EXAMPLES, 14)
    weights = token_weights(token_logprobs(logits, labels), labels, ref, TEMPERED)
    whole = language_loss(logits, labels, ref, TEMPERED)
    parts = [
        language_loss(logits[i : i + 1], labels[i : i + 1], weights=weights[i : i + 1], num_items_in_batch=ITEMS).item() for i in range(4)
    ]
    np.testing.assert_allclose(sum(parts), whole.item(), rtol=1e-5)
    alone = [language_loss(logits[i : i + 1], labels[i : i + 1], ref[i : i + 1], TEMPERED, num_items_in_batch=ITEMS) for i in range(4)]
    assert abs(float(sum(alone)) - whole.item()) > 1e-3


def test_one_weight_for_each_sequence_not_for_each_position() -> None:
    """The authors' [B, 1] weights meet [B, T, 1] losses: where B = T, weight t falls on position t of every row. Row b needs its own."""
    count = 8
    examples = [sequence(seed, length=count + 1, prompt=1) for seed in range(count)]
    logits, labels, ref = padded(examples, count + 1)
    log_pi = token_logprobs(logits, labels)
    weights = token_weights(log_pi, labels, ref, TRAJECTORY)
    per_row = (log_pi - ref)[:, 1:].mean(1).exp().clamp(max=16.0)
    torch.testing.assert_close(weights[:, 1:], per_row[:, None].expand(-1, count))
    wrong = -(per_row[None, :] * log_pi[:, 1:]).sum() / (count * count)  # the axis that broadcasting chooses
    right = language_loss(logits, labels, ref, TRAJECTORY)
    np.testing.assert_allclose(right.item(), numpy_loss(examples, TRAJECTORY, count * count), rtol=1e-5)
    assert abs(right.item() - wrong.item()) > 1e-3


def test_tempered_weights_keep_enough_of_the_sample() -> None:
    logits, labels, ref = padded(EXAMPLES, 14)
    weights = token_weights(token_logprobs(logits, labels), labels, ref, TEMPERED)
    targets = target_mask(labels).float()
    assert ess_share(weights.flatten()[None], targets.flatten()[None]).item() >= 0.5 - 1e-4
    np.testing.assert_allclose(weights.sum() / targets.sum(), 1.0, rtol=1e-5)
    assert len(weights[targets > 0].unique()) == len(EXAMPLES)
    more = token_weights(
        token_logprobs(logits, labels), labels, ref, replace(TEMPERED, temperature=50.0, min_ess=0.0, min_trajectories=3.9)
    )
    assert ess_share(more.flatten()[None], targets.flatten()[None]).item() >= 3.9 / 4 - 1e-4


def test_q_takes_the_place_of_the_policy_in_the_ratio() -> None:
    logits, labels, ref = padded(EXAMPLES, 14)
    q = ref + torch.log(torch.tensor(3.0))
    weights = token_weights(token_logprobs(logits, labels), labels, ref, TRAJECTORY, q_logprobs=q)
    torch.testing.assert_close(weights[target_mask(labels)], torch.full((ITEMS,), 3.0))


def test_no_weight_carries_a_gradient() -> None:
    """The gradient of SFT(w) is w times that of SFT."""
    logits, labels, ref = (t[:1] for t in padded(EXAMPLES, 14))
    grads = []
    for weighting in (OBJECTIVES["sft"], TRAJECTORY):
        x = logits.clone().requires_grad_()
        language_loss(x, labels, ref.requires_grad_(), weighting).backward()
        grads.append(x.grad)
    weight = token_weights(token_logprobs(logits, labels), labels, ref, TRAJECTORY)[0, -6]
    torch.testing.assert_close(grads[1], grads[0] * weight)
    assert ref.grad is None


def test_a_batch_without_targets_has_loss_zero() -> None:
    logits, labels, ref = padded([sequence(0, length=4, prompt=4)], 6)
    for weighting in EVERY:
        loss = language_loss(logits.requires_grad_(), labels, ref, weighting)
        loss.backward()
        assert loss.item() == 0
        assert logits.grad is not None
        assert logits.grad.abs().max() == 0


def test_logits_of_half_precision_are_summed_in_float32() -> None:
    logits, labels, _ = padded(EXAMPLES, 14)
    found = token_logprobs(logits.bfloat16(), labels)
    torch.testing.assert_close(found, token_logprobs(logits.bfloat16().float(), labels), rtol=0, atol=0)


def test_mistakes_are_one_line() -> None:
    logits, labels, ref = padded(EXAMPLES, 14)
    with pytest.raises(ConfigError, match=r"^weighting.kind = trajectory needs ref_logprobs"):
        language_loss(logits, labels)
    with pytest.raises(ConfigError, match=r"^ref_logprobs has shape \(4, 14, 1\); expected that of the labels, \(4, 14\)$"):
        language_loss(logits, labels, ref[..., None])
    with pytest.raises(ConfigError, match=r"^weights has shape \(4,\)"):
        language_loss(logits, labels, weights=torch.ones(4))
    with pytest.raises(ConfigError, match=r"^sequence_ids has shape"):
        language_loss(logits, labels, ref, sequence_ids=torch.zeros(4, 3))
    with pytest.raises(ConfigError, match=r"^logits have shape \(4, 13, 11\)"):
        language_loss(logits[:, 1:], labels, ref)


def test_suffix_weights_are_products_over_later_tokens() -> None:
    logits, labels, ref = sequence(3)
    logprobs = token_logprobs(logits[None], labels[None])[0]
    found = token_weights(logprobs[None], labels[None], ref[None], SUFFIX)[0]
    ratio = 0.9 * (logprobs - ref).exp().numpy()
    for t in range(len(labels)):
        assert float(found[t]) == pytest.approx(0.0 if t < 3 else np.clip(np.prod(ratio[t + 1 :]), 0.2, 1.8), rel=1e-4)


def test_clipped_weights_compare_with_an_earlier_policy() -> None:
    logits, labels, _ = sequence(4)
    logprobs = token_logprobs(logits[None], labels[None])
    old = logprobs + 0.5 * torch.randn(logprobs.shape, generator=torch.Generator().manual_seed(0))
    found = token_weights(logprobs, labels[None], None, Weighting(Kind.clipped, clip=0.2), q_logprobs=old)
    ratio = np.exp((logprobs - old)[0, 3:].numpy())
    np.testing.assert_allclose(found[0, 3:].numpy(), np.where(ratio <= 1.2, ratio, 0), rtol=1e-5)
    assert (found[0, :3] == 0).all()
    with pytest.raises(ConfigError, match=r"^weighting.kind = clipped needs q_logprobs, the log-probabilities of the policy of"):
        token_weights(logprobs, labels[None], None, Weighting(Kind.clipped))
