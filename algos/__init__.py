"""The methods. One file a method, one file an idea they share. Knows nothing of Hydra, files or environments."""
