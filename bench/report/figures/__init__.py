"""Figures of a suite, one file per kind; `draw.py` draws all of them."""
