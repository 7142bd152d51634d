"""Weighted fine-tuning of language models: weights and losses of token sequences, as functions of logits and labels.

    loss = - sum over target tokens of  w * log pi_theta(y_t | y_<t)  /  number of target tokens

The weights are those of algos/importance.py with a token as the step and a sequence as the trajectory (arXiv 2507.12856):

    rho_t = log pi_q(y_t | y_<t) - log pi_ref(y_t | y_<t)
    trajectory   w(tau) = clip(exp(temperature * mean of rho_t over the sequence's target tokens), 0, maximum), one for all its tokens
    step         w_t    = clip(exp(temperature * rho_t), minimum, maximum)
    suffix       w_t    = clip(exp(temperature * sum over later tokens k of (rho_k + log discount)), minimum, maximum), PEAR (2602.01058)
    probability  w_t    = pi_theta(y_t | y_<t) ^ temperature, DFT at temperature 1 (arXiv 2508.05629, eq. 9)
    clipped      w_t    = r_t = pi_theta / pi_q where r_t <= 1 + clip, else 0, PSFT with an earlier policy as q (arXiv 2508.17784)
    none         w      = 1, SFT

The mean over tokens is the length-normalised ratio of GSPO (arXiv 2507.18071): it does not grow with the length of a sequence. Rules
`tempered` and `pareto` are centred and normalised over the sequences (or tokens) of one call. Under gradient accumulation every
micro-batch would be normalised by itself, so the weights of all data are then computed first and given as `weights`. No weight carries a
gradient.

labels [B, T] are aligned with the input tokens, as in transformers: labels[:, t] is predicted by logits[:, t - 1], and IGNORED marks a
token that is no target (prompt, padding). Log-probabilities and weights [B, T] are aligned with the labels. A packed row holds several
sequences: `sequence_ids` [B, T] numbers them, and the first token of each is no target.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.errors import ConfigError
from algos.importance import Kind, Rule, Weighting, ratio_weights, suffix_sums
from algos.weights import clipped_ratio_weights, mean_one, probability_weights

__all__ = ["IGNORED", "OBJECTIVES", "Kind", "Rule", "Weighting", "language_loss", "target_mask", "token_logprobs", "token_weights"]

IGNORED = -100  # the label of a token that is no target, as in transformers

OBJECTIVES = {
    "sft": Weighting(),
    "iw_sft": Weighting(Kind.trajectory, temperature=1.0, maximum=16.0, normalize=False, ema_rate=1.0, rule=Rule.authors),
    "iw_sft_step": Weighting(Kind.step, temperature=1.0, minimum=0.2, maximum=1.8, normalize=False, ema_rate=1.0, rule=Rule.authors),
    "dft": Weighting(Kind.probability, temperature=1.0, normalize=False),
}
"""Weightings by name; those of iw-SFT with the values of the authors' language code (repository emmyqin/iw_sft)."""


def target_mask(labels: Tensor, sequence_ids: Tensor | None = None) -> Tensor:
    """True [B, T] where a token is a target: not IGNORED, and not the first token of its row or of its sequence."""
    found = labels != IGNORED
    found[:, 0] = False
    if sequence_ids is not None:
        _check_shape("sequence_ids", sequence_ids, labels)
        found[:, 1:] &= sequence_ids[:, 1:] == sequence_ids[:, :-1]
    return found


def token_logprobs(logits: Tensor, labels: Tensor) -> Tensor:
    """log pi(labels[:, t] | tokens before t) [B, T] in float32 from `logits` [B, T, V]; 0 in column 0 and where a label is IGNORED."""
    if logits.shape[:-1] != labels.shape:
        raise ConfigError(
            f"logits have shape {tuple(logits.shape)}; expected one row of logits for each of the labels {tuple(labels.shape)}"
        )
    flat = logits[:, :-1].flatten(0, 1).float()
    negative = F.cross_entropy(flat, labels[:, 1:].flatten().to(logits.device), ignore_index=IGNORED, reduction="none")
    return F.pad(-negative.view(len(labels), -1), (1, 0))


@torch.no_grad()
def token_weights(
    logprobs: Tensor,
    labels: Tensor,
    ref_logprobs: Tensor | None = None,
    weighting: Weighting = OBJECTIVES["iw_sft"],
    *,
    q_logprobs: Tensor | None = None,
    sequence_ids: Tensor | None = None,
) -> Tensor:
    """The weight [B, T] of every token, 0 where it is no target, from log pi_theta [B, T].

    ref_logprobs: log pi_ref [B, T], which ratios need. q_logprobs: log pi_q [B, T]; without it q is the policy itself. sequence_ids rise
    along a row. Raises ConfigError for a missing or misshapen tensor.
    """
    targets = target_mask(labels, sequence_ids)
    if weighting.kind is Kind.none:
        return targets.to(logprobs.dtype)
    if weighting.kind is Kind.clipped:
        if q_logprobs is None:
            raise ConfigError("weighting.kind = clipped needs q_logprobs, the log-probabilities of the policy of some updates ago")
        _check_shape("q_logprobs", q_logprobs, labels)
        return torch.where(targets, clipped_ratio_weights(logprobs - q_logprobs, logprobs.new_tensor(weighting.clip)), 0.0)
    if weighting.kind is Kind.probability:
        found, share = probability_weights(logprobs.flatten(), logprobs.new_tensor(weighting.temperature)), targets.flatten()
    else:
        if ref_logprobs is None:
            raise ConfigError(f"weighting.kind = {weighting.kind.name} needs ref_logprobs, the log-probabilities of the reference model")
        log_q = logprobs if q_logprobs is None else q_logprobs
        for name, given in (("ref_logprobs", ref_logprobs), ("q_logprobs", log_q)):
            _check_shape(name, given, labels)
        ratio = torch.where(targets, log_q.float() - ref_logprobs.to(log_q.device).float(), 0.0)
        found, share = _of_ratios(ratio, targets, weighting, sequence_ids), targets.flatten()
    if weighting.normalize and not (weighting.kind.is_ratio and weighting.rule.self_normalised):
        found = mean_one(found, share.to(found.dtype))
    return torch.where(targets, found.view_as(labels), 0.0)


def language_loss(
    logits: Tensor,
    labels: Tensor,
    ref_logprobs: Tensor | None = None,
    weighting: Weighting = OBJECTIVES["iw_sft"],
    *,
    q_logprobs: Tensor | None = None,
    weights: Tensor | None = None,
    sequence_ids: Tensor | None = None,
    num_items_in_batch: Tensor | int | None = None,
) -> Tensor:
    """The weighted negative log-likelihood of a batch, a scalar, with gradient by `logits` [B, T, V].

    weights: [B, T], used as they are; without them `token_weights` computes them. num_items_in_batch: the target tokens of all
    micro-batches of an update, as the Trainer of transformers counts them, so that the losses of the micro-batches add up to that of the
    whole batch; without it the target tokens of this call.
    """
    labels = labels.to(logits.device)
    sequence_ids = None if sequence_ids is None else sequence_ids.to(logits.device)
    logprobs, targets = token_logprobs(logits, labels), target_mask(labels, sequence_ids)
    if weights is None:
        weights = token_weights(logprobs.detach(), labels, ref_logprobs, weighting, q_logprobs=q_logprobs, sequence_ids=sequence_ids)
    else:
        _check_shape("weights", weights, labels)
    count = targets.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
    return -(torch.where(targets, weights, 0.0) * logprobs).sum() / count


def _of_ratios(ratio: Tensor, targets: Tensor, weighting: Weighting, sequence_ids: Tensor | None) -> Tensor:
    """Weights [B * T] from log-ratios [B, T], which are 0 where a token is no target."""
    flat, base = ratio.flatten(), targets.flatten().to(ratio.dtype)
    temperature, minimum, maximum, floor, defensive = (
        ratio.new_tensor([v]) for v in (weighting.temperature, weighting.minimum, weighting.maximum, weighting.min_ess, weighting.defensive)
    )
    if weighting.kind is Kind.suffix:
        log_discount = ratio.new_tensor([weighting.discount]).log()
        flat = suffix_sums(flat[None], _sequences(targets, sequence_ids), base > 0, len(flat), log_discount)[0]
    if weighting.kind is not Kind.trajectory:
        return ratio_weights(weighting, flat[None], base[None], temperature, minimum, maximum, floor, defensive)[0][0]
    slot = _sequences(targets, sequence_ids)
    sums, tokens = (ratio.new_zeros(len(flat)).scatter_add(0, slot, value) for value in (flat, base))
    floor = torch.maximum(floor, weighting.min_trajectories / (tokens > 0).sum()).clamp(max=1.0)
    means = (sums / tokens.clamp(min=1))[None]
    return ratio_weights(weighting, means, tokens[None], temperature, minimum, maximum, floor, defensive)[0][0][slot]


def _sequences(targets: Tensor, sequence_ids: Tensor | None) -> Tensor:
    """The number [B * T] of each token's sequence, from 0 and less than B * T."""
    rows = torch.arange(len(targets), device=targets.device)[:, None].expand_as(targets)
    if sequence_ids is None:
        return rows.flatten()
    pairs = torch.stack([rows.flatten(), sequence_ids.to(rows).flatten()], 1)
    return torch.unique(pairs, dim=0, return_inverse=True)[1]


def _check_shape(name: str, given: Tensor, labels: Tensor) -> None:
    if given.shape != labels.shape:
        raise ConfigError(f"{name} has shape {tuple(given.shape)}; expected that of the labels, {tuple(labels.shape)}")
