"""The ten theories of why a dream gets worse than one step from real frames, one measured test each.

Each test compares the world under the suspected condition with the same world, on the same held-out clips, without
it. Where it can, it counts in changed-token accuracy: the share of the tokens that had to change and are right. Owns
the tests and their thresholds; the rule of the verdict is that of :mod:`training.evaluation.findings`.
"""

from __future__ import annotations

import copy
import math
from functools import partial

import numpy as np
import torch

from genie_env.config import SamplingConfig
from genie_env.measurement import Measurement, Metric
from genie_env.models.dynamics import parallel_log_probs
from genie_env.statistics import Interval, bootstrap, bootstrap_sums, decibels, magnitude, mean, psnr_difference
from training.evaluation.array_metrics import pixel_errors
from training.evaluation.diagnosis_inputs import PASS_FRAMES, DiagnosisInputs, Share, accuracy, parallel_pass
from training.evaluation.dreams import PEAK_2
from training.evaluation.findings import NOTHING, Result, theory
from training.evaluation.held_out import predict, random_actions
from training.evaluation.interventions import HiddenContext, from_checkpoint, with_batch_statistics

NOTICEABLE = 0.05
"""Smallest loss of changed-token accuracy, and smallest share of impossible tokens, that would explain a decay."""
DRIFTED = 0.1
"""Smallest share of the foreground's tokens that must differ from those of real play."""
BLURRED = 1.0
"""Smallest loss of foreground PSNR in dB."""
LEAKED = 0.01
"""Smallest change of a probability; rounding stays far below."""
MISCOUNTED = 0.1
"""Smallest share by which draws change more, or fewer, tokens than really change."""
ROLLOUT, HIDDEN, BUCKETS, CYCLES = 20, 0.25, 5, 10
LOST = "accuracy lost"


@theory(1, "masking in training, none at inference", "accuracy gained by masks", NOTICEABLE)
def masking(inputs: DiagnosisInputs) -> Result:
    """Would hiding part of the context, as masked training does, make predictions better than showing it all?"""
    if not inputs.test_masking:
        return Result(NOTHING, note="Left out.")
    normal = inputs.passed
    hidden = parallel_pass(HiddenContext(inputs.world.dynamics, HIDDEN, inputs.seed), inputs.clips)
    compared = {
        "accuracy with nothing masked": normal.accuracy.share_C,
        f"with {HIDDEN:.0%} of the context masked": hidden.accuracy.share_C,
        "MSE with nothing masked": inputs.square_errors(normal.tokens_CKN),
        "masked": inputs.square_errors(hidden.tokens_CKN),
    }
    return Result(hidden.accuracy.above(normal.accuracy), compared)


@theory(2, "teacher forcing against rollout", LOST, NOTICEABLE)
def teacher_forcing(inputs: DiagnosisInputs) -> Result:
    """Are frames worse whose context is dreamed than frames whose context is real?"""
    steps = min(ROLLOUT, inputs.dreamed_CHN.shape[1])
    # A serve cannot be predicted, and the first dreamed frame still has a real context.
    predictable_CK, skip = ~inputs.clips.served_CH[:, :steps], min(1, steps - 1)
    compared, shares = {}, []
    for name, tokens in (("real", inputs.forced_CHN[:, :steps]), ("its own", inputs.dreamed_CHN[:, :steps])):
        shares.append(accuracy(inputs.clips, tokens, skip, predictable_CK))
        error_C = inputs.square_errors(tokens)
        compared[f"accuracy of steps {skip + 1}-{steps} from {name} frames"] = shares[-1].share_C
        compared[f"MSE from {name} frames"] = error_C
        compared[f"PSNR in dB from {name} frames"] = decibels(error_C / PEAK_2)
    real, dream = shares
    return Result(real.above(dream), compared)


@theory(3, "context longer or shorter than in training", LOST, NOTICEABLE)
def context_length(inputs: DiagnosisInputs) -> Result:
    """Is a frame predicted worse after fewer, or many more, real frames than a window holds?"""
    if inputs.long is None:
        return Result(NOTHING, note="No held-out episode is long enough.")
    window = inputs.world.config.dynamics.window
    prompt = inputs.world.starts.tokens_SPN.shape[1]
    lengths = sorted({min(prompt, window), window, inputs.long.context})
    shares = {length: _accuracy_after(inputs, length) for length in lengths}
    effects = [shares[window].above(other) for length, other in shares.items() if length != window]
    compared = {f"accuracy after {length} frames": share.share_C for length, share in shares.items()}
    return Result(_worst(effects), compared, "The worse of both.")


def _accuracy_after(inputs: DiagnosisInputs, length: int) -> Share:
    """Accuracy of the most likely frame after exactly ``length`` real ones."""
    clips = inputs.long
    assert clips is not None
    engine, drawn = inputs.world.engine(SamplingConfig(temperature=0.0)), []
    keys_C = torch.arange(len(clips.tokens_CTN))
    tokens, actions = clips.tokens_CTN.to(inputs.world.device), clips.actions_CT.to(inputs.world.device)
    for at in range(clips.context, tokens.shape[1]):
        before = slice(at - length, at)
        one = engine.roll(tokens[:, before], actions[:, before][:, :-1], actions[:, at - 1 : at], keys_B=keys_C)
        drawn.append(one.tokens_BTN.cpu())
    return accuracy(clips, torch.cat(drawn, dim=1))


@theory(4, "latent drift", "of the foreground's tokens are others", DRIFTED)
def drift(inputs: DiagnosisInputs) -> Result:
    """Do late dreamed frames hold other tokens than real ones?"""
    other_V = inputs.token_counts(inputs.others.tokens_CTN).mean(0)

    def apart(counts_CV: np.ndarray) -> float:
        """Total variation distance, as a part of the foreground: the rest of a frame is always the same."""
        return float(np.abs(counts_CV.mean(0) - other_V).sum() / 2 / max(other_V[:-1].sum(), 1e-9))

    steps = inputs.dreamed_CHN.shape[1]
    buckets = np.array_split(np.arange(steps), min(BUCKETS, steps))
    counts = {
        name: [inputs.token_counts(tokens[:, bucket]) for bucket in buckets]
        for name, tokens in (("dreamed", inputs.dreamed_CHN), ("real", inputs.clips.real_CHN))
    }
    dream_CV, real_CV = (parts[-1] for parts in counts.values())
    effect = bootstrap(lambda rows: apart(dream_CV[rows]) - apart(real_CV[rows]), len(dream_CV))
    of = partial(Measurement.of, Metric.TOKEN_HISTOGRAM_DISTANCE, experiment="drift")
    curve = [
        of(apart(part), source=name, horizon=round(float(bucket.mean())) + 1)
        for name, parts in counts.items()
        for bucket, part in zip(buckets, parts, strict=True)
    ]
    compared = {f"foreground tokens a frame, {name}": parts[-1][:, :-1].sum(1) for name, parts in counts.items()}
    note = (
        f"Distance to other real play in steps {buckets[-1][0] + 1}-{buckets[-1][-1] + 1}: {apart(dream_CV):.3f} "
        f"dreamed, {apart(real_CV):.3f} real."
    )
    return Result(effect, compared, note, curve)


@theory(5, "random against inferred actions", "more impossible tokens", NOTICEABLE)
def random_against_inferred(inputs: DiagnosisInputs) -> Result:
    """Do random actions make dreams impossible, where inferred ones do not?

    Another future is what actions are for. Tokens at places where training play never had them are errors.
    """
    drawn_CT = random_actions(inputs.world, inputs.clips, inputs.seed)
    random_CHN = predict(inputs.world, inputs.clips, inputs.sampling, actions_CT=drawn_CT)
    inferred, random, real = (
        _impossible(inputs, tokens) for tokens in (inputs.dreamed_CHN, random_CHN, inputs.clips.real_CHN)
    )
    compared = {
        "impossible share of the foreground with random actions": random.share_C,
        "with inferred ones": inferred.share_C,
        "in real play": real.share_C,
    }
    return Result(random.above(inferred), compared)


@theory(6, "quantisation error accumulates", "dB lost", BLURRED)
def quantisation(inputs: DiagnosisInputs) -> Result:
    """Does encoding and decoding again and again make pictures worse and worse?"""
    real, errors = inputs.clips.frames_CTHWC[:, inputs.clips.context :][:, :PASS_FRAMES], []
    frames = torch.from_numpy(real)
    for _ in range(CYCLES):
        frames = inputs.world.decode(inputs.world.encode(frames)).cpu()
        errors.append(pixel_errors(real, frames.numpy(), inputs.play.background_HWC))
    # Clips without any foreground have nothing to lose.
    pixels_C = errors[0][2].sum(1)
    first_C, last_C = (error[1].sum(1)[pixels_C > 0] / pixels_C[pixels_C > 0] for error in (errors[0], errors[-1]))
    compared = {
        f"foreground PSNR in dB after {name}": decibels(errors_C)
        for name, errors_C in (("one cycle", first_C), (f"{CYCLES} cycles", last_C))
    }
    note = "Matters only to a rollout that leaves token space, which this engine's never does."
    return Result(psnr_difference(first_C, last_C, np.ones(len(first_C))), compared, note)


@theory(7, "behaviour without gradients", LOST, NOTICEABLE)
def modes(inputs: DiagnosisInputs) -> Result:
    """Is the network better in training mode and with gradients than as it is used?"""
    model = copy.deepcopy(inputs.world.dynamics).train().requires_grad_(True)
    used, learning = inputs.passed, parallel_pass(model, inputs.clips, gradients=True)
    compared = {
        "accuracy in eval mode without gradients": used.accuracy.share_C,
        "in training mode with gradients": learning.accuracy.share_C,
        "largest difference of a token's probability": (learning.best_CKN - used.best_CKN).abs().amax((1, 2)).numpy(),
    }
    return Result(learning.accuracy.above(used.accuracy), compared)


@theory(8, "normalisation and averaged statistics", LOST, NOTICEABLE)
def statistics(inputs: DiagnosisInputs) -> Result:
    """Do running statistics or averaged weights predict worse than fresh ones?"""
    model, clips, shipped = inputs.world.dynamics, inputs.clips, inputs.passed.accuracy
    compared, effects, note = {"accuracy as shipped": shipped.share_C}, [], ""
    fresh_model = with_batch_statistics(model)
    if fresh_model is not None:
        fresh = parallel_pass(fresh_model, clips).accuracy
        compared["with batch statistics"] = fresh.share_C
        effects.append(fresh.above(shipped))
    else:
        note = "No layer keeps running statistics."
        note += "" if inputs.checkpoint else " --dynamics-path compares raw weights."
    if inputs.checkpoint is not None:
        models = (from_checkpoint(model, inputs.checkpoint, kind) for kind in ("model", "average"))
        raw, average = (parallel_pass(one, clips).accuracy for one in models)
        compared |= {"with raw weights": raw.share_C, "with their average": average.share_C}
        effects.append(raw.above(average))
    return Result(_worst(effects), compared, note)


@theory(9, "causal mask", "largest change of a past probability", LEAKED)
@torch.inference_mode()
def causality(inputs: DiagnosisInputs) -> Result:
    """Does a change of future frames and actions change the predictions of past ones?"""
    generator, config = torch.Generator().manual_seed(inputs.seed), inputs.world.config.dynamics
    clips, device = inputs.clips, inputs.world.device
    cut, stop = clips.context, min(clips.context + PASS_FRAMES, clips.actions_CT.shape[1])
    past, future = [], []
    for rows in torch.arange(len(clips.tokens_CTN)).split(2):
        tokens, actions = clips.tokens_CTN[rows, :stop], clips.actions_CT[rows, :stop]
        other_tokens, other_actions = tokens.clone(), actions.clone()
        other_tokens[:, cut:].random_(config.vocab_size, generator=generator)
        other_actions[:, cut:].random_(config.num_actions, generator=generator)
        first, second = (
            parallel_log_probs(inputs.world.dynamics, t.to(device), a.to(device)).softmax(-1)
            for t, a in ((tokens, actions), (other_tokens, other_actions))
        )
        change_BT = (first - second).abs().amax((2, 3)).cpu().numpy()
        past.append(change_BT[:, :cut].max(1))
        future.append(change_BT[:, cut:].max(1))
    change_C = np.concatenate(past)
    return Result(mean(change_C), {"change of a past probability": change_C, "of a future one": np.concatenate(future)})


@theory(10, "training loss against inference objective", "of the changes too many or too few", MISCOUNTED)
def objective(inputs: DiagnosisInputs) -> Result:
    """Are as many tokens changed in a drawn step as the loss has seen change?

    The loss weighs and samples tokens and looks at each alone; inference draws all of them together, cooled and cut.
    Where that does not fit, objects fade away (too few changes) or multiply (too many).
    """
    clips, steps = inputs.clips, min(ROLLOUT, inputs.forced_CHN.shape[1])
    drawn_C, real_C = (
        (tokens[:, :steps] != clips.previous_CHN[:, :steps]).sum((1, 2)).numpy().astype(float)
        for tokens in (inputs.forced_CHN, clips.real_CHN)
    )
    signed = bootstrap_sums(lambda drawn, real: drawn / real - 1, drawn_C, real_C)
    compared = {
        "tokens changed a frame when drawn": drawn_C / steps,
        "in real play": real_C / steps,
        "loss in nats a frame": inputs.passed.nats_C,
    }
    return Result(magnitude(signed), compared, f"Drawn steps change too {'many' if signed.value > 0 else 'few'}.")


def _worst(effects: list[Interval]) -> Interval:
    return max((e for e in effects if math.isfinite(e.value)), key=lambda e: e.value, default=NOTHING)


def _impossible(inputs: DiagnosisInputs, tokens_CHN: torch.Tensor) -> Share:
    """Foreground tokens of each clip that training play never had at their places, out of all of its foreground."""
    foreground_CHN = inputs.is_foreground(tokens_CHN).numpy()
    seen_CHN = inputs.seen_NV[np.arange(tokens_CHN.shape[-1]), tokens_CHN.numpy()]
    return Share((foreground_CHN & ~seen_CHN).sum((1, 2)), foreground_CHN.sum((1, 2)))


THEORIES = (
    masking,
    teacher_forcing,
    context_length,
    drift,
    random_against_inferred,
    quantisation,
    modes,
    statistics,
    causality,
    objective,
)
