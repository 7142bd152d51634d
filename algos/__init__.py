"""Methods that learn policies from logged data. Independent of Hydra, files and environments."""
