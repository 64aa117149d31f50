"""From a recording to batches: frames, tokens, clips, who plays."""
