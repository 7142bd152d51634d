"""One run of a population in training: its members, its directory, and its measurements so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from torch import Tensor

from algos.base import Algo, Metrics, State
from algos.batches.curation import Curation, Kept, kept
from bench.config.compose import defaults
from bench.config.domains import tuned_settings
from bench.config.redact import redact_tree
from bench.config.schema import Config
from bench.config.tree import difference
from bench.loggers import Logger, make_logger
from bench.storage.hashes import FORMAT, settings_hash
from bench.storage.identity import identity, modes
from bench.storage.layout import Row
from bench.storage.rundir import Resumed, RunDir
from bench.training.choice import choose
from bench.training.device import cores
from bench.training.evaluate import episode_rows
from bench.training.record import data_facts, machine_facts
from bench.training.weight_check import WeightCheck, check_weights
from envs.data.logged_data import LoggedData
from envs.data.references import Reference
from envs.evaluation.rollout import Returns
from envs.evaluation.stepper import stepper_of
from envs.revision import code_revision


class RunInProgress:
    """The run of `folder`, whose members are `members` of a population of `population` members.

    settings: the settings that differ from those of the population's other runs, as text. wall_time: seconds of training and evaluation,
    the run's share of the population's. seconds: those of them by phase (evaluation, saving), and those of the process before its first run
    (import, recording). failed: seeds whose parameters are not finite; they have no policy and their episodes count as
    failed.
    """

    def __init__(self, folder: RunDir, members: slice, population: int, settings: str) -> None:
        self.folder, self.members, self.population, self.settings = folder, members, population, settings
        self.config: Config = folder.config
        self.record: Row = {}
        self.logger: Logger | None = None
        self.wall_time = 0.0
        self.seconds: dict[str, float] = {}
        self.episodes: list[Row] = []
        self.curve: list[Row] = []
        self.failed: list[int] = []

    @property
    def share(self) -> float:
        """The run's share of the population's members."""
        return len(self.config.seeds) / self.population

    def start(self, algo: Algo, data: LoggedData, set_up_time: float, before: Mapping[str, float]) -> None:
        """Write config.yaml and run.json and open the loggers.

        set_up_time: seconds that the population took to be built. before: seconds of the process before that, by phase.
        """
        self.seconds = dict(before)
        self.record = self._record(algo, data, set_up_time * self.share)
        self.folder.start(self.record)
        self.logger = make_logger(self.config, self.folder)

    def resume(self, saved: Resumed) -> None:
        """Continue from `saved`, and log its curve again: what a killed process logged may not have reached its destination."""
        self.wall_time, self.episodes, self.curve = saved.wall_time, saved.episodes, saved.curve
        for phase, seconds in saved.seconds.items():
            self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds
        if self.logger is not None:
            for update, rows in groupby(self.curve, lambda row: int(row["update"])):
                self.logger.log(update, [{name: _number(name, text) for name, text in row.items() if text != ""} for row in rows])

    def add_evaluation(self, update: int, played: Sequence[Returns] | None, metrics: Mapping[str, Tensor]) -> None:
        """Add the run's part of an evaluation after `update` to its rows, and log it. `played` ([P, episodes] in every mode of
        `bench.storage.identity.modes`; None without an environment) and `metrics` [P] are the population's."""
        values = {name: self._own(value).tolist() for name, value in metrics.items()}
        if played is not None:
            own, actions = [Returns(*(x[self.members] for x in mode)) for mode in played], self.config.eval.actions
            for mode, sampled in zip(own, modes(actions, len(own) > 1), strict=True):
                self.episodes += episode_rows(self.config.seeds, update, mode, None if actions == "mean" else sampled)
            values = {"return_mean": [float(returns.mean()) for returns in own[0].returns]} | values
        rows: list[Row] = [
            {"update": update, "seed": seed, **{name: v[k] for name, v in values.items()}} for k, seed in enumerate(self.config.seeds)
        ]
        self.curve += rows
        if self.logger is not None:
            self.logger.log(update, rows)

    def add_time(self, elapsed: float, phases: Mapping[str, float]) -> None:
        """Add seconds of the population: all that `elapsed` since the last call, and those of them in evaluation and saving."""
        self.wall_time += elapsed * self.share
        for phase, seconds in phases.items():
            self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds * self.share

    def phases(self) -> Row:
        """Seconds by phase, for run.json: what is neither evaluation nor saving is training."""
        own = {phase: self.seconds.get(phase, 0.0) for phase in ("evaluation", "saving")}
        training = max(0.0, self.wall_time - sum(own.values()))
        before = {phase: seconds for phase, seconds in self.seconds.items() if phase not in own}
        found = {**before, "set_up": self.record["set_up_time_s"], "training": training, **own}
        return {phase: round(seconds, 2) for phase, seconds in found.items()}

    def summary(self, update: int, reference: Reference | None) -> Row:
        """Mean return, and mean score if there is a `reference`, of the evaluation after `update`; failed seeds are left out.

        Without an environment the mean loss: the critic's of a method that names no other.
        """
        rows = [row for row in self.curve if int(row["update"]) == update]
        name = "return_mean"
        if self.config.env_choice.without:
            name = "loss" if any("loss" in row for row in rows) else "critic_loss"
        last = [float(row[name]) for row in rows if int(row["seed"]) not in self.failed]
        found: dict[str, Any] = {name: float(np.mean(last)) if last else float("nan")}
        if reference is not None:
            found["score_mean"] = float(reference.score(np.asarray(found["return_mean"])))
        return found

    def save(self, update: int, state: State, metrics: Metrics | None = None) -> None:
        """Save the run's part of the population's `state`, and of `metrics` that await their evaluation. Failed members become NaN."""
        own, own_metrics = ({name: self._own(value) for name, value in values.items()} for values in (state, metrics or {}))
        self.folder.save(update, self.wall_time, self.seconds, own, self.episodes, self.curve, own_metrics)

    def policy(self, policy: State) -> State:
        """The run's part of the population's `policy`."""
        return {name: self._own(value) for name, value in policy.items()}

    def keep_policy(self, update: int, policy: State) -> None:
        """Write the run's part of the population's `policy`, which the evaluation after `update` plays."""
        self.folder.keep_policy(update, self.policy(policy))

    def finish(self, policy: State, summary: Row) -> None:
        """Write the run's `policy` and mark the run as finished."""
        finished_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        end = {"wall_time_s": round(self.wall_time, 2), "finished_at": finished_at, "failed_seeds": self.failed, "seconds": self.phases()}
        if (weights := self.weights()) is not None:
            end["weights"] = weights.record()
        self.folder.finish(self.record | end, policy)
        if self.logger is not None:
            self.logger.finish(summary)

    def weights(self) -> WeightCheck | None:
        """The check of the run's importance weights; None for a method without ratios. Failed seeds are left out."""
        return check_weights([row for row in self.curve if int(row["seed"]) not in self.failed])

    def _own(self, value: Tensor) -> Tensor:
        own = value if value.ndim == 0 else value[self.members]
        if self.failed and own.ndim and own.is_floating_point():
            own = own.clone()
            own[[seed in self.failed for seed in self.config.seeds]] = float("nan")
        return own

    def _record(self, algo: Algo, data: LoggedData, set_up_time: float) -> Row:
        """The content of run.json: everything that tables and `bench.replay` need beside the rows."""
        config = self.config
        tuned, strata, base = tuned_settings(config), kept_of(config, data), defaults(config.algo.name)
        tree: Any = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
        chosen = choose(config, algo.device)
        return {
            **identity(redact_tree(asdict(config))), **data_facts(config, data), **machine_facts(algo.device),
            "domain_settings": None if tuned is None else tuned.record(), "curation": None if strata is None else strata._asdict(),
            "strata_coincide": strata is not None and strata.coincide,
            "config_hash": self.folder.hash, "method_hash": self.folder.method_hash, "settings_hash": settings_hash(config),
            "format": FORMAT, "pi_ref_digest": self.folder.identity[2], "code_revision": code_revision(),
            "stochastic": algo.noise_width > 0,
            "engine": chosen.engine, "precision": chosen.precision, "parameters": algo.parameters,
            "stepper": stepper_of(data.env_spec, config.eval.workers or cores()) if data.env_spec else None,
            "population_members": self.population, "set_up_time_s": round(set_up_time, 2),
            "default_updates": base.get("algo.updates"),
            "default_pi_ref_updates": base.get("pi_ref.updates") if config.algo.needs_pi_ref else None,
            "defaults": {key: default for key, default, _ in difference(tree, base)} if base else None,
        }  # fmt: skip


def kept_of(config: Config, data: LoggedData) -> Kept | None:
    """The trajectories that the filters of a run's curation keep; None for a method without filters."""
    curation = getattr(config.algo, "curation", None)
    return kept(data.trajectories, curation) if isinstance(curation, Curation) and curation.percentiles else None


def _number(name: str, text: str) -> int | float:
    """A value of curve.csv."""
    return int(text) if name in ("update", "seed") else float(text)
