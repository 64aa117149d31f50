"""How fast a world steps, what the time goes into, and how far that is from what the machine can do.

``clock`` times and tells whether the machine was idle, ``speed`` times environments and engine, ``parts`` says what
a step's time and memory go into, ``work`` counts what a step must compute and move, ``suite`` runs everything and
``report`` shows it.
"""

from genie_env.bench.speed import EnvSpeed, measure

__all__ = ["EnvSpeed", "measure"]
