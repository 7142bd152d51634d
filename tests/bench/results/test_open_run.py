"""A run of any origin: what cannot be trusted is one line, is left out with a mark, and blocks no other run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from bench.config.saved import load_config
from bench.errors import ConfigError, RunError
from bench.report.suite import rebuild
from bench.results.csv_files import to_csv
from bench.results.leaderboard import read_board
from bench.results.pooling import metrics_of, pooled
from bench.results.runs import open_run, read_suite
from bench.storage.layout import films
from tests.helpers.suites import make_run


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of run.json."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink() or (folder / name).write_bytes(content)  # type: ignore[func-returns-value]


def impostor(name: str, kind: str) -> Callable[[Path], None]:
    """Replace file `name` of a run by a link to a private file, or by a pipe that blocks its reader."""

    def change(folder: Path) -> None:
        path = folder / name
        moved = folder.parent.parent / f"private-{name}"
        path.rename(moved)
        path.symlink_to(moved) if kind == "link" else os.mkfifo(path)

    return change


def endless(folder: Path) -> None:
    """A run of 10^13 evaluations in both of its files."""
    edit(folder, updates=10**15)
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    tree["algo"]["updates"] = 10**15
    (folder / "config.yaml").write_text(json.dumps(tree))


BROKEN: dict[str, Callable[[Path], None]] = {
    **{f"{name} is a {kind}": impostor(name, kind) for name in ("run.json", "config.yaml", "episodes.csv") for kind in ("link", "pipe")},
    **{f"{key} = {value!r:.20}": lambda folder, key=key, value=value: edit(folder, **{key: value}) for key, value in (
        ("seeds", "0"), ("seeds", [0, 0]), ("seeds", []), ("seeds", [True]), ("updates", "200"), ("updates", -1), ("updates", True),
        ("final_episodes", 1e11), ("final_episodes", 10**11), ("last_k", None), ("reference", []), ("reference", {"name": "d4rl"}),
        ("reference", {"name": "d4rl", "random": "0", "expert": 1}), ("reference", {"name": "d4rl", "random": 1, "expert": 1}),
        ("reference", {"name": "d4rl", "random": 0, "expert": 1e300}), ("config_hash", 5), ("config_hash", None), ("algo", {}),
        ("algo", "x" * 2000), ("dataset", ["x"]), ("versions", "3.11"), ("versions", {"a": 1}), ("wall_time_s", "long"),
        ("wall_time_s", -1), ("parameters", 1.5), ("data_return_mean", float("nan")), ("clipped_actions", 2), ("note", 3),
        ("environment", "x"), ("environment", {"spec": "{}"}), ("device", None), ("stepper", [1]), ("status", "done"), ("method_hash", 3),
    )},
    "evaluations that no memory holds": endless,
    "a name of 10 MB": lambda folder: edit(folder, algo="x" * 10_000_000),
    "nested JSON": write("run.json", b"[" * 100_000),
    "a list": write("run.json", b"[]"),
    "bytes in run.json": write("run.json", b"\xff\xfe\x00"),
    "nested YAML": write("config.yaml", b"a: " + b"[" * 100_000),
    "aliases": write("config.yaml", b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
    "an anchor": write("config.yaml", b"a: &a 3\n"),
    "a tag": write("config.yaml", b"a: !!python/object/apply:os.system [touch exploded]\n"),
    "an interpolation": write("config.yaml", b"algo: {name: '${oc.env:HOME}'}\n"),
    "an escaped interpolation": write("config.yaml", b'algo: {name: "\\x24{oc.env:HOME}"}\n'),
    "an interpolation in a key": write("config.yaml", b'algo: {"\\u0024{oc.env:HOME}": x}\n'),
    "two documents": write("config.yaml", b"a: 1\n---\nb: 2\n"),
    "algo is a text": write("config.yaml", b"algo: bc\n"),
    "bytes in config.yaml": write("config.yaml", b"a: \xff\n"),
    "empty episodes": write("episodes.csv", b""),
    "binary episodes": write("episodes.csv", bytes(range(256)) * 10),
    "very many columns": write("episodes.csv", b"," * 100_000 + b"\n"),
    "a formula": lambda folder: (folder / "episodes.csv").write_text((folder / "episodes.csv").read_text().replace(",100\n", ",=1+1\n", 1)),
    "a return of 1e308": lambda folder: (folder / "episodes.csv").write_text(
        "update,seed,episode,return,length\n" + "".join(f"200,{s},{e},1e308,5\n" for s in (0, 1, 2) for e in range(4))
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_run_is_one_line_and_is_left_out_with_a_mark(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    make_run(tmp_path / "suite", "sft")
    folder = make_run(tmp_path / "suite", "bc")
    BROKEN[kind](folder)
    with pytest.raises(RunError) as caught:
        open_run(folder)
    line = str(caught.value)
    assert str(folder) in line
    assert line.isprintable()
    assert len(line) < 1000
    table = rebuild(tmp_path / "suite", page=False)
    assert f"Left out: {folder}" in table
    assert "Left out" in (tmp_path / "suite" / "table.tex").read_text()
    assert set(read_board(tmp_path / "suite" / "leaderboard.csv")["algo"]) == {"sft"}
    assert capsys.readouterr().err.count("left out: ") == 1
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "extra",
    [
        {"portions": 5}, {"portions": [["/etc", [0]]]}, {"final_only": True}, {"levelled_off": True},
        {"config": {}, "failed_episodes": -1}, {"score_mean": 99.0, "source": "ours", "citation": "x"},
    ],
)  # fmt: skip
def test_keys_that_no_run_writes_are_dropped(extra: dict[str, Any], tmp_path: Path) -> None:
    """Tables add entries of their own to the record, under these names."""
    folder = make_run(tmp_path / "suite", "bc")
    before = rebuild(tmp_path / "suite", page=False), (tmp_path / "suite" / "leaderboard.csv").read_text()
    edit(folder, **extra)
    assert (rebuild(tmp_path / "suite", page=False), (tmp_path / "suite" / "leaderboard.csv").read_text()) == before


def test_a_suite_of_broken_runs_names_the_first_reason(tmp_path: Path) -> None:
    edit(make_run(tmp_path), updates="200")
    with pytest.raises(RunError, match=r"updates = '200': expected a whole number"):
        rebuild(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 50, b"update,seed\nx,0\n", b"a,b\n1,2\n"])
def test_a_broken_curve_leaves_the_run_in_the_table(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = make_run(tmp_path, "iw_sft")
    (folder / "curve.csv").write_bytes(content)
    runs = read_suite(tmp_path).runs
    assert metrics_of(pooled(runs)[0][0]) is None
    assert "curve.csv" in capsys.readouterr().err


def test_a_copy_of_a_run_counts_once(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "suite")
    shutil.copytree(folder, folder.with_name(f"{folder.name}.bak"))
    shutil.copytree(folder, folder.with_name("a-copy"))
    runs, left_out = read_suite(tmp_path / "suite")
    assert [record["folder"] for record, _ in runs] == [str(folder)]
    assert [left.folder.name for left in left_out] == ["a-copy", f"{folder.name}.bak"]
    assert all("is a copy of" in left.reason for left in left_out)
    rebuild(tmp_path / "suite")


def test_a_folder_that_is_a_link_is_left_out(tmp_path: Path) -> None:
    elsewhere = make_run(tmp_path / "private")
    folder = make_run(tmp_path / "suite", "sft")
    (folder.parent / elsewhere.name).symlink_to(elsewhere)
    runs, left_out = read_suite(tmp_path / "suite")
    assert [record["algo"] for record, _ in runs] == ["sft"]
    assert "is a link" in left_out[0].reason


def test_films_are_regular_files(tmp_path: Path) -> None:
    (tmp_path / "episode-0-0.webp").write_bytes(b"x")
    os.mkfifo(tmp_path / "episode-0-1.webp")
    (tmp_path / "episode-0-2.webp").mkdir()
    (tmp_path / "episode-0-3.webp").symlink_to("/etc/passwd")
    assert [path.name for path in films(tmp_path)] == ["episode-0-0.webp"]


HOSTILE = [
    '=cmd|"/c calc"!A1',
    "@SUM(1)",
    "-2+3",
    "$\\frac{$",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "a\nb|c",
    "{{7*7}}",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("key", ["algo", "dataset", "device", "code_revision", "note"])
def test_texts_stay_texts_in_every_format(text: str, key: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "suite")
    edit(folder, **{key: text})
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    if key == "algo":
        tree["algo"]["name"] = text
    elif key == "dataset":
        tree["dataset"] = text
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    rebuild(tmp_path / "suite", page=key == "algo" and text[0] in "$<")
    for name in ("table.csv", "leaderboard.csv", "scores.csv"):
        cells = pd.read_csv(tmp_path / "suite" / name, dtype=str, keep_default_na=False).to_numpy().ravel()
        formulas = [c for c in cells if c.strip()[:1] in ("=", "@", "+") or c.startswith("-2+3")]
        assert formulas == []
    table = (tmp_path / "suite" / "table.md").read_text() + (tmp_path / "suite" / "costs.md").read_text()
    assert "<img" not in table
    assert "](java" not in table


def test_numbers_are_no_formulas() -> None:
    table = pd.DataFrame({"a": ["-0.2", "=1", "+5", "-", "x=1", " =1"], "b": [-1.0, 2, 3, 4, 5, 6]})
    assert [line.split(",")[0] for line in to_csv(table).splitlines()[1:]] == ["-0.2", "'=1", "+5", "-", "x=1", "' =1"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"algo": {"hidden": [3_000_000, 3_000_000]}}, r"algo\.hidden: expected at most"),
        ({"algo": {"hidden": [8] * 1000}}, r"algo\.hidden: expected at most"),
        ({"eval": {"final_episodes": 10**11}}, r"eval\.final_episodes = 100000000000: expected at most"),
        ({"eval": {"final_episodes": "many"}}, "is no configuration of this suite"),
        ({"seeds": list(range(20_000))}, "seeds: expected at most"),
        ({"seeds": list(range(100_000))}, "more than 30000 values"),
        ({"seeds": "x"}, "is no configuration of this suite"),
        ({"algo": {"updates": "${oc.env:HOME}"}}, "contains an interpolation"),
    ],
)
def test_a_configuration_of_any_size_builds_nothing(change: dict[str, Any], match: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    for key, value in change.items():
        tree[key] = tree[key] | value if isinstance(value, dict) else value
    (folder / "config.yaml").write_text(json.dumps(tree))
    with pytest.raises((RunError, ConfigError), match=match):
        load_config(folder)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a" * 1000, b"schema\n" + b'"' * 200_000, b"\x00"])
def test_a_broken_leaderboard_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "board.csv").write_bytes(content)
    with pytest.raises(RunError, match=r"board\.csv"):
        read_board(tmp_path / "board.csv")
