"""Figures of a suite, one file a kind; `draw.py` draws all of them."""
