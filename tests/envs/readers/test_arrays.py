"""Data sets from arrays, dicts, .npz and .csv files: written, read again, trained on; mistakes are one line that names the row."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pandas as pd
import pytest

from envs.errors import DataError
from envs.evaluation.rollout import Evaluator
from envs.readers import array_files
from envs.readers.array_files import data_from_csv, data_from_file, data_from_npz
from envs.readers.arrays import data_from_arrays, data_from_dict
from envs.readers.load import load
from tests.helpers import cli
from tests.helpers.episodes import RawEpisode, assert_lined_up, random_episodes

ID = "mine/pendulum-v0"
ENV = "InvertedPendulum-v5"  # 4 observations, 1 action in [-3, 3]
LENGTHS = (3, 1, 4)  # of the episodes of `arrays`

pytestmark = pytest.mark.usefixtures("minari_root")


def lists(episodes: list[RawEpisode]) -> list[list[np.ndarray]]:
    """Observations, actions, rewards, terminations and truncations, each a list of episodes."""
    return [list(column) for column in zip(*episodes, strict=True)]


def flat(episodes: list[RawEpisode], last: bool) -> dict[str, np.ndarray]:
    """Flat arrays of the episodes, with or without each episode's last observation."""
    observations, *rest = lists(episodes)
    names = ("observations", "actions", "rewards", "terminations", "truncations")
    columns = [[rows if last else rows[:-1] for rows in observations], *rest]
    return {name: np.concatenate(column) for name, column in zip(names, columns, strict=True)}


def arrays() -> dict[str, np.ndarray]:
    """Eight steps in episodes of LENGTHS steps: the first terminates, the second is truncated, the third has no flag."""
    steps = sum(LENGTHS)
    return {
        "observations": np.arange(4.0 * steps).reshape(steps, 4), "actions": np.linspace(-1, 1, steps)[:, None],
        "rewards": np.arange(steps) + 0.5, "terminations": np.isin(np.arange(steps), 2), "truncations": np.isin(np.arange(steps), 3),
    }  # fmt: skip


def scaled(episodes: list[RawEpisode]) -> list[RawEpisode]:
    return [(o, a.astype(np.float32) / np.float32(3), *rest) for o, a, *rest in episodes]  # type: ignore[misc]


def refused(*words: str, write: Callable[[], Any]) -> None:
    """Assert that `write` raises one line with all `words` and leaves no data set."""
    with pytest.raises(DataError) as caught:
        write()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    with pytest.raises(DataError, match="cannot be downloaded"):
        load(ID)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://nowhere.invalid")


# Round trips.


@pytest.mark.parametrize("kind", ["lists", "flat, with last observations", "flat, with next observations"])
def test_every_episode_is_read_as_it_was_given(kind: str) -> None:
    episodes = random_episodes(30, obs=4, act=1)
    if kind == "lists":
        folder = data_from_arrays(ID, *lists(episodes), env=ENV)
    elif kind == "flat, with last observations":
        folder = data_from_arrays(ID, **flat(episodes, last=True), env=ENV)
    else:
        after = np.concatenate([observations[1:] for observations, *_ in episodes])
        folder = data_from_arrays(ID, **flat(episodes, last=False), env=ENV, next_observations=after)
    assert (folder / "data" / "metadata.json").is_file()
    data = load(ID)
    assert_lined_up(data.trajectories, scaled(episodes))
    assert '"id": "InvertedPendulum-v5"' in data.env_spec


def test_a_missing_last_observation_is_filled_with_the_one_before() -> None:
    data_from_arrays(ID, **arrays(), env=ENV)
    t = load(ID).trajectories
    assert tuple(t.lengths.tolist()) == LENGTHS
    last = t.offsets[1:] - 1
    np.testing.assert_array_equal(t.next_observations[last], t.observations[last])
    np.testing.assert_array_equal(t.next_observations[4:7], t.observations[5:8])
    assert t.terminated.tolist() == [False] * 2 + [True] + [False] * 5
    assert t.truncated.tolist() == [False] * 3 + [True] + [False] * 3 + [True]  # the last step has no flag: it counts as truncated
    np.testing.assert_allclose(t.returns, [0.5 + 1.5 + 2.5, 3.5, 4.5 + 5.5 + 6.5 + 7.5])


def test_lists_may_have_a_last_observation_or_not() -> None:
    episodes = random_episodes(4, obs=4, act=1)
    columns = lists(episodes)
    columns[0][2] = columns[0][2][:-1]
    data_from_arrays(ID, *columns, env=ENV)
    episodes[2] = (np.concatenate([columns[0][2], columns[0][2][-1:]]), *episodes[2][1:])
    assert_lined_up(load(ID).trajectories, scaled(episodes))


def test_discrete_actions_keep_their_numbers() -> None:
    given = arrays() | {"actions": np.array([0, 1, 1, 0, 1, 0, 0, 1])}
    data_from_arrays(ID, **given, env="CartPole-v1")
    t = load(ID).trajectories
    assert (t.num_actions, t.actions[:, 0].tolist()) == (2, given["actions"].tolist())


def test_an_environment_or_its_spec_serves_as_well_as_its_id() -> None:
    env = gymnasium.make(ENV)
    digests = []
    for k, given in enumerate((ENV, env, gymnasium.spec(ENV))):
        data_from_arrays(f"mine/pendulum-v{k}", **arrays(), env=given)
        digests.append(load(f"mine/pendulum-v{k}").trajectories.digest)
    assert len(set(digests)) == 1
    env.close()


@pytest.mark.parametrize("names", [("terminals", "timeouts"), ("terminated", "truncated"), ("terminations", "truncations")])
def test_dicts_with_the_keys_of_d4rl_and_gymnasium(names: tuple[str, str]) -> None:
    data_from_arrays(ID, **arrays(), env=ENV)
    before = load(ID).trajectories.digest
    given = arrays()
    given |= {names[0]: given.pop("terminations"), names[1]: given.pop("truncations"), "infos/qpos": np.zeros(3)}
    data_from_dict(ID, given, env=ENV, overwrite=True)
    assert load(ID).trajectories.digest == before


@pytest.mark.parametrize("episode", [False, True])
def test_npz_and_csv_files_make_the_same_data(tmp_path: Path, episode: bool) -> None:
    given = arrays()
    np.savez(tmp_path / "mine.npz", **given)
    table = pd.DataFrame({f"obs_{k}": given["observations"][:, k] for k in (3, 0, 2, 1)})  # in any order
    table = table.assign(action_0=given["actions"][:, 0], reward=given["rewards"], terminated=given["terminations"])
    if episode:
        table["episode"] = np.repeat(["b", "a", "c"], LENGTHS)  # ends episodes in place of truncated
    else:
        table["truncated"] = given["truncations"].astype(int)
    table.to_csv(tmp_path / "mine.csv", index=False)
    digests = []
    for name in ("mine.npz", "mine.csv"):
        data_from_file(tmp_path / name, ID, ENV, overwrite=True)
        digests.append(load(ID).trajectories.digest)
    data_from_arrays(ID, **given, env=ENV, overwrite=True)
    assert digests == [load(ID).trajectories.digest] * 2


def test_a_csv_with_next_observations_and_discrete_actions(tmp_path: Path) -> None:
    lines = "obs_0,action,reward,terminated,truncated,next_obs_0\n0,1,1,0,0,1\n1,0,1,1,0,2\n5,2,0,0,0,6\n6,0,0,0,1,7\n"
    (tmp_path / "mine.csv").write_text(lines)
    data_from_csv(tmp_path / "mine.csv", ID)
    t = load(ID).trajectories
    assert (t.num_actions, t.actions[:, 0].tolist(), t.next_observations[:, 0].tolist()) == (3, [1, 0, 2, 0], [1, 2, 6, 7])


def test_an_existing_data_set_is_overwritten_only_with_overwrite() -> None:
    data_from_arrays(ID, **arrays(), env=ENV)
    before = load(ID).trajectories.digest
    changed = arrays() | {"rewards": np.zeros(8)}
    with pytest.raises(
        DataError, match=rf"data set '{ID}' exists in .*; choose another id, or overwrite it \(overwrite=True, --overwrite\)"
    ):
        data_from_arrays(ID, **changed, env=ENV)
    assert load(ID).trajectories.digest == before
    data_from_arrays(ID, **changed, env=ENV, overwrite=True)
    assert load(ID).trajectories.returns.tolist() == [0] * 3
    with pytest.raises(DataError, match="has shape"):
        data_from_arrays(ID, **(changed | {"rewards": np.zeros((8, 2))}), env=ENV, overwrite=True)
    assert load(ID).trajectories.returns.tolist() == [0] * 3  # a refused overwrite keeps the old data set


def test_without_an_environment_data_load_and_cannot_be_evaluated() -> None:
    data_from_arrays(ID, **(arrays() | {"actions": np.linspace(-2, 4, 16).reshape(8, 2)}))
    data = load(ID)
    assert data.env_spec == ""
    np.testing.assert_array_equal(data.units.high, np.float32([3.6, 4]))
    np.testing.assert_allclose(data.to_env(data.trajectories.actions.numpy()), np.linspace(-2, 4, 16).reshape(8, 2), atol=1e-6)
    assert load(ID).env_spec == ""  # from the cache, too
    with pytest.raises(DataError, match=r"environment: the data set names none to play policies in; add env=ID"):
        Evaluator(data.env_spec, 1)


def test_the_data_train_and_evaluate(tmp_path: Path) -> None:
    data_from_arrays(cli.ID, *lists(random_episodes(20, obs=4, act=1)), env=ENV)
    cli.bench(tmp_path, "algo=bc", *cli.TINY, "results_dir=results")
    (episodes,) = (tmp_path / "results").glob("*/runs/*/episodes.csv")
    table = pd.read_csv(episodes)
    assert (table["return"] >= 1).all()  # InvertedPendulum pays 1 for every step
    assert table["update"].max() > 0


def test_the_import_command(tmp_path: Path, minari_root: Path) -> None:
    np.savez(tmp_path / "mine.npz", **(arrays() | {"actions": np.full((8, 1), 3.5)}))
    line = cli.mistake(tmp_path, "import", "mine.npz", ID, "--env", ENV)
    assert line.startswith("error: mine.npz: row 0 (episode 0, step 0): action 3.5")
    done = cli.bench(tmp_path, "import", "mine.npz", ID, "--env", ENV, "--clip")
    assert done.stdout == f"{minari_root / ID}\n"
    assert "exists in" in cli.mistake(tmp_path, "import", "mine.npz", ID)
    cli.bench(tmp_path, "import", "mine.npz", ID, "--overwrite")
    assert load(ID).env_spec == ""


# Mistakes.

BROKEN: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "rows": ({"actions": np.zeros((7, 1))}, ("arrays: actions has 7 rows for 8 rewards",)),
    "observations": ({"observations": np.zeros((10, 4))}, ("observations has 10 rows", "expected 8, or 11 with a last observation")),
    "rank": ({"rewards": np.zeros((8, 2))}, ("rewards has shape (8, 2); expected rank 1",)),
    "no numbers": ({"actions": np.array([["a"]] * 8)}, ("actions has type <U1; expected numbers",)),
    "objects": ({"observations": np.array([None] * 8)}, ("observations has type object",)),
    "nan": ({"rewards": np.array([0, 0, 0, 0, 0, np.nan, 0, 0])}, ("row 5 (episode 2, step 1): rewards is not finite",)),
    "infinite": ({"observations": np.full((8, 4), np.inf)}, ("row 0 (episode 0, step 0): observations is not finite",)),
    "flags": ({"terminations": np.array([0, 0, 2, 0, 0, 0, 0, 0])}, ("row 2: terminations is 2; expected 0 or 1",)),
    "no flag": (dict.fromkeys(("terminations", "truncations"), np.zeros(8)), ("no episode ends", "lists with an array per episode")),
    "bounds": (
        {"actions": np.full((8, 1), 3.5)},
        ("row 0 (episode 0, step 0): action 3.5 in column 0", "accepts -3 to 3 (8", "--clip"),
    ),
    "width": ({"observations": np.zeros((8, 5))}, ("observations has rows of shape (5,)", ENV)),
    "action width": ({"actions": np.zeros((8, 2))}, ("actions has rows of shape (2,)", ENV)),
    "environment": ({"env": "Nowhere-v0"}, ("'Nowhere-v0' is not registered",)),
    "goals": ({"env": "FrankaKitchen-v1"}, ("FrankaKitchen-v1 has observations Dict",)),
    "breaks": (
        {"next_observations": arrays()["observations"]},
        ("row 0 (episode 0, step 0): next_observations are not the observations of row 1 (5 such rows)", "set a truncation"),
    ),
    "next shape": ({"next_observations": np.zeros((8, 3))}, ("next_observations has shape (8, 3); expected (8, 4)",)),
    "empty": ({name: array[:0] for name, array in arrays().items()}, ("no step in it",)),
    "discrete": ({"env": "CartPole-v1", "actions": np.array([0, 1, 2] * 2 + [0] * 2)}, ("row 2 (episode 0, step 2): action 2 is none",)),
    "negative": ({"env": None, "actions": np.array([0, -1] * 4)}, ("row 1 (episode 0, step 1): action -1", "counted from 0")),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_mistake_in_arrays_is_one_line(mistake: str) -> None:
    change, words = BROKEN[mistake]
    refused(*words, write=lambda: data_from_arrays(ID, **({"env": ENV} | arrays() | change)))


def spoil_list(name: str, episode: int, change: Callable[[np.ndarray], Any]) -> list[Any]:
    columns: list[Any] = lists([e for e in random_episodes(9, obs=4, act=1) if len(e[2]) > 2])
    index = ("observations", "actions", "rewards", "terminations", "truncations").index(name)
    columns[index][episode] = change(columns[index][episode])
    return columns


def flagged(flags: np.ndarray) -> np.ndarray:
    return np.arange(len(flags)) == 1


def ending_in_nan(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[:-1], np.full_like(rows[-1:], np.nan)])


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("actions", lambda a: a[:-1], "arrays: episode 3: actions has "),
        ("actions", lambda a: np.repeat(a, 2, 1), "arrays: episode 3: actions has rows of shape (2,); episode 0 has (1,)"),
        ("observations", lambda o: o[:-2], "arrays: episode 3: observations has "),
        ("rewards", lambda r: r[:0], "arrays: episode 3: no step in it; remove the episode"),
        ("terminations", flagged, "(episode 3, step 1): a termination or truncation before the episode's last step"),
        ("observations", ending_in_nan, "the observation after it is not finite"),
    ],
)
def test_a_mistake_in_lists_names_the_episode(name: str, change: Callable, words: str) -> None:
    refused(words, write=lambda: data_from_arrays(ID, *spoil_list(name, 3, change), env=ENV))


def test_lists_and_flat_arrays_do_not_mix() -> None:
    columns: list[Any] = lists(random_episodes(3, obs=4, act=1))
    columns[1] = np.concatenate(columns[1])
    refused("actions is a ndarray, rewards 3 episodes", write=lambda: data_from_arrays(ID, *columns, env=ENV))


def test_actions_outside_the_bounds_are_clipped_with_clip() -> None:
    data_from_arrays(ID, **(arrays() | {"actions": np.linspace(-4, 4, 8)[:, None]}), env=ENV, clip=True)
    data = load(ID)
    assert (data.clipped, float(data.trajectories.actions.abs().max())) == (0, 1)


def test_actions_beyond_the_bounds_by_rounding_are_accepted() -> None:
    data_from_arrays(ID, **(arrays() | {"actions": np.full((8, 1), 3.000001)}), env=ENV)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("pendulum", "is not a Minari id"),
        (np.zeros((9, 1)), "the first argument is of type ndarray; expected the id of the data set"),
        ("hf://me/x-v0", "is not a Minari id"),
        ("../x-v0", "is not"),
        ("iwsft/x-v0", "built-in"),
    ],
)
def test_invalid_and_built_in_ids_are_refused(minari_root: Path, dataset: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        data_from_arrays(dataset, **arrays(), env=ENV)
    assert not list(minari_root.iterdir())


def test_unknown_absent_and_doubled_names_in_a_dict() -> None:
    given = arrays()
    refused("unknown array 'reward'", "rename or remove it", write=lambda: data_from_dict(ID, given | {"reward": given["rewards"]}))
    refused("'terminals' is another name of terminations", write=lambda: data_from_dict(ID, given | {"terminals": given["rewards"]}))
    given.pop("actions")
    refused("no array 'actions'; it has observations, rewards", write=lambda: data_from_dict(ID, given))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("obs_0,action_0,reward,terminated\n0,0,0,0\n1,x,0,1\n", "line 3: action_0 is 'x'; expected a number"),
        ("obs_0,action_0,reward,terminated\n0,0,0,0\n1,,0,1\n", "line 3: action_0 is empty; expected a number"),
        ("obs_0,action_0,reward,terminated\n0,0,0,0\n1,0,inf,1\n", "line 3 (episode 0, step 1): rewards is not finite"),
        ("obs_0,obs_2,action_0,reward,terminated\n0,0,0,0,1\n", "no column 'obs_1' among obs_0, obs_2"),
        ("obs_0,action_0,rewards,terminated\n0,0,0,1\n", "unknown column 'rewards'; expected obs_0"),
        ("obs_0,action_0,reward\n0,0,0\n", "no column for terminations"),
        ("obs_0,action_0,action,reward,terminated\n0,0,0,0,1\n", "no column 'action_1' among action_0, action"),
        ("obs_0,action_0,reward,terminated,episode\n0,0,0,0,a\n0,0,0,0,b\n0,0,0,1,a\n", "the lines of an episode are not together"),
        (
            "obs_0,action_0,reward,terminated,episode\n0,0,0,1,a\n0,0,0,0,a\n",
            "line 2 (episode 0, step 0): a termination or",
        ),
        ("obs_0,action_0,reward,terminated\n0,0,0,1\n0,0,0,0,7,7\n", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_a_mistake_in_a_csv_names_file_and_line(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(content)
    refused(str(path), words, write=lambda: data_from_csv(path, ID))


def test_files_that_are_absent_damaged_or_of_another_kind(tmp_path: Path) -> None:
    for read, name in ((data_from_npz, "x.npz"), (data_from_csv, "x.csv")):
        refused(f"{tmp_path / name}: no such file", write=lambda read=read, name=name: read(tmp_path / name, ID))  # type: ignore[misc]
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 nothing")
    refused("cannot be read", write=lambda: data_from_npz(tmp_path / "x.npz", ID))
    np.savez(tmp_path / "y.npz", observations=np.array([{"a": 1}], object))
    refused("cannot be read", "expected a .npz file", write=lambda: data_from_npz(tmp_path / "y.npz", ID))
    np.save(tmp_path / "z.npy", np.zeros(3))
    (tmp_path / "z.npy").rename(tmp_path / "z.npz")
    refused("cannot be read", write=lambda: data_from_npz(tmp_path / "z.npz", ID))
    refused("unknown kind of file; expected .npz or .csv", write=lambda: data_from_file(tmp_path / "mine.parquet", ID))


def test_a_small_npz_whose_arrays_no_memory_holds_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first claims 32 TB in its header, the second has zeros, compressed a thousand times."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 4)})
    with zipfile.ZipFile(tmp_path / "claim.npz", "w") as file:
        file.writestr("observations.npy", header.getvalue())
    refused("claim.npz: cannot be read", "Unable to allocate", write=lambda: data_from_npz(tmp_path / "claim.npz", ID))
    np.savez_compressed(tmp_path / "zeros.npz", observations=np.zeros((10**6, 4)))
    monkeypatch.setattr(array_files, "machine_memory", lambda: 10**6)
    refused("zeros.npz: its arrays need 32,000,128 bytes, more than the memory", write=lambda: data_from_npz(tmp_path / "zeros.npz", ID))


def test_an_interrupted_import_leaves_no_file(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import minari

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(minari, "create_dataset_from_buffers", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data_from_arrays(ID, **arrays(), env=ENV)
    assert not list(minari_root.iterdir())
