"""Keys that went down in a window, where nothing but their names matters. Knows nothing of what they mean."""

from __future__ import annotations

CLOSED = "closed"
"""In place of a key's name: the window was asked to close."""


def key_presses() -> list[str]:
    """Names of the keys that went down since they were asked for last, oldest first."""
    import pygame

    found = []
    for event in pygame.event.get():
        if event.type in (pygame.QUIT, pygame.WINDOWCLOSE):
            found.append(CLOSED)
        elif event.type == pygame.KEYDOWN:
            found.append(pygame.key.name(event.key))
    return found
