"""Studies of the claims of arXiv 2507.12856, a file each: `python -m bench study NAME` writes rows, a figure and a verdict."""
