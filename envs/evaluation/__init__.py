"""Policies played in environments."""
