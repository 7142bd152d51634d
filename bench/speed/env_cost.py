"""What loading costs: `python -m bench speed data`, one million Hopper-size steps from HDF5 into `Trajectories`.

Made in a temporary folder; measured in fresh processes, best of three:
h5py       every array read with h5py alone, episode by episode, and kept
read       into `Trajectories` (checked, in single precision, actions scaled) without the cache
first      the same, and the cache written
cached     the memory-mapped copy opened
Memory is the peak of the process above what it held before, over the size of the arrays.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

DATASET = "test/cost-v0"
WIDTHS = {"observations": 11, "actions": 3}  # Hopper


def make(root: Path, steps: int, length: int) -> None:
    """A Minari data set of `steps` steps in episodes of `length`, as Minari writes them (double precision, chunked)."""
    import gymnasium
    from minari.serialization import serialize_space

    folder = root / DATASET / "data"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    last = np.arange(length) == length - 1
    with h5py.File(folder / "main_data.hdf5", "w", track_order=True) as file:
        for e in range(steps // length):
            arrays = {
                "observations": rng.standard_normal((length + 1, WIDTHS["observations"])),
                "actions": rng.uniform(-1, 1, (length, WIDTHS["actions"])).astype(np.float32),
                "rewards": rng.standard_normal(length), "terminations": np.zeros(length, bool), "truncations": last,
            }  # fmt: skip
            for name, array in arrays.items():
                file.create_dataset(f"episode_{e}/{name}", data=array, chunks=True, maxshape=(None, *array.shape[1:]))
    env = gymnasium.make("Hopper-v5")
    metadata = {
        "dataset_id": DATASET, "data_format": "hdf5", "minari_version": "0.5.4", "total_episodes": steps // length,
        "total_steps": steps // length * length,
        "observation_space": serialize_space(env.observation_space), "action_space": serialize_space(env.action_space),
        "env_spec": gymnasium.spec("Hopper-v5").to_json(),
    }  # fmt: skip
    (folder / "metadata.json").write_text(json.dumps(metadata))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(kind: str, root: Path) -> dict[str, float]:
    """Seconds, and bytes above the start, of one way of loading; to be run in a process of its own."""
    import gymnasium.envs.mujoco.hopper_v5  # noqa: F401
    import minari.dataset.minari_storage as _storage  # noqa: F401
    import PIL.Image  # noqa: F401

    from envs.readers.load import load  # what is imported is no part of it

    before, started = _resident(), time.perf_counter()
    if kind == "h5py":
        with h5py.File(root / DATASET / "data" / "main_data.hdf5", "r") as file:
            names = ("observations", "actions", "rewards", "terminations", "truncations")
            kept: Any = [[file[f"episode_{e}"][name][()] for name in names] for e in range(len(file))]
        size = sum(a.nbytes for episode in kept for a in episode)
    else:
        kept = load(DATASET, cache=kind != "read").trajectories
        size = sum(
            v.nbytes for v in (kept.observations, kept.next_observations, kept.actions, kept.rewards, kept.terminated, kept.truncated)
        )
    return {"seconds": time.perf_counter() - started, "bytes": max(_peak(), before) - before, "arrays": size}


def loading_cost(steps: int, length: int) -> str:
    """The costs of `steps` steps in episodes of `length`, one line a kind: the best of three rounds, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), steps, length)
        kinds = ("h5py", "read", "first", "cached")
        rounds = [{kind: _in_process(kind, Path(folder)) for kind in kinds} for _ in range(3)]  # in turn: other load hits all alike
    found = {kind: {name: min(r[kind][name] for r in rounds) for name in rounds[0][kind]} for kind in kinds}
    size = found["read"]["arrays"]
    lines = [f"{steps:,} Hopper-size steps in episodes of {length:,}; the arrays of Trajectories take {size / 1e6:.0f} MB"]
    for kind, value in found.items():
        ratio = value["seconds"] / found["h5py"]["seconds"]
        memory = f"peak {value['bytes'] / 1e6:5.0f} MB, {value['bytes'] / value['arrays']:5.2f} x its arrays"
        lines.append(f"{kind:8} {value['seconds']:7.3f} s  {ratio:5.2f} x h5py  {memory}")
    return "\n".join(lines)


def _in_process(kind: str, root: Path) -> dict[str, float]:
    """`measure` in a fresh process."""
    if kind == "first":
        shutil.rmtree(root / ".cache", ignore_errors=True)
    program = "import json, sys; from pathlib import Path; from bench.speed.env_cost import measure; "
    program += "print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))"
    environment = os.environ | {"MINARI_DATASETS_PATH": str(root)}
    command = [sys.executable, "-c", program, kind, str(root)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])
