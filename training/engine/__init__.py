"""The one training loop: optimiser, checkpoints, logs, several processes, finished stages."""
