"""The window: drawing frames and figures, keys, and the clock that keeps the pace. All of pygame is here."""
