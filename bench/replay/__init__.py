"""Play the policies of a finished run again: load, verify, film, evaluate with other settings."""
