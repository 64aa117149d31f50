"""The four networks of a world. Each takes one frozen config; none knows files, Gymnasium or training."""
