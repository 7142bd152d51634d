"""Every configuration key, its type and its check; the only place that composes or reads a configuration."""
