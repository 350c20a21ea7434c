"""Muon and NorMuon over parts of matrices, cosine decay and clipping, each against NumPy or a closed form."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests import naive
from tests.helpers import SMALL, assert_identical, make_puzzles, small_trainer
from trm_arc.common.device import Device, multiplies_bfloat16
from trm_arc.config import Config, ModelConfig, load_preset
from trm_arc.data.puzzle_sources import fit_to_data
from trm_arc.model.flops import count_forward, count_training
from trm_arc.model.reasoner import Reasoner
from trm_arc.training.optim import Muon, NorMuon, Optimizers, WholeMuon
from trm_arc.training.options import Options
from trm_arc.training.trainer import Trainer

SHAPES = [(12, 9), (9, 12), (24, 6), (12, 9)]  # the first and the last are orthogonalised together


def draw(shapes: Iterable[tuple[int, int]], generator: np.random.Generator) -> list[np.ndarray]:
    return [generator.standard_normal(shape) for shape in shapes]


def move(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], gradients: list[np.ndarray]) -> None:
    for p, gradient in zip(parameters, gradients, strict=True):
        p.grad = torch.from_numpy(gradient).to(p.dtype)
    optimizer.step()


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("steps", [3, 5])
def test_muon_over_parts_equals_plain_numpy(parts: int, steps: int) -> None:
    generator = np.random.default_rng(0)
    weights = draw(SHAPES, generator)
    parameters = [nn.Parameter(torch.from_numpy(w.copy())) for w in weights]
    optimizer = Muon([{"params": parameters, "parts": parts}], lr=0.1, momentum=0.6, weight_decay=0.5, steps=steps)
    memory = [np.zeros(shape) for shape in SHAPES]
    for _ in range(3):
        gradients = draw(SHAPES, generator)
        move(optimizer, parameters, gradients)
        for number, gradient in enumerate(gradients):
            split = (np.split(array, parts) for array in (weights[number], gradient, memory[number]))
            moved = [naive.muon(*part, 0.1, 0.6, 0.5, steps) for part in zip(*split, strict=True)]
            weights[number], memory[number] = (np.concatenate(arrays) for arrays in zip(*moved, strict=True))
            np.testing.assert_allclose(parameters[number].detach(), weights[number], rtol=1e-9)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("scale", ["own", "spectral"])
def test_normuon_over_parts_equals_plain_numpy(parts: int, nesterov: bool, scale: str) -> None:
    generator = np.random.default_rng(1)
    weights = draw(SHAPES, generator)
    parameters = [nn.Parameter(torch.from_numpy(w.copy())) for w in weights]
    groups = [{"params": parameters, "parts": parts}]
    optimizer = NorMuon(groups, 0.1, 0.9, 0.8, 0.5, nesterov=nesterov, steps=4, scale=scale)
    memory = [(np.zeros(shape), np.zeros((shape[0], 1))) for shape in SHAPES]
    for _ in range(3):
        gradients = draw(SHAPES, generator)
        move(optimizer, parameters, gradients)
        for number, gradient in enumerate(gradients):
            split = (np.split(array, parts) for array in (weights[number], gradient, *memory[number]))
            settings = {"nesterov": nesterov, "steps": 4, "scale": scale}
            moved = [naive.normuon(*part, 0.1, 0.9, 0.8, 0.5, **settings) for part in zip(*split, strict=True)]
            weights[number], *memory[number] = (np.concatenate(arrays) for arrays in zip(*moved, strict=True))
            np.testing.assert_allclose(parameters[number].detach(), weights[number], rtol=1e-9)


def test_muon_of_whole_matrices_is_that_of_pytorch() -> None:
    """PyTorch works in bfloat16, we only where a device has units for it: the steps agree to its precision."""
    generator = np.random.default_rng(2)
    weights = draw(SHAPES, generator)
    ours, theirs = ([nn.Parameter(torch.from_numpy(w).float()) for w in weights] for _ in range(2))
    first = Muon(ours, lr=0.1, momentum=0.6, weight_decay=0.5, steps=3)
    second = torch.optim.Muon(theirs, lr=0.1, momentum=0.6, weight_decay=0.5, ns_steps=3)
    for _ in range(3):
        gradients = draw(SHAPES, generator)
        before = [p.detach().clone() for p in theirs]
        move(first, ours, gradients)
        move(second, theirs, gradients)
        for a, b, old in zip(ours, theirs, before, strict=True):
            assert float((a - b).detach().norm()) < 0.05 * float((b - old).detach().norm())


@pytest.mark.parametrize("kind", ["muon", "normuon"])
@pytest.mark.parametrize(
    ("apart", "mixer", "expected"),
    [
        ("whole", "attention", {"qkv": 1, "out": 1, "gate_up": 1, "down": 1}),
        ("heads", "attention", {"qkv": 6, "out": 1, "gate_up": 1, "down": 1}),
        ("all", "attention", {"qkv": 6, "out": 1, "gate_up": 2, "down": 1}),
        ("all", "mlp", {"mix_gate_up": 2, "mix_down": 1, "gate_up": 2, "down": 1}),
    ],
)
def test_the_parts_are_heads_gate_and_up(kind: str, apart: str, mixer: str, expected: dict[str, int]) -> None:
    positions = "rotary-1d" if mixer == "attention" else "none"
    model = ModelConfig(width=16, heads=2, board_rows=4, board_columns=4, mixer=mixer, positions=positions)
    reasoner = Reasoner(model, torch.Generator().manual_seed(0))
    config = replace(SMALL.training, matrix_optimizer=kind, matrix_parts=apart, attention_weight_decay=0.01)
    first = Optimizers(reasoner, config, 10).members[0]
    names = {id(p): name.rpartition(".")[2] for name, p in reasoner.named_parameters()}
    groups = [(names[id(p)], group) for group in first.param_groups for p in group["params"]]
    assert {name: group["parts"] for name, group in groups} == expected
    decays = {name: group["weight_decay"] for name, group in groups}
    assert decays == {name: 0.01 if name in ("qkv", "out") else config.matrix_weight_decay for name in expected}
    assert {name for name, _ in groups} == set(expected)
    assert len(groups) == 2 * len(expected)
    native = torch.optim.Muon if multiplies_bfloat16(torch.device("cpu")) else WholeMuon
    assert type(first) is (NorMuon if kind == "normuon" else native if apart == "whole" else Muon)


def test_a_head_moves_by_its_own_gradient_alone() -> None:
    """The queries of one head: with parts, another head's gradient changes nothing; without, it does."""
    changed = {}
    for apart in ("whole", "heads"):
        moved = []
        for other in (1.0, 50.0):
            reasoner = Reasoner(ModelConfig(width=16, heads=2), torch.Generator().manual_seed(0)).double()
            optimizers = Optimizers(reasoner, replace(SMALL.training, matrix_optimizer="muon", matrix_parts=apart), 10)
            for p in reasoner.parameters():
                p.grad = torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(1))
            qkv = reasoner.networks[0][0].qkv
            qkv.grad[8:16] *= other  # the queries of the second head
            optimizers.step(1)
            moved.append(qkv[:8].detach().clone())
        changed[apart] = not torch.equal(*moved)
    assert changed == {"whole": True, "heads": False}


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_momentum_and_steps_reach_the_matrix_optimizer(momentum: float) -> None:
    for kind, parts in (("muon", "whole"), ("muon", "heads"), ("normuon", "all")):
        config = replace(
            SMALL.training, matrix_optimizer=kind, matrix_parts=parts, matrix_momentum=momentum, newton_schulz_steps=3
        )
        group = Optimizers(Reasoner(SMALL.model, torch.Generator()), config, 10).members[0].param_groups[0]
        steps = group["ns_steps" if "ns_steps" in group else "steps"]
        assert (group["momentum"], steps, group["nesterov"]) == (momentum, 3, kind == "muon")


def test_a_run_moves_between_machines_with_and_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their optimizers differ, not what they remember."""
    generator = torch.Generator().manual_seed(0)
    config = replace(SMALL.training, matrix_optimizer="muon", warmup_steps=0)
    made = []
    for native in (True, False):
        monkeypatch.setattr("trm_arc.training.optim.multiplies_bfloat16", lambda _device, native=native: native)
        reasoner = Reasoner(SMALL.model, torch.Generator().manual_seed(0))
        made.append((Optimizers(reasoner, config, 10), list(reasoner.parameters())))
    assert [type(optimizers.members[0]) for optimizers, _ in made] == [torch.optim.Muon, WholeMuon]
    for (optimizers, parameters), (other, _) in (made, made[::-1]):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizers.step(1)
        other.load_tensors(optimizers.tensors(), moved=True)
        assert_identical(other.tensors(), optimizers.tensors())


# --- cosine decay


@pytest.mark.parametrize(("warmup", "share"), [(0, 1.0), (4, 0.8), (0, 0.25)])
def test_cosine_decay_is_half_a_cosine(warmup: int, share: float) -> None:
    """1 / 2 (1 + cos(pi x)), x the share of the decay that is over before a step."""
    config = replace(SMALL.training, warmup_steps=warmup, decay_share=share, decay_shape="cosine")
    optimizers = Optimizers(nn.Linear(2, 2), config, 20)
    first = 20 - share * 20
    for step in range(1, 21):
        over = (step - 1 - first) / (20 - first)
        expected = (1 + math.cos(math.pi * max(0.0, over))) / 2
        if step < warmup:
            expected = min(step / warmup, expected)
        assert optimizers.schedule(step) == pytest.approx(expected, rel=1e-12), step
    assert optimizers.schedule(20) < 0.15


# --- clipping


def gradients_at_the_step(trainer: Trainer) -> list[torch.Tensor]:
    """What the optimizers get in the first step."""
    seen, real = [], trainer.optimizers.step

    def watched(step: int) -> None:
        seen.extend(p.grad.clone() for p in trainer.reasoner.parameters() if p.grad is not None)
        real(step)

    trainer.optimizers.step = watched
    trainer.train_step()
    return seen


@pytest.mark.parametrize("limit", [1e-3, 1e3])
@pytest.mark.parametrize("pieces", [1, 4])
def test_clipping_scales_all_gradients_of_the_batch_by_one_factor(limit: float, pieces: int) -> None:
    options = Options(accumulation=pieces)
    plain = gradients_at_the_step(small_trainer(dtype=torch.float64, options=options))
    clipped = gradients_at_the_step(small_trainer(SMALL.override({"gradient_clip": limit}), dtype=torch.float64, options=options))
    norm = math.sqrt(sum(float(g.square().sum()) for g in plain))
    assert 1e-3 < norm < 1e3, "neither limit would be one"
    factor = min(1.0, limit / (norm + 1e-6))
    for before, after in zip(plain, clipped, strict=True):
        torch.testing.assert_close(after, before * factor, rtol=1e-10, atol=0)


def test_a_limit_that_is_never_reached_changes_nothing() -> None:
    weights = []
    for limit in (0.0, 1e6):
        trainer = small_trainer(SMALL.override({"gradient_clip": limit}))
        for _ in range(3):
            trainer.train_step()
        weights.append([p.detach().clone() for p in trainer.reasoner.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_clipping_rests_while_the_task_embeddings_learn_alone() -> None:
    trainer = small_trainer(SMALL.override({"gradient_clip": 0.01, "embeddings_first": 0.5}), steps=4)
    before = trainer.reasoner.head.detach().clone()
    table = trainer.embedding.table.clone()
    trainer.train_step()
    assert torch.equal(trainer.reasoner.head, before)
    assert not torch.equal(trainer.embedding.table, table)


# --- what the sources' recipes need


SIC_SUDOKU = """
extends = "sudoku-mlp"
[data]
data = "sudoku-4x4-easy"
evaluation_data = "sudoku-4x4-easy"
[model]
prefix = 1
cycles = 6
latent_steps = 9
gate = "norm-swiglu"
latents = 4
random_start = true
shared_start = true
carry_best = true
[optimizer]
optimizer = "adamw"
matrix_optimizer = "muon"
learning_rate = 1e-4
weight_decay = 1.0
matrix_learning_rate = 0.02
matrix_weight_decay = 0.005
matrix_momentum = 0.6
newton_schulz_steps = 3
gradient_clip = 1.0
ema = 0.9
[loss]
loss = "softmax"
label_smoothing = 0.2
halting_loss_weight = 0.05
[schedule]
batch_size = 192
steps = 36_000
warmup_steps = 0
decay_share = 1.0
decay_shape = "cosine"
"""
SIC_MAZE = """
extends = "maze"
[data]
data = "maze-5x5-easy"
evaluation_data = "maze-5x5-easy"
[model]
positions = "rotary-2d"
gate = "norm-swiglu"
output_norm = true
gradient_calls = -1
[optimizer]
optimizer = "adamw"
matrix_optimizer = "muon"
learning_rate = 1e-4
weight_decay = 1.0
matrix_learning_rate = 0.005
matrix_weight_decay = 0.02
matrix_parts = "heads"
matrix_momentum = 0.6
newton_schulz_steps = 3
gradient_clip = 1.0
ema = 0.0
[loss]
loss = "softmax"
label_smoothing = 0.1
halting_loss_weight = 0.05
[schedule]
batch_size = 128
steps = 16_000
warmup_steps = 0
"""
MDLARC_OPTIMIZERS = """
extends = "maze"
[data]
data = "maze-5x5-easy"
evaluation_data = "maze-5x5-easy"
[model]
qk_norm = true
[optimizer]
optimizer = "adamw"
matrix_optimizer = "normuon"
learning_rate = 3e-4
matrix_learning_rate = 1.66e-3
matrix_weight_decay = 0.1
attention_weight_decay = 0.01
normuon_nesterov = true
matrix_scale = "spectral"
gradient_clip = 1.0
[loss]
loss = "softmax"
[schedule]
batch_size = 32
steps = 5_000
warmup_steps = 100
decay_share = 0.2
"""


@pytest.mark.parametrize("text", [SIC_SUDOKU, SIC_MAZE, MDLARC_OPTIMIZERS], ids=["sic", "sic-maze", "mdlarc"])
def test_a_preset_file_says_the_recipes_of_the_sources(text: str, tmp_path: Path) -> None:
    """Their own width and batch apart, they are trained for two steps."""
    (tmp_path / "recipe.toml").write_text(text)
    recipe = load_preset(tmp_path / "recipe.toml")
    name = recipe.training.data
    config = fit_to_data(recipe.override({"width": 16, "heads": 2, "batch_size": 4}), {"data": name})
    puzzles = make_puzzles(name, 8, 1)
    examples = puzzles.domain.prepare(puzzles, puzzles, config)[0]
    trainer = Trainer(config, examples, Device(torch.device("cpu"), torch.float32, "a test"), recipe.training.steps)
    assert all(math.isfinite(float(trainer.train_step().loss)) for _ in range(2))
    if recipe.training.decay_shape == "cosine":
        assert trainer.optimizers.schedule(1) == 1
        assert trainer.optimizers.schedule(18_001) == pytest.approx(0.5)


def test_the_settings_cost_no_matrix_product() -> None:
    plain = Config().override({"latents": 2})
    changed = plain.override({"qk_norm": True, "output_norm": True, "carry_best": True, "shared_start": True})
    assert count_forward(plain.model, 900) == count_forward(changed.model, 900)
    assert count_training(plain.model, plain.training, 900) == count_training(changed.model, changed.training, 900)
