"""examples/quickstart.ipynb runs from its first cell to its last, in a kernel of its own."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.paths import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")  # of the kernel's client
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "minari").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = [
        "".join(
            output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs if output.get("name") != "stderr"
        )
        for outputs in (cell.get("outputs", []) for cell in notebook.cells)
    ]
    assert "100 episodes" in "\n".join(printed)
    difference = float(printed[-1])
    assert difference <= 1e-5
    assert (tmp_path / "policy.pt").is_file()


def test_the_notebook_is_committed_without_outputs() -> None:
    assert all(not cell.get("outputs") for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
