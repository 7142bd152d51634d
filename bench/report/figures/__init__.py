"""Figures of a suite, drawn from its raw runs. One file a kind; `draw.py` draws them all."""
