"""Everything that touches stable-baselines3."""
