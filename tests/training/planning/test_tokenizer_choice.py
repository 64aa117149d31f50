"""A codebook is chosen where it draws whole frames, the learned tokenizer where it would erase what moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.planning.choices import Choices
from training.planning.tokenizer_choice import VOCABULARIES, choose_patches, choose_tokenizer, frequent_patches


def sprites(count: int, seed: int) -> np.ndarray:
    """Frames of a block at one of 49 places: a few hundred patches draw them all."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((count, 64, 64, 3), np.uint8)
    for frame in frames:
        x, y = rng.integers(0, 7, size=2) * 8
        frame[y : y + 10, x : x + 10] = (200, 40, 90)
    return frames


def test_sprites_get_the_smallest_codebook_that_draws_them() -> None:
    choice = choose_tokenizer(sprites(400, 0), sprites(50, 1), 64, 8)
    assert choice.config.kind == "codebook" and choice.config.vocab_size == VOCABULARIES[0]
    assert choice.qualities[-1].intact == 1.0 and len(choice.qualities) == 1
    assert "codebook" in choice.reason


def test_pictures_that_never_repeat_get_the_learned_tokenizer() -> None:
    rng = np.random.default_rng(0)
    noisy = [rng.integers(0, 256, (n, 64, 64, 3)).astype(np.uint8) for n in (80, 10)]
    choice = choose_tokenizer(*noisy, 64, 8)
    assert choice.config.kind == "fsq" and choice.config.vocab_size == int(np.prod(choice.config.levels))
    assert choice.qualities[-1].kept < 0.5 and "learned" in choice.reason


def test_a_player_that_few_patches_show_is_not_outvoted_by_what_is_frequent() -> None:
    frames = sprites(1200, 0)
    rng = np.random.default_rng(2)
    # A small sprite of any colours in every frame: each of its patches is rare, all of them together are not.
    frames[:, 58:60, 58:60] = rng.integers(30, 256, (1200, 2, 2, 3))
    choice = choose_tokenizer(frames, frames[:100], 64, 8)
    smallest = choice.qualities[0]
    assert smallest.kept > 0.95 and smallest.intact < 0.9
    assert choice.config.vocab_size > VOCABULARIES[0]


def test_smaller_patches_are_tried_before_the_learned_tokenizer_where_asked_for() -> None:
    sharp = Choices(sharp=True)
    rng = np.random.default_rng(0)
    # Rows of 4x4 cells of 30 colours: 30 small patches, and 30^4 of twice the edge.
    colours = rng.integers(40, 256, (30, 3)).astype(np.uint8)
    train, held_out = (colours[rng.integers(30, size=(n, 16, 16))].repeat(4, 1).repeat(4, 2) for n in (80, 20))
    assert choose_tokenizer(train, held_out, 64, 8).config.kind == "fsq"
    choice = choose_patches(train, held_out, 64, 8, sharp)
    assert (choice.config.kind, choice.config.patch_size) == ("codebook", 4) and "of 4 pixels" in choice.reason
    for decided in (Choices(), replace(sharp, tokenizer="fsq"), replace(sharp, patch_size=8)):
        assert choose_patches(train, held_out, 64, 8, decided).config.kind == "fsq"
    noisy = [rng.integers(0, 256, (n, 64, 64, 3)).astype(np.uint8) for n in (80, 10)]
    learned = choose_patches(*noisy, 64, 8, sharp)
    assert (learned.config.kind, learned.config.patch_size) == ("fsq", 8)


def test_patches_are_ordered_by_how_often_they_occur() -> None:
    patches = frequent_patches(sprites(300, 3), 8)
    assert not patches[0].any(), "the background is most frequent"
