"""The report page of a suite: one self-contained HTML file. `build.py` gathers, page.html lays out."""
