"""Tests, mirroring the three packages. They run on the tiny game of ``tests.helpers.tiny_game``, never on Atari."""
