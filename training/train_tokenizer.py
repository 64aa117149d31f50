"""Train a video tokenizer: ``python -m training.train_tokenizer --data data/pong --out runs/pong/tokenizer``.

``codebook`` keeps the most frequent patches of the recording (seconds); ``fsq`` trains the convolutional tokenizer.
"""

from __future__ import annotations

from genie_env.command import run
from training.tokenizer.task import TrainTokenizerConfig, train

if __name__ == "__main__":
    raise SystemExit(run(train, TrainTokenizerConfig, description=__doc__))
