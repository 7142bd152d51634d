"""Mazes, kitchen and hands: recorded here, curated across data sets, trained on and evaluated, as a user would."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from envs.behaviour.record import record
from envs.errors import DataError
from envs.measured import measured_reference, random_returns
from envs.minari_data import load
from envs.rollout import Evaluator
from tests.logged import record_random

TINY = [
    "seeds=[0,1]", "algo.hidden=[16]", "algo.scratch.updates=4", "algo.scratch.batch_size=8", "algo.finetune.updates=3",
    "algo.finetune.warmup=1", "algo.finetune.batch_size=8", "eval.episodes=1", "eval.final_episodes=2", "eval.every=2", "eval.workers=1",
    "device=cpu",
]  # fmt: skip


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path


def bench(root, *arguments: str) -> list[dict]:
    """Run the command; run.json of every run."""
    command = [sys.executable, "-m", "bench", *arguments, *TINY, f"results_dir={root / 'results'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in sorted((root / "results").glob("*/runs/*/run.json"))]


def test_kitchen_is_curated_across_data_sets_as_in_the_paper(root):
    """pi_ref on one data set, fine-tuning on the best of two others, evaluation in the kitchen itself."""
    for k, name in enumerate(("partial", "complete", "mixed")):
        record_random(f"kitchen/{name}-v0", "FrankaKitchen-v1", episodes=4, steps=6, seed=10 * k, tasks_to_complete=["kettle"])
    expression = "kitchen/complete-v0@top:25%+kitchen/mixed-v0@top:25%"
    data = load(expression)
    assert (data.observation_width, data.action_width) == (59 + 7, 9)  # the kettle's pose is the goal
    assert data.trajectories.num_episodes == 2
    (run,) = bench(root, "algo=iw_sft", f"dataset={expression}", "pi_ref_dataset=kitchen/partial-v0", "algo.curation.percentiles=[]")
    assert run["status"] == "finished"
    assert run["pi_ref_dataset"] == "kitchen/partial-v0"
    (episodes,) = (root / "results").glob("*/runs/*/episodes.csv")
    with open(episodes) as f:
        final = [row for row in csv.DictReader(f) if row["update"] == "3"]
    assert [int(row["length"]) for row in final] == [6] * 4


def test_a_pi_ref_of_other_widths_is_refused(root):
    record_random("hand/pen-v0", "AdroitHandPen-v1", episodes=2, steps=5)
    record_random("hand/door-v0", "AdroitHandDoor-v1", episodes=2, steps=5)
    command = [sys.executable, "-m", "bench", "algo=sft", "dataset=hand/pen-v0", "pi_ref_dataset=hand/door-v0", *TINY]
    done = subprocess.run([*command, f"results_dir={root / 'results'}"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 2
    assert "pi_ref_dataset = hand/door-v0: its observations and actions" in done.stderr.splitlines()[-1]
    assert not list((root / "results").glob("*/runs/*/run.json"))


def test_hands_are_trained_and_evaluated_with_a_measured_reference(root):
    record_random("hand/pen-v0", "AdroitHandPen-v1", episodes=6, steps=5)
    (run,) = bench(root, "algo=bc", "dataset=hand/pen-v0")
    assert run["reference"]["name"] == "measured"
    assert run["reference"]["expert"] > run["reference"]["random"]


def test_two_reference_families_never_share_a_column(root):
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
        assert measured_reference(data, None) == reference  # kept: no environment is needed again


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
    assert (data.reference.name, data.reference.expert) == ("iwsft", 1.0)


def test_a_built_in_maze_is_reproducible(maze, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(maze))
    import minari

    from envs.behaviour.episodes import Job, run_episode

    data = minari.load_dataset("iwsft/pointmaze/umaze-v0")
    first = next(data.iterate_episodes([4]))
    key = next(iter(data.storage.get_episode_metadata([4])))
    again = run_episode(Job("pointmaze-umaze", "PointMaze_UMaze-v3", int(key["snapshot"]), int(key["episode"])))
    np.testing.assert_array_equal(first.actions, again.actions)
    np.testing.assert_array_equal(first.infos["log_prob"], again.log_prob)


def test_the_density_of_the_mazes_controller_integrates_to_one():
    import gymnasium

    from envs.behaviour import pointmaze

    env = gymnasium.make(pointmaze.spec_of("PointMaze_UMaze-v3"), disable_env_checker=True)
    observation, _ = env.reset(seed=0)
    controller = pointmaze.Controller(env, len(pointmaze.NOISE) - 1)

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
