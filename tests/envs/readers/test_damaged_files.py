"""Damaged data sets, each made from a good one: loading is refused in one line that names file, episode or step."""

import json
import shutil

import h5py
import numpy as np
import pyarrow
import pyarrow.ipc
import pytest

import envs.data.cache
import envs.readers.obtain
from envs.errors import DataError
from envs.readers.load import load
from tests.helpers.logged import episode, ragged, write

NAME = "test/good-v0"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


@pytest.fixture(params=["hdf5", "arrow"])
def folder(request):
    return write(NAME, ragged(0), data_format=request.param)


@pytest.fixture
def hdf5():
    return write(NAME, ragged(0))


@pytest.fixture
def arrow():
    return write(NAME, ragged(0), data_format="arrow")


def refused(*parts: str, name: str = NAME) -> None:
    """Assert that loading is refused in one line with all `parts`, with the cache and without it."""
    for cache in (True, False):
        with pytest.raises(DataError) as error:
            load(name, cache=cache)
        line = str(error.value)
        assert "\n" not in line
        for part in (name.split("@")[0], *parts):
            assert part in line, line


def edit(folder, **changes) -> None:
    """Change keys of metadata.json; None removes one."""
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in metadata.items() if v is not None}))


def replace(folder, name: str, change, number: int = 2) -> None:
    """Replace array `name` of an episode by `change(array)`."""
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        group = file[f"episode_{number}"]
        array = change(group[name][()])
        del group[name]
        if array is not None:
            group[name] = array


def at(array: np.ndarray, index, value) -> np.ndarray:
    array = array.astype(type(value)) if isinstance(value, str) else array.copy()
    array[index] = value
    return array


# metadata.json


def test_metadata_is_absent(folder):
    (folder / "data" / "metadata.json").unlink()
    refused("data/metadata.json", "it is missing", f"remove {folder}")


@pytest.mark.parametrize("text", ["", "{", "no json", "\x00\x01"])
def test_metadata_is_no_json(folder, text):
    (folder / "data" / "metadata.json").write_text(text)
    refused("data/metadata.json", "no JSON")


def test_metadata_is_a_list(folder):
    (folder / "data" / "metadata.json").write_text("[]")
    refused("a list where an object is expected")


@pytest.mark.parametrize("key", ["total_episodes", "total_steps", "data_format", "minari_version"])
def test_metadata_lacks_a_key(folder, key):
    edit(folder, **{key: None})
    refused("data/metadata.json", f"{key} is None")


@pytest.mark.parametrize("key", ["dataset_id", "observation_space", "action_space"])
def test_metadata_lacks_a_key_that_minari_needs(folder, key):
    edit(folder, **{key: None, "env_spec": None})
    refused("metadata.json")


@pytest.mark.parametrize("count", [0, 5, 7, 10**12])
def test_metadata_has_a_wrong_number_of_episodes(folder, count):
    edit(folder, total_episodes=count)
    refused("data/metadata.json", f"it says total_episodes = {count}")


@pytest.mark.parametrize("count", [0, 10**12])
def test_metadata_has_a_wrong_number_of_steps(folder, count):
    edit(folder, total_steps=count)
    refused("data/metadata.json", f"it says total_steps = {count}")


def test_format_is_unknown(folder):
    edit(folder, data_format="zip")
    refused("data_format is 'zip'; expected one of hdf5, arrow, parquet")


def test_format_is_not_that_of_the_files(arrow):
    edit(arrow, data_format="hdf5")
    refused("No data found")


def test_minari_version_is_too_new(folder):
    edit(folder, minari_version="99.0.0")
    refused("99.0.0")


def test_space_has_an_unknown_type(folder):
    edit(folder, observation_space='{"type": "Sphere"}')
    refused("metadata.json")


def test_space_claims_a_huge_shape(folder):
    space = {"type": "Box", "dtype": "float32", "shape": [10**13], "low": [0.0], "high": [1.0]}
    edit(folder, observation_space=json.dumps(space))
    refused("metadata.json")


def test_observation_space_is_of_pictures(folder):
    low = np.zeros((40, 40, 3), int).tolist()
    high = np.full((40, 40, 3), 255).tolist()
    edit(folder, observation_space=json.dumps({"type": "Box", "dtype": "uint8", "shape": [40, 40, 3], "low": low, "high": high}))
    refused("observations have space Box(0, 255, (40, 40, 3), uint8)")


def test_environment_is_unknown(folder):
    spec = json.loads(json.loads((folder / "data" / "metadata.json").read_text())["env_spec"])
    edit(folder, env_spec=json.dumps(spec | {"id": "Nowhere-v0", "entry_point": "gymnasium.envs.nowhere:Env"}))
    refused("its environment cannot be made", "env_spec in metadata.json")


def test_environment_is_absent(folder):
    edit(folder, env_spec=None)
    assert load(NAME).env_spec == ""  # trains; evaluation is refused


def test_environment_has_other_observations():
    write(NAME, ragged(0), data_format="hdf5")
    import gymnasium

    edit(_folder(), env_spec=gymnasium.spec("MountainCarContinuous-v0").to_json())
    refused("observations are 3 wide; environment MountainCarContinuous-v0 has Box")


def _folder():
    import os
    from pathlib import Path

    return Path(os.environ["MINARI_DATASETS_PATH"]) / NAME


# hdf5


@pytest.mark.parametrize("keep", [0, 7, 900, 5000])
def test_hdf5_file_is_cut_off(hdf5, keep):
    path = hdf5 / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:keep])
    refused("data/main_data.hdf5: truncated, or no HDF5 file")


def test_hdf5_file_has_another_format(hdf5):
    (hdf5 / "data" / "main_data.hdf5").write_bytes(b"<html>404</html>" * 1000)
    refused("data/main_data.hdf5", "no HDF5 file")


def test_hdf5_file_is_missing(hdf5):
    (hdf5 / "data" / "main_data.hdf5").unlink()
    refused("metadata.json", "No data found")


def test_hdf5_file_is_a_folder(hdf5):
    (hdf5 / "data" / "main_data.hdf5").unlink()
    (hdf5 / "data" / "main_data.hdf5").mkdir()
    refused("data/main_data.hdf5")


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "terminations", "truncations"])
def test_an_array_is_missing(hdf5, name):
    replace(hdf5, name, lambda a: None)
    refused("episode 2", f"no array '{name}'", "remove")


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "terminations", "truncations"])
def test_an_array_is_text(hdf5, name):
    replace(hdf5, name, lambda a: np.full(a.shape, b"x"))
    refused("episode 2", name, "expected numbers")


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "terminations"])
def test_an_array_has_another_rank(hdf5, name):
    replace(hdf5, name, lambda a: a[..., None])
    refused("episode 2", f"{name} has shape")


@pytest.mark.parametrize("name", ["observations", "actions", "terminations", "truncations"])
@pytest.mark.parametrize("off", [-1, 1])
def test_an_array_has_another_length(hdf5, name, off):
    replace(hdf5, name, lambda a: np.concatenate([a, a])[: len(a) + off])
    refused("episode 2", f"{name} has shape", "rewards")


def test_rewards_are_longer(hdf5):
    replace(hdf5, "rewards", lambda a: np.append(a, 1.0))
    refused("total_steps")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "index"), [("observations", (0, 1)), ("observations", (-1, 2)), ("actions", (1, 0)), ("rewards", 1)])
def test_a_number_is_not_finite(hdf5, name, index, value):
    replace(hdf5, name, lambda a: at(a, index, value))
    with h5py.File(hdf5 / "data" / "main_data.hdf5") as file:
        rows = len(file[f"episode_2/{name}"])
    step = (index[0] if isinstance(index, tuple) else index) % rows
    refused(f"episode 2, step {step}: {name} is not finite; correct or remove the episode")


def test_a_number_is_too_large_for_single_precision(hdf5):
    replace(hdf5, "rewards", lambda a: at(a.astype(np.float64), 0, 1e300))
    refused("episode 2, step 0: rewards is not finite")


def test_an_episode_has_no_step(hdf5):
    with h5py.File(hdf5 / "data" / "main_data.hdf5") as file:
        steps = len(file["episode_2/rewards"])
    for name in ("actions", "rewards", "terminations", "truncations"):
        replace(hdf5, name, lambda a: a[:0])
    replace(hdf5, "observations", lambda a: a[:1])
    edit(hdf5, total_steps=json.loads((hdf5 / "data" / "metadata.json").read_text())["total_steps"] - steps)
    refused("episode 2", "has no step; remove the episode")


def test_a_flag_is_neither_0_nor_1(hdf5):
    replace(hdf5, "terminations", lambda a: a.astype(np.int64) + 2)
    refused("episode 2", "terminations holds other values than 0 and 1")


def test_actions_have_another_width(hdf5):
    replace(hdf5, "actions", lambda a: np.concatenate([a, a], 1))
    refused("episode 2", "actions has rows of shape (2,); expected (1,)")


def test_observations_have_another_width(hdf5):
    replace(hdf5, "observations", lambda a: a[:, :2])
    refused("episode 2", "observations has rows of shape (2,); expected (3,)")


def test_a_header_claims_a_huge_array(hdf5):
    """Refused before memory is allocated."""
    with h5py.File(hdf5 / "data" / "main_data.hdf5", "a") as file:
        del file["episode_2/actions"]
        file["episode_2"].create_dataset("actions", (10**12, 1), np.float32, chunks=(1024, 1))
    refused("episode 2", "actions claims 4,000,000,000,000 bytes")


def test_an_array_is_a_group(hdf5):
    with h5py.File(hdf5 / "data" / "main_data.hdf5", "a") as file:
        del file["episode_2/actions"]
        file["episode_2"].create_group("actions")
    refused("episode 2", "no array 'actions'")


def test_an_episode_is_missing(hdf5):
    with h5py.File(hdf5 / "data" / "main_data.hdf5", "a") as file:
        file.move("episode_2", "episode_9")
    refused("episode 2", "no array 'rewards'")


def test_a_discrete_action_is_out_of_range():
    rng = np.random.default_rng(0)
    folder = write(NAME, [episode(rng, 5, obs=4) | {"actions": rng.integers(0, 2, 5)} for _ in range(3)], env="CartPole-v1")
    replace(folder, "actions", lambda a: at(a, 3, 7))
    refused("episode 2, step 3: action 7 is none of Discrete(2)")


# arrow


def rewrite(folder, change, number: int = 2) -> None:
    """Rewrite an episode's table."""
    (path,) = (folder / "data" / str(number)).glob("*.arrow")
    with pyarrow.ipc.open_file(path) as reader:
        table = change(reader.read_all())
    with pyarrow.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("keep", [0, 5, 700])
def test_arrow_file_is_cut_off(arrow, keep):
    (path,) = (arrow / "data" / "2").glob("*.arrow")
    path.write_bytes(path.read_bytes()[:keep])
    refused("data/2", "truncated, or no arrow file")


def test_arrow_episode_is_missing(arrow):
    shutil.rmtree(arrow / "data" / "2")
    refused("it says total_episodes = 6, there are 5 folders")


def test_arrow_episode_lost_its_metadata(arrow):
    (arrow / "data" / "2" / "metadata.json").unlink()
    refused("data/2/metadata.json")


def test_arrow_episode_has_a_wrong_number_of_steps(arrow):
    path = arrow / "data" / "2" / "metadata.json"
    path.write_text(json.dumps({"id": 2, "total_steps": -4}))
    refused("data/2/metadata.json", "total_steps is -4")


def test_arrow_rows_are_missing(arrow):
    rewrite(arrow, lambda t: t.slice(0, t.num_rows - 1))
    refused("episode 2", "rows of observations; expected")


@pytest.mark.parametrize("name", ["observations", "actions", "rewards"])
def test_arrow_column_is_missing(arrow, name):
    rewrite(arrow, lambda t: t.drop_columns([name]))
    refused("episode 2", f"no array '{name}' in data/2")


def test_arrow_column_is_text(arrow):
    rewrite(arrow, lambda t: t.set_column(t.column_names.index("rewards"), "rewards", pyarrow.array(["x"] * t.num_rows)))
    refused("episode 2", "rewards has type object; expected numbers")


def test_arrow_number_is_not_finite(arrow):
    rewrite(
        arrow, lambda t: t.set_column(t.column_names.index("rewards"), "rewards", pyarrow.array([1.0, np.nan] + [0.0] * (t.num_rows - 2)))
    )
    refused("episode 2, step 1: rewards is not finite")


def test_arrow_number_is_null(arrow):
    column = lambda t: pyarrow.array([1.0, None] + [0.0] * (t.num_rows - 2))  # noqa: E731
    rewrite(arrow, lambda t: t.set_column(t.column_names.index("rewards"), "rewards", column(t)))
    refused("episode 2, step 1: rewards is not finite")


# ids and roots


@pytest.mark.parametrize("name", ["../../x-v0", "a/../../x-v0", "/etc/passwd", "..", "", "a//b-v0", "file:///x-v0", "a/b"])
def test_ids_outside_the_root_are_refused(name):
    with pytest.raises(DataError, match="is not a Minari id"):
        load(name)


def test_a_version_that_does_not_exist_is_refused(hdf5):
    with pytest.raises(
        DataError, match=r"'test/good-v7' is not in .* cannot be downloaded .*near names: test/good-v0.*minari download test/good-v7"
    ):
        load("test/good-v7")
    assert not list(_folder().parent.parent.glob(".scratch-*"))


def test_a_built_in_version_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match=r"no data set 'iwsft/hopper/medium-v9'; near names: iwsft/hopper/medium"):
        load("iwsft/hopper/medium-v9")


def test_a_remote_id_names_the_command_to_run():
    with pytest.raises(DataError, match=r"where there is a network, run: minari download hf://farama-minari/D4RL/kitchen/partial-v2"):
        load("hf://farama-minari/D4RL/kitchen/partial-v2")


def test_a_download_that_breaks_off_leaves_no_file(root, monkeypatch):
    import minari

    def breaks_off(dataset):
        from minari.storage import get_dataset_path

        (get_dataset_path(dataset) / "data").mkdir(parents=True)
        (get_dataset_path(dataset) / "data" / "main_data.hdf5").write_bytes(b"half")
        raise ConnectionError("connection lost")

    monkeypatch.setattr(minari, "download_dataset", breaks_off)
    monkeypatch.setattr(envs.readers.obtain, "unreachable", lambda url: None)
    with pytest.raises(DataError, match="connection lost"):
        load("mujoco/hopper/medium-v0")
    assert not list(root.rglob("*"))


def test_a_read_only_root_is_read_without_a_cache(folder, root, monkeypatch):
    """The refusal is simulated: a superuser may write in spite of permissions."""

    def refuse(*args, **more):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(envs.data.cache.Path, "mkdir", refuse)
    assert load(NAME).trajectories.num_episodes == 6
    assert not (root / ".cache").exists()


def test_a_read_only_root_cannot_be_written(monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", "/proc/nowhere")
    with pytest.raises(DataError, match=r"Minari's root /proc/nowhere cannot be made .*; set MINARI_DATASETS_PATH"):
        load("iwsft/hopper/medium-v0")


def test_data_on_a_full_disk_are_read_without_a_cache(folder, root, monkeypatch):
    import os

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert load(NAME).trajectories.num_episodes == 6
    assert not list((root / ".cache").glob("*"))


# the cache


def test_a_damaged_cache_is_made_again(folder, root):
    before = load(NAME).trajectories
    rewards = before.rewards.clone()
    (array,) = root.glob(f".cache/{before.digest}/rewards.npy")
    array.write_bytes(array.read_bytes()[:-3])
    assert np.array_equal(load(NAME).trajectories.rewards, rewards)
    assert array.stat().st_size % 4 == 0


@pytest.mark.parametrize("what", ["rewards.npy", "observations.npy", "index"])
def test_a_changed_number_in_the_cache_is_reported(folder, root, capsys, what):
    before = load(NAME).trajectories
    rewards, observations = before.rewards.clone(), before.observations.clone()
    (path,) = root.glob(".cache/index/*.json" if what == "index" else f".cache/{before.digest}/{what}")
    content = path.read_bytes()
    path.write_bytes(
        content.replace(b'"clipped": 0', b'"clipped": 1') if what == "index" else content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]
    )
    assert path.read_bytes() != content
    after = load(NAME)
    assert capsys.readouterr().err == f"{root}/.cache: a copy is damaged; reading the data set again\n"
    assert np.array_equal(after.trajectories.rewards, rewards)
    assert np.array_equal(after.trajectories.observations, observations)
    assert after.clipped < 1
    load(NAME)
    assert capsys.readouterr().err == ""


def test_scratch_folders_of_killed_readers_are_removed(folder, root):
    """A scratch folder without a lock is removed; one that a process fills is kept."""
    from envs.data.cache import Cache

    (root / ".cache" / ".scratch-00000000").mkdir(parents=True)
    alive = Cache(root).scratch()
    assert alive is not None
    with alive:
        load(NAME)
        assert [p.name for p in root.glob(".cache/.scratch-*")] == [alive.folder.name]
    assert not list(root.glob(".cache/.scratch-*"))


def test_changed_files_are_read_again(hdf5):
    before = load(NAME).trajectories.digest
    replace(hdf5, "rewards", lambda a: a + 1)
    assert load(NAME).trajectories.digest != before


def test_writing_into_loaded_data_does_not_change_the_cache(folder):
    load(NAME)
    opened = load(NAME).trajectories
    before = opened.rewards.clone()
    opened.rewards.add_(5)
    assert np.array_equal(load(NAME).trajectories.rewards, before)
