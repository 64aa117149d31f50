"""From a game or a recording to a recipe: look, measure, choose, and say why."""
