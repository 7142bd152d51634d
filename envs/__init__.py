"""Logged data in, rollouts out. Knows nothing of algorithms."""
