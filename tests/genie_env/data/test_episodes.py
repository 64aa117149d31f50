"""Recordings: rows are aligned, stores are whole or absent, and batches show a model only what they promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch

from genie_env.config import DynamicsConfig, SourceConfig, TokenSpace
from genie_env.data.episodes import NO_ACTION, Episode, EpisodeEntry, EpisodeStore, EpisodeWriter, Manifest
from genie_env.files.atomic import write_json
from genie_env.games.registry import Game
from genie_env.models.dynamics import Dynamics
from tests.helpers import tiny_game
from tests.helpers.tiny_game import ENV_ID, SIZE, TinyPong
from training.data.dataset import ClipBatch, FrameDataset, TokenDataset
from training.data.token_store import TokenEpisode, write_made_up
from training.dynamics.corruption import corrupt_context
from training.dynamics.loss import token_loss
from training.dynamics.task import next_frame_loss
from training.record import RecordConfig, record

SOURCE = SourceConfig("Made-up-v0", action_meanings=("A", "B", "C"), effects=(0, 1, 2))


def episode(length: int, seed: int = 0, terminated: bool = True, **overrides: Any) -> Episode:
    rng = np.random.default_rng(seed)
    fields = {
        "frames_THWC": rng.integers(0, 256, (length + 1, 8, 8, 3), dtype=np.uint8),
        "actions_T": rng.integers(0, 3, length),
        "rewards_T": rng.normal(size=length),
        "terminated": terminated,
        "truth": rng.normal(size=(length + 1, 2)),
    }
    return Episode(**{**fields, **overrides})


def store(folder: Path, shards: list[list[Episode]], **settings: Any) -> EpisodeStore:
    writer = EpisodeWriter(folder, SOURCE, ("x", "y"), **settings)
    for index, episodes in enumerate(shards):
        writer.write_shard(index, episodes)
    return writer.finish(len(shards))


def test_rows_come_back_as_they_were_recorded(tmp_path: Path) -> None:
    lengths = [4, 1, 7, 3, 2]
    made = [episode(n, seed=n, terminated=n != 3) for n in lengths]
    opened = store(tmp_path / "data", [made[:3], made[3:]], test_every=3)
    assert [entry.length for entry in opened.manifest.episodes] == [n + 1 for n in lengths]
    assert [entry.shard for entry in opened.manifest.episodes] == [0, 0, 0, 1, 1]
    assert [entry.split for entry in opened.manifest.episodes] == ["train", "train", "test", "train", "train"]
    for entry, original in zip(opened.manifest.episodes, made, strict=True):
        assert np.array_equal(opened.array("frames", entry), original.frames_THWC)
        # Row t holds what happened after frame t; nothing happened after the last frame.
        actions, rewards = opened.array("actions", entry), opened.array("rewards", entry)
        assert actions.tolist() == [*original.actions_T.tolist(), NO_ACTION]
        assert np.array_equal(rewards, np.append(original.rewards_T, 0).astype(np.float32))
        ended = np.flatnonzero(opened.array("terminated", entry)).tolist()
        assert ended == ([entry.length - 2] if original.terminated else []) and entry.terminated == original.terminated
        assert np.array_equal(opened.array("truth", entry), original.truth.astype(np.float32))
    assert opened.truth_column("y") == 1
    with pytest.raises(ValueError, match="'z'"):
        opened.truth_column("z")


def test_arrays_are_memory_mapped_and_read_only(tmp_path: Path) -> None:
    opened = store(tmp_path / "data", [[episode(5)]])
    frames = opened.array("frames", opened.manifest.episodes[0])
    assert isinstance(frames, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 0


def test_recorded_actions_rewards_and_ends_belong_to_the_transition_after_their_frame(tmp_path: Path) -> None:
    recorded = record(
        RecordConfig(
            tmp_path / "data",
            ENV_ID,
            steps=600,
            env_kwargs='{"points": 1}',
            module="tests.helpers.tiny_game",
            workers=1,
        )
    )
    ends = 0
    for entry, rows in recorded.episodes("train"):
        paddle = (rows["frames"][:, :, tiny_game.OWN_LEFT] == tiny_game.OWN_COLOUR).all(-1).argmax(1)
        moves = np.array([0, -2, 2])[rows["actions"][:-1]]
        assert np.array_equal(paddle[1:], np.clip(paddle[:-1] + moves, 0, tiny_game.LOWEST_PADDLE))
        ball = (rows["frames"] == tiny_game.BALL_COLOUR).all(-1).any((1, 2))
        # With one point to play for, the ball is lost, rewarded and final in one and the same transition.
        lost = np.flatnonzero(ball[:-1] & ~ball[1:])
        assert np.array_equal(np.flatnonzero(rows["rewards"]), lost)
        assert np.array_equal(np.flatnonzero(rows["terminated"]), lost)
        assert entry.terminated == (len(lost) == 1)
        ends += len(lost)
    assert ends > 3


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"frames_THWC": np.zeros((6, 8, 8, 3), np.float32)}, "uint8.*float32"),
        ({"frames_THWC": np.zeros((6, 8, 8), np.uint8)}, r"H, W, 3"),
        ({"frames_THWC": np.zeros((6, 8, 8, 4), np.uint8)}, r"H, W, 3"),
        ({"frames_THWC": np.zeros((5, 8, 8, 3), np.uint8)}, "5 actions"),
        ({"rewards_T": np.zeros(4)}, "rewards.*5.*4"),
        ({"rewards_T": np.zeros(6)}, "rewards.*5.*6"),
        ({"truth": np.zeros((5, 2))}, "truth|reshape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_anything_counts(
    tmp_path: Path, overrides: dict[str, Any], message: str
) -> None:
    writer = EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"))
    with pytest.raises(ValueError, match=message):
        writer.write_shard(0, [episode(5, **overrides)])
    assert not writer.has_shard(0) and not (tmp_path / "data").exists()


def test_finished_folder_is_refused_and_other_settings_are_too(tmp_path: Path) -> None:
    EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"), {"seed": 0}).write_shard(0, [episode(3)])
    with pytest.raises(ValueError, match="other settings"):
        EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"), {"seed": 1})
    resumed = EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"), {"seed": 0})
    assert resumed.has_shard(0)
    resumed.finish(1)
    with pytest.raises(ValueError, match="exists already"):
        EpisodeWriter(tmp_path / "data", SOURCE, ("x", "y"), {"seed": 0})
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def corrupt(folder: Path, edit: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    write_json(folder / "manifest.json", manifest)


def test_damaged_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing.*manifest.json"):
        EpisodeStore(tmp_path / "nothing")
    folder = store(tmp_path / "data", [[episode(5), episode(3)]]).folder
    manifest, frames = (folder / "manifest.json").read_bytes(), (folder / "00000.frames.npy").read_bytes()

    def refused(message: str) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            EpisodeStore(folder)
        assert str(folder) in str(caught.value)
        (folder / "manifest.json").write_bytes(manifest)
        (folder / "00000.frames.npy").write_bytes(frames)

    for text in ("", "{", "[]", "3"):
        (folder / "manifest.json").write_text(text)
        refused("manifest.json")
    corrupt(folder, lambda m: m.update(format="another"))
    refused("manifest.json.*another")
    corrupt(folder, lambda m: m.update(surprise=1))
    refused("manifest.json.*surprise")
    corrupt(folder, lambda m: m["episodes"].pop())
    refused(r"frames.npy.*expected uint8 \[6, .*got uint8 \[10, ")
    (folder / "00000.frames.npy").write_bytes(frames[: len(frames) // 2])
    refused("frames.npy")
    (folder / "00000.frames.npy").unlink()
    refused("frames.npy")
    np.save(folder / "00000.frames.npy", np.zeros((10, 8, 8, 3)))
    refused("frames.npy.*uint8.*float64")
    np.save(folder / "00000.frames.npy", np.array([{}] * 10), allow_pickle=True)
    refused("frames.npy")
    EpisodeStore(folder)


def test_manifest_survives_json() -> None:
    entries = (EpisodeEntry(0, 0, 5, "random", "train", True), EpisodeEntry(0, 5, 3, "sticky", "test", False))
    manifest = Manifest(SOURCE, ("x",), 1, entries, {"seed": 0, "players": {"random": 0.5}})
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


class Blind(gym.Env[np.ndarray, np.int64]):
    """A game without a picture: numbers are all one sees."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"]}
    observation_space = gym.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gym.spaces.Discrete(2)
    render_mode = None


class Unlisted(TinyPong):
    """A game whose actions cannot be listed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.action_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)  # type: ignore[assignment]


class Wheel(TinyPong):
    """A game steered by a number from -1, up, to 1, down."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)  # type: ignore[assignment]

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.action_space, box = gym.spaces.Discrete(3), self.action_space  # type: ignore[assignment]
        result = super().step(np.int64(float(action[0]) % 3))
        self.action_space = box
        return result


def test_continuous_actions_are_recorded_as_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gym.registry, "Wheel-v0", gym.envs.registration.EnvSpec("Wheel-v0", entry_point=Wheel))
    store = record(RecordConfig(tmp_path / "data", "Wheel-v0", steps=60, workers=1, players='{"random": 1}'))
    actions = np.concatenate([rows["actions"][:-1] for _, rows in store.episodes("train")])
    assert set(actions.tolist()) == {0, 1, 2} and len(store.manifest.source.action_meanings) == 3


@pytest.mark.parametrize(
    ("kind", "message"), [(Blind, "shows no picture.*render modes.*ansi"), (Unlisted, "bounds.*Box")]
)
def test_game_that_cannot_be_recorded_is_refused_with_its_reason(
    tmp_path: Path, kind: type[gym.Env[Any, Any]], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_id = f"{kind.__name__}-v0"
    monkeypatch.setitem(gym.registry, env_id, gym.envs.registration.EnvSpec(env_id, entry_point=kind))
    with pytest.raises(ValueError, match=f"{env_id}.*{message}"):
        record(RecordConfig(tmp_path / "data", env_id, steps=10, workers=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"crop": (0, 65, 0, 64)}, "crop.*64x64"),
        ({"crop": (5, 5, 0, 64)}, "crop"),
        ({"steps": 0}, "steps"),
        ({"shard_steps": 1}, "shard_steps"),
        ({"image_size": 0}, "image_size"),
        ({"frame_skip": 0}, "frame_skip"),
        ({"fps": -1.0}, "fps"),
    ],
)
def test_senseless_recording_is_refused_and_leaves_no_store(
    tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    config = RecordConfig(
        tmp_path / "data", ENV_ID, **{"steps": 10, "workers": 1, "module": "tests.helpers.tiny_game", **fields}
    )
    with pytest.raises(ValueError, match=message):
        record(config)
    assert not (tmp_path / "data").exists()


def test_recording_keeps_the_ground_truth_of_its_frames(tmp_path: Path) -> None:
    names = ("ball_x", "own_y")
    game = Game(SourceConfig(ENV_ID), names, lambda _, info: info["truth"])
    recorded = record(
        RecordConfig(tmp_path / "data", ENV_ID, steps=120, module="tests.helpers.tiny_game", workers=1), game
    )
    column = recorded.truth_column("own_y")
    for _, rows in recorded.episodes("train"):
        assert rows["truth"].shape == (len(rows["frames"]), 2)
        for frame, truth in zip(rows["frames"], rows["truth"], strict=True):
            paddle = np.flatnonzero((frame[:, SIZE - 4] == (92, 186, 92)).all(-1))
            assert paddle.mean() == truth[column]


def test_transitions_hold_the_past_of_their_action_and_never_another_episode(tmp_path: Path) -> None:
    made = [episode(n, seed=n) for n in (3, 1, 6)]
    for index, one in enumerate(made):
        one.frames_THWC[:] = 50 * index + np.arange(len(one.frames_THWC), dtype=np.uint8)[:, None, None, None]
    dataset = FrameDataset(store(tmp_path / "data", [[*made, episode(2)]], test_every=4), "train")
    assert len(dataset) == 10
    context = 4
    batch = dataset.at(np.arange(len(dataset)), context)
    index = 0
    for number, one in enumerate(made):
        for t, action in enumerate(one.actions_T):
            past = [max(0, t - context + 1 + i) for i in range(context)]
            shown = batch.frames_BTHWC[index, :, 0, 0, 0].tolist()
            assert shown == [50 * number + k for k in (*past, t + 1)]
            assert int(batch.actions_B[index]) == action
            index += 1
    with pytest.raises(ValueError, match="no 'test' episode"):
        FrameDataset(store(tmp_path / "single", [[episode(9)]]), "test")


@pytest.mark.parametrize(("lengths", "held_out"), [([30, 50], 0), ([9, 1, 80, 20], 0), ([5] * 10, 9), ([7], None)])
def test_few_episodes_hold_one_out_that_is_about_a_tenth(
    tmp_path: Path, lengths: list[int], held_out: int | None
) -> None:
    opened = store(tmp_path / "data", [[episode(n)] for n in lengths])
    expected = ["test" if index == held_out else "train" for index in range(len(lengths))]
    assert [entry.split for entry in opened.manifest.episodes] == expected


@pytest.fixture
def token_data(tmp_path: Path) -> TokenDataset:
    """Two episodes whose token, action and reward at row t are all made of (episode, t)."""
    episodes = []
    for first, length in ((0, 12), (100, 20)):
        rows = first + np.arange(length)
        rewards, ends = (rows % 100 == 9).astype(np.float32), np.zeros(length, bool)
        episodes.append(TokenEpisode(np.repeat(rows[:, None], 4, axis=1), rows, rows, rewards, ends))
    return TokenDataset(write_made_up(tmp_path / "tokens", {"train": episodes}, TokenSpace(200, 2), 200), "train")


def test_clips_are_aligned_and_stay_within_one_episode(token_data: TokenDataset) -> None:
    clip = token_data.clips(np.random.default_rng(0), 200, 8)
    assert clip.tokens_BTN.shape == (200, 8, 4) and clip.actions_BT.shape == (200, 7)
    rows = clip.tokens_BTN[..., 0]
    assert bool((rows[:, 1:] - rows[:, :-1] == 1).all())
    assert torch.equal(clip.actions_BT, rows[:, :-1])
    assert torch.equal(clip.rewards_BT, (rows[:, :-1] % 100 == 9).float())


def test_clips_are_a_function_of_their_generator(token_data: TokenDataset) -> None:
    one, two = (token_data.clips(np.random.default_rng([7, 3]), 5, 8) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    with pytest.raises(ValueError, match="21 frames"):
        token_data.clips(np.random.default_rng(0), 5, 21)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_corruption_replaces_no_more_than_the_rate_and_leaves_its_input(rate: float) -> None:
    tokens = torch.randint(1000, (400, 10, 64), generator=generator())
    before = tokens.clone()
    corrupted = corrupt_context(tokens, rate, 1000, generator(1))
    assert torch.equal(tokens, before)
    assert int(corrupted.min()) >= 0 and int(corrupted.max()) < 1000
    share_B = (corrupted != tokens).float().mean((1, 2))
    # Each row has its own rate, uniform below the highest; 640 tokens tell it to within a few hundredths.
    assert float(share_B.max()) <= rate + 5 * (rate * (1 - rate) / 640) ** 0.5
    assert float(share_B.mean()) == pytest.approx(rate / 2, abs=0.06 * rate)
    assert rate < 0.5 or float(share_B.std()) > 0.5 * rate / 12**0.5


def small_dynamics(vocab: int = 50) -> Dynamics:
    torch.manual_seed(0)
    model = Dynamics(DynamicsConfig(vocab_size=vocab, width=16, num_layers=1, num_heads=2, token_dim=8))
    with torch.no_grad():  # Far from its start, where all tokens stay.
        model.leave.weight.normal_(std=0.5)
        model.stay_bias.fill_(0.5)
    return model


def test_corruption_never_touches_targets() -> None:
    """The targets of a training step are those of the recording, whatever was done to the context."""
    model = small_dynamics()
    clean = torch.randint(50, (2, 5, 64), generator=generator())
    clip = ClipBatch(clean, torch.zeros(2, 4, dtype=torch.long), torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.bool))
    undecided = torch.full((2, 4, 64), model.mask_token)
    for context in (clean[:, :-1], corrupt_context(clean[:, :-1], 1.0, 50, generator(2))):
        with torch.no_grad():
            result = next_frame_loss(model, clip, context, undecided, changed_weight=1.0)
            features = model.trunk(context, clip.actions_BT)
            head_out = model.decode(features.flatten(0, 1), undecided.flatten(0, 1)).view(2, 4, 64, -1)
            log_probs = model.log_probs(head_out, context)
        target = clean[:, 1:]
        changes = target != context
        nll = -log_probs.gather(-1, target[..., None]).sum() / changes.sum()
        assert float(result.loss) == pytest.approx(float(nll), rel=1e-4), "the likelihood of all tokens"
        hits = (log_probs.argmax(-1) == target)[changes].float().mean()
        assert float(result.changed_accuracy) == pytest.approx(float(hits), abs=1e-6)


def test_decided_tokens_do_not_count() -> None:
    model, head_out = small_dynamics(), torch.randn(3, 64, 9, generator=generator())
    context, target = torch.randint(50, (2, 3, 64), generator=generator(1))
    open_ = torch.rand(3, 64, generator=generator(2)) < 0.5
    scrambled = torch.where(open_, target, (target + 7) % 50)
    with torch.no_grad():
        before = token_loss(model, head_out, context, target, open_, 3.0)
        after = token_loss(model, head_out, context, scrambled, open_, 3.0)
    assert before.loss == after.loss and before.changed_accuracy == after.changed_accuracy


def test_weight_of_a_token_does_not_depend_on_what_came() -> None:
    """Weighting by the outcome teaches a model to expect more changes than there are."""
    model = small_dynamics()
    context, open_ = torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.bool)
    gradients = []
    for weight in (1.0, 5.0):
        head_out = torch.zeros(1, 2, 9, requires_grad=True)
        token_loss(model, head_out, context, torch.tensor([[0, 1]]), open_, weight).loss.backward()
        assert head_out.grad is not None
        gradients.append(head_out.grad[0, :, -1])
    stayed, changed = gradients[1] / gradients[0]
    assert float(stayed) == pytest.approx(float(changed)) and float(stayed) > 1.1


@pytest.mark.parametrize("field", ["players", "env_kwargs"])
@pytest.mark.parametrize("text", ["{'a': 1}", "[1]", ""])
def test_settings_given_as_json_say_what_they_should_be(field: str, text: str, tmp_path: Path) -> None:
    config = RecordConfig(tmp_path / "data", ENV_ID, module="tests.helpers.tiny_game", **{field: text})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"{field}: expected"):
        record(config)
    assert not list(tmp_path.iterdir())
