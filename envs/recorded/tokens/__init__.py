"""Scripted solvers of the token tasks, and the data sets that they record."""
