"""Recordings of play on disk, and what is fitted on them."""
