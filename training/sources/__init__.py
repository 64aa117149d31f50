"""Gameplay that somebody else recorded: films, arrays and data sets become recordings."""
