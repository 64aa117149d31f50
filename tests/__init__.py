"""Tests, mirroring the three packages. They run on the tiny game of ``tests.tiny_game``, never on Atari."""
