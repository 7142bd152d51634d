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
    """Observations [B, obs] -> actions in the environment's units: [B, act] float32 (int64 for boxes of whole numbers), or [B] int64 for
    discrete ones. The same as `ActionUnits.to_env`."""

    low: Tensor
    high: Tensor
    middle: Tensor
    scale: Tensor

    def __init__(self, algo: Algo, environment: LoggedData) -> None:
        super().__init__()
        self.algo, self.units = algo, environment.units
        exact = torch.int64 if self.units.whole else torch.float32
        for name, bound in (("low", self.units.low), ("high", self.units.high)):
            self.register_buffer(name, torch.from_numpy(bound.copy()).to(exact))
        for name, value in zip(("middle", "scale"), self.units.middle_and_half, strict=True):
            self.register_buffer(name, torch.from_numpy(value))

    def forward(self, observations: Tensor) -> Tensor:
        actions = self.algo.act(observations.unsqueeze(0)).squeeze(0)
        if self.units.num_actions:
            return actions[:, 0].long() + self.units.start
        scaled = self.middle + self.scale * actions
        return torch.minimum(torch.maximum(scaled.round().long() if self.units.whole else scaled, self.low), self.high)


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
