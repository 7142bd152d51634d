"""Minari's root, and data sets that appear in it whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from envs.errors import DataError
from envs.files import flush, scratch_folder


def datasets_root() -> Path:
    """Minari's root (MINARI_DATASETS_PATH), made if it is absent. Raises DataError if it cannot be made."""
    from minari.storage import get_dataset_path

    try:
        return Path(get_dataset_path()).absolute()  # Minari changes to other folders
    except OSError as error:
        raise DataError(f"Minari's root {error.filename} cannot be made ({error.strerror}); set MINARI_DATASETS_PATH") from error


@contextmanager
def minari_root(root: Path) -> Iterator[None]:
    """Make `root` Minari's root inside the block."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before


def publish(dataset: str, root: Path, write: Callable[[Path], None], doing: str = "written", overwrite: bool = False) -> Path:
    """Let `write` make data set `dataset` below an empty folder, and move it to its place in `root` when it is complete.

    While `write` runs, Minari's root is that empty folder. A data set of this id in `root` stays, unless `overwrite`. An error of `write`
    leaves no file. Raises DataError if `root` cannot be written.
    """
    final = root / dataset
    try:
        with scratch_folder(root) as scratch:
            with minari_root(scratch):
                write(scratch)
            for path in (scratch / dataset).rglob("*"):
                if path.is_file():
                    flush(path)
            final.parent.mkdir(parents=True, exist_ok=True)
            for folder in (scratch / dataset).relative_to(scratch).parents:
                namespace = scratch / folder / "namespace_metadata.json"
                if namespace.exists() and not (target := root / folder / namespace.name).exists():
                    namespace.rename(target)
            if overwrite and final.exists():
                os.replace(final, scratch / "overwritten")
            if not final.exists():  # another process may have made the same data meanwhile
                os.replace(scratch / dataset, final)
    except OSError as error:
        raise DataError(f"data set '{dataset}' cannot be {doing} in {root}: {error.strerror or error}; set MINARI_DATASETS_PATH") from error
    return final
