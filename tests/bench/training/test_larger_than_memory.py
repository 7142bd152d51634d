"""Data larger than memory are trained on from disk, under limits of memory that the kernel enforces."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from algos.registry import build
from envs.data.cache import Cache, checksum
from envs.data.trajectories import TENSORS, Trajectories
from tests.helpers.learners import configured
from tests.helpers.logged import write

SPARE = 60_000_000  # twice the memory of diagnostics, which read the data of two members in chunks of 10,000 steps
STEPS, EPISODES = 1000, 40  # of Humanoid: 115 MB of arrays

# RLIMIT_DATA counts allocated memory and the copy-on-write map of the data (DATA bytes), but no shared map.
LIMITED = """
import ctypes, mmap, re, resource, sys
from pathlib import Path

from algos.registry import build
from bench.config.compose import compose
from envs.readers.load import load

dataset, data, spare, overrides = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
config = compose(overrides).algo
load("large/small-v0", cache=False)  # loads packages, threads' stacks and the simulator
ctypes.CDLL(None).malloc_trim(0)  # memory that the allocator keeps would count as spare
used = int(re.search(r"VmData:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + data + spare,) * 2)
try:
    sys.exit(f"no limit: {len(mmap.mmap(-1, data + spare + 2**24, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))}")
except OSError:
    pass
found = load(dataset)
trajectories = found.trajectories.to("cpu")
assert trajectories.observations.data_ptr() == found.trajectories.observations.data_ptr()
algo = build(config, trajectories, [0, 1])
algo.train(0, 3)
print({k: v.tolist() for k, v in algo.diagnostics().items()}, float(trajectories.returns.sum()))
"""


def limited(dataset: str, data: int, spare: int, *overrides: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    command = [sys.executable, "-c", LIMITED, dataset, str(data), str(spare), *overrides]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@pytest.fixture(scope="module")
def humanoid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Minari root with a data set of 115 MB in Arrow's format: one episode written by Minari (slow), and copies of it."""
    root = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    last = np.arange(STEPS) == STEPS - 1
    episode = {
        "observations": rng.standard_normal((STEPS + 1, 348)), "actions": rng.uniform(-0.4, 0.4, (STEPS, 17)).astype(np.float32),
        "rewards": rng.standard_normal(STEPS), "terminations": last & False, "truncations": last,
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        step = {k: v[: 2 if k == "observations" else 1] for k, v in episode.items()}
        write("large/small-v0", [step], env="Humanoid-v5", data_format="arrow")
        data = write("large/humanoid-v0", [episode], env="Humanoid-v5", data_format="arrow") / "data"
    for k in range(1, EPISODES):
        shutil.copytree(data / "0", data / str(k))
    metadata = json.loads((data / "metadata.json").read_text())
    (data / "metadata.json").write_text(json.dumps(metadata | {"total_episodes": EPISODES, "total_steps": EPISODES * STEPS}))
    return root


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_training_needs_a_fraction_of_the_data_in_memory(humanoid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data of 115 MB are read from Arrow into the cache, then from the cache, with 60 MB of memory beside the maps."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(humanoid))
    size = STEPS * EPISODES * (2 * 348 * 4 + 17 * 4 + 4 + 2)
    tiny = ["algo.reward_scaling=none", "algo.hidden=[8]", "algo.batch_size=16", "algo.updates=10"]
    for overrides in (["algo=iql", "algo.normalize_observations=true", *tiny], ["algo=bc", "algo.hidden=[8]"]):
        done = limited("large/humanoid-v0", size, SPARE, *overrides)
        assert done.returncode == 0, done.stderr
        assert ("action_error" if "algo=iql" in overrides else "log_prob_all") in done.stdout
    assert len(list((humanoid / ".cache").glob("*/observations.npy"))) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/meminfo is Linux's")
def test_arrays_larger_than_the_machines_memory_are_opened_and_trained_on(minari_root: Path) -> None:
    """Each of the two observation arrays is 1.5 times as large as memory and swap together, in a sparse file that takes no space."""
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    memory = sum(int(meminfo[k].split()[0]) * 1024 for k in ("MemTotal", "SwapTotal"))
    steps, episodes = 100_000, 10
    width = int(1.5 * memory) // (4 * steps)
    digest = "0" * 64
    folder = minari_root / ".cache" / digest
    folder.mkdir(parents=True)
    shapes = {"observations": (width,), "next_observations": (width,), "actions": (2,), "rewards": (), "terminated": (), "truncated": ()}
    try:
        for name, row in shapes.items():
            dtype = np.bool_ if name in ("terminated", "truncated") else np.float32
            array = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (steps, *row))
            array[-1] = 1
            del array
    except OSError as error:
        pytest.skip(f"no file of {4 * steps * width:,} bytes can be made here: {error}")
    np.save(folder / "offsets.npy", np.arange(0, steps + 1, steps // episodes))
    index = minari_root / ".cache" / "index"
    index.mkdir()
    about = {"digest": digest, "num_actions": 0, "partial": False}
    (index / "k.json").write_text(json.dumps(about | {"check": checksum(about)}))

    kept = Cache(minari_root).find("k")
    assert kept is not None
    data = kept[0]
    assert data.observations.nbytes > memory
    assert data.returns.tolist() == [0.0] * (episodes - 1) + [1.0]
    data.observations[0, 0] = 7.0  # copy on write: the file does not change
    assert np.load(folder / "observations.npy", mmap_mode="r")[0, 0] == 0
    config = configured("iql", "algo.hidden=[4]", "algo.batch_size=4", "algo.updates=10")
    algo = build(config, data, [0])
    algo.train(0, 2)
    assert all(bool(p.isfinite().all()) for p in algo.policy().values())


def test_data_that_are_on_the_device_are_not_copied(small_data: Trajectories) -> None:
    assert small_data.to("cpu") is small_data
    assert small_data.to(torch.device("cpu")) is small_data
    moved = small_data.to("meta")
    assert all(getattr(moved, name).device.type == "meta" for name in TENSORS)


def test_returns_are_added_up_in_pieces_that_straddle_episodes(small_data: Trajectories, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [float(part.double().sum()) for part in small_data.rewards.split(small_data.lengths.tolist())]
    monkeypatch.setattr("envs.data.trajectories.SUMMED_ROWS", 7)
    np.testing.assert_allclose(Trajectories(**{k: getattr(small_data, k) for k in TENSORS}).returns, expected, rtol=1e-12)


def test_observations_are_normalised_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from algos.learner import normaliser

    observations = torch.from_numpy(np.random.default_rng(0).normal(1e3, 0.1, (1000, 3)).astype(np.float32))
    monkeypatch.setattr("algos.learner.NORMALISED", 100)
    mean, scale = normaliser(observations)
    np.testing.assert_allclose(mean, observations.double().mean(0), rtol=1e-7)
    np.testing.assert_allclose(scale, observations.double().std(0, correction=0) + 1e-3, rtol=1e-5)
