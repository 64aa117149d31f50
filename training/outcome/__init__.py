"""Training the outcome head."""
