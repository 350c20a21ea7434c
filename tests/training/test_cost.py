"""The modelled cost of a step: FLOPs against their formula, kernels and bytes against counts by hand."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tests.helpers import small_trainer
from trm_arc.config import load_preset
from trm_arc.model.flops import count_training
from trm_arc.training.cost import Rates, _Fused, _Kernels, count_kept, count_step, mean_over_buckets, model_seconds

N, M, K = 64, 32, 16
META = torch.device("meta")


@pytest.mark.parametrize("name", ["trm", "hrm", "direct", "single-z", "arc1-fast", "sudoku-mlp", "sudoku-fast", "demo"])
def test_the_flops_are_those_of_the_formula(name: str) -> None:
    config, window, batch = load_preset(name), (9, 9), 4
    model = replace(config.model, board_rows=9, board_columns=9)
    if model.mixer == "mlp":
        model = replace(model, prefix=7)  # 88 tokens, which an accelerator need not pad
    count = count_step(replace(config, model=model), window, batch)
    expected = batch * count_training(model, config.training, window[0] * window[1])
    if model.mixer == "attention":  # its backward kernel computes the weights again: five products where the formula has four
        length = model.prefix + window[0] * window[1]
        with_gradient = model.calls_with_gradient(model.cycles, model.latent_steps)
        expected += batch * with_gradient * model.layers * 2 * length**2 * model.width
    assert count.products + count.attention == pytest.approx(expected, rel=0.003)
    assert (count.attention > 0) == (model.mixer == "attention")


def test_kernels_and_bytes_are_those_counted_by_hand() -> None:
    a, b, c = (torch.empty(N, M, device=META) for _ in range(3))
    weights = torch.empty(M, K, device=META)
    with _Kernels() as count, _Fused():
        first = a * b + c  # fused: reads three, writes one
        second = first @ weights
        third = F.rms_norm(second, (K,), eps=1e-5).view(K, N) * 2  # fused: reads one, writes one that nobody reads
    assert (count.launches, count.fused_launches) == (5, 3)
    assert count.products == 2 * N * M * K
    assert count.traffic == 4 * (6 * N * M + 4 * N * K)
    assert count.fused_traffic == 4 * (4 * N * M + N * K)
    assert third.shape == (K, N)


def test_what_is_read_twice_is_counted_once_when_fused() -> None:
    a = torch.empty(N, M, device=META)
    with _Kernels() as count:
        b = a * a
        torch.mm(b + a, a.T)
    assert count.traffic == 4 * (3 + 3) * N * M
    assert count.fused_traffic == 4 * (1 + 1) * N * M, "a is read and the sum is written; b is neither"


@pytest.mark.parametrize("name", ["trm", "direct", "arc1-fast", "arc1-loop", "arc1-parallel", "sudoku-small", "maze-fast"])
def test_every_preset_is_cheaper_fused_and_linear_in_rows(name: str) -> None:
    config = load_preset(name).override({"width": 64, "heads": 2, "batch_size": 2})
    window = (9, 9) if config.model.board_rows == 9 else (6, 6) if config.model.board_rows == 6 else (30, 30)
    one, two = (count_step(config, window, rows) for rows in (64, 128))
    assert one.fused_launches < one.launches
    assert one.fused_traffic < one.traffic
    assert two.launches == one.launches
    assert two.products == pytest.approx(2 * one.products)
    assert two.kept == pytest.approx(2 * one.kept, rel=0.1)
    assert count_kept(config, window, 64, torch.bfloat16) == one.kept
    card = Rates.of_data_sheet(989e12, 3.35e12)
    assert one.seconds(card, fused=True) < one.seconds(card, fused=False)


def test_the_bytes_kept_are_those_counted_by_hand() -> None:
    config = load_preset("trm").override({"width": 64, "heads": 2})
    length, inner, blocks = 916, 256, 10  # two in each of five network calls with gradient
    # h, rotated q and k, v, the mixed values, what both norms read, what the MLP reads; g, silu(g), u and the product
    assert count_step(config, (30, 30), 8).kept / 8 == pytest.approx(blocks * length * 2 * (8 * 64 + 4 * inner), rel=0.03)


def test_a_step_of_a_run_is_the_mean_over_its_buckets() -> None:
    trainer = small_trainer()
    rates = Rates(1e12, 1e12, 1e12, 1e10)
    eager, fused = model_seconds(trainer.config, trainer.examples, rates, torch.bfloat16)
    assert 0 < fused < eager
    assert mean_over_buckets(trainer.examples, [3.0] * len(trainer.examples.buckets)) == pytest.approx(3)


def test_starting_kernels_limits_a_small_step() -> None:
    count = count_step(load_preset("demo"), (3, 3), 1)
    fast = Rates.of_data_sheet(1e30, 1e30)
    assert count.seconds(fast, fused=False) == pytest.approx(count.launches * 7e-6)
