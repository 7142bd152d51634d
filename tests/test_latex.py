"""table.tex is LaTeX: pdflatex with booktabs makes a page of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from fake_suite import make_run, make_suite

from bench.leaderboard import rebuild
from bench.wanted import Wanted

PDFLATEX = shutil.which("pdflatex")
PAGE = r"""\documentclass{article}
\usepackage{booktabs}
\usepackage[landscape,margin=1cm]{geometry}
\begin{document}
\small
\input{suite/table.tex}
\end{document}
"""


@pytest.mark.slow
@pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex here: apt-get install texlive-latex-base texlive-latex-recommended")
def test_the_table_compiles_without_a_complaint(tmp_path: Path) -> None:
    """With all that a cell can hold: flags, raw returns, names with characters that LaTeX reserves, several tables."""
    suite = make_suite(tmp_path / "suite")
    make_run(suite, "a_method%of&many#signs$", change=lambda rows: [r for r in rows if r["seed"] != 1])
    make_run(suite, "bc", "own/no_reference-v0", reference=None)
    make_run(suite, "bc", final_episodes=6)
    rebuild(suite, Wanted(mixed=True))
    (tmp_path / "page.tex").write_text(PAGE)
    assert PDFLATEX is not None
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "page.pdf").stat().st_size > 10_000
    for complaint in ("Warning", "Missing character"):
        assert complaint not in done.stdout, done.stdout
