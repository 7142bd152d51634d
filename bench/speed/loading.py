"""Measure the cost of loading data: seconds and peak memory for a Hopper-size data set, beside h5py alone.

h5py       every array read with h5py, episode by episode, and kept
read       into `Trajectories` (checked, in single precision, actions scaled), without the cache
first      the same, and the copy for the cache written
cached     the memory-mapped copy opened

Each is measured in a process of its own, in turn, in several rounds; the least counts. Memory is the peak of the process above its start.
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

from bench.report.render import markdown_row

DATASET = "test/cost-v0"
WIDTHS = {"observations": 11, "actions": 3}  # Hopper
KINDS = ("h5py", "read", "first", "cached")
ARRAYS = ("observations", "next_observations", "actions", "rewards", "terminated", "truncated")


def loading_cost(steps: int, length: int, rounds: int = 3) -> str:
    """A Markdown table for a data set of `steps` steps in episodes of `length`, made in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), steps, length)
        found = [{kind: _in_process(kind, Path(folder)) for kind in KINDS} for _ in range(rounds)]
    best = {kind: {name: min(r[kind][name] for r in found) for name in found[0][kind]} for kind in KINDS}
    lines = [markdown_row(["", "seconds", "x h5py", "peak MB", "x its arrays"]), markdown_row(["---", *["---:"] * 4])]
    for kind, value in best.items():
        ratio, memory = value["seconds"] / best["h5py"]["seconds"], value["bytes"] / value["arrays"]
        lines.append(markdown_row([kind, f"{value['seconds']:.3f}", f"{ratio:.2f}", f"{value['bytes'] / 1e6:.0f}", f"{memory:.2f}"]))
    size = best["read"]["arrays"] / 1e6
    return "\n".join([f"{steps:,} steps in episodes of {length:,}; the arrays of Trajectories take {size:.0f} MB", "", *lines])


def make(root: Path, steps: int, length: int) -> None:
    """Write the data set as Minari writes one: double precision, chunked."""
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


def _in_process(kind: str, root: Path) -> dict[str, float]:
    """Run `_measure` in a process of its own."""
    if kind == "first":
        shutil.rmtree(root / ".cache", ignore_errors=True)
    command, environment = [sys.executable, "-m", "bench.speed.loading", kind], os.environ | {"MINARI_DATASETS_PATH": str(root)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _measure(kind: str, root: Path) -> dict[str, float]:
    """Seconds of one way of loading, peak bytes above the start of this process, and bytes of the loaded arrays."""
    import gymnasium.envs.mujoco.hopper_v5  # noqa: F401 (imports are not part of the measurement)
    import minari.dataset.minari_storage as _storage  # noqa: F401
    import PIL.Image  # noqa: F401

    from envs.readers.load import load

    before, started = _resident(), time.perf_counter()
    if kind == "h5py":
        with h5py.File(root / DATASET / "data" / "main_data.hdf5", "r") as file:
            names = ("observations", "actions", "rewards", "terminations", "truncations")
            kept: Any = [[file[f"episode_{e}"][name][()] for name in names] for e in range(len(file))]
        size = sum(a.nbytes for episode in kept for a in episode)
    else:
        kept = load(DATASET, cache=kind != "read").trajectories
        size = sum(getattr(kept, name).nbytes for name in ARRAYS)
    return {"seconds": time.perf_counter() - started, "bytes": max(_peak(), before) - before, "arrays": size}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], Path(os.environ["MINARI_DATASETS_PATH"]))))
