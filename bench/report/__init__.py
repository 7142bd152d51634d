"""Tables, figures and the page of a suite, computed from its results alone."""
