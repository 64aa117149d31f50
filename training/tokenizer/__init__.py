"""Training the video tokenizer."""
