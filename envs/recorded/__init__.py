"""Behaviour policies that make the built-in data: how they were trained, what they score, and how they are recorded."""
