"""The outcome head's training: which clips it sees, where an event may be read, how it is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genie_env.config import OutcomeConfig, SamplingConfig, TokenSpace
from genie_env.models.outcome import OutcomeHead, outcome_chances, predict_episode
from tests.helpers.worlds import VOCAB, random_world
from training.data.dataset import TokenDataset
from training.data.token_store import SPLITS, Split, TokenEpisode, TokenStore, write_made_up
from training.engine.loop import LoopConfig
from training.outcome.clips import OutcomeClips, dream_clips
from training.outcome.task import Labels, OutcomeTask, TrainOutcomeConfig, aligned_loss

LENGTH, EPISODES, STEPS = 8, 16, 60


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings in which place 0 counts points, of which half show one frame late, and place 1 says who scored."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("made_up") / "tokens"
    episodes: dict[Split, list[TokenEpisode]] = {}
    for split in SPLITS:
        frames = np.zeros((EPISODES, STEPS, 64), np.int64)
        frames[:, :, 60:] = rng.integers(0, 4, (EPISODES, STEPS, 4))
        rewards, ended = np.zeros((EPISODES, STEPS), np.float32), np.zeros((EPISODES, STEPS), bool)
        frames[:, :, :2] = 5
        for e in range(EPISODES):
            for number, t in enumerate((10, 25, 40, STEPS - 2)):
                rewards[e, t] = (-1, 1)[number % 2]
                shown = t + 1 + (number + e) % 2 * (t < STEPS - 2)
                frames[e, shown:, 0] = 6 + number
                frames[e, shown:, 1] = 10 + number % 2
            ended[e, -2] = True
        idle = np.zeros(STEPS, np.int16)
        episodes[split] = [TokenEpisode(frames[e], idle, idle, rewards[e], ended[e]) for e in range(EPISODES)]
    write_made_up(folder, episodes, TokenSpace(VOCAB, 8), num_actions=3)
    return folder


@pytest.fixture
def clips(tokens: Path) -> OutcomeClips:
    return OutcomeClips(TokenDataset(TokenStore(tokens), "train"), LENGTH, padding=2, event_share=0.5, last=LENGTH // 2)


def test_clips_hold_the_recording_and_repeat_the_first_frame_before_it(clips: OutcomeClips, tokens: Path) -> None:
    episode = TokenDataset(TokenStore(tokens), "train").episodes[1]
    clip = clips.take(np.array([[1, -2], [1, 7]]), lead=3)
    assert clip.tokens_BTN.shape == (2, LENGTH + 3, 64) and clip.rewards_BT.shape == (2, LENGTH + 2)
    np.testing.assert_array_equal(clip.tokens_BTN[1], episode.tokens_TN[4:15])
    np.testing.assert_array_equal(clip.rewards_BT[1], episode.rewards_T[4:14])
    np.testing.assert_array_equal(clip.tokens_BTN[0, :5], np.repeat(episode.tokens_TN[:1], 5, 0))
    assert not clip.rewards_BT[0, :5].any()


def test_every_kind_of_event_is_drawn_and_clips_stay_in_their_episodes(clips: OutcomeClips) -> None:
    picks = clips.draw(np.random.default_rng(0), 800)
    assert picks[:, 1].min() == -2 and picks[:, 1].max() == STEPS - LENGTH
    clip = clips.take(picks)
    assert clip.terminated_BT.any(1).float().mean() > 0.1
    for sign in (-1, 1):
        assert (clip.rewards_BT == sign).any(1).float().mean() > 0.15
    assert (picks[:, 1] == -2).mean() > 0.05


def test_an_episode_too_short_for_a_clip_is_refused(tokens: Path) -> None:
    with pytest.raises(ValueError, match="frames"):
        OutcomeClips(TokenDataset(TokenStore(tokens), "train"), STEPS + 3, padding=2, event_share=0.5, last=LENGTH // 2)


def labels(classes: list[int], before: int = 1, ended: bool = False) -> Labels:
    ends = torch.zeros(1, len(classes), dtype=torch.bool)
    ends[0, -1] = ended
    return Labels(torch.tensor([classes]), ends, torch.tensor([before]))


def said(classes: list[int]) -> torch.Tensor:
    return 20.0 * torch.nn.functional.one_hot(torch.tensor([classes]), 3).float()


def test_an_event_may_be_read_in_its_frame_or_in_the_next_but_in_one_only() -> None:
    truth = labels([1, 0, 1, 1, 1])
    on_time, late, both, none, early, later = (
        float(aligned_loss(said(classes), truth, nothing=1))
        for classes in (
            [1, 0, 1, 1, 1],
            [1, 1, 0, 1, 1],
            [1, 0, 0, 1, 1],
            [1, 1, 1, 1, 1],
            [0, 1, 1, 1, 1],
            [1, 1, 1, 0, 1],
        )
    )
    assert max(on_time, late) < 1e-3
    assert min(both, none, early, later) > 1.0


def test_the_loss_is_the_likelihood_summed_over_both_frames() -> None:
    logits = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(-1)[0]
    expected = -torch.log(p[0, 1] * p[3, 1] * (p[1, 2] * p[2, 1] + p[1, 1] * p[2, 2])) / 4
    torch.testing.assert_close(aligned_loss(logits, labels([1, 2, 1, 1]), nothing=1), expected)


def test_what_the_edges_of_a_clip_cannot_tell_is_left_out_but_an_end_is_not() -> None:
    assert float(aligned_loss(said([1, 1, 1]), labels([1, 1, 0]), nothing=1)) < 1e-3
    assert float(aligned_loss(said([1, 1, 1]), labels([1, 1, 0], ended=True), nothing=1)) > 1.0
    assert float(aligned_loss(said([0, 1, 1]), labels([1, 1, 1], before=0), nothing=1)) < 1e-3


def test_without_a_reward_of_zero_the_loss_is_plain_cross_entropy() -> None:
    logits = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    classes = torch.randint(3, (2, 4), generator=torch.Generator().manual_seed(1))
    truth = Labels(classes, torch.zeros(2, 4, dtype=torch.bool), torch.zeros(2, dtype=torch.long))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), classes.flatten())
    torch.testing.assert_close(aligned_loss(logits, truth, nothing=None), expected)


def test_the_head_learns_events_whose_frame_the_picture_does_not_say(tokens: Path, tmp_path: Path) -> None:
    task = OutcomeTask(
        TrainOutcomeConfig(
            tokens,
            tmp_path,
            OutcomeConfig(vocab_size=VOCAB, token_dim=4, width=16),
            LoopConfig(n_updates=150, batch_size=32),
        )
    )
    optimizer = torch.optim.Adam(task.model.parameters(), lr=1e-2)
    for step in range(250):
        loss, _ = task.loss(step, np.random.default_rng(step), torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    figures, _ = task.evaluate(task.model.eval())
    assert figures["reward_f1"] > 0.9 and figures["reward_auprc"] > 0.9, figures


def test_batches_and_losses_are_functions_of_the_step_alone(tokens: Path, tmp_path: Path) -> None:
    config = TrainOutcomeConfig(tokens, tmp_path, OutcomeConfig(vocab_size=VOCAB, token_dim=4, width=16))
    losses = [
        OutcomeTask(config).loss(3, np.random.default_rng(3), torch.Generator().manual_seed(3))[0].item()
        for _ in range(2)
    ]
    assert losses[0] == losses[1]


def test_dreamed_clips_keep_the_recording_s_labels_and_first_frame_and_drop_what_left_it(clips: OutcomeClips) -> None:
    world = random_world()
    dreamer = world.dynamics, SamplingConfig()
    # With every dream allowed all come back; with none allowed to be wrong, few or none do.
    every = dream_clips(*dreamer, clips, np.random.default_rng(0), 40, tolerance=64)
    exact = dream_clips(*dreamer, clips, np.random.default_rng(0), 40, tolerance=0)
    assert every.tokens_BTN.shape == (40, LENGTH, 64) and every.rewards_BT.shape == (40, LENGTH - 1)
    assert len(exact.tokens_BTN) < 40
    assert every.rewards_BT.abs().sum() > 0
    again = dream_clips(*dreamer, clips, np.random.default_rng(0), 40, tolerance=64)
    assert torch.equal(every.tokens_BTN, again.tokens_BTN)


@pytest.mark.parametrize("count", [0, 1, LENGTH - 2])
def test_fewer_dreams_than_lengths_are_dreamed_too(count: int, clips: OutcomeClips) -> None:
    dynamics = random_world().dynamics
    dreamed = dream_clips(dynamics, SamplingConfig(), clips, np.random.default_rng(0), count, tolerance=64)
    assert dreamed.tokens_BTN.shape == (count, LENGTH, 64)


def test_judging_an_episode_is_judging_its_windows() -> None:
    head = OutcomeHead(OutcomeConfig(vocab_size=VOCAB, token_dim=4, width=16)).eval()
    tokens_TN = torch.randint(VOCAB, (9, 64), generator=torch.Generator().manual_seed(0))
    rewards_T, ended_T = predict_episode(head, tokens_TN)
    chances_TR, ends_T = outcome_chances(head, tokens_TN)
    assert rewards_T.shape == ended_T.shape == ends_T.shape == (8,) and chances_TR.shape == (8, 3)
    np.testing.assert_allclose(chances_TR.sum(1), 1, atol=1e-5)
    with torch.inference_mode():
        reward, ended = head.predict(tokens_TN[None, 3:7])
    assert float(reward[0]) == rewards_T[5] and bool(ended[0]) == ended_T[5]


def test_the_head_notices_that_a_token_changed_whatever_it_is() -> None:
    head = OutcomeHead(OutcomeConfig(vocab_size=VOCAB, token_dim=4, width=16))
    with torch.no_grad():
        head.embed.weight.zero_()
        still = torch.zeros(1, 4, 64, dtype=torch.long)
        changed = still.clone()
        changed[0, -1, 0] = 7
        assert not torch.allclose(head(still).reward_BR, head(changed).reward_BR)
