"""Training the dynamics."""
