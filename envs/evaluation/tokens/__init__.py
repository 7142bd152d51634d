"""Token tasks: a prompt, then one token an action, and an exact verifier at the end."""
