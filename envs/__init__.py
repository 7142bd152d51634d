"""The world: logged data in, rollouts out. Knows nothing of algorithms."""
