"""Built-in data: behaviour policies, their training and measurement, and recording."""
