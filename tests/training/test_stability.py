"""Numbers that say whether a run holds together: they are right, change nothing of the run, and every preset of ours holds."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import orjson
import pytest
import torch
from torch import Tensor

from tests.helpers import CPU, SMALL, assert_identical, make_puzzles, messages, small_trainer
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.modes import BLOCK, STEP
from trm_arc.config import PRESETS, Config
from trm_arc.data.puzzle_sources import fit_to_data
from trm_arc.model import reasoner as reasoner_module
from trm_arc.model.attention import attend
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.probe import measure_attention
from trm_arc.training.loop import train
from trm_arc.training.options import METRICS_FILE, LoopConfig, Options
from trm_arc.training.stability import LIMITS, Stability, Watch, copy_matrices, measure_stability
from trm_arc.training.trainer import Trainer

says = messages(__name__)

OURS = (
    "arc1-fast",
    "arc1-parallel",
    "arc1-loop",
    "arc1-equilibrium",
    "sudoku-fast",
    "sudoku-parallel",
    "maze-fast",
    "demo",
    "sudoku-small",
    "maze-small",
)
STEPS = 60


MLP = {"mixer": "mlp", "positions": "none", "board_rows": 5, "board_columns": 5}
SHALLOW = SMALL.override({"layers": 1, "cycles": 1, "latent_steps": 1})
# What arc1-parallel was before it had a query-key norm.
WITHOUT_NORM = {"qk_norm": False, "matrix_optimizer": "muon", "matrix_learning_rate": 0.02, "matrix_weight_decay": 0.005} | {
    "gate": "norm-swiglu",
    "positions": "rotary-2d",
    "loss": "softmax",
    "label_smoothing": 0.2,
    "halting_loss_weight": 0.05,
    "latents": 4,
    "carry_best": False,
    "shared_start": False,
    "output_norm": False,
    "optimizer": "adam-atan2",
    "matrix_momentum": 0.95,
    "newton_schulz_steps": 5,
    "matrix_parts": "whole",
    "gradient_clip": 0.0,
}


def small_trainer_of(config: Config) -> Trainer:
    """A trainer with a preset's settings at width 64, on boards of 4 x 4 or 6 x 6, at its full learning rates all the time."""
    name = "maze-6x6-easy" if config.training.data.startswith("maze") else "sudoku-4x4-easy"
    small = {"width": 64, "heads": 4, "prefix": 1, "batch_size": 8, "warmup_steps": 0, "decay_share": 0.0}
    small |= {"data": name, "evaluation_data": name, "transform_tokens": False, "augmentations": 50, "depth_curriculum": ""}
    depth = {"cycles": 1, "latent_steps": 2} if config.model.latent_steps else {"cycles": 4, "gradient_calls": 3}
    config = fit_to_data(config.override(small | depth), {"data": name})
    puzzles = make_puzzles(name, 100, 1)
    return Trainer(config, puzzles.domain.prepare(puzzles, puzzles, config)[0], CPU, 1000)


def run_watched(trainer: Trainer, steps: int) -> tuple[list[float], dict[str, int]]:
    """Train, measured at every tenth step; the loss of each step, and the step at which each number was named."""
    watch, losses, named = Watch(trainer.config.model.vocabulary), [], {}
    for step in range(1, steps + 1):
        losses.append(float(trainer.train_step(measure=step % 10 == 0).loss))
        if step % 10 == 0:
            named |= {sentence.split()[1]: step for sentence in watch.judge(trainer.stability, sum(losses[-10:]) / 10)}
    return losses, named


# --- the stability test


@pytest.mark.parametrize("name", OURS)
def test_our_presets_hold_together(name: str) -> None:
    """Logits of attention are bounded, its entropy has not collapsed, and the loss is below that of a uniform guess."""
    trainer = small_trainer_of(PRESETS[name])
    losses, named = run_watched(trainer, STEPS)
    assert sum(losses[-10:]) / 10 < math.log(trainer.config.model.vocabulary)
    assert named == {}
    has_attention = trainer.config.model.mixer == "attention"
    assert {"attention_logit", "attention_entropy"} <= trainer.stability.known().keys() or not has_attention


def test_the_stability_test_finds_attention_that_collapses() -> None:
    """arc1-parallel as it was: Muon at 0.02 and no query-key norm."""
    named = run_watched(small_trainer_of(PRESETS["arc1-parallel"].override(WITHOUT_NORM)), STEPS)[1]
    assert named.keys() == {"attention_entropy"}


@pytest.mark.slow
def test_the_warning_comes_before_the_loss_rises() -> None:
    trainer = small_trainer_of(PRESETS["arc1-parallel"].override(WITHOUT_NORM))
    losses, named = run_watched(trainer, 160)
    means = np.array(losses).reshape(-1, 20).mean(axis=1)
    assert named["attention_entropy"] < 20 * (1 + means.argmin()), (named, means)
    assert means[-1] > 1.2 * means.min()


# --- what the numbers are


def naive_attention(query: Tensor, key: Tensor) -> tuple[float, float]:
    """The largest logit, and the mean entropy of all queries as a share of the most that there can be."""
    queries, keys = (part.double().numpy() for part in (query, key))
    entropies, largest = [], -math.inf
    for row, head in np.ndindex(queries.shape[:2]):
        for one in queries[row, head]:
            logits = keys[row, head] @ one / math.sqrt(len(one))
            weights = np.exp(logits - logits.max())
            weights /= weights.sum()
            entropies.append(-(weights * np.log(weights)).sum() / math.log(len(weights)))
            largest = max(largest, logits.max())
    return largest, float(np.mean(entropies))


@pytest.mark.parametrize("changes", [{}, {"latents": 2}, {"networks": 2}, {"qk_norm": True}, {"states": 0, "latent_steps": 0}])
def test_attention_is_what_a_loop_over_its_queries_gives(changes: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer(SMALL.override(changes))
    trainer.train_step()
    seen = []

    def watched(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        seen.append(naive_attention(query, key))
        return attend(query, key, value)

    monkeypatch.setattr(reasoner_module, "attend", watched)
    matrices = copy_matrices(trainer.reasoner)
    found = measure_stability(trainer.reasoner, trainer.embedding, trainer.carries[0], trainer.gradient_norm, matrices)
    calls = min(2, 1 + trainer.config.model.latent_steps)
    assert len(seen) == calls * trainer.config.model.layers, "a latent step and an answer"
    assert found.attention_logit == pytest.approx(max(logit for logit, _ in seen), rel=1e-4)
    assert found.attention_entropy == pytest.approx(min(entropy for _, entropy in seen), rel=1e-4)
    assert found.update_ratio == 0, "nothing has moved since"


def test_of_many_tokens_some_queries_are_looked_at() -> None:
    """900 tokens: the largest logit of a part of the queries is no more than that of all."""
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 2, 900, 8, generator=generator) for _ in range(2))
    found, (largest, entropy) = measure_attention(query, key), naive_attention(query, key)
    assert largest / 2 < found.logit <= largest * (1 + 1e-6)
    assert float(found.entropy) == pytest.approx(entropy, rel=0.02)
    twice = measure_attention(torch.zeros_like(query), key)
    assert (float(twice.logit), float(twice.entropy)) == (0, pytest.approx(1))


def test_norms_and_ratios_are_those_of_the_step() -> None:
    trainer = small_trainer()
    trainer.train_step()
    before = {name: p.detach().clone() for name, p in trainer.reasoner.named_parameters()}
    norms = []
    step = trainer.optimizers.step

    def watched(number: int) -> None:
        norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in trainer.reasoner.parameters())))
        step(number)

    trainer.optimizers.step = watched
    trainer.train_step(measure=True)
    ratios = [
        float((p.detach() - before[name]).norm() / before[name].norm())
        for name, p in trainer.reasoner.named_parameters()
        if name.startswith("networks.")
    ]
    found = trainer.stability
    assert found.gradient_norm == pytest.approx(norms[0], rel=1e-5)
    assert found.update_ratio == pytest.approx(max(ratios), rel=1e-5)
    rows = trainer.carries[0].batch.rows
    assert found.task_embedding_rms == pytest.approx(float(trainer.embedding.table[rows].square().mean().sqrt()) * 4, rel=1e-5)


def test_the_gradient_norm_is_that_before_clipping() -> None:
    plain, clipped = (small_trainer(SMALL.override({"gradient_clip": clip})) for clip in (0.0, 1e-3))
    for trainer in (plain, clipped):
        trainer.train_step(measure=True)
    assert clipped.stability.gradient_norm == plain.stability.gradient_norm > 1e-3


# --- what they change: nothing


@pytest.mark.parametrize("changes", [{}, {"random_start": True, "noise": 0.1}, MLP, {"latents": 2}])
def test_weights_are_the_same_however_often_it_is_measured(changes: dict, tmp_path: Path) -> None:
    for name, every in (("often", 1), ("never", 1000)):
        (tmp_path / name).mkdir()
        train(small_trainer(SMALL.override(changes), steps=6), tmp_path / name, LoopConfig(log_every=every), peak=1)
    often, never = (load_checkpoint(tmp_path / name) for name in ("often", "never"))
    assert_identical(often.tensors, never.tensors)
    assert len((tmp_path / "never" / METRICS_FILE).read_bytes().splitlines()) == 1


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("mode", [STEP, BLOCK])
def test_compiled_steps_are_measured_and_not_compiled_again(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain, compiled = (small_trainer(SHALLOW, options=Options(compile_mode=each)) for each in ("", mode))
    for number in range(4):
        with torch.compiler.set_stance("fail_on_recompile" if number > 1 else "default"):
            compiled.train_step(measure=number > 0)
        plain.train_step(measure=True)
    assert compiled.stability == pytest.approx(plain.stability, rel=1e-3)


def test_a_step_that_is_skipped_is_measured() -> None:
    trainer = small_trainer()
    with torch.no_grad():
        trainer.reasoner.head.fill_(math.nan)
    trainer.train_step(measure=True)
    assert (trainer.skipped, trainer.stability.update_ratio) == (1, 0)
    assert "gradient_norm" not in trainer.stability.known()


def test_only_the_main_process_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = small_trainer()
    monkeypatch.setattr(ProcessGroup, "is_main", False)
    trainer.train_step(measure=True)
    assert trainer.stability is None


# --- what a run logs and says


@pytest.mark.parametrize("changes", [{}, MLP])
def test_every_line_has_the_numbers(changes: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracked = []
    trainer = small_trainer(SMALL.override(changes), steps=5)
    train(trainer, tmp_path, LoopConfig(log_every=2), peak=1, track=lambda line, _step: tracked.append(line))
    lines = [orjson.loads(line) for line in (tmp_path / METRICS_FILE).read_bytes().splitlines()]
    wanted = {"gradient_norm", "update_ratio", "task_embedding_rms"}
    wanted |= {"attention_logit", "attention_entropy"} if changes != MLP else set()
    assert [line["step"] for line in lines] == [2, 4, 5]
    for line in [*lines, *tracked]:
        assert {name for name in Stability._fields if name in line} == wanted
    assert trainer.stability.describe() in capsys.readouterr().err


def test_the_numbers_fit_a_line_of_80_columns() -> None:
    assert len(Stability(-1.234e-05, -1.234e-05, 1.234e-05, 1.234e-05, 1.234e-05).describe()) < 80
    assert Stability(1, math.nan, math.nan, 0.01234, 2).describe() == says("gradient-1")


def test_a_number_is_named_once() -> None:
    watch, healthy = Watch(10), Stability(1.0, 20.0, 0.4, 0.01, 1.0)
    assert watch.judge(healthy, 2.0) == []
    assert watch.judge(healthy._replace(attention_logit=101.0), 2.0) == [says("warning-attention-logit")]
    assert watch.judge(healthy._replace(attention_logit=150.0), 2.0) == []
    both = watch.judge(healthy._replace(attention_entropy=0.1, gradient_norm=math.inf), math.nan)
    assert [sentence.split()[1] for sentence in both] == ["gradient_norm", "attention_entropy"]
    assert watch.judge(Stability(*[math.nan] * 5), 2.0) == []
    assert len(Watch(10).judge(Stability(1e9, 1e9, 0.0, 1.0, 1e9), 2.0)) == len(LIMITS) == len(Stability._fields)


def test_attention_may_be_sharp_where_the_loss_is_low() -> None:
    """maze-small at width 96 has logits of 130 and an entropy of 0.05 at a loss of 0.24, and goes on learning."""
    assert Watch(6).judge(Stability(0.6, 130.0, 0.05, 0.01, 0.02), 0.24) == []


def test_a_step_that_was_skipped_is_not_judged() -> None:
    trainer = small_trainer()
    before = copy_matrices(trainer.reasoner)
    trainer.train_step()
    parts = trainer.reasoner, trainer.embedding, trainer.carries[0]
    assert math.isnan(measure_stability(*parts, torch.tensor(math.inf), before).gradient_norm)
    assert measure_stability(*parts, torch.tensor(2.0), before).gradient_norm == 2.0
