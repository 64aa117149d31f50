"""Turn a recording into tokens, once: ``python -m training.tokenize --data data/pong --out runs/pong/tokens …``.

Dynamics and outcome head learn from the result. Run the same command again to go on after a stop.
"""

from __future__ import annotations

from genie_env.command import run
from training.data.tokenize_episodes import TokenizeConfig, tokenize

if __name__ == "__main__":
    raise SystemExit(run(tokenize, TokenizeConfig, description=__doc__))
