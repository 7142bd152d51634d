"""Built-in data: reproducible, with exact log-densities of their actions, and complete or absent."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from envs.data.references import BUILT_IN, built_in
from envs.errors import DataError
from envs.readers.load import load
from envs.recorded import record as recorder
from envs.recorded.episodes import RANDOM, Job, run_episode, run_episodes, seeds_of
from envs.recorded.measure import nearest_to_share
from envs.recorded.policy import load_snapshot, record_of
from tests.helpers.episodes import assert_lined_up

ID = "iwsft/hopper/medium-replay-v0"


def test_recipes_fit_their_names() -> None:
    recipes = recorder.recipes()
    for name in ("halfcheetah", "hopper", "walker2d"):
        record = record_of(name)
        returns, medium, last = record["snapshot_returns"], record["medium"], len(record["snapshot_returns"]) - 1
        assert 15 <= len(returns) <= 25
        assert medium == nearest_to_share(returns, 0.4) == int(np.abs(np.array(returns) - 0.4 * returns[-1]).argmin())
        assert recipes[f"iwsft/{name}/medium-v0"].groups == ((medium,),)
        assert recipes[f"iwsft/{name}/medium-replay-v0"].groups == (tuple(range(medium + 1)),)
        assert recipes[f"iwsft/{name}/medium-expert-v0"].groups == ((medium,), (last,))
        assert all(len(r.groups) * r.steps >= 200_000 for r in recipes.values() if r.name == name)


def test_log_prob_is_the_density_of_the_action() -> None:
    """log_prob equals a numerical derivative of the distribution function of tanh(u), dimension by dimension."""
    episode = run_episode(Job("hopper", "Hopper-v5", 5, 0))
    policy = load_snapshot("hopper", 5)
    std = np.exp(policy.log_std)
    for t in range(0, len(episode.rewards), 5):
        u = np.arctanh(episode.actions[t].astype(np.float64))
        mean = policy.mean(episode.observations[t])
        step = 1e-5
        a = np.tanh(u)
        low, high = np.arctanh(a - step * (1 - a**2)), np.arctanh(a + step * (1 - a**2))
        density = (stats.norm.cdf(high, mean, std) - stats.norm.cdf(low, mean, std)) / (2 * step * (1 - a**2))
        np.testing.assert_allclose(episode.log_prob[t], np.log(density).sum(), rtol=1e-3, atol=1e-3)


def test_mixed_sets_have_every_snapshot_with_an_action_noise_of_its_own_for_each_episode() -> None:
    recipe = recorder.recipes()["iwsft/hopper/mixed-v0"]
    assert recipe.groups == (tuple(range(len(record_of("hopper")["snapshot_returns"]))),)
    jobs = [recipe.job(s, n) for s in (0, 14) for n in range(200)]
    factors = np.array([job.noise for job in jobs])
    assert len(set(factors)) == len(jobs)
    assert 0.25 <= factors.min() < 0.3
    assert 2.5 < factors.max() <= 3
    assert recipe.job(14, 3) == recipe.job(14, 3)
    usual = recorder.recipes()[ID].job(4, 0)
    assert usual.noise == 1
    assert seeds_of(usual)[0] != seeds_of(recipe.job(4, 0))[0]


def test_log_prob_of_a_mixed_episode_is_the_density_with_its_noise() -> None:
    job = Job("hopper", "Hopper-v5", 5, 0, noise=2.5)
    episode, policy = run_episode(job), load_snapshot("hopper", 5)
    a = episode.actions.astype(np.float64)
    u, std = np.arctanh(a), 2.5 * np.exp(policy.log_std)
    means = np.array([policy.mean(o) for o in episode.observations[:-1]])
    expected = (stats.norm.logpdf(u, means, std) - np.log1p(-(a**2))).sum(1)
    inner = np.abs(a).max(1) < 0.999  # float32 actions near a bound do not determine u
    assert inner.sum() > 3
    np.testing.assert_allclose(episode.log_prob[inner], expected[inner], rtol=1e-3, atol=2e-2)


def test_random_actions_have_the_uniform_density() -> None:
    episode = run_episode(Job("hopper", "Hopper-v5", RANDOM, 0))
    np.testing.assert_allclose(episode.log_prob, -3 * np.log(2))


def test_an_episode_does_not_depend_on_the_number_of_processes() -> None:
    jobs = [Job("hopper", "Hopper-v5", s, e) for e in range(2) for s in (0, 4)]
    for a, b in zip(run_episodes(jobs, workers=1), run_episodes(jobs, workers=2), strict=True):
        assert a.job == b.job
        np.testing.assert_array_equal(a.observations, b.observations)
        np.testing.assert_array_equal(a.log_prob, b.log_prob)


def test_an_endless_sequence_of_jobs_can_be_cut() -> None:
    endless = (Job("hopper", "Hopper-v5", 0, e) for e in range(10**9))
    assert [e.job.episode for e in islice(run_episodes(endless, workers=2), 5)] == list(range(5))


def test_signals_to_the_processes_of_a_recording_do_not_end_it() -> None:
    """Schedulers signal every process of a job; only the main process decides."""
    endless = (Job("hopper", "Hopper-v5", 0, e) for e in range(10**9))
    with closing(run_episodes(endless, workers=2)) as played:
        next(played)
        children = [child.pid for child in multiprocessing.active_children()]
        for child in children:
            os.kill(child, signal.SIGTERM)
            os.kill(child, signal.SIGINT)
        assert [next(played).job.episode for _ in range(12)] == list(range(1, 13))
    assert not {child.pid for child in multiprocessing.active_children()} & set(children)


def test_a_recorded_data_set_has_episodes_densities_and_provenance(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import minari

    path = recorder.record(ID, steps=1500, workers=2)
    first = load(ID)
    data = minari.load_dataset(ID)
    metadata = data.storage.metadata
    record = record_of("hopper")

    # The suite reads the same arrays of every episode as Minari's own interface.
    assert_lined_up(
        first.trajectories, [(e.observations, e.actions, e.rewards, e.terminations, e.truncations) for e in data.iterate_episodes()]
    )

    # Equal numbers of episodes from every snapshot up to medium.
    snapshots = [m["snapshot"] for m in data.storage.get_episode_metadata(range(data.total_episodes))]
    counts = np.bincount(snapshots)
    assert len(counts) == record["medium"] + 1
    assert len(set(counts.tolist())) == 1
    assert data.total_steps >= 1500

    # Every step has the behaviour's log-density; the metadata have the provenance.
    assert all(np.isfinite(e.infos["log_prob"]).all() and len(e.infos["log_prob"]) == len(e) for e in data.iterate_episodes())
    assert metadata["reference"] == BUILT_IN
    for k, name in (("ref_min_score", "random"), ("ref_max_score", "expert")):
        assert (metadata[k], metadata[f"{k}_error"]) == (record["reference"][name]["mean"], record["reference"][name]["error"])
    assert first.reference == built_in("Hopper-v5")
    assert metadata["code_revision"]
    assert data.env_spec.id == "Hopper-v5"
    assert "Hopper-v5" in metadata["description"]
    assert json.loads((minari_root / "iwsft" / "hopper" / "namespace_metadata.json").read_text()) is not None

    # A recorded data set is not recorded again. A recording by another number of processes is equal.
    def must_not_run(*_: object) -> None:
        raise AssertionError("recorded again")

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "run_episodes", must_not_run)
        assert recorder.record(ID) == path
    minari.delete_dataset(ID)
    recorder.record(ID, steps=1500, workers=1)
    assert load(ID).trajectories.digest == first.trajectories.digest
    assert sorted(p.name for p in minari_root.iterdir()) == [".cache", "iwsft"]


def test_an_interrupted_recording_leaves_no_file(minari_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recorder, "code_revision", interrupted)  # after Minari has written the episodes
    with pytest.raises(KeyboardInterrupt):
        recorder.record(ID, steps=10, workers=1)
    assert list(minari_root.rglob("*")) == []


def test_a_root_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "file" / "root"))
    with pytest.raises(DataError, match=r"root .* cannot be made \(Not a directory\); set MINARI_DATASETS_PATH"):
        recorder.record(ID, steps=10, workers=1)


def test_an_id_that_is_not_built_in_is_refused() -> None:
    with pytest.raises(DataError, match="not built in; built in are"):
        recorder.record("mujoco/hopper/expert-v0")
