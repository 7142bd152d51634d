"""The runner: configuration, training, evaluation, run directories, statistics and tables."""
