"""Training the latent action model."""
