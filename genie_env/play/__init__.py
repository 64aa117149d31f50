"""A person at a window: session, keys, clock, drawing, films and recordings."""
