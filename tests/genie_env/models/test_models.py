"""What each network may see, and that its tokens mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from genie_env.config import DynamicsConfig, LatentActionConfig, OutcomeConfig, TokenizerConfig
from genie_env.frames import to_float, to_uint8
from genie_env.models.dynamics import Dynamics
from genie_env.models.latent_action import LatentActionModel
from genie_env.models.outcome import OutcomeHead
from genie_env.models.registry import make_tokenizer
from genie_env.models.tokenizer import FSQTokenizer, PatchCodebook, Tokenizer, encode_clips, unique_rows
from genie_env.nn.attention import TemporalAttention
from genie_env.nn.quantize import FSQ, VectorQuantizer
from tests.helpers.worlds import NUM_ACTIONS, VOCAB, random_world

ROWS, STEPS, SIDE, WINDOW = 3, 9, 8, 4
LEVEL_SETS = [(8, 5, 5, 5), (4, 4), (2, 2, 2), (7, 5, 3), (9,), (3, 2), (8, 8, 8, 5, 5, 5)]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def dynamics(**overrides: object) -> Dynamics:
    """A small dynamics in which no branch is switched off, as fresh ones are."""
    fields = {"vocab_size": VOCAB, "width": 32, "num_layers": 2, "num_heads": 2, "token_dim": 16, "window": WINDOW}
    model = Dynamics(DynamicsConfig(**{**fields, **overrides})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2 and not parameter.any():
                parameter.normal_(std=parameter.shape[1] ** -0.5)
    return model


def clips(rows: int = ROWS, steps: int = STEPS) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(VOCAB, (rows, steps, SIDE**2)), torch.randint(NUM_ACTIONS, (rows, steps))


@torch.no_grad()
def changed_frames(model: Dynamics, change: Callable[[torch.Tensor, torch.Tensor], object]) -> list[int]:
    """Frames whose features change when ``change`` edits the clip."""
    tokens, actions = clips()
    before = model.trunk(tokens, actions)
    change(tokens, actions)
    moved = (model.trunk(tokens, actions) - before).abs().amax((0, 2, 3))
    return torch.nonzero(moved > 1e-6).flatten().tolist()


@pytest.mark.parametrize("at", [0, 4, STEPS - 1])
def test_future_frame_never_changes_the_past(at: int) -> None:
    def change(tokens: torch.Tensor, _: torch.Tensor) -> None:
        tokens[:, at] = (tokens[:, at] + 1) % VOCAB

    changed = changed_frames(dynamics(), change)
    assert min(changed) == at and at in changed


@pytest.mark.parametrize("at", [0, 4, STEPS - 1])
def test_action_changes_its_own_frame_and_no_earlier_one(at: int) -> None:
    def change(_: torch.Tensor, actions: torch.Tensor) -> None:
        actions[:, at] = (actions[:, at] + 1) % NUM_ACTIONS

    assert min(changed_frames(dynamics(), change)) == at


@pytest.mark.parametrize("layers", [1, 2])
def test_frame_sees_exactly_a_window_back_in_each_layer(layers: int) -> None:
    def change(tokens: torch.Tensor, _: torch.Tensor) -> None:
        tokens[:, 0] = (tokens[:, 0] + 1) % VOCAB

    reach = layers * (WINDOW - 1)
    assert changed_frames(dynamics(num_layers=layers), change) == list(range(min(reach, STEPS - 1) + 1))


def test_one_token_is_heard_at_every_place_of_the_frame() -> None:
    model, (tokens, actions) = dynamics(), clips(1, 1)
    with torch.no_grad():
        before = model.trunk(tokens, actions)
        tokens[0, 0, 0] = (tokens[0, 0, 0] + 1) % VOCAB
        moved_G = (model.trunk(tokens, actions) - before).abs().amax(-1).flatten()
    assert bool((moved_G > 1e-6).all())


def test_dynamics_reads_each_row_for_itself() -> None:
    model, (tokens, actions) = dynamics(), clips()
    with torch.no_grad():
        together = model.trunk(tokens, actions)
        for row in range(ROWS):
            alone = model.trunk(tokens[row : row + 1], actions[row : row + 1])
            torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)


def test_attention_over_time_depends_on_time_differences_only() -> None:
    """Also beyond the period of the rotary times, which is a few windows long."""
    attention, x_BTGD = TemporalAttention(32, 2, WINDOW), torch.randn(2, 12 * WINDOW, 3, 32)
    with torch.no_grad():
        whole = attention(x_BTGD)
        for shift in (1, WINDOW, 4 * WINDOW, 5 * WINDOW + 3):
            later = attention(x_BTGD[:, shift:])[:, WINDOW:]
            torch.testing.assert_close(later, whole[:, shift + WINDOW :], rtol=0, atol=1e-5)


def test_head_without_decided_tokens_sees_the_features_only() -> None:
    model = dynamics()
    features, current = torch.randn(2, 16, 32), torch.randint(VOCAB, (2, 64))
    undecided = torch.full_like(current, model.mask_token)
    with torch.no_grad():
        before = model.log_probs(model.decode(features, undecided), current)
        undecided[0, 5] = 3
        after = model.log_probs(model.decode(features, undecided), current)
    assert bool(((after - before)[0].abs().amax(-1) > 1e-6).all()), "a decided token is heard everywhere in its frame"
    assert torch.equal(after[1], before[1])


def test_gate_alone_says_how_likely_a_token_stays() -> None:
    model, head_out, current = dynamics(), torch.randn(2, 64, 17), torch.randint(VOCAB, (2, 64))
    with torch.no_grad():
        log_probs = model.log_probs(head_out, current)
        change = model.change_log_probs(head_out, current)
        stay = (head_out[..., -1] + model.stay_bias).sigmoid()
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, 64))
    torch.testing.assert_close(log_probs.gather(-1, current[..., None])[..., 0].exp(), stay)
    others = torch.ones_like(change, dtype=torch.bool).scatter(-1, current[..., None], False)
    expected = change.exp() * (1 - stay)[..., None]
    torch.testing.assert_close(log_probs.exp()[others], expected[others])
    assert bool((change[~others] == -torch.inf).all()), "what changes does not become what it was"


def test_grouping_tokens_and_back_is_the_identity() -> None:
    for group in (1, 2, 4):
        model, x = dynamics(group=group), torch.randn(2, 3, 64, 5)
        assert torch.equal(model._ungroup(model._group(x)), x)
    grouped = dynamics(group=2)._group(torch.arange(64)[:, None])
    assert grouped[1].tolist() == [2, 3, 10, 11], "neighbours share a position"


def test_tokens_that_look_alike_begin_with_alike_embeddings() -> None:
    model = dynamics()
    looks = torch.randn(VOCAB, 20)
    looks[1] = looks[0] + 0.01 * torch.randn(20)
    model.init_embedding_from_descriptors(looks)
    embedded = model.embed.weight[:-1].detach()
    distances = torch.cdist(embedded, embedded)
    assert float(distances[0, 1]) < 0.1 * float(distances[0, 2:].min())


@pytest.mark.parametrize("levels", LEVEL_SETS, ids=str)
def test_every_fsq_token_decodes_to_a_latent_that_encodes_to_itself(levels: tuple[int, ...]) -> None:
    quantizer = FSQ(levels)
    tokens = torch.arange(min(int(np.prod(levels)), 70_000))
    quantised = quantizer.from_tokens(tokens)
    assert float(quantised.min()) == -1 and float(quantised.max()) == 1
    assert len(quantised.unique(dim=0)) == len(tokens)
    # The encoder's output passes through a tanh before it is rounded.
    latents = torch.atanh(0.99 * quantised)
    assert torch.equal(quantizer.to_tokens(latents), tokens)
    torch.testing.assert_close(quantizer(latents), quantised)


@pytest.mark.parametrize("levels", LEVEL_SETS, ids=str)
def test_fsq_agrees_with_its_tokens_everywhere_and_lets_gradients_through(levels: tuple[int, ...]) -> None:
    quantizer, latents = FSQ(levels), (3 * torch.randn(2000, len(levels))).requires_grad_()
    latents.data[0], latents.data[1] = 100.0, -100.0
    quantised, tokens = quantizer(latents), quantizer.to_tokens(latents)
    assert int(tokens.min()) >= 0 and int(tokens.max()) < np.prod(levels)
    torch.testing.assert_close(quantizer.from_tokens(tokens), quantised.detach())
    quantised.sum().backward()
    assert latents.grad is not None and bool((latents.grad[2:].abs() > 0).any(0).all())


def make(kind: str, **settings: Any) -> Tokenizer:
    config = (
        TokenizerConfig(vocab_size=50)
        if kind == "codebook"
        else TokenizerConfig(kind="fsq", vocab_size=60, levels=(5, 4, 3), channels=8, **settings)
    )
    tokenizer = make_tokenizer(config).eval().requires_grad_(False)
    if isinstance(tokenizer, PatchCodebook):
        tokenizer.patches_VK.random_(0, 256)
    return tokenizer


KINDS = pytest.mark.parametrize("kind", ["codebook", "fsq"])


@KINDS
def test_tokenizer_takes_and_gives_uint8_frames(kind: str) -> None:
    tokenizer = make(kind)
    frames = torch.randint(256, (5, 64, 64, 3), dtype=torch.uint8)
    tokens = tokenizer.encode(frames)
    assert tokens.dtype == torch.int64 and tokens.shape == (5, 64)
    assert int(tokens.min()) >= 0 and int(tokens.max()) < tokenizer.config.vocab_size
    drawn = tokenizer.decode(tokens)
    assert drawn.dtype == torch.uint8 and drawn.shape == frames.shape
    descriptors = tokenizer.descriptors()
    assert len(descriptors) == tokenizer.config.vocab_size and len(descriptors.unique(dim=0)) == len(descriptors)


@KINDS
def test_tokenizer_reads_each_frame_for_itself(kind: str) -> None:
    tokenizer = make(kind)
    frames = torch.randint(256, (4, 64, 64, 3), dtype=torch.uint8)
    together = tokenizer.encode(frames)
    for row in range(4):
        assert torch.equal(tokenizer.encode(frames[row : row + 1])[0], together[row])
        difference = tokenizer.decode(together[row : row + 1])[0].int() - tokenizer.decode(together)[row].int()
        # Convolutions of another batch size round differently in the last bit, a look-up does not.
        assert int(difference.abs().max()) <= (kind == "fsq")


@pytest.mark.parametrize("encoder", ["patches", "overlapping"])
def test_a_learned_token_sees_its_own_patch_alone_unless_encoders_overlap(encoder: str) -> None:
    tokenizer, generator = make("fsq", encoder=encoder), torch.Generator().manual_seed(0)
    frame = torch.randint(256, (1, 64, 64, 3), dtype=torch.uint8, generator=generator)
    before, others = tokenizer.encode(frame)[0], 0
    for token in range(64):
        top, left = 8 * (token // 8), 8 * (token % 8)
        edited = frame.clone()
        edited[:, top : top + 8, left : left + 8] = 255 - edited[:, top : top + 8, left : left + 8]
        others += int((tokenizer.encode(edited)[0] != before).sum()) - int(
            tokenizer.encode(edited)[0, token] != before[token]
        )
    assert (others == 0) == (encoder == "patches")


def test_learned_tokens_of_a_clip_follow_changes_and_not_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(2, 254, (2, 64, 64, 3), dtype=torch.uint8, generator=generator)
    noise = torch.randint(-2, 3, (2, 10, 64, 64, 3), generator=generator)
    still = (picture[:, None].int() + noise).clamp(0, 255).to(torch.uint8)

    def flips(tokenizer: Tokenizer, clips: torch.Tensor) -> int:
        tokens = encode_clips(tokenizer, clips)
        assert torch.equal(tokens[:, 0], tokenizer.encode(clips[:, 0])), "nothing stands before the first frame"
        return int((tokens[:, 1:] != tokens[:, :-1]).sum())

    steady, alone = make("fsq", steadiness=0.3), make("fsq", steadiness=0.0)
    alone.load_state_dict(steady.state_dict())
    assert torch.equal(encode_clips(alone, still), torch.stack([alone.encode(clip) for clip in still]))
    assert flips(steady, still) < 0.5 * flips(alone, still)
    moving = torch.cat([still[:, :5], 255 - still[:, 5:]], 1)
    changed = encode_clips(steady, moving)
    assert (changed[:, 5] != changed[:, 4]).float().mean() > 0.5, "another picture has other tokens"


def test_a_tokenizer_of_ones_own_encodes_each_frame_of_a_clip_by_itself() -> None:
    tokenizer = make("codebook")
    clips = torch.randint(256, (2, 3, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(encode_clips(tokenizer, clips), torch.stack([tokenizer.encode(clip) for clip in clips]))


def test_codebook_tokens_and_their_frames_round_trip() -> None:
    tokenizer = make("codebook")
    tokens = torch.randint(50, (6, 64))
    frames = tokenizer.decode(tokens)
    assert torch.equal(tokenizer.encode(frames), tokens)
    assert torch.equal(tokenizer.decode(tokenizer.encode(frames)), frames)


def test_codebook_takes_the_nearest_patch() -> None:
    tokenizer = make("codebook")
    assert isinstance(tokenizer, PatchCodebook)
    frames = torch.randint(256, (3, 64, 64, 3), dtype=torch.uint8)
    patches = frames.view(3, 8, 8, 8, 8, 3).permute(0, 1, 3, 2, 4, 5).reshape(3 * 64, -1)
    nearest = torch.cdist(patches.double(), tokenizer.patches_VK.double()).argmin(1).view(3, 64)
    assert torch.equal(tokenizer.encode(frames), nearest)


def test_tokens_lie_row_by_row_from_the_top_left() -> None:
    tokenizer = make("codebook")
    assert isinstance(tokenizer, PatchCodebook)
    tokenizer.patches_VK.copy_(torch.arange(50)[:, None].expand(-1, 192) * 5)
    tokens = torch.arange(64)[None] % 50
    frame = tokenizer.decode(tokens)[0]
    assert frame[0, 8].tolist() == [5] * 3 and frame[8, 0].tolist() == [40] * 3


def test_fsq_tokenizer_decodes_its_tokens_to_what_it_was_trained_to_draw() -> None:
    tokenizer = make("fsq")
    assert isinstance(tokenizer, FSQTokenizer)
    frames = torch.randint(256, (3, 64, 64, 3), dtype=torch.uint8)
    drawn = to_uint8(tokenizer.reconstruct(to_float(frames)))
    difference = (tokenizer.decode(tokenizer.encode(frames)).int() - drawn.int()).abs()
    assert int(difference.max()) <= 1  # Rounding at a half.


def test_unique_rows_tell_which_row_is_which() -> None:
    rows = torch.randint(2, (500, 6), dtype=torch.uint8)
    distinct, where = unique_rows(rows)
    assert torch.equal(distinct[where], rows)
    assert len(distinct) == len(rows.unique(dim=0))


def test_uint8_frames_survive_the_way_to_float_and_back() -> None:
    frames = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(-1, -1, -1, 3).contiguous()
    assert torch.equal(to_uint8(to_float(frames)), frames)


@pytest.fixture
def lam() -> LatentActionModel:
    return LatentActionModel(LatentActionConfig(channels=8, context_frames=3)).eval().requires_grad_(False)


def test_latent_action_t_depends_on_frames_up_to_t_plus_one_only(lam: LatentActionModel) -> None:
    """Guards against actions that are shifted by one frame, which train well and then lag in every dream."""
    steps, context = 8, lam.config.context_frames
    frames = torch.randint(256, (1, steps, 64, 64, 3), dtype=torch.uint8)
    seen: list[torch.Tensor] = []
    original = lam.logits
    lam.logits = lambda x: seen.append(original(x)) or seen[-1]
    lam.infer(frames)
    for changed in range(steps):
        edited = frames.clone()
        edited[:, changed] = 255 - edited[:, changed]
        lam.infer(edited)
        moved = torch.nonzero((seen[-1] - seen[0]).abs().amax(-1) > 1e-6).flatten().tolist()
        # Transition t joins frames t and t+1 and remembers ``context`` frames, t included.
        first, last = changed - 1, changed + context - 1
        assert moved == [t for t in range(steps - 1) if first <= t <= last]


def test_latent_actions_number_one_less_than_frames_whatever_the_chunk(lam: LatentActionModel) -> None:
    frames = torch.randint(256, (2, 11, 64, 64, 3), dtype=torch.uint8)
    actions = lam.infer(frames)
    assert actions.shape == (2, 10) and actions.dtype == torch.int64
    assert int(actions.min()) >= 0 and int(actions.max()) < lam.config.num_actions
    for chunk in (1, 4, 10):
        assert torch.equal(lam.infer(frames, chunk), actions)
    for row in range(2):
        assert torch.equal(lam.infer(frames[row : row + 1])[0], actions[row])


def test_inferred_action_is_the_code_the_decoder_was_given(lam: LatentActionModel) -> None:
    frames = torch.randint(256, (4, 4, 64, 64, 3), dtype=torch.uint8)
    output = lam(to_float(frames))
    assert torch.equal(lam.infer(frames)[:, -1], output.codes_B)
    torch.testing.assert_close(lam.predict(to_float(frames[:, :-1]), output.codes_B), output.prediction_BCHW)


def test_decoder_of_latent_actions_never_sees_the_next_frame(lam: LatentActionModel) -> None:
    past, codes = to_float(torch.randint(256, (3, 3, 64, 64, 3), dtype=torch.uint8)), torch.tensor([0, 1, 2])
    drawn = lam.predict(past, codes)
    assert not torch.allclose(drawn, lam.predict(past, (codes + 1) % 3)), "the code is heard"
    still = lam.predict(past, codes) - past[:, -1]
    assert bool(still.isfinite().all()) and drawn.shape == (3, 3, 64, 64)


def test_vector_quantiser_takes_the_nearest_code_and_teaches_all_of_them() -> None:
    quantizer, latents = VectorQuantizer(5, 8), torch.randn(100, 8, requires_grad=True)
    logits = quantizer.logits(latents)
    vectors, codes = quantizer(logits)
    nearest = torch.cdist(F.normalize(latents, dim=-1), F.normalize(quantizer.codes_KD, dim=-1)).argmin(-1)
    assert torch.equal(codes, nearest)
    torch.testing.assert_close(vectors, quantizer.embed(codes))
    logits.retain_grad()
    vectors[:, 0].sum().backward()
    assert logits.grad is not None and bool((logits.grad != 0).all(1).any())


def test_outcome_head_gives_its_reward_classes_and_reads_each_row_for_itself() -> None:
    head = OutcomeHead(OutcomeConfig(vocab_size=VOCAB, token_dim=4, width=16, rewards=(-2.0, 0.5, 7.0))).eval()
    tokens = torch.randint(VOCAB, (200, 4, 64))
    with torch.no_grad():
        rewards, ended = head.predict(tokens)
        assert set(rewards.tolist()) <= {-2.0, 0.5, 7.0} and ended.dtype == torch.bool
        logits = head(tokens)
        assert torch.equal(ended, logits.terminated_B > 0)
        torch.testing.assert_close(head(tokens[7:8]).reward_BR[0], logits.reward_BR[7], rtol=0, atol=1e-5)


FRAMES = np.zeros((2, 3, 64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (FRAMES.astype(np.float32), "float32"),
        (FRAMES.astype(np.int64), "int64"),
        (FRAMES[..., :1], "64, 1"),
        (FRAMES[:, :, :32], "32, 64, 3"),
        (FRAMES[0], "3, 64, 64, 3"),
        (FRAMES[:, :0], "2, 0, 64"),
    ],
)
def test_world_refuses_frames_of_another_kind(frames: np.ndarray, message: str) -> None:
    world = random_world()
    for method in (world.encode, world.infer_actions, world.prompts):
        with pytest.raises(ValueError, match=f"expected uint8.*64x64x3.*{message}"):
            method(frames)


def test_world_refuses_tokens_it_does_not_have_and_a_clip_without_a_transition() -> None:
    world = random_world()
    for tokens in (
        torch.full((1, 1, 64), VOCAB),
        torch.full((1, 1, 64), -1),
        torch.zeros(1, 1, 63, dtype=torch.long),
        torch.zeros(1, 64, dtype=torch.long),
        torch.zeros(1, 1, 64),
    ):
        with pytest.raises(ValueError, match="expected"):
            world.decode(tokens)
    with pytest.raises(ValueError, match="two frames"):
        world.infer_actions(FRAMES[:, :1])


def test_world_round_trips_tokens_through_frames() -> None:
    world = random_world()
    tokens = torch.randint(VOCAB, (2, 5, 64))
    frames = world.decode(tokens)
    assert frames.shape == (2, 5, 64, 64, 3) and frames.dtype == torch.uint8
    assert torch.equal(world.encode(frames), tokens) and torch.equal(world.encode(frames.numpy()), tokens)
    assert world.infer_actions(frames).shape == (2, 4)


def test_decoder_draws_under_each_code_what_it_draws_under_that_code(lam: LatentActionModel) -> None:
    past = to_float(torch.randint(256, (2, 3, 64, 64, 3), dtype=torch.uint8))
    each = lam.predict_each(past)
    assert each.shape == (2, 3, 3, 64, 64)
    for code in range(3):
        torch.testing.assert_close(each[:, code], lam.predict(past, torch.full((2,), code)))


def test_smaller_latent_action_model_sees_frames_averaged_down() -> None:
    small = LatentActionModel(LatentActionConfig(channels=8, context_frames=3, image_size=32)).eval()
    frames = torch.randint(256, (2, 4, 64, 64, 3), dtype=torch.uint8)
    shrunk = small.shrink(to_float(frames))
    assert shrunk.shape == (2, 4, 3, 32, 32)
    torch.testing.assert_close(shrunk[0, 1, 2, 5, 7], to_float(frames)[0, 1, 2, 10:12, 14:16].mean())
    assert torch.equal(small.shrink(shrunk), shrunk)
    torch.testing.assert_close(small(shrunk).prediction_BCHW, small(to_float(frames)).prediction_BCHW)
    assert small.predict_each(to_float(frames[:, :3])).shape == (2, 3, 3, 32, 32)
