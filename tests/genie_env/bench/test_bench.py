"""The benchmark counts what the operations really do, measures without a trace, and says when figures do not hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from genie_env.bench import clock, runtimes, suite, work
from genie_env.bench.page import measure_page
from genie_env.bench.parts import measure_memory, measure_shares
from genie_env.bench.report import compare
from genie_env.bench.speed import CachedDreams, UncachedDreams, measure_flatness
from genie_env.bundle import load_world
from genie_env.cli import main
from genie_env.config import DynamicsConfig, SamplingConfig, TokenizerConfig
from genie_env.rollout import engine as rollout
from genie_env.web.chromium import find_chromium
from genie_env.web.ort_web import find_ort_web
from tests.helpers.worlds import NUM_ACTIONS, VOCAB, make_random_world, random_world

ROWS = 3


@pytest.fixture(scope="module")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_world(tmp_path_factory.mktemp("worlds") / "bench")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceilings of small sizes, and no second of listening for other processes."""
    monkeypatch.setattr(work, "MATRIX_SIZES", {"cpu": (64,)})
    monkeypatch.setattr(work, "COPY_BYTES", {"cpu": 1 << 16})
    monkeypatch.setattr(runtimes, "CEILING_SIZES", (64,))
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def products(*modules: nn.Module) -> int:
    """Numbers in the matrices."""
    return sum(p.numel() for module in modules for p in module.parameters() if p.ndim == 2)


@pytest.mark.parametrize("sampling", [SamplingConfig(), SamplingConfig(decode_steps=3, max_changed=5)])
@pytest.mark.parametrize("kind", ["codebook", "fsq"])
def test_counted_operations_are_those_of_the_matrices(kind: str, sampling: SamplingConfig) -> None:
    levels = (4, 8) if kind == "fsq" else ()
    tokenizer = TokenizerConfig(kind=kind, vocab_size=VOCAB, levels=levels, channels=8)
    world = random_world(tokenizer=tokenizer, sampling=sampling)
    c, dynamics, outcome = world.config.dynamics, world.dynamics, world.outcome
    drawn = min(sampling.max_changed, c.num_tokens)
    trunk = 2 * c.num_groups * products(dynamics.blocks, dynamics.enter)
    # Queries against keys and weights against values: a frame's positions among themselves, and each over time.
    trunk += 4 * c.num_layers * c.num_groups * c.width * (c.num_groups + c.window)
    head = 2 * c.num_groups * products(dynamics.enter_head, dynamics.head, dynamics.leave)
    head += 4 * c.head_layers * c.num_groups**2 * c.width + 2 * drawn * c.token_dim * c.vocab_size
    read = 2 * (c.num_tokens * products(outcome.place) + products(outcome.mix, outcome.out))
    for rows in (1, 5):
        tokens = work.step_work(world, rows, sampling, pixels=False).flops
        assert tokens == rows * (trunk + sampling.decode_steps * head + read)
        # A codebook looks its patches up; the learned tokenizer draws with convolutions.
        assert (work.step_work(world, rows, sampling).flops > tokens) == (kind == "fsq")


def test_counted_bytes_are_those_of_weights_ring_and_pictures() -> None:
    world, sampling = random_world(), SamplingConfig()
    one, two = (work.step_work(world, rows, sampling).bytes for rows in (1, 2))
    dreams = CachedDreams(world, 1)
    rings, window = sum(ring.nbytes for ring in dreams.state.cache.rings), world.dynamics.config.window
    # A step reads the ring, writes one of its entries, reads patches and writes the picture.
    assert two - one == rings * (window + 1) / window + 2 * dreams.step_with_pixels().nbytes
    dynamics = world.dynamics
    parts = [dynamics.embed, dynamics.enter, dynamics.blocks, dynamics.enter_head, dynamics.head, dynamics.leave]
    weights = sum(p.nbytes for part in [*parts, world.outcome] for p in part.parameters() if p.ndim > 1)
    assert weights <= 2 * one - two <= 1.1 * weights


def test_uncached_reference_dreams_the_same_within_one_window() -> None:
    window = 12
    size = DynamicsConfig(
        vocab_size=VOCAB, num_actions=NUM_ACTIONS, width=32, num_layers=2, num_heads=2, token_dim=16, window=window
    )
    world = random_world(dynamics=size)
    prompt = (world.starts.tokens_SPN[:ROWS], world.starts.actions_SP[:ROWS], torch.arange(ROWS))
    sampling, heat = SamplingConfig(top_p=0.9), torch.ones(ROWS)
    engine, uncached = world.engine(sampling), UncachedDreams(world, *prompt)
    state = engine.start(*prompt)
    for step in range(window - prompt[0].shape[1] + 1):
        actions_B = (torch.arange(ROWS) + step) % NUM_ACTIONS
        tokens_BN = engine.step(state, actions_B, heat).tokens_BN
        assert torch.equal(uncached.step(sampling, actions_B, heat), tokens_BN)
    for _ in range(2 * window):
        uncached.step(sampling, torch.zeros(ROWS, dtype=torch.long), heat)
    assert uncached.tokens_BTN.shape[1] == uncached.actions_BT.shape[1] == window


def test_shares_cover_the_whole_time_and_leave_no_trace(tiny_bundle: Path) -> None:
    draw, settings = rollout.draw_frame, {"rows": ROWS, "device": "cpu", "num_steps": 2}
    shares = measure_shares(str(tiny_bundle), **settings)
    assert shares.rows == ROWS and sum(shares[1:]) == pytest.approx(1.0)
    assert all(share > 0 for share in shares[1:])
    assert rollout.draw_frame is draw


def test_memory_is_that_of_the_state_and_the_same_for_every_row(tiny_bundle: Path) -> None:
    world = load_world(tiny_bundle, "cpu")
    few, many = (measure_memory(world, rows) for rows in (2, 20))
    state = CachedDreams(world, 1).state
    assert few.kept_per_row == many.kept_per_row
    assert few.kept_per_row == sum(ring.nbytes for ring in state.cache.rings) + state.recent_BCN.nbytes + 3 * 8
    assert few.peak_per_row >= few.kept_per_row + 3 * 64 * 64, "a picture at least"
    assert many.peak_per_row <= few.peak_per_row


def test_early_and_late_steps_are_timed(tiny_bundle: Path) -> None:
    flat = measure_flatness(load_world(tiny_bundle, "cpu"), far_step=12, rounds=1)
    assert (flat.near_step, flat.far_step) == (10, 12) and flat.ratio == flat.far_ms / flat.near_ms > 0


@pytest.mark.usefixtures("quick")
def test_command_measures_everything_and_compares(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    command = ["bench", "--world", str(tiny_bundle), "--rows", "1", "3", "--steps", "3", "--json", str(path)]
    assert main(command) == 0
    report = json.loads(path.read_text())
    tables = report["tables"]
    speeds = tables["environment"]
    assert [(s["obs_type"], s["rows"]) for s in speeds] == [("rgb", 1), ("rgb", 3), ("tokens", 1), ("tokens", 3)]
    assert all(s["steps_per_second"] > 0 and 0 < s["p50_ms"] <= s["p99_ms"] and s["steps"] == 3 for s in speeds)
    assert {name: [row.get("rows") for row in rows] for name, rows in tables.items() if name != "environment"} == {
        "engine": [1, 3],
        "cache": [1, 3],
        "SyncVectorEnv": [3],
        "share of time": [1, 3],
        "bytes": [1, 3],
        "runtimes": [1, 1, 3, 3],
        "useful work": [1, 3],
        "ceilings": [None],
    }
    assert [(row["runtime"], row["of_torch"] == 1) for row in tables["runtimes"]] == [
        ("torch", True),
        ("onnx", False),
    ] * 2
    assert all(row["of_ceiling"] > 0 and row["threads"] == torch.get_num_threads() for row in tables["runtimes"])
    for name in ("torch", "threads", "cores", "dtype", "device", "processor"):
        assert report["machine"][name] not in (None, "")
    printed = capsys.readouterr().out
    assert all(text in printed for text in (*tables, f"torch {torch.__version__}", "dtype float32", "steps per second"))
    assert "dtype" not in compare(report, report) and " 1\n" in compare(report, report)
    faster = json.loads(path.read_text())
    faster["tables"]["environment"][3]["steps_per_second"] *= 4
    faster["machine"]["threads"] = 99
    lines = compare(faster, report).splitlines()
    assert lines[0] == f"threads: 99 here, {report['machine']['threads']} there"
    assert [line.split()[-1] for line in lines if "steps per second" in line and "tokens" in line] == ["1", "4"]


@pytest.mark.usefixtures("quick")
def test_figures_of_a_busy_machine_are_marked(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    speed = {"obs_type": "rgb", "rows": 1, "steps_per_second": 1.0}
    monkeypatch.setattr(suite, "_carry_out", lambda plan: {"environment": [speed]})
    for cores, valid in ((1.5, False), (0.1, True)):
        monkeypatch.setattr(clock.OtherLoad, "cores", lambda self, cores=cores: cores)
        assert main(["bench", "--world", str(tiny_bundle), "--rows", "1", "--steps", "1"]) == 0
        output = capsys.readouterr()
        assert ("NOT VALID" not in output.out) == valid and (output.err.count("not be valid") == 0) == valid


def test_other_load_is_what_all_processes_but_this_one_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = iter([(10.0, 100.0, 5.0), (20.0, 118.0, 8.0), (20.0, 100.0, 8.0)])
    monkeypatch.setattr(clock.OtherLoad, "_read", lambda self: next(clocks))
    load = clock.OtherLoad()
    assert load.cores() == pytest.approx(1.5) and load.cores() == 0.0


def test_load_is_read_on_this_machine() -> None:
    seconds, busy, own = clock.OtherLoad._read()
    assert seconds > 0 and busy > 0 and own > 0
    assert clock.OtherLoad().cores() >= 0


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"format": 0}'])
def test_bad_comparison_fails_before_the_work(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    assert main(["bench", "--world", "no/such/world", "--compare", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("genie-env: error: ") and "other.json" in error and error.count("\n") == 1


@pytest.mark.skipif(find_chromium() is None, reason="there is no Chromium: apt-get install chromium")
def test_a_page_is_timed(tiny_bundle: Path) -> None:
    try:
        find_ort_web()
    except ValueError as error:
        pytest.skip(str(error))
    speed = measure_page(str(tiny_bundle), 20)
    assert 0 < speed.p50_ms <= speed.p99_ms and speed.first_picture_s > 0 and 0 < speed.page_mb < 2
