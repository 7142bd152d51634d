"""The report page of a suite: one self-contained HTML file."""
