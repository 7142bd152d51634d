"""Data sets in every format, space and selection are read as they were written, beyond the first episode."""

import json
import re
import warnings

import gymnasium
import minari
import numpy as np
import pytest
from gymnasium import spaces

from envs.data.logged_data import LoggedData
from envs.data.spaces import Flattener, flatten, leaves
from envs.errors import DataError
from envs.evaluation.rollout import Evaluator
from envs.readers.load import load
from tests.helpers import toys
from tests.helpers.logged import episode, ragged, write

FORMATS = ["hdf5", "arrow", "parquet"]


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return tmp_path


def assert_same(data: LoggedData, episodes, scale: float = 2.0) -> None:
    """Every episode of `data`, row by row; actions of Pendulum are in [-2, 2]."""
    t = data.trajectories
    assert t.lengths.tolist() == [len(e["rewards"]) for e in episodes]
    for k, e in enumerate(episodes):
        rows = slice(int(t.offsets[k]), int(t.offsets[k + 1]))
        np.testing.assert_array_equal(t.observations[rows], e["observations"][:-1])
        np.testing.assert_array_equal(t.next_observations[rows], e["observations"][1:])
        np.testing.assert_allclose(t.actions[rows] * scale, e["actions"], rtol=1e-6)
        np.testing.assert_array_equal(t.rewards[rows], e["rewards"].astype(np.float32))
        np.testing.assert_array_equal(t.terminated[rows], e["terminations"])
        np.testing.assert_array_equal(t.truncated[rows], e["truncations"])


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("seed", range(4))
def test_ragged_data_stay_aligned(data_format, seed):
    episodes = ragged(seed, count=7)
    write("tt/ragged-v0", episodes, data_format=data_format)
    assert_same(load("tt/ragged-v0", cache=False), episodes)
    assert_same(load("tt/ragged-v0"), episodes)  # written into the cache
    assert_same(load("tt/ragged-v0"), episodes)  # read from it


def test_all_formats_have_the_same_digest():
    episodes = ragged(1)
    for data_format in FORMATS:
        write(f"tt/{data_format}-v0", episodes, data_format=data_format)
    assert len({load(f"tt/{f}-v0").trajectories.digest for f in FORMATS}) == 1


def test_defect_1_observations_are_not_shifted_by_the_episode_number():
    """d3rlpy concatenates T + 1 observations per episode and slices them by the T actions: episode k is off by k steps."""
    episodes = ragged(3, count=5)
    write("tt/shift-v0", episodes)
    t = load("tt/shift-v0").trajectories
    wrong = np.concatenate([e["observations"] for e in episodes])[: len(t.observations)]
    first = len(episodes[0]["rewards"])
    np.testing.assert_array_equal(t.observations[:first], wrong[:first])  # the defect does not show in episode 0
    for k, e in enumerate(episodes):
        np.testing.assert_array_equal(t.observations[int(t.offsets[k])], e["observations"][0])
    assert not np.array_equal(t.observations, wrong)


def goal_episode(rng, steps):
    e = episode(rng, steps, act=2)
    e["observations"] = {
        "observation": rng.standard_normal((steps + 1, 4)),
        "achieved_goal": rng.standard_normal((steps + 1, 2)),
        "desired_goal": rng.standard_normal((steps + 1, 2)),
    }
    e["actions"] = rng.uniform(-1, 1, (steps, 2)).astype(np.float32)
    return e


@pytest.fixture
def maze():
    import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    return "PointMaze_UMaze-v3"


@pytest.mark.parametrize("data_format", FORMATS)
def test_goal_conditioned_observations_are_observation_then_goal(data_format, maze):
    rng = np.random.default_rng(0)
    episodes = [goal_episode(rng, n) for n in (4, 1, 6)]
    write("tt/maze-v0", episodes, env=maze, data_format=data_format)
    data = load("tt/maze-v0")
    flat = [e | {"observations": np.concatenate([e["observations"][k] for k in ("observation", "desired_goal")], 1)} for e in episodes]
    for e in flat:
        e["observations"] = e["observations"].astype(np.float32)
    assert_same(data, flat, scale=1.0)


def test_rollouts_and_readers_flatten_observations_in_the_same_order(maze):
    env = gymnasium.make(maze)
    observation, _ = env.reset(seed=0)
    flat = Flattener(env.observation_space)(observation)
    np.testing.assert_array_equal(flat, np.concatenate([observation["observation"], observation["desired_goal"]]).astype(np.float32))
    env.close()


def test_nested_dicts_keep_the_order_of_their_space():
    space = spaces.Dict({"b": spaces.Box(-1, 1, (2, 2)), "a": spaces.Tuple((spaces.Discrete(3, start=5), spaces.MultiBinary(2)))})
    assert [path for path, _ in leaves(space)] == [("a", 0), ("a", 1), ("b",)]
    flat = Flattener(space)({"a": (6, [1, 0]), "b": np.arange(4).reshape(2, 2)})
    assert flat.tolist() == [0, 1, 0, 1, 0, 0, 1, 2, 3]


@pytest.mark.parametrize("data_format", FORMATS)
def test_discrete_actions_keep_their_numbers(data_format):
    rng = np.random.default_rng(0)
    episodes = [episode(rng, n, obs=4) | {"actions": rng.integers(0, 2, n)} for n in (3, 8)]
    write("tt/cart-v0", episodes, env="CartPole-v1", data_format=data_format)
    data = load("tt/cart-v0")
    assert data.trajectories.num_actions == 2
    assert data.trajectories.actions[:, 0].tolist() == np.concatenate([e["actions"] for e in episodes]).tolist()
    assert data.to_env(data.trajectories.actions.numpy()).dtype == np.int64
    assert load("tt/cart-v0").trajectories.num_actions == 2  # from the cache


def test_actions_out_of_bounds_are_clipped_and_counted():
    episodes = ragged(0)
    episodes[2]["actions"][0] = 4.0
    write("tt/out-v0", episodes)
    data = load("tt/out-v0")
    assert data.clipped == pytest.approx(1 / sum(len(e["rewards"]) for e in episodes))
    assert data.trajectories.actions.abs().max() == 1


# Selections of episodes.


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("@episodes:2", [2]),
        ("@episodes:1-3", [1, 2, 3]),
        ("@episodes:0|4|5", [0, 4, 5]),
        ("@first:2", [0, 1]),
        ("@first:50%", [0, 1, 2, 3, 4]),
        ("@sample:20%", [0, 5]),
        ("@top:20%", [6, 9]),
        ("@top:3", [3, 6, 9]),
        ("@min_return:5@max_return:8", [2, 5, 8]),
        ("@min_length:8", [7, 8, 9]),
        ("@max_length:2", [0, 1]),
        ("@min_length:4@first:2", [3, 4]),
    ],
)
def test_selections(rules, expected):
    returns = [0, 3, 6, 9, 1, 7, 11, 2, 5, 10]
    rng = np.random.default_rng(0)
    episodes = [episode(rng, k + 1) | {"rewards": np.eye(1, k + 1)[0] * r} for k, r in enumerate(returns)]
    write("tt/select-v0", episodes)
    assert_same(load(f"tt/select-v0{rules}"), [episodes[k] for k in expected])


def test_the_whole_grammar_passes_the_command_line():
    from hydra.core.override_parser.overrides_parser import OverridesParser

    text = "hf://farama-minari/D4RL/kitchen/complete-v2@top:5%+tt/b-v0@episodes:0|4|7@min_return:-3.5"
    assert OverridesParser.create().parse_override(f"dataset={text}").value() == text


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("tt/a-v0@best:3", "unknown rule 'best:3'; expected one of episodes:"),
        ("tt/a-v0@top", "unknown rule 'top'"),
        ("tt/a-v0@top:x", "expected a number of episodes or a share"),
        ("tt/a-v0@top:0%", r"a-v0"),
        ("tt/a-v0@first:0%", "expected a share above 0 %"),
        ("tt/a-v0@first:99", "asks for 99 of 6 episodes"),
        ("tt/a-v0@episodes:6", "there are episodes 0 to 5"),
        ("tt/a-v0@episodes:-1", "expected episode numbers"),
        ("tt/a-v0@min_return:nan", "'nan' is not a number"),
        ("tt/a-v0@min_return:1000", "no episode is left; returns are"),
        ("tt/a-v0++tt/a-v0", "is not a Minari id"),
        ("../../x", "is not a Minari id"),
        ("tt/../../x-v0", "is not a Minari id"),
        ("/etc/x-v0", "is not a Minari id"),
        ("tt/a", "is not a Minari id"),
    ],
)
def test_expressions_that_are_refused(expression, message):
    write("tt/a-v0", ragged(0))
    if expression == "tt/a-v0@top:0%":
        assert load(expression).trajectories.num_episodes == 1  # a share is at least one episode
        return
    with pytest.raises(DataError, match=message):
        load(expression)


@pytest.mark.parametrize(
    ("rewards", "limit"),
    [([0.7], 0.7), ([0.1] * 7, 0.7), ([100, -99.3], 0.7), ([-0.1] * 3, -0.3), ([0.1, 0.2, -0.3], 0), ([1e-9] * 3, 3e-9)],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_episode_whose_return_is_the_bound_is_kept(rewards, limit, dtype):
    """Rewards are stored in single precision: the sum of one reward of 0.7 is 0.69999999."""
    off = abs(limit) * 1e-4 + 1e-4 * max(map(abs, rewards))
    episodes = [episode(np.random.default_rng(0), len(rewards)) | {"rewards": np.array(rewards, dtype)}]
    far = [e | {"rewards": e["rewards"] + np.array(change, dtype) / len(rewards)} for e in episodes for change in (-off, off)]
    write("tt/bounds-v0", episodes + far)
    assert load(f"tt/bounds-v0@min_return:{limit}").trajectories.num_episodes == 2
    assert load(f"tt/bounds-v0@max_return:{limit}").trajectories.num_episodes == 2
    assert load(f"tt/bounds-v0@min_return:{limit}@max_return:{limit}").trajectories.num_episodes == 1


def test_data_sets_combine_with_their_own_selections():
    a, b = ragged(0), ragged(1)
    write("tt/a-v0", a)
    write("tt/b-v0", b, data_format="arrow")
    assert_same(load("tt/b-v0@episodes:1|3+tt/a-v0@first:2"), [b[1], b[3], a[0], a[1]])


def test_data_sets_that_differ_are_not_combined():
    write("tt/a-v0", ragged(0))
    rng = np.random.default_rng(0)
    write("tt/cart-v0", [episode(rng, 3, obs=4) | {"actions": rng.integers(0, 2, 3)}], env="CartPole-v1")
    with pytest.raises(DataError, match=r"tt/cart-v0 cannot be combined with tt/a-v0: their observations differ"):
        load("tt/a-v0+tt/cart-v0")


def test_defect_9_reference_scores_survive():
    """Minari drops reference scores without an environment, and both filters and references when data sets are combined."""
    episodes = ragged(0)
    for name in "ab":
        write(f"tt/{name}-v0", episodes)
        minari.load_dataset(f"tt/{name}-v0").storage.update_metadata({"ref_min_score": -10.0, "ref_max_score": 30.0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        long = [minari.load_dataset(f"tt/{n}-v0").filter_episodes(lambda e: len(e) > 5) for n in "ab"]
        combined = minari.combine_datasets(long, "tt/c-v0")
    assert "ref_min_score" not in combined.storage.metadata  # Minari's defect
    ours = load("tt/a-v0@min_length:6+tt/b-v0@min_length:6")
    assert ours.reference is not None
    assert (ours.reference.random, ours.reference.expert) == (-10.0, 30.0)
    assert ours.trajectories.lengths.min() > 5
    write("tt/c2-v0", episodes)
    assert load("tt/a-v0+tt/c2-v0").reference is None  # one of the two has no reference scores


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("kind", toys.Observed.SPACES)
def test_observations_of_any_space_are_read_as_minari_reads_and_rollouts_see_them(kind, data_format, monkeypatch):
    toys.trust(monkeypatch)
    toys.record("tt/observed-v0", toys.spec("Observed", kind=kind), episodes=2, data_format=data_format)
    t = load("tt/observed-v0").trajectories
    space = toys.Observed(kind).observation_space
    flat = Flattener(space)
    expected = np.stack([flat(toys.value(space, time)) for time in range(toys.STEPS + 1)])
    assert t.observations.shape[1] == expected.shape[1]
    for start in (0, toys.STEPS):
        rows = slice(start, start + toys.STEPS)
        np.testing.assert_array_equal(t.observations[rows], expected[:-1])
        np.testing.assert_array_equal(t.next_observations[rows], expected[1:])
    for k, episode_data in enumerate(minari.load_dataset("tt/observed-v0")):
        by_minari, batched = flatten(space, episode_data.observations)
        assert batched
        np.testing.assert_array_equal(t.observations[k * toys.STEPS : (k + 1) * toys.STEPS], by_minari[:-1])


def test_blackjack_is_read_and_played():
    """The case seen in use: Minari's default format, observations a tuple of three numbers."""
    toys.record("tt/blackjack-v0", gymnasium.spec("Blackjack-v1"), episodes=20)
    data = load("tt/blackjack-v0")
    assert data.observation_width == 32 + 11 + 2
    assert data.trajectories.observations.sum(1).unique().tolist() == [3.0]
    with Evaluator(data.env_spec, 1) as environments:
        played = environments.run(lambda o, _: np.zeros(len(o), np.int64), np.arange(20).reshape(4, 5))
    assert set(played.returns.ravel().tolist()) <= {-1.0, 0.0, 1.0, 1.5}


@pytest.mark.parametrize("kind", ["discrete", "multidiscrete", "tuple"])
def test_observations_counted_from_another_number_than_the_environments_are_refused(kind, monkeypatch):
    toys.trust(monkeypatch)
    folder = toys.record("tt/observed-v0", toys.spec("Observed", kind=kind))
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    shifted = re.sub(r'("start": \[?)(-?\d+)', lambda found: f"{found[1]}{int(found[2]) - 1}", metadata["observation_space"])
    assert shifted != metadata["observation_space"]
    path.write_text(json.dumps(metadata | {"observation_space": shifted}))
    with pytest.raises(DataError, match=r"tt/observed-v0: .*(its observations have space|holds a number outside)"):
        load("tt/observed-v0")
    toys.record("tt/other-v0", toys.spec("Observed", kind=kind))
    with pytest.raises(DataError, match="cannot be combined with tt/other-v0: their observations differ"):
        load("tt/other-v0+tt/observed-v0")
