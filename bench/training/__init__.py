"""Training of populations of members to the end, with evaluation and saving on the way."""
