"""Facts of a data set, on the console and as a page."""
