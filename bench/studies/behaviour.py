"""iw-SFT whose weights compare q with the exact density of the behaviour, which the built-in sets hold beside every action."""

from __future__ import annotations

import numpy as np
import torch

from algos.methods.weighted_bc import WeightedBC
from algos.registry import build
from bench.config.schema import Config
from bench.errors import RunError
from bench.studies.runs import MEAN, OF_CURVE, SAMPLED, scored
from bench.training.device import device_of
from bench.training.evaluate import play
from bench.training.pi_ref import find_or_train
from bench.training.progress import Reporter
from bench.training.shared import Shared


def log_densities(dataset: str) -> np.ndarray:
    """Log-density of every action under the policy that took it, on the unit box, [N] in the order of steps: infos/log_prob.

    Raises RunError for a data set without them.
    """
    import minari

    found = [episode.infos.get("log_prob") for episode in minari.load_dataset(dataset).iterate_episodes()]
    if any(values is None for values in found):
        raise RunError(f"{dataset}: no infos/log_prob in it; expected a built-in data set (python -m bench record)")
    return np.concatenate(found)


def exact_density(config: Config, shared: Shared) -> dict[int, dict[str, float]]:
    """Train and play iw-SFT from the fitted pi_ref, with log pi_ref in the weights replaced by `log_densities`: results by seed."""
    data, device = shared.run_data(config), device_of(config.device)
    trajectories = data.trajectories.to(device)
    with Reporter(f"{config.algo.name} {config.dataset}, exact density") as reporter:
        pi_ref = find_or_train([config], trajectories, data.trajectories.digest, device, reporter)
        algo = build(config.algo, trajectories, config.seeds, pi_ref)
        assert isinstance(algo, WeightedBC)
        ratios = algo.weights.ratios
        exact = torch.from_numpy(log_densities(config.dataset)).to(ratios.log_pi_ref)
        ratios.log_pi_ref.copy_(exact[ratios.steps].expand_as(ratios.log_pi_ref))
        reporter.stage("training", config.algo.updates)
        algo.train(0, config.algo.updates)
        environments = shared.evaluator(data.env_spec, config.eval.workers)
        episodes, played = config.eval.final_episodes, {}
        for names, sampled in ((MEAN, False), (SAMPLED, True)):
            played[names] = play(algo, data, environments, config.algo.updates, episodes, sampled=sampled).returns
    metrics = algo.diagnostics()
    found: dict[int, dict[str, float]] = {}
    for k, seed in enumerate(config.seeds):
        found[seed] = {name: float(metrics[column][k]) for name, column in OF_CURVE.items() if column in metrics}
        for names, returns in played.items():
            found[seed] |= scored(names, returns[k], data.reference)
    return found
