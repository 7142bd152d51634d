"""Write the policy of a finished run to a file that needs nothing of this suite.

FILE ends in .onnx (ONNX, needs the extra onnx) or .pt (TorchScript). The exported function maps
float32 rows [B, obs] to actions [B, act] in the environment's units.

Example:
  python -m bench export results/quick/runs/NAME policy.onnx --seed 0
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN_DIR", help="directory of a finished run")
    parser.add_argument("file", type=Path, metavar="FILE", help="where to write it: NAME.onnx or NAME.pt")
    parser.add_argument("--seed", type=int, help="seed whose policy is exported; the run's first by default")


def run(arguments: Namespace) -> None:
    from bench.api.policy import load_policy

    print(load_policy(arguments.run, arguments.seed).export(arguments.file))
