"""Runs that were read before: nothing is read again, every change is noticed, and the tables are the same."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.report.suite import TABLES, rebuild
from bench.results import known, runs
from bench.results.known import Known, states_of
from bench.results.runs import read_suite
from tests.helpers.suites import make_run, make_suite, with_hashes


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite whose runs have been read."""
    monkeypatch.setattr(known, "AGE", 0.0)
    make_suite(tmp_path / "suite", ["bc", "iw_sft"])
    for folder in list((tmp_path / "suite" / "runs").iterdir()):
        with_hashes(folder)
    rebuild(tmp_path / "suite", page=False)
    return tmp_path / "suite"


def tables(suite: Path) -> dict[str, bytes]:
    return {name: (suite / name).read_bytes() for name in TABLES}


def test_an_unchanged_run_is_not_parsed_again(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, files = tables(suite), read_suite(suite)
    monkeypatch.setattr(runs, "parse_run", None)
    again = read_suite(suite)
    for (record, rows), (other, others) in zip(files.runs, again.runs, strict=True):
        assert record == other
        assert rows.equals(others)
        assert list(rows.dtypes) == list(others.dtypes)
    rebuild(suite, page=False)
    assert tables(suite) == before


def test_a_run_that_ends_adds_itself(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables equal those of a rebuild that knows nothing, byte for byte."""
    new = with_hashes(make_run(suite, "sft", "iwsft/hopper/medium-v0"))
    parse, parsed = runs.parse_run, []
    monkeypatch.setattr(runs, "parse_run", lambda folder: parsed.append(folder) or parse(folder))
    rebuild(suite, page=False)
    assert parsed == [new]
    added = tables(suite)
    shutil.rmtree(suite / ".cache")
    rebuild(suite, page=False)
    assert len(parsed) == 6
    assert tables(suite) == added


def test_tables_and_page_of_known_runs_load_no_torch(suite: Path) -> None:
    """Torch would take a second and 200 MB; the page shows the methods' defaults all the same."""
    imports = "import sys; from pathlib import Path; from bench.report.figures import draw; from bench.report.suite import rebuild"
    code = f"{imports}; draw.draw = lambda *_: {{}}; rebuild(Path(sys.argv[1])); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(suite)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
    assert "<td>10000</td><td>200</td>" in (suite / "report.html").read_text()


def test_a_run_that_is_gone_is_gone(suite: Path) -> None:
    shutil.rmtree(next((suite / "runs").glob("*-bc-*")))
    assert len(read_suite(suite, remember=True).runs) == 3
    assert len(Known(suite).entries) == 3


@pytest.mark.parametrize("name", ["run.json", "config.yaml", "episodes.csv", "curve.csv", "checkpoint.safetensors", "policy.safetensors"])
def test_a_file_that_changes_within_its_size_is_noticed(name: str, suite: Path) -> None:
    folder = next((suite / "runs").iterdir())
    with open(folder / name, "r+b") as file:
        file.seek(-3, 2)
        last = file.read(1)
        file.seek(-3, 2)
        file.write(bytes([last[0] ^ 1]))
    found = read_suite(suite)
    assert len(found.runs) == 3
    assert found.left_out[0].folder == folder
    assert name in found.left_out[0].reason


@pytest.mark.parametrize("change", ["added", "removed", "a link"])
def test_files_that_come_and_go_are_noticed(change: str, suite: Path) -> None:
    folder = next((suite / "runs").iterdir())
    if change == "added":
        (folder / "policy-100.safetensors").write_bytes(b"new")
    else:
        (folder / "checkpoint.safetensors").rename(suite / "elsewhere")
        if change == "a link":
            (folder / "checkpoint.safetensors").symlink_to(suite / "elsewhere")
    assert [left.folder for left in read_suite(suite).left_out] == [folder]


def test_a_folder_from_elsewhere_is_read(suite: Path, tmp_path: Path) -> None:
    """Its files have other inodes and times than its cache says."""
    copy = shutil.copytree(suite, tmp_path / "copy")
    folder = next((copy / "runs").iterdir())
    assert folder.name in Known(copy).entries
    assert Known(copy).find(folder, states_of(folder)) is None


def test_a_file_that_has_just_changed_is_read_again(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "AGE", 1e6)
    shutil.rmtree(suite / ".cache")
    rebuild(suite, page=False)
    assert Known(suite).entries == {}


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"{}" * 50])
def test_a_damaged_cache_is_ignored(content: bytes, suite: Path) -> None:
    (suite / known.NAME).write_bytes(content)
    assert len(read_suite(suite).runs) == 4
    rebuild(suite, page=False)
    assert len(Known(suite).entries) == 4


def test_another_version_of_the_code_reads_anew(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "version", lambda: "another")
    assert Known(suite).entries == {}
