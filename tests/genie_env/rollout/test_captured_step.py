"""The step as a CUDA graph, where there is a GPU."""

import pytest
import torch

from genie_env.rollout.engine import RolloutEngine, RolloutState
from genie_env.rollout.torch_runtime import CapturedStep, compiled_step
from tests.helpers.worlds import random_world

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
ROWS = 6


def _begun() -> tuple[RolloutEngine, RolloutState]:
    """An engine on the GPU, and dreams that begin in random tokens."""
    world = random_world()
    world.to("cuda")
    config = world.config.dynamics
    generator = torch.Generator().manual_seed(0)
    tokens_BPN = torch.randint(config.vocab_size, (ROWS, 3, config.num_tokens), generator=generator).cuda()
    actions_BP = torch.zeros(ROWS, 2, dtype=torch.long).cuda()
    engine = world.engine()
    return engine, engine.start(tokens_BPN, actions_BP, torch.arange(ROWS).cuda())


def _dream(captured: bool) -> torch.Tensor:
    """30 steps, long enough to go round the memory, with a restart and another state in between."""
    engine, state = _begun()
    step = compiled_step(engine) if captured else engine.step
    assert isinstance(step, CapturedStep) == captured
    temperature_B, seen = torch.linspace(0, 1, ROWS).cuda(), []
    for t in range(30):
        if t == 12:
            tokens = state.tokens_BN[:2, None].clone()
            engine.reset_rows(state, torch.tensor([4, 1]), tokens, tokens[:, :0, 0], torch.tensor([77, 78]))
        if t == 20:
            state = state.clone()
        output = step(state, torch.full((ROWS,), t % 2).cuda(), temperature_B)
        seen.append(torch.cat([output.tokens_BN, output.terminated_B[:, None].long(), state.step_B[:, None]], 1))
    return torch.stack(seen)


def test_a_captured_step_dreams_what_the_eager_one_does() -> None:
    assert torch.equal(_dream(captured=True), _dream(captured=False))


def test_what_a_captured_step_returned_stays() -> None:
    engine, state = _begun()
    step, temperature_B = compiled_step(engine), torch.ones(ROWS).cuda()
    first = step(state, torch.zeros(ROWS, dtype=torch.long).cuda(), temperature_B)
    kept, before = [part.clone() for part in first if part is not None], state.recent_BCN.clone()
    held = state.recent_BCN
    step(state, torch.ones(ROWS, dtype=torch.long).cuda(), temperature_B)
    assert all(torch.equal(a, b) for a, b in zip(kept, [part for part in first if part is not None], strict=True))
    assert torch.equal(held, before)
