"""Every config in conf/ composes, fits the dataclasses and has the settings that its name stands for."""

from __future__ import annotations

import hydra
import pytest
from hydra import initialize_config_module
from omegaconf import OmegaConf

from algos.batches.curation import strata
from algos.methods.weighted_bc import Kind, Start, WeightedBCConfig
from bench.config.compose import compose, register
from bench.config.mistakes import explain
from bench.config.schema import Config
from bench.storage.hashes import config_hash
from tests.helpers.paths import CONF

OPTIONS = [(p.parent.name, p.stem) for p in sorted(CONF.glob("*/*.yaml")) if not p.stem.startswith("_")]


def composed(*overrides: str) -> Config:
    return compose(overrides)


def mistake(*overrides: str) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (Hydra's, OmegaConf's and this suite's own)
        composed(*overrides)
    return explain(caught.value)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes(group: str, option: str) -> None:
    composed(f"{group}={option}")


def test_the_six_points_of_the_family() -> None:
    points = {
        "bc": (Start.random, [], Kind.none),
        "filtered_bc": (Start.random, [90], Kind.none),
        "sft": (Start.pi_ref, [90], Kind.none),
        "sft_q": (Start.pi_ref, [90, 95, 98], Kind.none),
        "iw_sft": (Start.pi_ref, [90], Kind.trajectory),
        "iw_sft_q": (Start.pi_ref, [90, 95, 98], Kind.trajectory),
    }
    for name, point in points.items():
        algo = composed(f"algo={name}").algo
        assert isinstance(algo, WeightedBCConfig)
        assert algo.name == name
        assert (algo.start, algo.curation.percentiles, algo.weighting.kind) == point
        assert list(algo.hidden) == [256, 256, 256]


def test_the_hash_ignores_settings_without_effect() -> None:
    def hashed(*overrides: str) -> dict:
        return composed(*overrides).algo.determinants()

    assert hashed("algo=bc") == hashed("algo=bc", "algo.weighting.temperature=3", "algo.curation.score=length")
    assert hashed("algo=sft") == hashed("algo=sft", "algo.weighting.temperature=3")
    assert hashed("algo=iw_sft") != hashed("algo=iw_sft", "algo.weighting.temperature=3")


def test_bc_is_the_pi_ref_of_the_others() -> None:
    for overrides in ([], ["suite=quick"], ["pi_ref.updates=7", "pi_ref.sampler=trajectories"]):
        reference = composed("algo=sft", *overrides).pi_ref_algo
        assert composed("algo=bc", "algo.updates=${pi_ref.updates}", *overrides).algo == reference


def test_pi_ref_determines_the_run_if_the_method_needs_it() -> None:
    def hashed(*overrides: str) -> str:
        return config_hash(composed(*overrides), "digest", "cpu")

    assert hashed("algo=sft") != hashed("algo=sft", "pi_ref.updates=7")
    assert hashed("algo=iql") == hashed("algo=iql", "pi_ref.updates=7", "finetune.learning_rate=1")
    assert hashed("algo=bc") != hashed("algo=bc", "pi_ref.updates=7")  # BC trains as pi_ref does


def test_suites_set_updates_for_every_method() -> None:
    updates = {name: composed("suite=quick", f"algo={name}").algo.updates for name in ("bc", "filtered_bc", "iw_sft", "iql", "td3_bc")}
    assert updates == {"bc": 10_000, "filtered_bc": 10_000, "iw_sft": 4500, "iql": 5000, "td3_bc": 5000}
    assert composed("suite=quick", "algo=iw_sft").pi_ref.updates == 10_000
    assert composed("suite=quick", "algo=bc", "pi_ref.updates=7").algo.updates == 7
    for suite in ("quick", "paper", "reference"):
        assert composed(f"suite={suite}", "algo=iw_sft").algo.learning_rate == 4e-4
    assert composed("suite=quick", "algo=iql", "algo.updates=5").algo.updates == 5
    assert composed("algo=iw_sft").algo.learning_rate == 4e-5


def test_the_warm_up_is_a_share_of_the_updates() -> None:
    """300 of 4,500 updates, as in the paper (arXiv 2507.12856); a tiny budget has a tiny warm-up."""
    for overrides in (["algo=sft"], ["algo=iw_sft_q"], ["suite=quick", "algo=iw_sft"], ["suite=paper", "algo=dft"]):
        assert composed(*overrides).algo.warmup_updates == 300
    assert composed("algo=iw_sft", "algo.updates=30").algo.warmup_updates == 2
    assert composed("algo=iw_sft", "algo.updates=1").algo.warmup_updates == 0
    assert composed("algo=bc").algo.warmup_updates == 0


def test_numbers_on_the_command_line_are_read_as_numbers() -> None:
    config = composed("algo.learning_rate=1e-4", "seeds=[3]")
    assert config.algo.learning_rate == 1e-4
    assert config.seeds == [3]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("algo=iw_stf", "algo=iw_stf: no such algo; near names: iw_sft"),
        ("suite=quik", "suite=quik: no such suite; near names: quick"),
        ("seed=[1]", "unknown key 'seed'; near names: seeds"),
        ("algo.weighting.temprature=1", "unknown key 'algo.weighting.temprature'; near names: algo.weighting.temperature"),
        ("seeds=abc", "seeds=abc"),
        ("algo.updates=many", "algo.updates=many: expected a whole number"),
        ("algo.sampler=whole", "algo.sampler=whole: expected one of transitions, trajectories"),
        ("force=maybe", "force=maybe: expected true or false"),
        ("algo.hidden=8", "algo.hidden=8: expected a list, such as 'algo.hidden=[8]'"),
        ("algo.hidden=[a]", "algo.hidden=[a]: expected a whole number"),
        ("algo.learning_rate=x", "algo.learning_rate=x: expected a number"),
        ("eval.every=null", "eval.every=null: expected a value other than null"),
        ("env={a:1}", "env={a:1}: expected one text"),
        ("eval=3", "eval=3: expected a value for one of its keys: eval.every, eval.episodes, "),
        ("algo.weighting=[1]", "algo.weighting=[1]: expected a value for one of its keys: algo.weighting.kind, "),
        ("logger=null", "logger=null: no such logger; python -m bench --help lists the choices"),
        ("logger=[null]", "logger=[null]: no such logger"),
        ("suite=null", "suite=null: no such suite"),
        ("algo=", "algo=: no such algo"),
        ("hydra/launcher=", "hydra/launcher=: no such hydra/launcher; there are basic, joblib, "),
        ("dataset=a=b", "dataset=a=b: cannot be read as KEY=VALUE (mismatched input"),
        ("seeds=[1,1]", "seeds = [1, 1]: expected each seed once"),
        ("seeds=[]", "seeds = []: expected at least one seed"),
        ("seeds=[-1]", "seeds = [-1]: expected seeds of at least 0"),
        ("algo.learning_rate=-1", "algo.learning_rate = -1.0: expected a positive number"),
        ("pi_ref.learning_rate=nan", "pi_ref.learning_rate = nan: expected a positive number"),
        ("finetune.learning_rate=0", "finetune.learning_rate = 0.0: expected a positive number"),
        ("pi_ref.updates=0", "pi_ref.updates = 0: expected a positive number"),
        ("algo.curation.percentiles=[90,101]", "algo.curation.percentiles = [90.0, 101.0]: expected percentiles from 0 up to"),
        ("algo.curation.percentiles=[95,90]", "algo.curation.percentiles = [95.0, 90.0]: expected rising percentiles"),
        ("algo.curation.score=luck", "algo.curation.score = luck: expected one of return, length"),
        ("algo.warmup=300", "algo.warmup = 300.0: expected a share of the updates, from 0 up to, not including, 1 (0.0667 is 300 of 4500)"),
        ("finetune.warmup=1", "finetune.warmup = 1.0: expected a share of the updates"),
        ("algo.weighting.ema_rate=0", "algo.weighting.ema_rate = 0.0: expected a number above 0"),
        ("algo.weighting.minimum=2000", "algo.weighting.minimum = 2000.0: expected 0 to algo.weighting.maximum"),
        ("algo.hidden=[]", "algo.hidden = []: expected positive layer widths"),
        ("eval.every=0", "eval.every = 0: expected a positive number"),
        ("eval.final_episodes=1", "eval.final_episodes = 1: expected at least eval.episodes = 10"),
        ("device=tpu", "device = tpu: expected auto, cpu, cuda, or cuda:N"),
        ("logger.name=wandb", "unknown key 'logger.name'"),
        ("logger=csv", "logger=csv: no such logger"),
        ("engine=eager", "unknown key 'engine'; near names: trainer.engine"),
        ("precision=bf16", "unknown key 'precision'; near names: trainer.precision"),
        ("processes=1", "unknown key 'processes'; near names: trainer.processes"),
        ("checkpoint_minutes=1", "unknown key 'checkpoint_minutes'; near names: trainer.checkpoint_minutes"),
        ("max_members=1", "unknown key 'max_members'; near names: trainer.max_members"),
        ("mixed=true", "unknown key 'mixed'; near names: report.mixed"),
        ("published=true", "unknown key 'published'; near names: report.published"),
        ("trainer.engine=fast", "trainer.engine = fast: expected auto, eager, compiled or captured"),
        ("trainer.precision=half", "trainer.precision = half: expected auto, float32, tf32 or bf16"),
        ("trainer.processes=0", "trainer.processes = 0: expected a positive number, or null"),
    ],
)
def test_mistakes_get_one_line(override: str, line: str) -> None:
    found = mistake(override)
    assert found.startswith(line), found
    assert "\n" not in found


def test_the_quick_suite_is_the_family_and_two_baselines_on_one_task() -> None:
    register()
    with initialize_config_module("conf", version_base="1.3"):
        whole = hydra.compose("config", ["suite=quick"], return_hydra_config=True)
    params = whole.hydra.sweeper.params
    assert params.algo.split(",") == ["bc", "filtered_bc", "sft", "sft_q", "iw_sft", "iw_sft_q", "awr", "iql"]
    assert params.dataset == "iwsft/hopper/mixed-v0"
    assert (list(whole.seeds), whole.eval.final_episodes) == ([0, 1, 2, 3], 20)


def test_default_percentiles_keep_a_tenth_of_the_trajectories() -> None:
    import numpy as np

    percentiles = composed("algo=sft").algo.curation.percentiles
    assert len(strata(np.arange(1000.0), percentiles)) == 100


def test_the_saved_config_is_complete() -> None:
    config = composed("algo=iw_sft")
    text = OmegaConf.to_yaml(OmegaConf.structured(config))
    for word in ("temperature: 10.0", "kind: trajectory", "sampler: transitions", "seeds:", "dataset: iwsft/hopper/medium-replay-v0"):
        assert word in text
