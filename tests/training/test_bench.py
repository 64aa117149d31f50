"""The training benchmark runs the real loop and counts what it multiplies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genie_env.bench import work
from genie_env.command import run
from genie_env.config import DynamicsConfig
from training import bench
from training.bench import measure, write_made_up_tokens
from training.data.token_store import TokenStore
from training.dynamics.task import TrainDynamicsConfig
from training.engine.loop import LoopConfig

SIZE = DynamicsConfig(vocab_size=24, side=4, width=16, num_layers=1, num_heads=2, head_layers=1, token_dim=8, window=3)
LOOP = LoopConfig(n_updates=1000, batch_size=2, accumulate=2, warmup=2, precision="float32")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MATRIX_SIZES", {"cpu": (64,)})
    monkeypatch.setattr(work, "COPY_BYTES", {"cpu": 1 << 16})
    monkeypatch.setattr(bench, "EPISODES", 8)
    monkeypatch.setattr(bench, "EPISODE_FRAMES", 200)


def test_made_up_tokens_change_as_seldom_as_those_of_a_game(tmp_path: Path) -> None:
    write_made_up_tokens(tmp_path / "tokens", SIZE)
    episodes = TokenStore(tmp_path / "tokens").episodes("train")
    rates = [np.mean(e.tokens_TN[1:] != e.tokens_TN[:-1]) for e in episodes]
    assert len(episodes) == bench.EPISODES and 0.04 < np.mean(rates) < 0.08


def test_training_is_measured_early_and_late(tmp_path: Path) -> None:
    write_made_up_tokens(tmp_path / "tokens", SIZE)
    config = TrainDynamicsConfig(tmp_path / "tokens", tmp_path, SIZE, LOOP, clip_length=5, device="cpu")
    real, dreamed = (measure(config, steps=3, dreamed=late, warm_up=1) for late in (False, True))
    for speed, context in ((real, "real"), (dreamed, "dreamed")):
        assert speed.context == context and speed.batch_size == 4
        assert speed.tokens_per_second == pytest.approx(4 * 5 * 16 * speed.updates_per_second)
        assert 0 < speed.share_of_loss < 1 and speed.of_matrix_ceiling > 0
    # Backward costs about twice what forward does; the trunk alone is more than a tenth of all of it.
    trunk = 4 * 5 * 2 * SIZE.num_groups * 2 * 12 * SIZE.width**2
    assert trunk < 1e9 * real.gigaflops_per_update < 30 * trunk
    assert not list(tmp_path.glob("**/model.safetensors"))


@pytest.mark.parametrize(
    ("flags", "named"), [(["--recipe", "no-such-game"], "no-such-game"), (["--steps", "1"], "steps")]
)
def test_bad_flag_is_named(flags: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(bench.main, bench.BenchConfig, argv=flags) == 2
    assert named in capsys.readouterr().err
