"""Batches of logged data: sampling, transitions, curation, returns, and blocks of random numbers."""
