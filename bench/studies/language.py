"""Language: objectives of fine-tuning on token sequences, before and after the same reinforcement learning.

Small transformers (two blocks of width 64) on the four token tasks (envs/evaluation/tokens), from a pi_ref that was trained by BC on the
answers of all solvers, or of the weak ones. Every method has the same numbers of updates and sequences, and one learning rate. What each
policy does on held-out instances is measured, then every policy gets the same stage of REINFORCE, then it is measured again: does what is
seen before tell what comes after (arXiv 2602.01058, 2510.01624)? On one set pi_ref is also trained for 0 and for 10,000 updates.

Forgetting: on that set the methods also start from a pi_ref that has learned a second task as well, with twice the updates. Fine-tuning
sees the first task alone. Exact match on held-out instances of the second one, beside that of pi_ref, is what is left of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from algos.members import part
from algos.methods.weighted_bc import WeightedBC, WeightedBCConfig
from algos.networks.token_policy import TokenPolicy
from algos.registry import build
from bench.config.schema import Config
from bench.studies.runs import Case, configured, results
from bench.studies.study import Found, Options
from bench.studies.tokens.measure import LIKELIHOOD, SOLVED, Instances, exact_match, joined, likelihoods, solved
from bench.studies.tokens.reinforce import Reinforce, reinforce
from bench.studies.tokens.report import figure, verdict
from bench.training import signals
from bench.training.device import device_of
from bench.training.pi_ref import find_or_train
from bench.training.progress import Reporter
from bench.training.shared import Shared
from envs.data.trajectories import Trajectories
from envs.evaluation.tokens.environment import TASKS

DATASETS = tuple(f"iwsft/{task}/{quality}-v0" for quality in ("mixed", "weak") for task in TASKS)
AXIS = "iwsft/maze/mixed-v0"  # where the strength of pi_ref varies
PRIORS = (0, 1_000, 10_000)  # updates of pi_ref on AXIS
PRIOR = 1_000  # updates of pi_ref on the others
SECOND = "iwsft/addition/mixed-v0"  # what pi_ref has learned as well where forgetting is measured
COMMON = (
    "policy=transformer", f"pi_ref.updates={PRIOR}", "finetune.learning_rate=3e-4", "finetune.warmup=0.1", "eval.final_episodes=32",
    "trainer.processes=1",
)  # fmt: skip
PARTIAL = ("algo.curation.score=partial", "algo.curation.percentiles=[25,50,75]")
METHODS: dict[str, tuple[str, ...]] = {
    "bc": ("algo=bc",),
    "filtered_bc": ("algo=filtered_bc",),
    "sft": ("algo=sft",),
    "sft_q": ("algo=sft_q", *PARTIAL),
    "iw_sft": ("algo=iw_sft",),
    "iw_sft_step": ("algo=iw_sft", "algo.weighting.kind=step", "algo.weighting.min_trajectories=0"),
    "iw_sft_authors": (
        "algo=iw_sft", "algo.weighting.rule=authors", "algo.weighting.temperature=1", "algo.weighting.maximum=16",
        "algo.weighting.ema_rate=1", "algo.weighting.normalize=false", "algo.weighting.min_trajectories=3",
    ),
    "iw_sft_q": ("algo=iw_sft_q", *PARTIAL),
    "iw_sft_q_step": ("algo=iw_sft_q", *PARTIAL, "algo.weighting.kind=step", "algo.weighting.min_trajectories=0"),
    "dft": ("algo=dft", "algo.weighting.normalize=false"),
    "asft": ("algo=dft", "algo.weighting.normalize=false", "algo.anchor=0.1"),
    "psft": ("algo=sft", "algo.weighting.kind=clipped", "algo.weighting.refresh_every=8"),
    "pear": ("algo=iw_sft", "algo.weighting.kind=suffix", "algo.weighting.min_trajectories=0"),
}  # fmt: skip
"""Settings by method. bc is pi_ref; filtered_bc starts anew and has as many updates as pi_ref; the others fine-tune pi_ref."""
UPDATES = 300  # of fine-tuning
ON_AXIS = ("bc", "sft", "iw_sft", "dft")
TOY = ("bc", "filtered_bc", "sft", "iw_sft_q_step", "asft")  # in miniature: of each way to start, and of each way to weigh
STAGE, TOY_STAGE = Reinforce(), Reinforce(updates=2, prompts=2, answers=2)
VALUES = (*SOLVED, *LIKELIHOOD, "weight_ess", *(f"rl_{name}" for name in SOLVED), "second_score")
"""Columns of results; `rl_` marks those after the stage of reinforcement learning; second_score: exact match on the second task."""


def datasets() -> list[str]:
    """The mixed and the weak set of each task."""
    return list(DATASETS)


def cases(toy: bool = False) -> list[Case]:
    """Every method on every data set, and some from other priors on one."""
    own = measured(TOY_STAGE if toy else STAGE)
    chosen = DATASETS[:1] if toy else DATASETS
    found = [_case(dataset, name, PRIOR, own) for dataset in chosen for name in (TOY if toy else METHODS)]
    others = [prior for prior in PRIORS if prior != PRIOR and not toy]
    found += [_case(AXIS, name, prior, own) for prior in others for name in ON_AXIS]
    tuned = ON_AXIS[:2] if toy else [name for name in METHODS if name != "filtered_bc"]  # which does not start from pi_ref
    return found + [_case(AXIS, name, 2 * PRIOR, second_task, SECOND) for name in tuned]


def _case(dataset: str, name: str, prior: int, own: Callable[[Config, Shared], dict[int, dict[str, float]]], second: str = "") -> Case:
    settings = (*COMMON, *METHODS[name], *(() if name in ("bc", "filtered_bc") else (f"algo.updates={UPDATES}",)))
    config = configured(*settings)
    algo = replace(config.algo, updates=prior) if name == "bc" else config.algo
    config = replace(config, dataset=dataset, algo=algo, pi_ref=replace(config.pi_ref, updates=prior))
    return Case(config, {"prior": prior, "method": name, "second": second}, dataset, own)


def measured(stage: Reinforce) -> Callable[[Config, Shared], dict[int, dict[str, float]]]:
    """A function that trains a case's policies and measures them before and after `stage`: VALUES by seed."""

    def own(config: Config, shared: Shared) -> dict[int, dict[str, float]]:
        data, device = shared.run_data(config), device_of("cpu")
        task = TASKS[config.dataset.split("/")[1]]
        instances = Instances(task, config.eval.final_episodes)
        with Reporter(f"{config.algo.name} {config.dataset}") as reporter:
            algo, pi_ref = _trained(config, data.trajectories, data.trajectories, device, reporter)
            net, flat, seeds = algo.policy_net, algo.state["policy"], config.seeds
            assert isinstance(net, TokenPolicy)
            reporter.stage("measuring", stage.updates)
            values, answers = solved(net, flat, seeds, instances)
            values |= likelihoods(net, flat, pi_ref, answers, instances)
            weights = algo.weights.diagnostics(algo.state, algo.stream.spaced(2_000))
            if "weight_ess_share" in weights:
                values["weight_ess"] = weights["weight_ess_share"].numpy()
            reporter.stage("reinforcement learning", stage.updates)

            def on_update(update: int) -> None:
                signals.exit_if_signalled()
                reporter.update(update, "reinforcement learning")

            after = solved(net, reinforce(net, flat, task, seeds, stage, on_update), seeds, instances)[0]
            values |= {f"rl_{name}": value for name, value in after.items()}
        return {seed: {name: float(value[k]) for name, value in values.items()} for k, seed in enumerate(seeds)}

    own.__name__ = f"measured_{stage}"  # names the protocol of rows
    return own


def second_task(config: Config, shared: Shared) -> dict[int, dict[str, float]]:
    """`score` and `second_score` by seed of policies that are fine-tuned on one task, from a pi_ref of both."""
    data, other = shared.run_data(config).trajectories, shared.data(SECOND, config.eval.workers).trajectories
    with Reporter(f"{config.algo.name} {config.dataset} after {SECOND}") as reporter:
        algo, _ = _trained(config, data, joined(data, other), device_of("cpu"), reporter)
        net, flat, drawn = algo.policy_net, algo.state["policy"], config.eval.final_episodes
        assert isinstance(net, TokenPolicy)
        tasks = {"score": config.dataset, "second_score": SECOND}
        values = {name: exact_match(net, flat, Instances(TASKS[d.split("/")[1]], drawn)) for name, d in tasks.items()}
    return {seed: {name: float(value[k]) for name, value in values.items()} for k, seed in enumerate(config.seeds)}


def _trained(
    config: Config, data: Trajectories, prior: Trajectories, device: torch.device, reporter: Reporter
) -> tuple[WeightedBC, torch.Tensor]:
    """The trained population of `config`, and its reference policies [P, N], which are trained on `prior`."""
    seeds, method = config.seeds, config.algo
    assert isinstance(method, WeightedBCConfig)
    bc = replace(config.pi_ref_algo, updates=max(1, config.pi_ref.updates))
    start = WeightedBC(bc, data, seeds)
    if config.pi_ref.updates:
        start.load_policy(find_or_train([config], prior, prior.digest, device, reporter))
    pi_ref = start.state["policy"].clone()
    if method.determinants() | {"updates": 0} == bc.determinants() | {"updates": 0}:
        return start, pi_ref
    algo = build(method, data, seeds, part(start.policy(), slice(None)))
    assert isinstance(algo, WeightedBC)
    reporter.stage("training", method.updates)
    for update in range(method.updates):
        signals.exit_if_signalled()
        algo.train(update, update + 1)
        reporter.update(update + 1, "training")
    return algo, pi_ref


def study(options: Options) -> Found:
    rows = results("language", cases(options.toy), options, VALUES)
    return Found(rows, figure(rows), verdict(rows, PRIOR, UPDATES, TOY_STAGE if options.toy else STAGE))
