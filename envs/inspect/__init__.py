"""Facts about a data set, in print and as a page."""
