"""Runs of transformers on token tasks: trained, saved, played again, refused where they do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.api.export import export
from bench.cli import run
from bench.config.compose import compose
from bench.config.schema import Config
from bench.errors import EXIT_MISTAKE
from bench.replay.load import load_run
from bench.storage.rundir import read_csv
from bench.training.evaluate import play
from bench.training.member_groups import MemberGroups
from bench.training.run import train_run
from bench.training.shared import Shared
from envs.evaluation.processes import Processes
from envs.evaluation.rollout import Evaluator
from envs.recorded.tokens.sets import record_tokens

DATASET = "iwsft/maze/mixed-v0"
SMALL = (
    "policy=transformer", "algo.hidden=[16]", "seeds=[3,1]", "eval.every=10", "eval.episodes=2", "eval.final_episodes=6", "eval.workers=1",
    "device=cpu", f"dataset={DATASET}", "algo.updates=20", "algo.batch_size=8", "pi_ref.batch_size=8", "pi_ref.updates=30",
    "trainer.processes=1",
)  # fmt: skip


@pytest.fixture
def token_data(minari_root: Path) -> Path:
    return record_tokens(DATASET, minari_root, episodes=120)


def composed(tmp_path: Path, *overrides: str) -> Config:
    return compose((*SMALL, *overrides, f"results_dir={tmp_path}"))


def test_a_run_is_trained_saved_and_played_again_without_its_data(token_data: Path, tmp_path: Path) -> None:
    """SFT(Q) cut by the share of right parts, both modes of actions; loaded policies give the recorded episodes."""
    overrides = ("algo=iw_sft_q", "algo.curation.score=partial", "algo.curation.percentiles=[10,30]", "eval.actions=both")
    with Shared() as shared:
        config = composed(tmp_path, *overrides)
        folder = train_run(config, shared)
        data = shared.run_data(config)
    assert data.trajectories.partial is not None
    shutil.rmtree(token_data)
    loaded = load_run(folder.path)
    assert loaded.record["stepper"] == "batch"
    algo = loaded.population()
    with Evaluator(loaded.env_spec, 1) as environments:
        for sampled in (False, True):
            played = play(algo, loaded.environment, environments, 20, 6, sampled=sampled)
            rows = [r for r in read_csv(folder.path / "episodes.csv") if r["update"] == "20" and r["sampled"] == str(int(sampled))]
            for k, seed in enumerate((3, 1)):
                recorded = [(float(r["return"]), int(r["length"])) for r in rows if r["seed"] == str(seed)]
                assert recorded == list(zip(played.returns[k], played.lengths[k], strict=True))


@pytest.mark.parametrize("sampled", [False, True])
def test_written_answers_equal_gymnasiums_steps(sampled: bool, token_data: Path, tmp_path: Path) -> None:
    """The batched path with cached keys against `act` on every observation in environments of Gymnasium."""
    with Shared() as shared:
        config = composed(tmp_path, "algo=bc")
        folder = train_run(config, shared)
        data = shared.run_data(config)
    algo = load_run(folder.path).population()
    for own in algo.policy().values():
        own.mul_(1.5)  # less likely ties
    with Evaluator(data.env_spec, 1) as environments:
        found = play(algo, data, environments, 20, 5, sampled=sampled)
        parts = MemberGroups([load_run(folder.path).population([seed]) for seed in (3, 1)])
        parts.load_policy(algo.policy())
        split = play(parts, data, environments, 20, 5, sampled=sampled)

        class Steps:
            stepper = "processes"

            def run(self, act: object, seeds: np.ndarray, on_step: object, write: object = None) -> object:
                processes = Processes(data.env_spec, 1)
                try:
                    return processes.run(act, seeds, on_step)  # type: ignore[arg-type]
                finally:
                    processes.close()

        expected = play(algo, data, Steps(), 20, 5, sampled=sampled)  # type: ignore[arg-type]
    for a, b, c in zip(found, expected, split, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert len(set(found.lengths.ravel().tolist())) > 1


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("algo=sft", "algo.sampler=transitions"), "algo.sampler = transitions: expected trajectories: a transformer learns from whole"),
        (
            ("algo=sft", "pi_ref.sampler=transitions"),
            "pi_ref.sampler = transitions: expected trajectories: a transformer learns from whole",
        ),
        (("algo=sft", "algo.hidden=[16,24]"), "algo.hidden = [16, 24]: expected equal widths of blocks, a multiple of 16 each"),
        (("algo=iql",), "algo.policy: not a key of this method (bc, dft, filtered_bc, iw_sft, iw_sft_q, sft, sft_q have it)"),
        (("algo=sft", "policy=transformr"), "policy=transformr: no such policy; near names: transformer"),
        (
            ("policy=mlp", "algo=sft", "algo.weighting.kind=suffix"),
            "algo.sampler = transitions: expected trajectories, with algo.weighting.kind",
        ),
        (("algo=sft", "algo.anchor=-1"), "algo.anchor = -1.0: expected a number of at least 0"),
        (("algo=sft", "algo.weighting.kind=clipped", "algo.weighting.clip=0"), "algo.weighting.clip = 0.0: expected a positive number"),
    ],
)
def test_a_mistake_is_one_line(overrides: tuple[str, ...], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [a for a in SMALL if not any(a.partition("=")[0] == o.partition("=")[0] for o in overrides)]
    assert run([*given, *overrides, f"results_dir={tmp_path}"]) == EXIT_MISTAKE
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


def test_data_that_do_not_fit_are_one_line(fresh_data: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.helpers.episodes import PENDULUM

    given = [a for a in SMALL if not a.startswith("dataset=")]
    assert run([*given, "algo=bc", f"dataset={PENDULUM}", f"results_dir={tmp_path}"]) == EXIT_MISTAKE
    error = capsys.readouterr().err
    assert "policy=transformer learns from token sequences; the actions of these data are continuous; use policy=mlp" in error
    assert error.count("\n") == 1
    score = ("policy=mlp", "algo.curation.score=partial", "algo.curation.percentiles=[50]")
    small = [a for a in given if not a.startswith("policy=")]
    assert run([*small, "algo=filtered_bc", *score, f"dataset={PENDULUM}", f"results_dir={tmp_path}"]) == EXIT_MISTAKE
    assert "curation.score = partial: these data state no infos/partial" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("suffix", [".pt", ".onnx"])
def test_exported_policies_equal_their_own(suffix: str, token_data: Path, tmp_path: Path) -> None:
    with Shared() as shared:
        folder = train_run(composed(tmp_path, "algo=bc"), shared)
        data = shared.run_data(composed(tmp_path, "algo=bc"))
    loaded = load_run(folder.path)
    algo, path = loaded.population([1]), tmp_path / f"policy{suffix}"
    observations = data.trajectories.observations[:40]
    expected = algo.act(observations[None])[0, :, 0].long()
    export(algo, loaded.environment, path)
    if suffix == ".pt":
        assert torch.equal(torch.jit.load(str(path))(observations), expected)
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path))
        assert session.run(None, {"observations": observations.numpy()})[0].tolist() == expected.tolist()
