"""The study of bounds writes its verdict again from kept rows, keeps other data sets' rows, and refuses a damaged table."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import RunError
from bench.studies import bound, study
from bench.studies.bounds import exact, sampled


def test_rows_of_other_data_sets_are_kept_and_options_set_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[sampled.Size] = []

    def rows(size: sampled.Size) -> list[dict[str, object]]:
        asked.append(size)
        columns = {"J": 0.5, "J_low": 0.4, "J_high": 0.6, "J_ref": 0.1, "log_gain": 1.0, "bound_log_gain": 0.5, "bound_best_scale": 0.2}
        path = {"ess": 0.5, "gradient_variance": 2.0, "bound": 0.15}
        return [
            {"setting": size.dataset, "method": method, "update": 9, "seed": 0, "sample": s, "density": d, "q": q} | columns | path
            for method in sampled.METHODS
            for s in ("held-out", "training")
            for d in ("recorded", "fitted")
            for q in ("own", "pi_ref", "alpha 0", "alpha 0.02", "alpha 0.1", "alpha 1")
        ]

    monkeypatch.setattr(sampled, "rows", rows)
    monkeypatch.setattr(exact, "rows", lambda setting, updates, real=exact.rows: real(setting, exact.EARLY))
    fork, hopper = bound.datasets()
    study.run("bound", study.Options(False, tmp_path, only=fork, seeds=2, episodes=7))
    assert [(s.dataset, s.seeds, s.rollouts) for s in asked] == [(fork, (0, 1), 7)]
    study.run("bound", study.Options(False, tmp_path, only=hopper))
    first = (tmp_path / "bound" / "README.md").read_text()
    assert f"| {fork} | SFT | 0.50 (0.40 to 0.60) |" in first
    assert f"| {hopper} | SFT |" in first
    study.run("bound", study.Options(False, tmp_path, train=False))
    assert len(asked) == 2
    assert (tmp_path / "bound" / "README.md").read_text() == first
    (tmp_path / "bound" / "rows.csv").write_text("setting,J\nfork,much\n")
    with pytest.raises(RunError, match=r"rows.csv: cannot be read as rows of a study .*; move it away"):
        study.run("bound", study.Options(False, tmp_path, train=False))
