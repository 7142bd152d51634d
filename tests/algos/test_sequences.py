"""The family on token sequences: losses and weights equal NumPy, members equal themselves alone, engines agree, resume is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from algos.batches.curation import Curation
from algos.batches.sampling import Sampler
from algos.engines import Captured, Compiled
from algos.importance import Kind, Rule, Weighting, suffix_sums
from algos.methods.weighted_bc import Network, Start, WeightedBC, WeightedBCConfig
from tests.helpers.engines import compiles, record_without_gpu
from tests.helpers.sequences import sequences_of, transformer

SMALL = WeightedBCConfig(
    "tokens", 20, 5, [16, 16], Start.pi_ref, 1e-2, sampler=Sampler.trajectories, policy=Network.transformer, curation=Curation([50]),
)  # fmt: skip
RULES = {
    "sft": Weighting(),
    "iw_sft": Weighting(Kind.trajectory, temperature=5.0, min_ess=0.3),
    "iw_sft_step": Weighting(Kind.step, temperature=2.0, minimum=0.5, maximum=1.5, normalize=False, rule=Rule.authors),
    "dft": Weighting(Kind.probability, temperature=1.0, normalize=False),
    "psft": Weighting(Kind.clipped, clip=0.1, refresh_every=3),
    "pear": Weighting(Kind.suffix, temperature=1.0, discount=0.9, minimum=0.2, maximum=3.0, normalize=False, rule=Rule.authors),
}


def population(name: str, seeds: tuple[int, ...] = (3, 8), anchor: float = 0.0) -> WeightedBC:
    """A population that starts at a reference of its own, which has been trained for a few updates."""
    data = sequences_of(count=30)
    reference = WeightedBC(replace(SMALL, start=Start.random, curation=Curation()), data, seeds)
    reference.train(0, 10)
    return WeightedBC(replace(SMALL, weighting=RULES[name], anchor=anchor), data, seeds, reference.policy())


def by_numpy(algo: WeightedBC, flat: torch.Tensor, k: int, episode: int) -> np.ndarray:
    """Log-probabilities [T, V] at the steps of an episode under member `k` of parameters `flat`."""
    data = algo.data
    first, last = int(data.offsets[episode]), int(data.offsets[episode + 1])
    prompt = int((data.observations[first] != 0).sum())
    tokens = [*data.observations[first, :prompt].long().tolist(), *data.actions[first:last, 0].long().tolist()]
    return transformer(algo.params(flat), k, tokens[:-1], 2)[prompt - 1 :]


@pytest.mark.parametrize(("name", "anchor"), [*((name, 0.0) for name in RULES if name != "iw_sft"), ("dft", 0.3)])
def test_losses_equal_numpy(name: str, anchor: float) -> None:
    """After four updates, with the weights written out: token weights, clips, the suffix of later tokens, the divergence from pi_ref."""
    algo = population(name, anchor=anchor)
    algo.train(0, 4)
    assert algo.pi_ref is not None
    batch, w = algo.stream.batch(4), RULES[name]
    weights = algo.weights(algo.state, batch)
    found = algo.losses(algo.params(algo.state["policy"]), weights, batch)
    episode = torch.searchsorted(algo.data.offsets, batch.step, right=True) - 1
    for k in range(2):
        total = 0.0
        for row in range(5):
            own = (batch.row[k] == row) & (batch.coefficient[k] > 0)
            number = int(episode[k][own][0])
            actions = algo.data.actions[batch.step[k][own], 0].long().numpy()
            names = {"now": algo.state["policy"], "ref": algo.pi_ref} | {n: algo.state[n] for n in ("q", "old") if n in algo.state}
            every = {n: by_numpy(algo, flat, k, number) for n, flat in names.items()}
            chosen = {n: value[np.arange(len(actions)), actions] for n, value in every.items()}
            if w.kind is Kind.none:
                expected = np.ones(len(actions))
            elif w.kind is Kind.probability:
                expected = np.exp(chosen["now"])
            elif w.kind is Kind.clipped:
                ratio = np.exp(chosen["now"] - chosen["old"])
                expected = np.where(ratio <= 1.1, ratio, 0)
            elif w.kind is Kind.step:
                expected = np.clip(np.exp(2 * (chosen["q"] - chosen["ref"])), 0.5, 1.5)
            else:
                ratio = 0.9 * np.exp(chosen["q"] - chosen["ref"])
                expected = np.clip([np.prod(ratio[t + 1 :]) for t in range(len(ratio))], 0.2, 3.0)
            np.testing.assert_allclose(weights[k][own].numpy(), expected, rtol=2e-4)
            divergence = (np.exp(every["ref"]) * (every["ref"] - every["now"])).sum(-1)
            total += (batch.coefficient[k][own].numpy() * (anchor * divergence - expected * chosen["now"])).sum()
        assert float(found[k]) == pytest.approx(total, rel=1e-4)


def test_a_clipped_ratio_has_the_gradient_of_the_clipped_surrogate() -> None:
    """The gradient of PSFT's min(r, clip(r, 1 - c, 1 + c)), by autograd, is that of the weighted log-likelihood."""
    algo = population("psft")
    algo.train(0, 5)
    batch = algo.stream.batch(5)
    flat = algo.state["policy"].clone().requires_grad_()
    with torch.enable_grad():
        now = algo.likelihood.of_batch(algo.params(flat), batch)
        ratio = (now - algo.likelihood.of_batch(algo.params(algo.state["old"]), batch)).exp()
        surrogate = -(batch.coefficient * torch.minimum(ratio, ratio.clamp(0.9, 1.1))).sum(-1)
        (expected,) = torch.autograd.grad(surrogate.sum(), flat)
        loss = algo.losses(algo.params(flat), algo.weights(algo.state, batch), batch)
        (found,) = torch.autograd.grad(loss.sum(), flat)
    assert 0.02 < (ratio[batch.coefficient > 0] > 1.1).float().mean() < 0.98
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_suffix_sums() -> None:
    ratio = torch.tensor([[1.0, 2.0, 4.0, 9.0, 8.0, 16.0]])
    row, real = torch.tensor([[0, 0, 0, 0, 1, 1]]), torch.tensor([[True, True, True, False, True, True]])
    found = suffix_sums(ratio, row, real, 2, torch.tensor([0.5]))
    torch.testing.assert_close(found[real[0].expand(1, -1)], torch.tensor([7.0, 4.5, 0.0, 16.5, 0.0]))


@pytest.mark.parametrize("name", RULES)
def test_a_member_equals_itself_alone(name: str) -> None:
    together = population(name, (3, 8, 11), anchor=0.1)
    together.train(0, 12)
    for k, seed in enumerate((3, 8, 11)):
        alone = population(name, (seed,), anchor=0.1)
        alone.train(0, 12)
        for part, value in alone.state.items():
            if value.ndim:
                torch.testing.assert_close(together.state[part][k], value[0], rtol=1e-3, atol=2e-5, msg=part)
    assert not torch.allclose(together.state["policy"][0], together.state["policy"][1])


@pytest.mark.parametrize("name", RULES)
def test_resume_is_exact(name: str) -> None:
    whole, parts = population(name), population(name)
    whole.train(0, 9)
    parts.train(0, 4)
    resumed = population(name)
    resumed.state = {key: value.clone() for key, value in parts.state.items()}
    resumed.train(4, 9)
    for part, value in whole.state.items():
        assert torch.equal(resumed.state[part], value), part


@pytest.mark.parametrize("name", ["iw_sft", "psft"])
def test_replayed_updates_are_the_same(name: str) -> None:
    """Batches have one shape, so that updates are recorded once."""
    straight, replayed = population(name, anchor=0.1), population(name, anchor=0.1)
    assert not straight.shapes_vary
    assert len({straight.stream.batch(t).step.shape for t in range(5)}) == 1
    replayed.engine = Captured(replayed, record_without_gpu)
    straight.train(0, 9)
    replayed.train(0, 9)
    for part, value in straight.state.items():
        assert torch.equal(replayed.state[part], value), part


@pytest.mark.slow
@compiles
@pytest.mark.parametrize("name", ["iw_sft", "dft"])
def test_compiled_updates_are_the_same(name: str) -> None:
    straight, compiled = population(name), population(name)
    compiled.engine = Compiled(compiled)
    straight.train(0, 15)
    compiled.train(0, 15)
    for part, value in straight.state.items():
        torch.testing.assert_close(compiled.state[part], value, rtol=1e-3, atol=1e-4, msg=part)


def test_diagnostics() -> None:
    algo = population("iw_sft")
    algo.train(0, 5)
    found = algo.diagnostics()
    every = algo.likelihood.all_of(algo.state["policy"], torch.arange(len(algo.data.actions)))
    torch.testing.assert_close(found["log_prob_all"], every.mean(1))
    total = np.concatenate([
        by_numpy(algo, algo.state["policy"], 1, e)[np.arange(n), algo.data.actions[o : o + n, 0].long().numpy()]
        for e, (o, n) in enumerate(zip(algo.data.offsets.tolist(), algo.data.lengths.tolist(), strict=False))
    ])  # fmt: skip
    np.testing.assert_allclose(every[1].numpy(), total, atol=2e-5)
    assert (found["kl_q_pi_ref"] > 0).all()
    assert set(found) >= {"weight_ess_share", "weight_trajectories", "log_prob_curated"}
