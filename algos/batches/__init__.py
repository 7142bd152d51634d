"""Batches of logged data: sampling, transitions, curation, returns, blocks of random numbers."""
