"""The order of rooms and packages (imports go down only), and imports without effects."""

from __future__ import annotations

import graphlib
import json
import subprocess
import sys

import pytest

from tests.helpers.imports import ROOMS, Import, imports, modules
from tests.helpers.paths import ROOT

# From top to bottom: a package imports only packages further down its own list. `bench` is the package's own __init__, the public API.
ORDER = {
    "bench": (
        "__main__", "cli", "commands", "bench", "api", "language", "launch", "selection", "studies", "replay", "speed", "report",
        "training", "results", "loggers", "storage", "config", "exits", "output", "numbers", "errors",
    ),
    "algos": (
        "registry", "continuation", "methods", "estimators", "language", "importance", "learner", "likelihood", "engines", "members",
        "optimizer", "pareto", "weights", "batches", "networks", "base", "errors", "algos",
    ),
    "envs": (
        "inspect", "readers", "recorded", "evaluation", "data", "files", "processes", "untrusted", "revision", "cores", "errors", "envs",
    ),
}  # fmt: skip
LOWER_ROOMS = {"bench": {"algos", "envs"}, "algos": set(), "envs": set()}
FORBIDDEN = {
    ("training", "results"),
    ("training", "report"),
    ("report", "training"),
}  # imports between packages of bench that must not exist in either direction
LIBRARIES = (
    "torch", "numpy", "pandas", "scipy.stats", "h5py", "gymnasium", "mujoco", "minari", "hydra", "omegaconf", "rich.progress", "jinja2",
    "safetensors.torch", "huggingface_hub", "matplotlib.figure", "hydra._internal.core_plugins.basic_sweeper",
)  # fmt: skip


def place(module: str) -> tuple[str, str]:
    """Room and package of a module; the room's own name for its __init__."""
    room, _, rest = module.partition(".")
    return room, rest.partition(".")[0] or room


@pytest.mark.parametrize("room", ROOMS)
def test_every_package_has_its_place(room: str) -> None:
    found = {package for of, package in map(place, modules()) if of == room}
    assert found - set(ORDER[room]) == set(), "add it to ORDER, above all that it imports"
    assert set(ORDER[room]) - found == set(), "no such package"


def goes_up(found: Import) -> bool:
    (room, importer), (other, imported) = place(found.importer), place(found.imported)
    if room != other:
        return other not in LOWER_ROOMS[room]
    if importer == imported:
        return False
    return ORDER[room].index(importer) > ORDER[room].index(imported) or (room == "bench" and (importer, imported) in FORBIDDEN)


def test_imports_go_down() -> None:
    """Imports go down inside functions, too."""
    assert [str(found) for found in imports() if goes_up(found)] == []


def test_no_imports_in_a_circle() -> None:
    """Modules of one package import each other in no circle at module level. The order excludes circles between packages."""
    graph: dict[str, set[str]] = {}
    for found in imports():
        if not found.lazy and found.imported != found.importer:
            graph.setdefault(found.importer, set()).add(found.imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


EFFECTS = """
import importlib, json, os, signal, sys, threading, warnings
for name in {libraries}: importlib.import_module(name)
import gymnasium, torch
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

def state():
    return dict(
        environment=dict(os.environ),
        threads=sorted(thread.name for thread in threading.enumerate()),
        torch=[torch.get_num_threads(), torch.get_default_dtype(), torch.initial_seed(), torch.get_float32_matmul_precision()],
        gymnasium=sorted(gymnasium.registry),
        signals=[str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        warnings=len(warnings.filters),
        path=list(sys.path),
        store=json.dumps(ConfigStore.instance().repo, default=str, sort_keys=True),
        plugins=sorted(name for name in sys.modules if name.startswith("hydra_plugins.")),
        files=sorted(os.listdir(".")),
    )

changed = {{}}
for name in {modules}:
    before = state()
    importlib.import_module(name)
    after = state()
    if keys := [key for key in before if before[key] != after[key]]:
        changed[name] = keys
print(json.dumps(changed))
"""


def test_imports_have_no_effects(tmp_path: object) -> None:
    """Importing any module changes no state of the process, apart from changes that its libraries make."""
    names = [name for name in modules() if not name.endswith("__main__")]
    code = EFFECTS.format(libraries=LIBRARIES, modules=names)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"], cwd=str(tmp_path), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_the_package_itself_imports_no_library() -> None:
    """`import bench` and `bench.errors` load no library: the modules that use a library load it."""
    code = f"import sys, bench, bench.errors; print(sorted({set(LIBRARIES)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
