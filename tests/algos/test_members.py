"""Members that differ in settings and seeds: each equals itself trained alone, for every method and every batchable setting."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algos.batches.sampling import Sampler
from algos.errors import ConfigError
from algos.members import batchable_settings, joined, part, stacked, with_settings
from algos.methods.iql import IQLConfig
from algos.methods.rebrac import ReBRACConfig
from algos.methods.weighted_bc import Curation, Kind, Rule, Start, WeightedBC, WeightedBCConfig, Weighting
from algos.registry import build
from envs.data.trajectories import Trajectories
from tests.helpers.learners import LEARNERS, SMALL, configured, episodes_of, few_critics, often_refreshed

# Batched and single matrix products may round differently; over these updates the difference stays below this.
TOLERANCE = {"rtol": 1e-3, "atol": 1e-5}
UPDATES = 12
SEED = 3
IDLE: dict[str, set[str]] = {
    "awac": set(), "awr": {"norm_rate"}, "cal_ql": set(), "cfgrl": {"guidance", "temperature", "max_weight"}, "cql": set(),
    "crr": set(), "edac": set(),
    "iql": set(), "marwil": set(), "rebrac": set(), "rlpd": set(), "rwr": {"critic_learning_rate", "norm_rate"},
    "sac_n": set(), "td3_bc": set(),
}  # fmt: skip
"""Settings without effect on training: of parts that the method does not have, or of evaluation. Methods not listed are not checked."""


def changed(config: Any, skip: str = "") -> dict[str, Any]:
    """A valid configuration for every batchable setting of `config` but `skip`, with another value of that setting."""
    found = {}
    for key, value in batchable_settings(config).items():
        if key == skip:
            continue
        binding = {"noise_clip": 0.01, "max_weight": 1.01, "weighting.maximum": 1.01, "weighting.min_trajectories": 19.99999}
        other = binding.get(key, value / 2 or 0.25)
        found[key] = with_settings(config, {key: other})
        found[key].check("algo")
    return found


def alone(config: Any, data: Any, seed: int = SEED) -> Any:
    algo = build(config, data, [seed])
    algo.train(0, UPDATES)
    return algo


def assert_member(together: Any, k: int, single: Any, what: str) -> None:
    own = part(together.state, slice(k, k + 1))
    assert own.keys() == single.state.keys()
    for name, value in single.state.items():
        torch.testing.assert_close(own[name], value, **TOLERANCE, msg=lambda text, n=name: f"{what}, {n}: {text}")


@pytest.mark.parametrize("name", LEARNERS)
def test_every_setting_applies_to_its_member_alone(name: str) -> None:
    """Members change one setting each and share a seed: each equals itself trained alone and differs from the unchanged member."""
    data = episodes_of(2)
    config = configured(name, *SMALL, *few_critics(name), *often_refreshed(name, 5))
    members = changed(config)
    together = build(stacked([config, *members.values()]), data, [SEED] * (1 + len(members)))
    together.train(0, UPDATES)
    assert_member(together, 0, alone(config, data), "as configured")
    for k, (key, own) in enumerate(members.items(), 1):
        assert_member(together, k, alone(own, data), key)
        same = all(equal_up_to_rounding(v[0], v[k]) for v in together.state.values() if v.ndim)
        assert name not in IDLE or same == (key in IDLE[name]), f"{key} has {'no' if same else 'an'} effect"


def equal_up_to_rounding(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal up to rounding, which may differ with a member's place in memory."""
    return torch.allclose(a, b, rtol=1e-4, atol=1e-7)


def family(kind: Kind, sampler: Sampler, rule: Rule) -> WeightedBCConfig:
    temperature, clips = 1.0 if kind is Kind.probability else 20.0, (0.99, 2.0)  # both clips bind for some weights
    return WeightedBCConfig(
        "iw", UPDATES, 16, [16, 16], Start.pi_ref, 1e-3, warmup=0.25, sampler=sampler, curation=Curation([50, 75]),
        weighting=Weighting(kind, temperature, *clips, refresh_every=4, rule=rule, min_ess=0.99999),
    )  # fmt: skip


@pytest.mark.parametrize("sampler", list(Sampler))
@pytest.mark.parametrize(
    ("kind", "rule"),
    [(kind, rule) for kind in (Kind.trajectory, Kind.step) for rule in Rule] + [(Kind.probability, Rule.tempered)],
)
def test_every_setting_of_the_family(small_data: Trajectories, kind: Kind, rule: Rule, sampler: Sampler) -> None:
    config = family(kind, sampler, rule)
    clips, floors = {"weighting.minimum", "weighting.maximum"}, {"weighting.min_ess", "weighting.min_trajectories"}
    members = changed(config, skip="" if kind is Kind.trajectory else "weighting.min_trajectories")
    idle = {"weighting.clip", "weighting.discount"} | ({"weighting.minimum"} if kind is Kind.trajectory else set())
    idle |= {Rule.tempered: clips, Rule.pareto: clips | floors, Rule.authors: {*floors, "weighting.defensive"}}[rule]
    idle |= {"weighting.ema_rate", "weighting.defensive", *clips, *floors} if kind is Kind.probability else set()
    reference = WeightedBC(WeightedBCConfig(hidden=config.hidden), small_data, [SEED])
    reference.train(0, 5)
    pi_ref = reference.policy()
    many = {k: v.expand(1 + len(members), *v.shape[1:]) for k, v in pi_ref.items()}
    together = WeightedBC(stacked([config, *members.values()]), small_data, [SEED] * (1 + len(members)), many)
    together.train(0, UPDATES)
    for k, (key, own) in enumerate({"as configured": config, **members}.items()):
        single = WeightedBC(own, small_data, [SEED], pi_ref)
        single.train(0, UPDATES)
        assert_member(together, k, single, key)
        same = equal_up_to_rounding(together.state["policy"][0], together.state["policy"][k])
        assert same == (key in idle or k == 0), f"{key} has {'no' if same else 'an'} effect"


def test_settings_and_seeds_are_crossed() -> None:
    data, config = episodes_of(1), configured("iql", *SMALL)
    points = [(with_settings(config, {"expectile": e}), s) for e in (0.6, 0.9) for s in (8, 3)]
    together = build(stacked([c for c, _ in points]), data, [s for _, s in points])
    together.train(0, UPDATES)
    for k, (own, seed) in enumerate(points):
        assert_member(together, k, alone(own, data, seed), f"{own.expectile}, seed {seed}")


def test_guidance_differs_between_members() -> None:
    data, config = episodes_of(1), configured("cfgrl", *SMALL, "algo.steps=4")
    members = [with_settings(config, {"guidance": g}) for g in (0.0, 4.0)]
    together = build(stacked(members), data, [SEED, SEED])
    together.train(0, UPDATES)
    observations = data.observations[:10]
    actions = together.act(observations.expand(2, -1, -1))
    assert not torch.allclose(actions[0], actions[1], atol=1e-3)
    for k, own in enumerate(members):
        torch.testing.assert_close(actions[k], alone(own, data).act(observations[None])[0], **TOLERANCE)


@pytest.mark.parametrize("name", ["cfgrl", "iql"])
def test_actions_do_not_depend_on_how_many_episodes_run_at_once(name: str) -> None:
    data = episodes_of(1)
    algo = alone(configured(name, *SMALL), data)
    all_at_once, some = algo.act(data.observations[None, :9]), algo.act(data.observations[None, 4:9])
    torch.testing.assert_close(all_at_once[:, 4:], some, **TOLERANCE)


def test_the_parts_of_a_state_join_to_the_whole_state() -> None:
    data, config = episodes_of(1), configured("marwil", *SMALL)
    algo = build(config, data, [1, 2, 3])
    algo.train(0, 3)
    again = joined([part(algo.state, slice(0, 1)), part(algo.state, slice(1, 3))])
    assert list(again) == list(algo.state)
    assert all(torch.equal(again[k], v) for k, v in algo.state.items())


def test_subclasses_inherit_batchable_settings() -> None:
    assert "learning_rate" in batchable_settings(ReBRACConfig())
    assert batchable_settings(ReBRACConfig())["learning_rate"] == 1e-3


def test_members_may_differ_in_batchable_settings_alone() -> None:
    with pytest.raises(ConfigError, match=r"^the members of a population may differ in learning_rate, .*, expectile, "):
        stacked([IQLConfig(expectile=0.7), IQLConfig(expectile=0.9, batch_size=3)])
    assert stacked([IQLConfig(), IQLConfig()]) == IQLConfig()
    assert stacked([IQLConfig(), IQLConfig(expectile=0.9)]).expectile == (0.7, 0.9)
