"""table.tex is LaTeX: pdflatex with booktabs makes a page of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.report.suite import rebuild
from bench.results.protocol import TableOptions
from tests.helpers.suites import make_run, make_suite

PDFLATEX = shutil.which("pdflatex")
PAGE = r"""\documentclass{article}
\usepackage{booktabs}
\usepackage[a4paper,margin=2cm]{geometry}
\begin{document}
\noindent\small
\input{suite/table.tex}
\end{document}
"""


def compile_page(folder: Path) -> None:
    """Compile folder/suite/table.tex; fail on any warning, and on a line wider than the paper."""
    (folder / "page.tex").write_text(PAGE)
    assert PDFLATEX is not None
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "page.pdf").stat().st_size > 10_000
    for complaint in ("Warning", "Missing character", "Overfull"):
        assert complaint not in done.stdout, done.stdout


@pytest.mark.slow
@pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex here: apt-get install texlive-latex-base texlive-latex-recommended")
def test_the_table_compiles_without_a_complaint(tmp_path: Path) -> None:
    """With flags, raw returns, names with characters that LaTeX reserves, and several tables."""
    suite = make_suite(tmp_path / "suite")
    make_run(suite, "a_method%of&many#signs$", change=lambda rows: [r for r in rows if r["seed"] != 1])
    make_run(suite, "bc", "own/no_reference-v0", reference=None)
    make_run(suite, "bc", final_episodes=6)
    rebuild(suite, TableOptions(mixed=True), page=False)
    compile_page(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex here: apt-get install texlive-latex-base texlive-latex-recommended")
def test_nineteen_methods_on_seven_data_sets_fit_an_upright_page(tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    for name in ("halfcheetah/medium-replay", "halfcheetah/medium-expert", "hopper/medium-replay", "walker2d/medium-expert", "ant/medium"):
        for i in range(19):
            make_run(suite, f"long_method_{i}", f"iwsft/{name}-v0", [0, 1], level=1500.0)
    for name in ("a_set%of&many#signs$-v0", "kitchen/complete-v0"):
        make_run(suite, "long_method_0", name, [0, 1], reference=None, level=-12000.0)
    rebuild(suite, page=False)
    assert (suite / "table.tex").read_text().count(r"\toprule") == 3  # four and three data sets, and the aggregates
    compile_page(tmp_path)
