"""Laws of every method that learns from transitions: independent members, exact resume, no host reads, errors of one line."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch.utils._python_dispatch import TorchDispatchMode

from algos.base import MethodConfig
from algos.batches.transitions import RewardScaling
from algos.errors import ConfigError
from algos.methods.cfgrl import CFGRL
from algos.methods.weighted_bc import WeightedBC
from algos.networks.mlp import Layout
from algos.networks.policies import Actor, GaussianPolicy
from algos.registry import build, methods
from bench.storage.layout import digest_of
from envs.data.trajectories import Trajectories
from tests.helpers.learners import ACT, LEARNERS, OBS, POINTS, configured, episodes_of, in_double, often_refreshed, small


@pytest.mark.parametrize("name", LEARNERS)
def test_a_member_equals_itself_alone(name: str) -> None:
    together = in_double(small(name, episodes_of(), (3, 8, 11), *often_refreshed(name, 2)))
    together.train(0, 5)
    for k, seed in enumerate((3, 8, 11)):
        alone = in_double(small(name, episodes_of(), (seed,), *often_refreshed(name, 2)))
        alone.train(0, 5)
        for part, value in alone.state.items():
            if value.ndim:
                torch.testing.assert_close(together.state[part][k], value[0], rtol=0, atol=1e-10)
    assert not torch.allclose(together.state["policy"][0], together.state["policy"][1])


@pytest.mark.parametrize("name", LEARNERS)
def test_a_member_with_its_own_settings_equals_itself_alone(name: str) -> None:
    """Settings are tensors [P]: the second member's do not affect the first."""
    plain = in_double(small(name, episodes_of(), (3, 8), *often_refreshed(name, 2)))
    changed = in_double(small(name, episodes_of(), (3, 8), *often_refreshed(name, 2)))
    settings = [v for v in vars(changed).values() if torch.is_tensor(v) and v.shape == (2,)]
    assert settings
    for value in (*settings, *changed.rates.values()):
        value[1] *= 0.7
    plain.train(0, 5)
    changed.train(0, 5)
    for part, value in plain.state.items():
        if value.ndim:
            torch.testing.assert_close(changed.state[part][0], value[0], rtol=0, atol=1e-10)
    assert not torch.allclose(changed.state["policy"][1], plain.state["policy"][1])


@pytest.mark.parametrize("name", LEARNERS)
def test_resume_is_exact(name: str) -> None:
    straight = small(name, episodes_of(), (3, 8), *often_refreshed(name, 2))
    straight.train(0, 7)
    first = small(name, episodes_of(), (3, 8), *often_refreshed(name, 2))
    first.train(0, 3)
    second = small(name, episodes_of(), (3, 8), *often_refreshed(name, 2))
    second.state = load(save({k: v.contiguous() for k, v in first.state.items()}))
    second.train(3, 7)
    assert straight.state.keys() == second.state.keys()
    for part, value in straight.state.items():
        assert torch.equal(second.state[part], value), part


class NoHostReads(TorchDispatchMode):
    """A mode that fails where a value is read back to the host or a shape depends on a value."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket not in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.masked_select), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", LEARNERS)
def test_an_update_reads_no_value_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("algos.optimizer.on_host", lambda tensor: False)  # as on a GPU
    algo = small(name, episodes_of())
    algo.train(0, 1)
    batch = algo.stream.batch(1)
    with NoHostReads():
        algo.update(algo.state, batch)
        algo.delayed(algo.state, batch)


def test_host_reads_are_detected() -> None:
    with NoHostReads(), pytest.raises(AssertionError):
        torch.ones(1).item()


@pytest.mark.parametrize("name", LEARNERS)
def test_metrics_actions_and_policy(name: str) -> None:
    """Metrics have shape [P] and the same names at every update. Actions are in the unit box. The policy's parameters suffice to act."""
    algo = small(name, episodes_of())
    first, second = algo.train(0, 1), algo.train(1, 2)
    assert first.keys() == second.keys()
    assert all(v.shape == (2,) and v.isfinite().all() for v in {**second, **algo.diagnostics()}.values())
    observations = torch.randn(2, 5, OBS)
    actions = algo.act(observations)
    assert actions.shape == (2, 5, ACT)
    assert (actions.abs() <= 1).all()
    assert algo.parameters == sum(algo.state[part.removesuffix(".steps")].shape[1] for part in algo.state if part.endswith(".steps"))
    policy = algo.policy()
    shift, scale = policy.pop("observation_shift", torch.zeros(2, OBS)), policy.pop("observation_scale", torch.ones(2, OBS))
    assert algo.config.normalize_observations == bool((shift != 0).any())
    if isinstance(algo, CFGRL):  # acts by integrating its network
        return
    again = algo.policy_net.mean(policy, (observations - shift.unsqueeze(1)) / scale.unsqueeze(1))
    torch.testing.assert_close(again, actions)


def test_batches_are_functions_of_seed_and_update() -> None:
    one, other = small("cql", episodes_of(), (3, 8)).stream, small("cql", episodes_of(), (8,)).stream
    for t in (70, 0, 3):
        for a, b in zip(one.batch(t)[:-1], other.batch(t)[:-1], strict=True):
            assert torch.equal(a[1], b[0])
        for key, noise in other.batch(t).noise.items():
            assert torch.equal(one.batch(t).noise[key][1], noise[0])
    assert not torch.equal(one.batch(1).noise["next"], one.batch(2).noise["next"])
    noise = one.batch(5).noise["random"]
    assert -1 <= float(noise.min()) < -0.9
    assert 0.9 < float(noise.max()) < 1


def test_rewards_are_scaled_and_shifted() -> None:
    data = episodes_of()
    spread = float(data.returns.max() - data.returns.min())
    algo = small("iql", data, (3,), "algo.reward_scale=2", "algo.reward_shift=-1")
    assert algo.config.reward_scaling is RewardScaling.return_range
    torch.testing.assert_close(algo.stream.rewards, data.rewards * (2000 / spread) - 1)
    with pytest.raises(ConfigError, match="all episodes have the same return"):
        small("iql", _fields(data, rewards=torch.zeros(len(data.rewards))))


def _fields(data: Trajectories, **changes: Any) -> Trajectories:
    return Trajectories(**{k: changes.get(k, getattr(data, k)) for k in Trajectories.__dataclass_fields__})


def test_observations_are_normalised_over_the_data() -> None:
    stream = small("td3_bc", episodes_of()).stream
    data = episodes_of()
    everything = stream.gather(torch.arange(len(data.rewards)).expand(2, -1), {})
    mean, std = data.observations.mean(0), data.observations.std(0, correction=0)
    torch.testing.assert_close(everything.observations[0], (data.observations - mean) / (std + 1e-3))
    torch.testing.assert_close(everything.next_observations[1], (data.next_observations - mean) / (std + 1e-3))


def test_a_deterministic_actor_has_no_spread() -> None:
    assert isinstance(Actor.gaussian.make(2, 1, (4,)), GaussianPolicy)
    algo = small("iql", episodes_of(), (3,), "algo.actor=deterministic")
    assert "log_std" not in algo.policy()
    assert algo.policy_net.layout == Layout(algo.policy_net.net.shapes)


# Mistakes.

WRONG = {
    "iql": "expectile=0 expectile=1 expectile=-0.2 temperature=0 temperature=-1 discount=1 target_rate=0 learning_rate=0 hidden=[]",
    "bc": "batch_size=0 updates=-1 warmup=-1",
    "awr": "temperature=0 trace=1.1 refresh_every=0 max_weight=-1",
    "awac": "temperature=-3 samples=0",
    "crr": "critics=0",
    "td3_bc": "critics=1 alpha=-1 policy_noise=-1 policy_delay=0",
    "rebrac": "critics=1 critic_penalty=-1",
    "cql": "critics=1 alpha=-1 samples=0",
    "cal_ql": "alpha=-1 samples=0",
    "rlpd": "subset=0 subset=11 policy_delay=0 updates=-1",
    "cfgrl": "unconditional=0 steps=0 guidance=-1 expectile=1",
    "edac": "critics=1 eta=-1",
    "sac_n": "critics=1 log_std_min=3",
}
BAD = [(name, *setting.split("=")) for name, settings in WRONG.items() for setting in settings.split()]


@pytest.mark.parametrize(("name", "key", "value"), BAD, ids=[f"{n}.{k}={v}" for n, k, v in BAD])
def test_invalid_settings_are_refused(name: str, key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"^algo\.{re.escape(key)} = .*: expected ") as error:
        configured(name, f"algo.{key}={value}")
    assert "\n" not in str(error.value)


def test_marwil_refuses_to_standardise_advantages() -> None:
    with pytest.raises(ConfigError, match=r"^algo.scale = standardise: expected running_norm or none"):
        configured("marwil", "algo.scale=standardise")


@pytest.mark.parametrize("name", LEARNERS)
def test_discrete_actions_are_refused(name: str) -> None:
    data = episodes_of()
    discrete = _fields(data, actions=torch.zeros(len(data.rewards), 1), num_actions=2)
    config = configured(name)
    with pytest.raises(ConfigError, match=r"learns from continuous actions; the data's are discrete$"):
        build(config, discrete, (0,))


def test_continuous_actions_are_refused_where_discrete_ones_are_needed() -> None:
    class Discrete(WeightedBC):
        actions = ("discrete",)

    with pytest.raises(ConfigError, match=r"^Discrete learns from discrete actions; the data's are continuous$"):
        Discrete(configured("bc"), episodes_of(), (0,))


@pytest.mark.parametrize("name", LEARNERS)
def test_data_without_next_observations_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} needs next observations, and the data have none; "):
        small(name, _fields(episodes_of(), next_observations=None))


# Configuration.


@pytest.mark.parametrize("name", POINTS)
def test_every_point_is_a_method_with_a_hash(name: str) -> None:
    config = configured(name)
    assert config.name == name
    assert type(config) in methods().values()
    assert digest_of(config.determinants()) != digest_of(configured(name, "algo.hidden=[8]").determinants())


def test_methods_are_the_files_that_define_one() -> None:
    assert {"weighted_bc", "iql", "td3_bc", "edac"} <= methods().keys()
    assert not {"sac", "td3", "__init__"} & methods().keys()  # bases of methods
    assert all(issubclass(config, MethodConfig) and config.__module__ == f"algos.methods.{name}" for name, config in methods().items())


def test_fine_tuning_and_importance_weights_need_pi_ref() -> None:
    assert all(configured(name).needs_pi_ref for name in ("sft", "sft_q", "iw_sft", "iw_sft_q", "dft"))
    assert not any(configured(name).needs_pi_ref for name in ("bc", "filtered_bc", "awr", "iql"))
    assert configured("bc", "algo.weighting.kind=step").needs_pi_ref


def test_a_method_without_the_pi_ref_that_it_needs_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^sft needs a reference policy: train one on all data first$"):
        build(configured("sft"), episodes_of(), (0,))
