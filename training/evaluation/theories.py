"""The ten theories of why a dream gets worse than one step from real frames, one measured test each.

Each test compares the world under the suspected condition with the same world, on the same held-out clips, without
it. Where it can, it counts in changed-token accuracy: the share of the tokens that had to change and are right. Owns
the tests and their thresholds; the rule of the verdict is that of :mod:`training.evaluation.findings`.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch

from genie_env.config import SamplingConfig
from genie_env.models.dynamics import parallel_log_probs
from genie_env.statistics import Interval, bootstrap, bootstrap_sums, decibels, magnitude, mean
from training.evaluation.array_metrics import pixel_errors
from training.evaluation.diagnosis_inputs import PASS_FRAMES, Share, Subject, accuracy, one_pass
from training.evaluation.findings import Finding
from training.evaluation.held_out import roll
from training.evaluation.interventions import HiddenContext, from_checkpoint, with_batch_statistics
from training.evaluation.measures import PEAK_2

NOTICEABLE = 0.05
"""Smallest loss of changed-token accuracy, and smallest share of impossible tokens, that would explain a decay."""
DRIFTED = 0.1
"""Smallest share of the foreground's tokens that must be other ones than in real play."""
BLURRED = 1.0
"""Smallest loss of foreground PSNR in dB."""
LEAKED = 0.01
"""Smallest change of a probability; rounding stays far below."""
MISCOUNTED = 0.1
"""Smallest share by which draws change more, or fewer, tokens than really change."""
ROLLOUT, HIDDEN, BUCKETS, CYCLES = 20, 0.25, 5, 10
NOTHING = Interval(math.nan)


def masking(s: Subject) -> Finding:
    """1. Would hiding part of the context, as masked training does, make predictions better than showing it all?"""
    theory, unit = "masking in training, none at inference", "accuracy gained by masks"
    if not s.test_masking:
        return Finding(1, theory, {}, NOTHING, unit, NOTICEABLE, "Left out.")
    with torch.inference_mode():
        masked = one_pass(HiddenContext(s.world.dynamics, HIDDEN, s.seed), s.clips)
    normal, hidden = (accuracy(s.clips, said.tokens_CKN) for said in (s.passed, masked))
    measured = {
        "accuracy with nothing masked": normal.share_C,
        f"with {HIDDEN:.0%} of the context masked": hidden.share_C,
        "MSE with nothing masked": s.square_errors(s.passed.tokens_CKN),
        "masked": s.square_errors(masked.tokens_CKN),
    }
    return Finding(1, theory, measured, hidden.above(normal), unit, NOTICEABLE)


def teacher_forcing(s: Subject) -> Finding:
    """2. Are frames worse whose context is dreamed than frames whose context is real?"""
    steps = min(ROLLOUT, s.real_CHN.shape[1])
    # Nobody can know a serve, and the first dreamed frame still has a real context.
    foreseeable_CK, skip = ~s.clips.served_CH[:, :steps], min(1, steps - 1)
    measured, found = {}, []
    for name, tokens in (("real", s.forced_CHN[:, :steps]), ("its own", s.dreamed_CHN[:, :steps])):
        found.append(accuracy(s.clips, tokens, skip, foreseeable_CK))
        error_C = s.square_errors(tokens)
        measured[f"accuracy of steps {skip + 1}-{steps} from {name} frames"] = found[-1].share_C
        measured[f"MSE from {name} frames"] = error_C
        measured[f"PSNR in dB from {name} frames"] = decibels(error_C / PEAK_2)
    real, dream = found
    return Finding(2, "teacher forcing against rollout", measured, real.above(dream), "accuracy lost", NOTICEABLE)


def context_length(s: Subject) -> Finding:
    """3. Is a frame predicted worse after fewer, or many more, real frames than a window holds?"""
    theory, unit = "context longer or shorter than in training", "accuracy lost"
    if s.long is None:
        return Finding(3, theory, {}, NOTHING, unit, NOTICEABLE, "No held-out episode is long enough.")
    window = s.world.config.dynamics.window
    prompt = s.world.starts.tokens_SPN.shape[1] if s.world.starts is not None else window
    found = {n: _accuracy_after(s, n) for n in sorted({min(prompt, window), window, s.long.context})}
    effects = [found[window].above(other) for n, other in found.items() if n != window]
    measured = {f"accuracy after {n} frames": one.share_C for n, one in found.items()}
    return Finding(3, theory, measured, _worst(effects), unit, NOTICEABLE, "The worse of both.")


@torch.inference_mode()
def _accuracy_after(s: Subject, length: int) -> Share:
    """Share of the most likely frame after exactly ``length`` real ones."""
    assert s.long is not None
    engine, drawn, keys_C = s.world.engine(SamplingConfig(temperature=0.0)), [], torch.arange(len(s.long.tokens_CTN))
    tokens, actions = s.long.tokens_CTN.to(s.world.device), s.long.actions_CT.to(s.world.device)
    for at in range(s.long.context, tokens.shape[1]):
        before = slice(at - length, at)
        one = engine.roll(tokens[:, before], actions[:, before][:, :-1], actions[:, at - 1 : at], keys_B=keys_C)
        drawn.append(one.tokens_BTN.cpu())
    return accuracy(s.long, torch.cat(drawn, dim=1))


def drift(s: Subject) -> Finding:
    """4. Do late dreamed frames hold other tokens than real ones?"""
    other_V = s.token_counts(s.others.tokens_CTN).mean(0)

    def apart(counts_CV: np.ndarray) -> float:
        """Total variation distance, as a part of the foreground: the rest of a frame is always the same."""
        return float(np.abs(counts_CV.mean(0) - other_V).sum() / 2 / max(other_V[:-1].sum(), 1e-9))

    buckets = np.array_split(np.arange(s.real_CHN.shape[1]), min(BUCKETS, s.real_CHN.shape[1]))
    counts = {
        name: [s.token_counts(tokens[:, steps]) for steps in buckets]
        for name, tokens in (("dreamed", s.dreamed_CHN), ("real", s.real_CHN))
    }
    dream_CV, real_CV = counts["dreamed"][-1], counts["real"][-1]
    effect = bootstrap(lambda rows: apart(dream_CV[rows]) - apart(real_CV[rows]), len(dream_CV))
    curve = {name: [apart(one) for one in parts] for name, parts in counts.items()}
    measured = {f"foreground tokens a frame, {name}": parts[-1][:, :-1].sum(1) for name, parts in counts.items()}
    note = (
        f"Distance to other real play in steps {buckets[-1][0] + 1}-{buckets[-1][-1] + 1}: {curve['dreamed'][-1]:.3f} "
        f"dreamed, {curve['real'][-1]:.3f} real."
    )
    curve["step"] = [float(steps.mean()) + 1 for steps in buckets]
    return Finding(4, "latent drift", measured, effect, "of the foreground's tokens are others", DRIFTED, note, curve)


def random_actions(s: Subject) -> Finding:
    """5. Do random actions make dreams impossible, where inferred ones do not?

    That the future differs is what actions are for. Tokens at places where training play never had them are faults.
    """
    generator = torch.Generator().manual_seed(s.seed)
    drawn_CT = torch.randint(s.world.config.dynamics.num_actions, s.clips.actions_CT.shape, generator=generator)
    drawn_CT[:, : s.clips.context - 1] = s.clips.actions_CT[:, : s.clips.context - 1]
    random = roll(s.world, s.clips, s.sampling, actions_CT=drawn_CT)
    inferred, random, real = (_impossible(s, tokens) for tokens in (s.dreamed_CHN, random, s.real_CHN))
    measured = {
        "impossible share of the foreground with random actions": random.share_C,
        "with inferred ones": inferred.share_C,
        "in real play": real.share_C,
    }
    effect = random.above(inferred)
    return Finding(5, "random against inferred actions", measured, effect, "more impossible tokens", NOTICEABLE)


def quantisation(s: Subject) -> Finding:
    """6. Does encoding and decoding again and again make pictures worse and worse?"""
    real, errors = s.clips.frames_CTHWC[:, s.clips.context :][:, :PASS_FRAMES], []
    frames, background = torch.from_numpy(real), s.clips.background_HWC
    for _ in range(CYCLES):
        frames = s.world.decode(s.world.encode(frames)).cpu()
        errors.append(pixel_errors(real, frames.numpy(), background))
    # Clips without any foreground have nothing to lose.
    pixels_C = errors[0][2].sum(1)
    first_C, last_C = (error[1].sum(1)[pixels_C > 0] / pixels_C[pixels_C > 0] for error in (errors[0], errors[-1]))
    effect = bootstrap_sums(lambda a, b, n: decibels(a / n) - decibels(b / n), first_C, last_C, np.ones(len(first_C)))
    measured = {
        f"foreground PSNR in dB after {name}": decibels(errors_C)
        for name, errors_C in (("one cycle", first_C), (f"{CYCLES} cycles", last_C))
    }
    note = "Matters only to a rollout that leaves token space, which this engine's never does."
    return Finding(6, "quantisation error accumulates", measured, effect, "dB lost", BLURRED, note)


def modes(s: Subject) -> Finding:
    """7. Is the network better in training mode and with gradients than as it is used?"""
    model = copy.deepcopy(s.world.dynamics).train().requires_grad_(True)
    with torch.enable_grad():
        trained = one_pass(model, s.clips)
    used, learning = (accuracy(s.clips, said.tokens_CKN) for said in (s.passed, trained))
    measured = {
        "accuracy in eval mode without gradients": used.share_C,
        "in training mode with gradients": learning.share_C,
        "largest difference of a token's probability": (trained.best_CKN - s.passed.best_CKN)
        .abs()
        .amax((1, 2))
        .numpy(),
    }
    effect = learning.above(used)
    return Finding(7, "behaviour without gradients", measured, effect, "accuracy lost", NOTICEABLE)


def statistics(s: Subject) -> Finding:
    """8. Do running statistics or averaged weights predict worse than fresh ones?"""
    theory, unit = "normalisation and averaged statistics", "accuracy lost"
    shipped = accuracy(s.clips, s.passed.tokens_CKN)
    measured, effects = {"accuracy as shipped": shipped.share_C}, []
    pairs = [("batch statistics", with_batch_statistics(s.world.dynamics), None)]
    if s.checkpoint is not None:
        raw, average = (from_checkpoint(s.world.dynamics, s.checkpoint, kind) for kind in ("model", "average"))
        pairs.append(("raw weights", raw, average))
    for name, control, suspect in pairs:
        if control is None:
            continue
        with torch.inference_mode():
            fresh = accuracy(s.clips, one_pass(control, s.clips).tokens_CKN)
            kept = shipped if suspect is None else accuracy(s.clips, one_pass(suspect, s.clips).tokens_CKN)
        measured[f"with {name}"] = fresh.share_C
        if suspect is not None:
            measured["with their average"] = kept.share_C
        effects.append(fresh.above(kept))
    note = ""
    if pairs[0][1] is None:
        note = "No layer keeps running statistics." + ("" if s.checkpoint else " --dynamics-path compares raw weights.")
    effect = _worst(effects)
    return Finding(8, theory, measured, effect, unit, NOTICEABLE, note)


@torch.inference_mode()
def causality(s: Subject) -> Finding:
    """9. Does a change of future frames and actions change what is said about the past?"""
    generator, config = torch.Generator().manual_seed(s.seed), s.world.config.dynamics
    cut, stop = s.clips.context, s.clips.context + min(PASS_FRAMES, s.real_CHN.shape[1])
    past, future = [], []
    for rows in torch.arange(len(s.clips.tokens_CTN)).split(2):
        tokens, actions = s.clips.tokens_CTN[rows, :stop].clone(), s.clips.actions_CT[rows, :stop].clone()
        tokens, actions = tokens[:, : actions.shape[1]], actions[:, : tokens.shape[1]]
        other_tokens, other_actions = tokens.clone(), actions.clone()
        other_tokens[:, cut:].random_(config.vocab_size, generator=generator)
        other_actions[:, cut:].random_(config.num_actions, generator=generator)
        said = [
            parallel_log_probs(s.world.dynamics, t.to(s.world.device), a.to(s.world.device)).softmax(-1)
            for t, a in ((tokens, actions), (other_tokens, other_actions))
        ]
        change_BT = (said[0] - said[1]).abs().amax((2, 3)).cpu().numpy()
        past.append(change_BT[:, :cut].max(1))
        future.append(change_BT[:, cut:].max(1))
    change_C = np.concatenate(past)
    measured = {"change of a past probability": change_C, "of a future one": np.concatenate(future)}
    effect = mean(change_C)
    return Finding(9, "causal mask", measured, effect, "largest change of a past probability", LEAKED)


def objective(s: Subject) -> Finding:
    """10. Are as many tokens changed in a drawn step as the loss has seen change?

    The loss weighs and samples tokens and looks at each alone; inference draws all of them together, cooled and cut.
    Where that does not fit, objects fade away (too few changes) or multiply (too many).
    """
    steps = min(ROLLOUT, s.real_CHN.shape[1])
    before = s.clips.tokens_CTN[:, s.clips.context - 1 : s.clips.context - 1 + steps]
    drawn_C, real_C = (
        (tokens[:, :steps] != before).sum((1, 2)).numpy().astype(float) for tokens in (s.forced_CHN, s.real_CHN)
    )

    signed = bootstrap_sums(lambda drawn, real: drawn / real - 1, drawn_C, real_C)
    measured = {
        "tokens changed a frame when drawn": drawn_C / steps,
        "in real play": real_C / steps,
        "loss in nats a frame": s.passed.nats_C,
    }
    note = "Drawn steps change too " + ("many." if signed.value > 0 else "few.")
    theory, unit = "training loss against inference objective", "of the changes too many or too few"
    return Finding(10, theory, measured, magnitude(signed), unit, MISCOUNTED, note)


def _worst(effects: list[Interval]) -> Interval:
    return max((e for e in effects if math.isfinite(e.value)), key=lambda e: e.value, default=NOTHING)


def _impossible(s: Subject, tokens_CHN: torch.Tensor) -> Share:
    """Foreground tokens of each clip that training play never had at their places, out of all of its foreground."""
    ours = s.foreground(tokens_CHN).numpy()
    seen = s.seen_NV[np.arange(tokens_CHN.shape[-1]), tokens_CHN.numpy()]
    return Share((ours & ~seen).sum((1, 2)), ours.sum((1, 2)))


THEORIES = (
    masking,
    teacher_forcing,
    context_length,
    drift,
    random_actions,
    quantisation,
    modes,
    statistics,
    causality,
    objective,
)
