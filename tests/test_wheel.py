"""The built wheel: it holds configs and snapshots, and runs from an empty folder without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked into a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy: the build leaves a folder in its source
    subprocess.run(["git", "-C", str(ROOT), "checkout-index", "--all", f"--prefix={source}/"], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_the_wheel_runs_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(installed), "MINARI_DATASETS_PATH": str(tmp_path / "minari")}
    code = (
        "import sys, bench, envs.recorded.record as r, envs.recorded.policy as p; from pathlib import Path\n"
        f"assert all(Path(m.__file__).is_relative_to({str(installed)!r}) for m in (bench, r, p))\n"
        "r.record('iwsft/hopper/medium-replay-v0', steps=500, workers=1)\n"
        "sys.argv = ['bench', 'algo=iw_sft', 'algo.hidden=[8]', 'algo.updates=10', 'algo.updates=10',"
        "'algo.warmup=0', 'eval.episodes=1', 'eval.final_episodes=1', 'eval.workers=1', 'seeds=[0]', 'device=cpu']\n"
        "from bench.cli import main\n"
        "if __name__ == '__main__': main()\n"
    )
    script = tmp_path / "empty" / "script.py"
    script.parent.mkdir()
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], cwd=script.parent, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "| iwsft/hopper/medium-replay-v0 |" in done.stdout
    assert (script.parent / "results" / "single" / "leaderboard.csv").exists()


def test_the_wheel_holds_the_packages_alone(installed: Path) -> None:
    tops = {p.name.split("-")[0] for p in installed.iterdir()}
    assert tops == {"algos", "bench", "conf", "envs", "hydra_plugins", "iwsft_bench"}


@pytest.mark.parametrize("package", ["algos", "bench", "envs"])
def test_type_checkers_find_the_types(installed: Path, package: str) -> None:
    assert (installed / package / "py.typed").exists()
