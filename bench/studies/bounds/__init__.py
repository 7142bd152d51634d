"""Parts of the study `bound`: the bounds themselves, the settings that are enumerated, and those that are sampled."""
