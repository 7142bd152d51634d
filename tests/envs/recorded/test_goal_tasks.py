"""Mazes, kitchen and hands: recorded, curated across data sets, trained on and evaluated, through the command."""

import csv
import json
from itertools import pairwise

import numpy as np
import pytest

from envs.errors import DataError
from envs.evaluation.measured_reference import measured_reference, random_returns
from envs.evaluation.rollout import Evaluator
from envs.readers.load import load
from envs.recorded.record import record
from tests.helpers import forks
from tests.helpers.logged import record_random

TINY = [
    "seeds=[0,1]", "algo.hidden=[16]", "pi_ref.updates=4", "pi_ref.batch_size=8", "algo.updates=3",
    "algo.batch_size=8", "eval.episodes=1", "eval.final_episodes=2", "eval.every=2", "eval.workers=1",
    "device=cpu",
]  # fmt: skip


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path


def bench(root, *arguments: str) -> list[dict]:
    """Run the command and return the content of every run.json."""
    done = forks.run([*arguments, *TINY, f"results_dir={root / 'results'}"], root)
    assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in sorted((root / "results").glob("*/runs/*/run.json"))]


def test_a_pi_ref_comes_from_other_data_than_the_curated_ones(root):
    for name in ("all", "good"):
        record_random(f"pole/{name}-v0", "InvertedPendulum-v5", episodes=6, steps=5)
    (run,) = bench(root, "algo=iw_sft", "dataset=pole/good-v0@top:50%+pole/all-v0@top:50%", "pi_ref.dataset=pole/all-v0")
    assert run["status"] == "finished"
    assert run["pi_ref_dataset"] == "pole/all-v0"


@pytest.mark.slow
def test_kitchen_is_curated_across_data_sets_as_in_the_paper(root):
    """pi_ref on one data set, fine-tuning on the best of two others, evaluation in the kitchen itself."""
    for k, name in enumerate(("partial", "complete", "mixed")):
        record_random(f"kitchen/{name}-v0", "FrankaKitchen-v1", episodes=4, steps=6, seed=10 * k, tasks_to_complete=["kettle"])
    expression = "kitchen/complete-v0@top:25%+kitchen/mixed-v0@top:25%"
    data = load(expression)
    assert (data.observation_width, data.action_width) == (59 + 7, 9)  # the kettle's pose is the goal
    assert data.trajectories.num_episodes == 8  # no random episode moves the kettle: equal returns are all kept
    (run,) = bench(root, "algo=iw_sft", f"dataset={expression}", "pi_ref.dataset=kitchen/partial-v0", "algo.curation.percentiles=[]")
    assert run["status"] == "finished"
    assert run["pi_ref_dataset"] == "kitchen/partial-v0"
    (episodes,) = (root / "results").glob("*/runs/*/episodes.csv")
    with open(episodes) as f:
        final = [row for row in csv.DictReader(f) if row["update"] == "3"]
    assert [int(row["length"]) for row in final] == [6] * 4


def test_a_pi_ref_of_other_widths_is_refused(root):
    record_random("hand/pen-v0", "AdroitHandPen-v1", episodes=2, steps=5)
    record_random("hand/door-v0", "AdroitHandDoor-v1", episodes=2, steps=5)
    done = forks.run(["algo=sft", "dataset=hand/pen-v0", "pi_ref.dataset=hand/door-v0", *TINY, f"results_dir={root / 'results'}"], root)
    assert done.returncode == 2
    assert "pi_ref.dataset = hand/door-v0: its observations and actions" in done.stderr.splitlines()[-1]
    assert not list((root / "results").glob("*/runs/*/run.json"))


def test_hands_are_trained_and_evaluated_with_a_measured_reference(root):
    record_random("hand/pen-v0", "AdroitHandPen-v1", episodes=6, steps=5)
    (run,) = bench(root, "algo=bc", "dataset=hand/pen-v0")
    assert run["reference"]["name"] == "measured"
    assert run["reference"]["expert"] > run["reference"]["random"]


@pytest.mark.slow
def test_reference_sets_are_separate_parts_of_a_table(root):
    record_random("hand/pen-v0", "AdroitHandPen-v1", episodes=6, steps=5)
    record_random("hand/pen-v1", "AdroitHandPen-v1", episodes=6, steps=5)
    import minari

    minari.load_dataset("hand/pen-v1").storage.update_metadata({"ref_min_score": -50.0, "ref_max_score": 50.0, "note": "made up"})
    bench(root, "-m", "algo=bc", "dataset=hand/pen-v0,hand/pen-v1")
    (table,) = (root / "results").glob("*/table.md")
    parts = table.read_text().split("Score (reference set: ")[1:]
    assert [part.split(";")[0] for part in parts] == ["measured", "minari"]
    assert ["hand/pen-v0" in part for part in parts] == [True, False]
    assert ["hand/pen-v1" in part for part in parts] == [False, True]
    assert "hand/pen-v1: made up." in parts[1]


def test_the_measured_reference_is_the_random_policy_and_the_best_episodes():
    record_random("hand/pen-v0", "AdroitHandPen-v1", episodes=6, steps=5)
    data = load("hand/pen-v0")
    with Evaluator(data.env_spec, workers=1) as environments:
        reference = measured_reference(data, environments)
        returns = random_returns(data, environments)
        assert reference.random == pytest.approx(returns.mean())
        assert np.unique(returns).size == len(returns)
        assert reference.expert == pytest.approx(float(data.trajectories.returns.max()))
        assert measured_reference(data, None) == reference  # stored: no environment is needed again


# The built-in mazes.


@pytest.fixture(scope="module")
def maze(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maze")
    record("iwsft/pointmaze/umaze-v0", steps=2_000, workers=1, root=folder)
    return folder


def test_a_built_in_maze_pays_for_success_alone(maze, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(maze))
    data = load("iwsft/pointmaze/umaze-v0")
    t = data.trajectories
    last = t.offsets[1:] - 1
    assert data.observation_width == 6
    assert set(t.returns.tolist()) == {0.0, 1.0}
    np.testing.assert_array_equal(t.returns.numpy() == 1, t.terminated[last].numpy())  # success ends the episode
    np.testing.assert_array_equal(
        t.rewards[last].numpy() == 1, t.terminated[last].numpy()
    )  # algo.curation.score=final_reward is the success
    assert t.truncated[last][~t.terminated[last]].all()
    goals = t.observations[:, 4:].numpy()
    assert all(np.ptp(goals[a:b], 0).max() == 0 for a, b in zip(t.offsets[:-1].tolist(), t.offsets[1:].tolist(), strict=True))
    assert (data.reference.name, data.reference.expert) == ("iwsft-2", 1.0)


def test_a_built_in_maze_is_reproducible(maze, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(maze))
    import minari

    from envs.recorded.episodes import Job, run_episode

    data = minari.load_dataset("iwsft/pointmaze/umaze-v0")
    first = next(data.iterate_episodes([4]))
    key = next(iter(data.storage.get_episode_metadata([4])))
    again = run_episode(Job("pointmaze-umaze", "PointMaze_UMaze-v3", int(key["snapshot"]), int(key["episode"])))
    np.testing.assert_array_equal(first.actions, again.actions)
    np.testing.assert_array_equal(first.infos["log_prob"], again.log_prob)


def test_the_density_of_the_mazes_controller_integrates_to_one():
    import gymnasium

    from envs.recorded import pointmaze

    env = gymnasium.make(pointmaze.spec_of("PointMaze_UMaze-v3"), disable_env_checker=True)
    observation, _ = env.reset(seed=0)
    controller = pointmaze.Controller(env, len(pointmaze.PULL) - 1)

    class Fixed:
        def __init__(self, noise):
            self.noise = np.array(noise)

        def standard_normal(self, count):
            return self.noise

    # The two entries of an action are independent: p(x, y) = p(x) p(y), and one line through the box each gives both factors.
    grid = np.linspace(-8, 8, 2001)
    axes = [[(g, 0.0) for g in grid], [(0.0, g) for g in grid]]
    lines = [[controller.act(observation, Fixed(noise)) for noise in noises] for noises in axes]
    sums = [np.trapezoid(np.exp([log_prob for _, log_prob in line]), [action[k] for action, _ in line]) for k, line in enumerate(lines)]
    middle = np.exp(controller.act(observation, Fixed((0.0, 0.0)))[1])
    assert sums[0] * sums[1] / middle == pytest.approx(1, abs=1e-3)
    env.close()


def test_an_unknown_maze_is_refused():
    with pytest.raises(DataError, match="no data set 'iwsft/pointmaze/large-v0'; near names: iwsft/pointmaze"):
        load("iwsft/pointmaze/large-v0")


# The built-in kitchen and hands.


@pytest.fixture(scope="module")
def small_sets(tmp_path_factory):
    """A folder with small built-in data sets of the kitchen and of a hand."""
    folder = tmp_path_factory.mktemp("small")
    for dataset, steps in (("iwsft/kitchen/complete-v0", 500), ("iwsft/pen/noise-v0", 500)):
        record(dataset, steps=steps, workers=1, root=folder)
    return folder


def test_the_built_in_kitchen_pays_for_completed_tasks(small_sets, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(small_sets))
    data = load("iwsft/kitchen/complete-v0")
    t = data.trajectories
    assert (data.observation_width, data.action_width) == (59 + 11, 9)  # microwave 1, kettle 7, light switch 2, slide cabinet 1
    assert set(t.rewards.tolist()) <= {0.0, 1.0, 2.0}
    assert t.returns.max() >= 1  # the arm completes some task
    assert (t.returns <= 4).all()
    np.testing.assert_array_equal(t.returns.numpy() == 4, t.terminated[t.offsets[1:] - 1].numpy())  # completing all tasks ends the episode
    assert (data.reference.name, data.reference.random, data.reference.expert) == ("iwsft-2", 0.0, 4.0)


@pytest.mark.parametrize(
    ("dataset", "name", "env_id"),
    [("iwsft/kitchen/complete-v0", "kitchen", "FrankaKitchen-v1"), ("iwsft/pen/noise-v0", "pen", "AdroitHandPen-v1")],
)
def test_built_in_kitchen_and_hands_are_reproducible_and_name_the_behaviour(dataset, name, env_id, small_sets, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(small_sets))
    import minari

    from envs.recorded.episodes import Job, run_episode

    data = minari.load_dataset(dataset)
    third = next(data.iterate_episodes([2]))  # recorded after two others, played again alone
    key = next(iter(data.storage.get_episode_metadata([2])))
    again = run_episode(Job(name, env_id, int(key["snapshot"]), int(key["episode"])))
    np.testing.assert_array_equal(third.actions, again.actions)
    np.testing.assert_array_equal(third.rewards, again.rewards)
    np.testing.assert_array_equal(third.infos["log_prob"], again.log_prob)
    metadata = data.storage.metadata
    assert metadata["author"] == {"iwsft-bench"}
    assert "no trained policy" in metadata["description"]
    assert "stochastic" in metadata["algorithm_name"]


def test_a_hand_has_no_reference_scores(small_sets, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(small_sets))
    data = load("iwsft/pen/noise-v0")
    assert data.reference is None  # measured on demand, as another reference set
    spread = [data.trajectories.actions[data.trajectories.offsets[k] : data.trajectories.offsets[k + 1]].std() for k in range(5)]
    assert all(a > b for a, b in pairwise(spread))  # from the noisiest to the steadiest
