"""Every study runs in miniature and writes its rows, its figure and its verdict; a study that does not exist is one line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.cli import run
from bench.errors import EXIT_MISTAKE
from bench.launch.shards import jobs_of
from bench.storage.hashes import config_hash
from bench.studies import ordering, study
from bench.studies.bandit import cases, learn

LONG = ("bound", "kitchen", "pi_ref", "precision", "prepare", "quality", "weights")  # as the others are made; make test-slow runs them


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in study.names()])
def test_a_miniature_of_every_study(name: str, tmp_path: Path) -> None:
    options = study.Options(True, tmp_path)
    folder = study.run(name, options)
    assert {f"{name}.svg", f"{name}.png", "rows.csv", "README.md"} <= {p.name for p in folder.iterdir()}
    rows = list(csv.DictReader((folder / "rows.csv").read_text().splitlines()))
    assert len(rows) > 1
    text = (folder / "README.md").read_text()
    assert f"python -m bench study {name}" in text
    assert "miniature" in text


def test_studies_are_listed_and_a_wrong_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study"]) == 0
    assert "bandit" in capsys.readouterr().out
    assert run(["study", "bandid"]) == EXIT_MISTAKE
    assert "error: study bandid: expected one of" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["SFT", "iw-SFT", "clipped at 0.8", "ESS at least 80%"])
def test_the_bandit_reaches_its_theory(name: str) -> None:
    case = next(c for c in cases() if c.name == name)
    assert learn(case.weighting, 800)[-1][1] == pytest.approx(case.theory, abs=2e-2)


def test_ordering_has_the_runs_of_suite_paper() -> None:
    dataset = "iwsft/hopper/mixed-v0"
    own = {c.labels["method"]: c.config for c in ordering.cases() if c.config.dataset == dataset}
    for job in jobs_of(["suite=paper", f"dataset={dataset}", "algo=bc,iw_sft"]):
        assert config_hash(job, "data", "cpu", None) == config_hash(own[job.algo.name], "data", "cpu", None)
