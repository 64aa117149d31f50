"""Train a video tokenizer: ``python -m training.train_tokenizer --data data/pong --out runs/pong/tokenizer``.

``codebook`` keeps the most frequent patches of the recording (seconds); ``fsq`` trains the convolutional tokenizer.
"""

from __future__ import annotations

import tyro

from training.tokenizer.task import TrainTokenizerConfig, train

if __name__ == "__main__":
    train(tyro.cli(TrainTokenizerConfig, description=__doc__))
