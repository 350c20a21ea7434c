"""The benchmarks compare like with like."""

import torch

from benchmarks.model import make_batch, original_step, our_step
from trm_arc.config import ModelConfig, TrainingConfig
from trm_arc.cost import count_forward, count_training
from trm_arc.model import Reasoner
from trm_arc.supervision import supervision_step


def test_both_arrangements_compute_the_same_step() -> None:
    config = ModelConfig(width=32, heads=2, board_rows=5, board_columns=5, cycles=2, thoughts=2)
    reasoner, batch = Reasoner(config, torch.Generator().manual_seed(0)).double(), make_batch(config, 2)
    torch.nn.init.normal_(reasoner.halt_weight)
    vectors = [torch.ones(2, 32, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    ours = our_step(reasoner, batch, vectors[0], torch.float64, supervision_step)
    _, theirs = original_step(reasoner, batch.tokens, vectors[1], batch.labels, torch.float64)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)
    gradients = [torch.autograd.grad(loss, [v, reasoner.head]) for loss, v in ((ours, vectors[0]), (theirs, vectors[1]))]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-12)


def test_operations_are_counted_as_pytorch_counts_them() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = ModelConfig(width=64, heads=2, board_rows=6, board_columns=6, cycles=2, thoughts=1)
    reasoner, batch = Reasoner(config, torch.Generator().manual_seed(0)).double(), make_batch(config, 1)
    reasoner.requires_grad_(False)
    forward, training = count_forward(config, 36), count_training(config, TrainingConfig(), 36)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        our_step(reasoner, batch, torch.zeros(1, 64, dtype=torch.float64), torch.float64, supervision_step)
    attention = 4 * 52**2 * 64 * config.layers * config.calls  # the fused kernel on the CPU is not in its list
    halting = 2 * 64 * 2
    assert counted.get_total_flops() in (forward + halting, forward + halting - attention)
    assert 1 < training / forward < 3
