"""Export policies to files that need neither this suite nor its configuration: ONNX and TorchScript."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from algos.base import Algo
from algos.networks.precision import ordinary_operations
from bench.errors import RunError
from envs.data.logged_data import LoggedData

EXAMPLE_ROWS = 2


class _Exported(nn.Module):
    """Observations [B, obs] -> actions in the environment's units: [B, act] float32, or [B] int64 for discrete ones."""

    low: Tensor
    high: Tensor

    def __init__(self, algo: Algo, environment: LoggedData) -> None:
        super().__init__()
        self.algo, self.discrete = algo, bool(environment.trajectories.num_actions)
        self.register_buffer("low", torch.from_numpy(environment.action_low))
        self.register_buffer("high", torch.from_numpy(environment.action_high))

    def forward(self, observations: Tensor) -> Tensor:
        actions = self.algo.act(observations.unsqueeze(0)).squeeze(0)
        if self.discrete:
            return actions[:, 0].long()
        return (self.high + self.low) / 2 + (self.high - self.low) / 2 * actions


def export(algo: Algo, environment: LoggedData, path: Path) -> Path:
    """Write the policy of the one member of `algo`, which acts in `environment`, to `path` (`Policy.export`)."""
    if path.suffix not in (".onnx", ".pt"):
        raise RunError(f"{path}: expected a name that ends in .onnx or .pt")
    if path.suffix == ".onnx" and (missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]):
        raise RunError(f"the package {missing[0]} is not installed: pip install 'iwsft-bench[onnx]'")
    example = torch.zeros(EXAMPLE_ROWS, environment.observation_width)
    path.parent.mkdir(parents=True, exist_ok=True)
    module = _Exported(algo, environment).eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision, which no policy uses, is missing
    with warnings.catch_warnings(), ordinary_operations(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch prefers its own torch.export format to TorchScript
        if path.suffix == ".pt":
            torch.jit.trace(module, example, check_trace=False).save(str(path))
        else:
            names = {"input_names": ["observations"], "output_names": ["actions"]}
            batch = {"observations": {0: torch.export.Dim("batch")}}
            torch.onnx.export(module, (example,), str(path), dynamic_shapes=batch, external_data=False, verbose=False, **names)  # type: ignore[arg-type]
    return path
