"""Files: whole or absent, JSON, tensors, pictures and films. Knows nothing of worlds."""
