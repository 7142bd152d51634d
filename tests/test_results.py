"""Committed results: git tracks results/reference alone and ignores a user's own results; docs/results.md shows the committed tables."""

from __future__ import annotations

import subprocess

import pytest

from tests.helpers.paths import ROOT

REFERENCE = ROOT / "results" / "reference"


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)


@pytest.fixture(autouse=True)
def checkout() -> None:
    if git("rev-parse", "--is-inside-work-tree").returncode:
        pytest.skip("not a git checkout")


@pytest.mark.parametrize(
    "path", ["quick/table.md", "quick/runs/x/run.json", "single/leaderboard.csv", "speed/speed-cpu.csv", ".pi_ref/x", "note.md"]
)
def test_results_of_a_user_are_ignored(path: str) -> None:
    assert git("check-ignore", "--no-index", "--quiet", f"results/{path}").returncode == 0


@pytest.mark.parametrize("path", ["README.md", "quick/table.md", "speed/speed-cuda.csv"])
def test_reference_results_are_not_ignored(path: str) -> None:
    assert git("check-ignore", "--no-index", "--quiet", f"results/reference/{path}").returncode == 1


def test_git_tracks_reference_results_alone() -> None:
    tracked = git("ls-files", "results").stdout.split()
    assert tracked
    assert [path for path in tracked if not path.startswith("results/reference/")] == []


def test_every_reference_folder_has_its_command() -> None:
    readme = (REFERENCE / "README.md").read_text()
    for folder in (path for path in REFERENCE.iterdir() if path.is_dir()):
        assert f"| `{folder.name}` | `make " in readme


@pytest.mark.parametrize("suite", ["quick", "paper"])
def test_the_page_shows_the_committed_table(suite: str) -> None:
    rows = (REFERENCE / suite / "table.md").read_text().partition("## Published")[0].splitlines()
    page = (ROOT / "docs" / "results.md").read_text().splitlines()
    table = [row for row in rows if row.startswith("|")]
    assert len(table) > 2
    assert [row for row in table if row not in page] == []
