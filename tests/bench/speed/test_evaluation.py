"""`python -m bench speed evaluation`: the kinds play the same episodes, and the table and figure hold what was measured."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.speed.evaluation import COLUMNS, KINDS, Workload, table
from bench.speed.figure import evaluation_figure
from bench.speed.options import EvaluationOptions, parse
from bench.speed.rows import read_csv
from envs.evaluation.episodes import Moments
from tests.helpers.cli import bench

TOY = ("tasks=[HalfCheetah-v5]", "environments=[3]", "steps=60", "hidden=[8]", "rounds=2", "threads=2")


def test_all_kinds_play_the_same_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Workload("Hopper-v5", 4, parse(EvaluationOptions, [*TOY, "length=9", "steps=70"]))) as work:
        threads, processes = work.in_threads(work.seeds), work.in_processes(work.seeds)
        np.testing.assert_array_equal(threads.returns, processes.returns)
        np.testing.assert_array_equal(threads.lengths, work.lengths)
        assert work.lengths.sum() >= 60
        observation = torch.randn(1, 11)
        batch = observation.numpy().repeat(4, 0)
        in_loop = np.clip(work.net(observation).detach().numpy(), -1, 1)
        np.testing.assert_allclose(work.act(batch, Moments(*np.zeros((2, 4), int)))[:1], in_loop, rtol=1e-5, atol=1e-6)
        assert 4 * work.in_loop() >= work.lengths.sum()
        states: list[np.ndarray] = []
        monkeypatch.setattr("mujoco.mj_step", lambda model, data, frames: states.append(data.ctrl.copy()))
        work.physics_alone()
        assert len(states) == work.lengths.sum()


def test_the_command_leaves_a_table_and_a_figure(tmp_path: Path) -> None:
    done = bench(tmp_path, "speed", "evaluation", *TOY)
    folder = tmp_path / "results" / "speed"
    assert {p.name for p in folder.iterdir()} == {"evaluation-cpu.csv", "evaluation-cpu.svg", "evaluation-cpu.png"}
    rows = read_csv(folder / "evaluation-cpu.csv", COLUMNS)
    assert [r["kind"] for r in rows] == list(KINDS)
    assert {(r["environments"], r["members"], r["steps"], r["rounds"]) for r in rows} == {(3, 3, 60, 2)}
    assert rows[3]["share_of_physics"] == rows[2]["x_loop"] == 1
    assert table(rows).splitlines()[-1] in done.stdout


def test_the_figure_has_a_panel_for_each_task() -> None:
    rows = [
        {"task": task, "environments": n, "kind": kind, "env_steps_per_s": 100.0 * n} for task in "ab" for n in (1, 4) for kind in KINDS
    ]
    panels = evaluation_figure(rows, "a machine").axes
    assert [axes.get_title() for axes in panels] == ["a", "b"]
    assert [line.get_label() for line in panels[0].get_lines()] == ["threads", "processes", "loop", "physics alone"]
