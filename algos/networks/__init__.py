"""Networks for populations: perceptrons, policies, critics, and how they multiply fast."""
