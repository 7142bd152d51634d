"""Parts of the study `language`: answers and what they say about a policy, the stage of reinforcement learning, the report."""
