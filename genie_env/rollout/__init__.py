"""The rollout engine, how it draws, and how it uses torch."""
