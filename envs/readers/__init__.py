"""Find, download and read data sets: Minari, D4RL."""
