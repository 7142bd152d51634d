"""The defaults of methods that the page compares settings with: composed once, kept while their sources stay the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.config.compose import defaults
from bench.report.page import method_defaults
from bench.report.page.method_defaults import defaults_of


@pytest.fixture
def composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The methods that are composed, call by call; with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls: list[list[str]] = []

    def compose(algos: Sequence[str]) -> list[dict[str, Any]]:
        calls.append(list(algos))
        return [defaults(algo) for algo in algos]

    monkeypatch.setattr(method_defaults, "_compose", compose)
    return calls


def test_kept_defaults_equal_composed_ones(composed: list[list[str]]) -> None:
    found = defaults_of(["iql", "sft"])
    assert found == {"iql": defaults("iql"), "sft": defaults("sft")}
    assert found["iql"]["algo.expectile"] == 0.7
    assert defaults_of(["sft", "iql"]) == found
    assert defaults_of(["sft", "mine"]) == {"sft": defaults("sft"), "mine": {}}
    assert composed == [["iql", "sft"]]


def test_other_sources_are_composed_anew(composed: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    defaults_of(["sft"])
    monkeypatch.setattr(method_defaults, "_sources", lambda: "other")
    defaults_of(["sft"])
    assert composed == [["sft"], ["sft"]]


def test_the_sources_are_code_of_methods_and_their_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    before, read = method_defaults._sources(), Path.read_text
    for changed in ("iql.py", "iql.yaml", "schema.py"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", lambda path, name=changed, **kw: read(path, **kw) + "#" * (path.name == name))
            assert method_defaults._sources() != before
    assert method_defaults._sources() == before


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"sources": 1}', "[" * 100_000])
def test_a_damaged_file_is_made_anew(content: str, composed: list[list[str]]) -> None:
    file = method_defaults._file()
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert defaults_of(["sft"]) == defaults_of(["sft"]) == {"sft": defaults("sft")}
    assert composed == [["sft"]]


def test_a_cache_that_cannot_be_written_is_no_error(composed: list[list[str]], tmp_path: Path) -> None:
    method_defaults._file().parent.write_text("a file in its place")
    assert defaults_of(["sft"]) == {"sft": defaults("sft")}
