"""The choice of a policy without the environment: estimates from logged data, and how well they rank policies of known returns."""
