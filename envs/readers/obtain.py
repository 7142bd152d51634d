"""Obtain data sets that Minari's root lacks: record, convert D4RL's files, or download."""

from __future__ import annotations

import difflib
import io
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from textwrap import shorten

from envs.data.minari_root import datasets_root, publish
from envs.data.selection import Part, parse
from envs.errors import DataError
from envs.readers import d4rl
from envs.readers.download import unreachable
from envs.recorded.record import built_in_sets, record


def ensure(dataset: str) -> None:
    """Make sure that every data set of expression `dataset` is in Minari's root. Raises DataError, with near names, for an unknown id."""
    for part in parse(dataset):
        obtain(part)


def obtain(part: Part, download: bool = True) -> None:
    """Find the data set of `part` in Minari's root; else record a built-in one, convert D4RL's, download others. Raises DataError.

    Without `download` an absent data set is refused, with the command that gets it: nothing is downloaded, recorded or converted.
    """
    dataset, root = part.dataset, datasets_root()
    if (root / dataset / "data").exists():
        if dataset.startswith("d4rl/"):
            d4rl.refresh(dataset)
        return
    built_in = dataset in built_in_sets()
    if dataset.startswith("iwsft/") and not built_in:
        raise DataError(f"no data set '{dataset}'{_near(dataset, root)}")
    if not download:
        raise DataError(f"data set '{dataset}' is not in {root}; get it first: {_command(dataset, built_in)}, or --allow-download")
    if built_in:
        record(dataset)
    elif dataset.startswith("d4rl/"):
        d4rl.obtain(dataset)
    else:
        missing, near = f"is not in {root}", _near(dataset, root)
        publish(dataset, root, lambda _: _download(part, missing, near), "downloaded")


def _command(dataset: str, built_in: bool) -> str:
    """The command that gets an absent data set."""
    if built_in:
        return f"python -m bench record {dataset}"
    return f"python -m bench convert FILE.hdf5 {dataset}" if dataset.startswith("d4rl/") else f"minari download {dataset}"


def _download(part: Part, missing: str, near: str) -> None:
    """Minari's download, with its progress bar, into Minari's root."""
    import minari

    full = part.dataset if part.remote is None else f"{part.remote}/{part.dataset}"
    remote = part.remote or os.environ.get("MINARI_REMOTE", "hf://")
    try:
        if remote.startswith("hf://") and (reason := unreachable(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))):
            raise ConnectionError(reason)
        print(f"downloading {full}", file=sys.stderr)
        with redirect_stdout(io.StringIO()):  # Minari prints the name of the scratch folder; its bars are on stderr
            minari.download_dataset(full)
    except Exception as error:  # network, host and Minari raise errors of many types
        reason = shorten(str(error).strip().splitlines()[-1], 300) if str(error).strip() else type(error).__name__
        raise DataError(
            f"data set '{part.dataset}' {missing} and cannot be downloaded ({reason}){near}; "
            f"where there is a network, run: minari download {full}"
        ) from error


def _near(dataset: str, root: Path) -> str:
    """A hint at ids similar to `dataset`, or an empty text."""
    local = {path.parent.parent.relative_to(root) for path in root.glob("**/data/metadata.json")}
    names = {str(path) for path in local if not path.parts[0].startswith(".")}
    close = difflib.get_close_matches(dataset, sorted(names | set(built_in_sets())), 3, 0.5)
    return f"; near names: {', '.join(close)}" if close else ""
