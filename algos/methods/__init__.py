"""The methods, one file each: configuration, losses, update."""
