"""Shards of a suite: runs of parts of it, trained in several folders or on several machines, put together in one folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp

from bench.errors import RunError
from bench.results.protocol import measured_runs, refuse_mixed
from bench.results.runs import Run, read_suite, report_left_out


def merge_suites(folders: Sequence[Path], out: Path, mixed: bool = False) -> int:
    """Copy the finished runs of the suites `folders` into folder `out`, which may have runs already; returns the number of copied runs.

    A run that `out` has, or that two folders have, is copied once. Raises RunError, before anything is written, for a folder without a
    finished run, and for runs of several protocols or revisions unless `mixed`.
    """
    own = [out] if any(out.glob("runs/*/run.json")) else []
    found = {folder: _runs(folder) for folder in dict.fromkeys([*own, *folders])}
    if not mixed:
        names = " and ".join(map(str, found))
        refuse_mixed(names, measured_runs(r for runs in found.values() for r, _ in runs), "merge everything with --mixed")
        refuse_revisions({folder: [(r["suite"], r["code_revision"]) for r, _ in runs] for folder, runs in found.items()})
    new: dict[str, Path] = {}
    for folder in folders:
        for record, _ in found[folder]:
            new.setdefault(record["config_hash"], Path(record["folder"]))
    taken = {record["config_hash"] for folder in own for record, _ in found[folder]}
    sources = [path for name, path in new.items() if name not in taken]
    for source in sources:
        _copy(source, out / "runs" / source.name)
    return len(sources)


def refuse_revisions(rows: Mapping[Path, Iterable[tuple[str, str]]]) -> None:
    """Raise RunError, naming both, if two files or folders have rows (suite, code revision) of one suite that different revisions made."""
    first: dict[str, tuple[Path, set[str]]] = {}
    for path, own in rows.items():
        by_suite: dict[str, set[str]] = {}
        for suite, revisions in own:
            by_suite.setdefault(suite, set()).update(revisions.split())
        for suite, revisions_here in by_suite.items():
            other, expected = first.setdefault(suite, (path, revisions_here))
            if expected != revisions_here:
                made = " and ".join(f"{p} by {', '.join(sorted(r))}" for p, r in ((other, expected), (path, revisions_here)))
                raise RunError(
                    f"suite {suite} was made by different code revisions: {made}. Shards of one suite share their code: train one of them "
                    "again, or merge with --mixed"
                )


def _runs(folder: Path) -> list[Run]:
    found = read_suite(folder)
    report_left_out(found.left_out)
    return found.runs


def _copy(source: Path, target: Path) -> None:
    """Copy the regular files of run directory `source` to `target`, which is whole or absent; links are left out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for path in source.iterdir():
            if path.is_file() and not path.is_symlink():
                shutil.copy2(path, scratch / path.name)
        if target.exists():  # unfinished, or damaged: a finished one is not copied
            raise RunError(f"{target}: a run that is not finished, or that cannot be read; remove it")
        scratch.chmod(source.stat().st_mode)
        os.rename(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
