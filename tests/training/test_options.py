"""Options beyond the published family: gradients by finite differences, equivalences where there are some, and what each does."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests import naive
from tests.helpers import SMALL, edit_header, make_tasks, messages, small_trainer
from trm_arc.common.errors import InputError
from trm_arc.common.modes import BLOCK, STEP
from trm_arc.config import PRESETS, Config, ModelConfig, TrainingConfig
from trm_arc.data.batch import IGNORE_INDEX, Batch
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.refinement import refine, seed_of
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.compiling import compile_operators
from trm_arc.model.convolution import convolve
from trm_arc.model.reasoner import CONTINUE, Block, Reasoner, State, _gated
from trm_arc.training.halting import Carry, first_carry, restart
from trm_arc.training.loss import continue_loss, supervise
from trm_arc.training.optim import Muon, NorMuon, Optimizers, orthogonalise
from trm_arc.training.options import Options
from trm_arc.training.state import inference_state, save_state
from trm_arc.training.supervision import supervision_step

says = messages(__name__)

TINY = {"width": 16, "heads": 2, "prefix": 3, "board_rows": 4, "board_columns": 4, "cycles": 2, "latent_steps": 2}
OPTIONS = {
    "trm": {},
    "rotary-2d": {"positions": "rotary-2d"},
    "norm-swiglu": {"gate": "norm-swiglu"},
    "convolution": {"convolution": 3},
    "damping": {"damping": 0.8},
    "transform-tokens": {"transform_tokens": True, "prefix": 12},
    "random-start": {"random_start": True},
    "latents": {"latents": 2},
    "mlp": {"mixer": "mlp", "positions": "none", "convolution": 3, "gate": "norm-swiglu"},
    "local": {"mixer": "convolution", "positions": "none", "convolution": 3},
    "qk-norm": {"qk_norm": True, "positions": "rotary-2d"},
    "output-norm": {"output_norm": True, "gate": "norm-swiglu"},
    "shared-start": {"shared_start": True, "latents": 2, "random_start": True},
    "multi-z": {"states": 2},
    "hrm": {"networks": 2},
    "direct": {"latent_steps": 0, "states": 0, "cycles": 1},
    "looped": {"latent_steps": 0, "states": 0, "cycles": 4},
}


def tiny(**changes: object) -> Reasoner:
    reasoner = Reasoner(ModelConfig(**{**TINY, **changes}), torch.Generator().manual_seed(0)).double()
    torch.nn.init.normal_(reasoner.halt_weight, generator=torch.Generator().manual_seed(5))
    return reasoner


def puzzles(count: int = 2, side: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, task vectors, transforms."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 12, (count, side, side), generator=generator, dtype=torch.uint8)
    vectors = torch.randn(count, 16, generator=generator, dtype=torch.float64)
    palettes = torch.stack([torch.randperm(10, generator=generator) for _ in range(count)]).to(torch.uint8)
    return tokens, vectors, torch.cat((torch.arange(count, dtype=torch.uint8)[:, None] % 8, palettes), dim=1)


def spread(reasoner: Reasoner, *parts: torch.Tensor) -> list[torch.Tensor]:
    return [part.repeat_interleave(reasoner.config.latents, dim=0) for part in parts]


def drawn(seed: int = 2) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", OPTIONS)
def test_gradients_equal_finite_differences(name: str) -> None:
    """With gradient through all calls, the slope along a random direction is the gradient's product with it."""
    reasoner = tiny(**OPTIONS[name], gradient_calls=-1)
    inputs = spread(reasoner, *puzzles())
    state = reasoner.start(2, 4, 4, torch.float64, drawn())
    labels = inputs[0]

    def loss() -> torch.Tensor:
        output = reasoner(state, *inputs)
        return supervise(output.logits, output.halting, labels, "stablemax", 0.1).cells.sum()

    weights = [p for name, p in reasoner.named_parameters() if not name.startswith("halt_")]  # those pass through float32
    assert reasoner(state, *inputs).logits.shape == (len(inputs[0]), 4, 4, 12)
    gradients = torch.autograd.grad(loss(), weights)
    directions = [torch.randn(p.shape, generator=drawn(i), dtype=torch.float64) for i, p in enumerate(weights)]
    expected = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    ends = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            for p, d in zip(weights, directions, strict=True):
                p.add_(d, alpha=step)
            ends.append(float(loss()))
            for p, d in zip(weights, directions, strict=True):
                p.sub_(d, alpha=step)
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["trm", "multi-z", "hrm", "damping", "convolution", "qk-norm", "output-norm"])
def test_truncated_gradient_is_that_of_the_last_cycle_alone(name: str) -> None:
    """Gradient through the last cycle equals full backpropagation of one cycle from where the first one ended."""
    whole, last = tiny(**OPTIONS[name]), tiny(**OPTIONS[name], gradient_calls=-1)
    inputs = puzzles()
    start = whole.start(2, 4, 4, torch.float64)
    between = whole(start, *inputs, depth=(1, 2)).state
    results = []
    for reasoner, state, depth in ((whole, start, None), (last, between, (1, 2))):
        logits = reasoner(state, *inputs, depth=depth).logits
        results.append((logits, *torch.autograd.grad(logits.square().sum(), list(reasoner.networks.parameters()))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_gradient_reaches_as_many_loops_as_asked() -> None:
    """Each further call adds to the gradient, and the last of them is full backpropagation."""
    inputs, gradients = puzzles(), []
    for calls in (1, 2, 3, 4, -1):
        reasoner = tiny(**OPTIONS["looped"], gradient_calls=calls)
        state = reasoner.start(2, 4, 4, torch.float64)
        gradients.append(torch.autograd.grad(reasoner(state, *inputs).logits.square().sum(), reasoner.networks[0][0].qkv)[0])
    assert all(not torch.allclose(a, b) for a, b in pairwise(gradients[:4]))
    torch.testing.assert_close(gradients[3], gradients[4], rtol=0, atol=0)


def test_depth_is_that_of_another_config() -> None:
    inputs = puzzles()
    deep, shallow = tiny(cycles=3, latent_steps=4), tiny(cycles=1, latent_steps=2)
    start = deep.start(2, 4, 4, torch.float64)
    torch.testing.assert_close(deep(start, *inputs, depth=(1, 2)).logits, shallow(start, *inputs).logits, rtol=0, atol=0)
    assert not torch.allclose(deep(start, *inputs).logits, shallow(start, *inputs).logits)


def test_depth_curriculum_follows_the_steps() -> None:
    config = SMALL.override({"cycles": 3, "latent_steps": 6, "depth_curriculum": "1/2:0.3, 2/4:0.6"})
    trainer = small_trainer(config, steps=10)
    depths = []
    for trainer.step in range(10):
        depths.append(trainer.depth())
    assert depths == [(1, 2)] * 3 + [(2, 4)] * 3 + [None] * 4
    trainer = small_trainer(config, steps=4)
    assert all(np.isfinite(float(trainer.train_step().loss)) for _ in range(4))


def test_halt_curriculum_follows_the_steps() -> None:
    """Rows that halt together where the limit rises are staggered again."""
    expected = {("1:0.2,2:0.5", False): [8] * 4 + [0, 8] * 3 + [0, 0, 0, 8] * 2 + [0, 0], ("1:0.2", True): [8] * 4 + [2] * 16}
    for (curriculum, stagger), halted in expected.items():
        changes = {"halting": "never", "halt_steps": 4, "batch_size": 8, "halt_curriculum": curriculum, "stagger": stagger}
        trainer = small_trainer(SMALL.override(changes), steps=20)
        assert [int(trainer.train_step().halted) for _ in range(20)] == halted


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_answers_do_not_depend_on_the_batch(batch_size: int) -> None:
    """Random initial states are each view's own."""
    trainer = small_trainer(SMALL.override({"random_start": True}), dtype=torch.float64)
    tasks = make_tasks(3, 2, "eval")
    results = [
        predict_tasks(inference_state(trainer), tasks, trainer.device, config, views=3, quiet=True)[0]
        for config in (InferenceConfig(steps=2, batch_size=size) for size in (5, batch_size))
    ]
    np.testing.assert_array_equal(results[0].canvases, results[1].canvases)
    np.testing.assert_allclose(results[0].halting, results[1].halting, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"halt_steps": 10**20}, says("halt-steps-must-be")),
        ({"cycles": 10**6}, says("cycles-must-be-such")),
        ({"expansion": 1e30}, says("expansion-must-be-above")),
        ({"depth_curriculum": "1-2:0.3"}, says("depth-curriculum-1-2")),
        ({"depth_curriculum": "1/2:0.6,2/2:0.3"}, says("depth-curriculum-shares-must")),
        ({"depth_curriculum": "1/2:1.0"}, says("depth-curriculum-shares-must")),
        ({"depth_curriculum": "4/4:0.3"}, says("deeper-than-the-models")),
        ({"halt_curriculum": "1/2:0.3"}, says("halt-curriculum-form")),
        ({"halt_curriculum": "2:0.3,1:0.3"}, says("halt-curriculum-shares")),
        ({"halt_curriculum": "16:0.3"}, says("halt-curriculum-below")),
        ({"halt_curriculum": "0:0.3"}, says("halt-curriculum-below")),
        ({"depth_curriculum": "1/2:0.3", "gradient_calls": 8}, says("depth-curriculum-until-0")),
        ({"depth_curriculum": "1/1:0.3", "states": 2}, says("depth-curriculum-until-0-3")),
        ({"halting": "q-learning", "halt_steps": 1}, says("halting-with-halt-steps")),
        ({"label_smoothing": 1.0}, says("label-smoothing-must-be")),
        ({"matrix_weight_decay": -1.0}, says("matrix-weight-decay-must")),
        ({"attention_weight_decay": -0.5}, says("attention-weight-decay-must")),
        ({"matrix_momentum": 1.0}, says("matrix-momentum-must")),
        ({"newton_schulz_steps": 0}, says("newton-schulz-steps-must")),
        ({"matrix_parts": "rows"}, says("matrix-parts-must")),
        ({"matrix_scale": "rms"}, says("matrix-scale-must")),
        ({"gradient_clip": -1.0}, says("gradient-clip-must")),
        ({"decay_shape": "root"}, says("decay-shape-must")),
    ],
)
def test_meaningless_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Config().override(settings)


def test_our_options_are_off_in_the_published_presets_and_on_in_ours() -> None:
    options = ("gate", "convolution", "latents", "random_start", "damping", "noise", "transform_tokens")
    options += ("matrix_optimizer", "label_smoothing", "depth_curriculum")
    default = {**Config().to_dict()["model"], **Config().to_dict()["training"]}
    on = {}
    for name, preset in PRESETS.items():
        values = {**preset.to_dict()["model"], **preset.to_dict()["training"]}
        on[name] = {option for option in options if values[option] != default[option]}
        on[name] |= {"rotary-2d"} if values["positions"] == "rotary-2d" else set()
        on[name] |= {"truncation"} if values["latent_steps"] == 0 and values["gradient_calls"] else set()
        on[name] |= {"halting_loss_weight"} if values["halting_loss_weight"] != 0.5 else set()
    stability = ("qk_norm", "output_norm", "shared_start", "carry_best", "attention_weight_decay", "matrix_momentum")
    stability += ("normuon_nesterov", "newton_schulz_steps", "matrix_parts", "matrix_scale", "gradient_clip", "decay_shape")
    for name in ("arc1", "arc2", "trm", "trm-mlp", "single-z", "multi-z", "hrm", "direct", "sudoku-mlp", "maze"):
        assert not on[name], name
        values = PRESETS[name].values()
        assert all(values[option] == default[option] for option in stability), name
    ours = set().union(*(on[name] for name in PRESETS if name.startswith("arc1-")))
    assert ours == {*options, "rotary-2d", "truncation", "halting_loss_weight"}


# --- the gate and the states


def test_norm_swiglu_keeps_the_scale() -> None:
    """Hidden activations of the normed gate do not grow with the weights, those of SwiGLU do."""
    h = torch.randn(2, 5, 16, generator=drawn(), dtype=torch.float64)
    weights = {name: w.detach() for name, w in tiny().networks[0][0].cast(torch.float64).items()}
    sizes = {
        gate: [float(_gated(h, weights["gate"] * k, weights["up"] * k, gate).norm()) for k in (1, 100)]
        for gate in ("swiglu", "norm-swiglu")
    }
    assert sizes["swiglu"][1] > 1000 * sizes["swiglu"][0]
    assert sizes["norm-swiglu"][1] < 2 * sizes["norm-swiglu"][0]


def test_convolution_leaves_the_prefix_alone() -> None:
    inner = torch.randn(2, 3 + 12, 8, generator=drawn())
    kernel = torch.randn(8, 3, 3, generator=drawn(1))
    out = convolve(inner, kernel, 3, 3, 4)
    assert torch.equal(out[:, :3], inner[:, :3])
    assert out.shape == inner.shape
    centre = torch.zeros(8, 3, 3)
    centre[:, 1, 1] = 1  # a kernel that sees one cell is the activation alone
    torch.testing.assert_close(convolve(inner, centre, 3, 3, 4)[:, 3:], F.silu(inner[:, 3:]))


def test_random_states_are_normal_seeded_and_differ_from_row_to_row() -> None:
    reasoner = tiny(random_start=True, width=64)
    first, again, other = (reasoner.start(50, 4, 4, torch.float64, drawn(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.y, again.y)
    assert torch.equal(first.z[0], again.z[0])
    assert not torch.equal(first.y, other.y)
    assert not torch.equal(first.y, first.z[0])
    assert not torch.equal(first.y[0], first.y[1])
    assert abs(float(first.y.std()) - 1) < 0.01
    fixed = tiny().start(2, 4, 4, torch.float64)
    assert (fixed.y == fixed.y[:1, :1]).all()


def test_noise_is_added_to_every_call_in_training_only() -> None:
    reasoner, inputs = tiny(**OPTIONS["direct"], noise=0.5), puzzles(1, 4)
    state = reasoner.start(1, 4, 4, torch.float64)
    quiet = reasoner(state, *inputs).state.y
    noisy = torch.stack([reasoner(state, *inputs, noise=[drawn(seed)]).state.y for seed in range(200)])
    assert torch.equal(reasoner(state, *inputs).state.y, quiet)
    assert torch.equal(reasoner(state, *inputs, noise=[drawn(3)]).state.y, noisy[3])
    difference = noisy - quiet
    assert abs(float(difference.mean())) < 0.01
    assert abs(float(difference.std()) - 0.5) < 0.01


def test_noise_follows_every_call() -> None:
    """Two calls with noise are two calls of one step each, with the noise drawn after each of them."""
    inputs = puzzles(1, 4)
    once, twice = tiny(**OPTIONS["direct"], noise=0.5), tiny(**{**OPTIONS["direct"], "cycles": 2}, noise=0.5)
    state = once.start(1, 4, 4, torch.float64)
    generators = [drawn(7)]
    by_hand = once(once(state, *inputs, noise=generators).state, *inputs, noise=generators).state.y
    torch.testing.assert_close(twice(state, *inputs, noise=[drawn(7)]).state.y, by_hand)


def test_weights_are_cast_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    reasoner, inputs, casts = tiny(layers=3), puzzles(), []
    real = Block.cast
    monkeypatch.setattr(Block, "cast", lambda self, dtype: casts.append(id(self)) or real(self, dtype))
    reasoner(reasoner.start(2, 4, 4, torch.float64), *inputs)
    assert len(casts) == len(set(casts)) == 3


def test_damping_keeps_a_share_of_the_state() -> None:
    inputs = puzzles()
    plain, damped = tiny(**OPTIONS["direct"]), tiny(**OPTIONS["direct"], damping=0.25)
    state = plain.start(2, 4, 4, torch.float64)
    expected = 0.75 * state.y + 0.25 * plain(state, *inputs).state.y
    torch.testing.assert_close(damped(state, *inputs).state.y, expected)


# --- parallel latents


def in_flight(reasoner: Reasoner) -> tuple[Carry, torch.Tensor, State]:
    """Two fresh rows, their task vectors, and the initial state."""
    tokens, vectors, transforms = puzzles()
    start = reasoner.start(2, 4, 4, torch.float64)
    batch = Batch(tokens, tokens.clone(), torch.arange(2), transforms)
    return first_carry(start, batch)._replace(batch=batch), vectors.requires_grad_(), start


def test_the_best_latent_of_each_puzzle_is_trained() -> None:
    reasoner, config = tiny(latents=3), TrainingConfig(loss="softmax", batch_size=2)
    carry, vectors, start = in_flight(reasoner)
    loss, after, _ = supervision_step(reasoner, config, carry, vectors, start, torch.zeros(2))
    inputs = spread(reasoner, carry.batch.tokens, vectors.detach(), carry.batch.transforms)
    every = reasoner(start, *inputs)
    losses = supervise(every.logits, every.halting, inputs[0], "softmax")
    best = losses.cells.view(2, 3).argmin(dim=1) + torch.tensor([0, 3])
    expected = (losses.cells[best].sum() + 0.5 * losses.halting[best].sum()) / 2
    torch.testing.assert_close(loss, expected)
    assert len(set(losses.cells.tolist())) == 6, "latents that start alike are no latents"
    torch.testing.assert_close(after.state.y, every.state.y)  # all of them go on
    ours = torch.autograd.grad(loss, reasoner.networks[0][0].qkv)[0]
    torch.testing.assert_close(ours, torch.autograd.grad(expected, reasoner.networks[0][0].qkv)[0])


def test_all_latents_go_on_from_the_best_answer() -> None:
    """The y of the latent with the lowest loss for all, each with its own z; loss and gradient are those without."""
    config, results = TrainingConfig(loss="softmax", batch_size=2), []
    for changes in ({}, {"carry_best": True}):
        reasoner = tiny(latents=3, **changes)
        carry, vectors, start = in_flight(reasoner)
        loss, after, _ = supervision_step(reasoner, config, carry, vectors, start, torch.zeros(2))
        results.append((loss, torch.autograd.grad(loss, reasoner.networks[0][0].qkv)[0], *after.state.z))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
    inputs = spread(reasoner, carry.batch.tokens, vectors.detach(), carry.batch.transforms)
    every = reasoner(start, *inputs)
    cells = supervise(every.logits, every.halting, inputs[0], "softmax").cells.view(2, 3)
    for row in range(2):
        best = 3 * row + int(cells[row].argmin())
        for latent in range(3):
            torch.testing.assert_close(after.state.y[3 * row + latent], every.state.y[best])
    assert not torch.equal(after.state.z[0][0], after.state.z[0][1])


def test_a_shared_start_is_one_answer_for_all_latents() -> None:
    reasoner = tiny(latents=3, shared_start=True)
    assert reasoner.y_start.shape == (1, 16)
    assert reasoner.z_start.shape == (1, 3, 16)
    state = reasoner.start(2, 4, 4, torch.float64)
    assert (state.y == reasoner.y_start).all()
    assert torch.equal(state.z[0][:, 0], reasoner.z_start[0].repeat(2, 1))
    at_random = tiny(latents=3, shared_start=True, random_start=True)
    state = at_random.start(2, 4, 4, torch.float64, drawn())
    assert (state.y == at_random.y_start).all()  # z alone is drawn
    assert len({float(z) for z in state.z[0][:, 0, 0]}) == 6
    tokens, vectors, transforms = puzzles()
    inputs = spread(at_random, tokens, vectors, transforms)
    logits = at_random(state, *inputs).logits
    assert not torch.allclose(logits[0], logits[1])


def test_a_row_that_halted_restarts_all_its_latents() -> None:
    reasoner = tiny(latents=2)
    carry, vectors, start = in_flight(reasoner)
    moved = carry._replace(state=State(start.y + 1, tuple(z + 1 for z in start.z)), halted=torch.tensor([True, False]))
    state = restart(moved.state, start, moved.halted)
    assert torch.equal(state.y[:2], start.y[:2])
    assert torch.equal(state.y[2:], start.y[2:] + 1)
    assert vectors.requires_grad


def test_the_surest_latent_answers() -> None:
    reasoner = tiny(latents=3)
    tokens, vectors, transforms = puzzles(4)
    answers, sure, _ = refine(reasoner, tokens, vectors, transforms, InferenceConfig(steps=2), torch.float64, range(4))
    inputs = spread(reasoner, tokens, vectors, transforms)
    state = reasoner.start(4, 4, 4, torch.float64)
    with torch.no_grad():
        output = reasoner(reasoner(state, *inputs).state, *inputs)
    for row in range(4):
        halting = output.halting[3 * row : 3 * row + 3, 0]
        best = 3 * row + int(halting.argmax())
        assert float(sure[row]) == pytest.approx(float(halting.max().sigmoid()))
        assert torch.equal(answers[row], output.logits[best].argmax(dim=-1).to(torch.uint8))


@pytest.mark.parametrize("patience", [0, 1, 2])
@pytest.mark.parametrize("rollouts", [1, 2])
def test_the_surest_answer_is_carried_to_all_latents_at_test_time(patience: int, rollouts: int) -> None:
    """Step by step: after each, every latent of a rollout continues from the surest one's y; with patience they end together."""
    reasoner = tiny(latents=3, carry_best=True, random_start=True, shared_start=True)
    inputs, config = puzzles(2), InferenceConfig(steps=5, patience=patience, rollouts=rollouts, noise=1e-30)
    answers, sure, steps = refine(reasoner, *inputs, config, torch.float64, range(2))
    for row in range(2):
        found = []
        for number in range(rollouts):
            seed = row if number == 0 else seed_of(row, number, 0)
            state, before, unchanged = reasoner.start(1, 4, 4, torch.float64, drawn(seed)), None, torch.zeros(3)
            taken = 0
            while taken < 5 and not (patience and bool((unchanged >= patience).all())):
                taken += 1
                with torch.no_grad():
                    output = reasoner(state, *(part[row : row + 1].repeat_interleave(3, dim=0) for part in inputs))
                best = int(output.halting[:, 0].argmax())
                state = State(output.state.y[[best] * 3], output.state.z)
                now = output.logits.argmax(dim=-1)
                same = torch.zeros(3, dtype=bool) if before is None else (now == before).flatten(1).all(dim=1)
                before, unchanged = now, torch.where(same, unchanged + 1, 0)
            found.append((float(output.halting[best, 0]), now[best], taken))
        surest = max(found, key=lambda one: one[0])
        assert float(sure[row]) == pytest.approx(torch.tensor(surest[0]).sigmoid().item())
        assert torch.equal(answers[row].long(), surest[1])
        assert int(steps[row]) == 3 * sum(one[2] for one in found)


# --- what training hands on


EVERY_OPTION = {
    "halting_loss_weight": {"halting_loss_weight": 0.25},
    "label_smoothing": {"label_smoothing": 0.2},
    "softmax": {"loss": "softmax"},
    "transform_tokens": {"transform_tokens": True, "prefix": 12},
    "depth_curriculum": {"depth_curriculum": "1/1:0.9"},
    "halt_curriculum": {"halt_curriculum": "1:0.9"},
    "stagger": {"stagger": True, "halting": "never", "halt_steps": 3},
    "noise": {"noise": 0.3},
    "random_start": {"random_start": True},
    "latents": {"latents": 2},
    "q-learning": {"halting": "q-learning"},
    "qk_norm": {"qk_norm": True},
    "output_norm": {"output_norm": True},
    "gradient_clip": {"gradient_clip": 0.01},
    "decay_shape": {"decay_share": 1.0, "decay_shape": "cosine"},
}


@pytest.mark.parametrize("name", EVERY_OPTION)
def test_every_option_reaches_training(name: str) -> None:
    """The first steps of a run with the option are not those of a run without; with it, they repeat."""
    default = {"halting": "exact"} if name != "transform_tokens" else {"prefix": 12}
    runs = []
    for changes in (default, EVERY_OPTION[name], EVERY_OPTION[name]):
        trainer = small_trainer(SMALL.override(changes), dtype=torch.float64)
        runs.append([float(trainer.train_step().loss) for _ in range(4)])
    assert runs[1] == runs[2]
    assert runs[0] != runs[1]


def test_transform_tokens_of_the_batch_reach_the_model() -> None:
    reasoner = tiny(transform_tokens=True, prefix=12)
    carry, vectors, start = in_flight(reasoner)
    config, losses = TrainingConfig(batch_size=2), []
    for transforms in (carry.batch.transforms, carry.batch.transforms.flip(0)):
        here = carry._replace(batch=carry.batch._replace(transforms=transforms))
        losses.append(float(supervision_step(reasoner, config, here, vectors, start, torch.zeros(2))[0].detach()))
    assert losses[0] != losses[1]


def test_random_starts_are_new_in_every_step() -> None:
    trainer = small_trainer(SMALL.override({"random_start": True, "halt_steps": 1}))
    starts, real = [], trainer.supervision_step

    def watched(reasoner: object, config: object, carry: object, vectors: object, start: State, *rest: object) -> object:
        starts.append(start.y)
        return real(reasoner, config, carry, vectors, start, *rest)

    trainer.supervision_step = watched
    trainer.train_step()
    trainer.train_step()
    assert not torch.equal(starts[0], starts[1])


def test_exploration_keeps_rows_at_work() -> None:
    """A model that wants to stop at once is kept going in as many rows as the exploration says."""
    halted = []
    for exploration in (0.0, 1.0):
        trainer = small_trainer(SMALL.override({"halt_exploration": exploration, "halt_steps": 9}))
        torch.nn.init.constant_(trainer.reasoner.halt_bias, 9.0)
        halted.append(int(trainer.train_step().halted))
    assert halted == [SMALL.training.batch_size, 0]


def test_q_learning_targets_halting_after_the_last_step() -> None:
    reasoner = tiny()
    with torch.no_grad():
        reasoner.halt_bias.copy_(torch.tensor([-9.0, 9.0]))  # to go on is always worth more
    carry, vectors, start = in_flight(reasoner)
    losses = []
    for halt_steps in (2, 16):
        config = TrainingConfig(halting="q-learning", halt_steps=halt_steps, batch_size=2)
        second = carry._replace(steps=torch.tensor([1, 1]), halted=torch.zeros(2, dtype=torch.bool), state=start)
        losses.append(float(supervision_step(reasoner, config, second, vectors, start, torch.zeros(2))[0].detach()))
    assert losses[0] > losses[1] + 1


# --- losses and halting


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_label_smoothing_is_pytorch_s(smoothing: float) -> None:
    logits = torch.randn(2, 3, 4, 12, generator=drawn(), dtype=torch.float64)
    labels = torch.randint(0, 12, (2, 3, 4), generator=drawn()).to(torch.uint8)
    labels[0, 0] = IGNORE_INDEX
    ours = supervise(logits, torch.zeros(2, 2), labels, "softmax", smoothing).cells
    for row in range(2):
        target = torch.where(labels[row] == IGNORE_INDEX, -100, labels[row].long()).flatten()
        theirs = F.cross_entropy(logits[row].flatten(0, 1), target, label_smoothing=smoothing)
        assert float(ours[row]) == pytest.approx(float(theirs), rel=1e-12)


def test_float32_stablemax_is_exact_enough() -> None:
    """Loss and gradient agree with float64 to a few units of float32's last place."""
    logits = (10 * torch.randn(2, 3, 4, 12, generator=drawn())).requires_grad_()
    labels = torch.randint(0, 12, (2, 3, 4), generator=drawn()).to(torch.uint8)
    results = []
    for loss in ("stablemax", "stablemax-float64"):
        cells = supervise(logits, torch.zeros(2, 2), labels, loss).cells
        results.append((cells.double(), torch.autograd.grad(cells.sum(), logits)[0]))
        assert cells.dtype == (torch.float32 if loss == "stablemax" else torch.float64)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_continue_loss_by_hand() -> None:
    halting = torch.tensor([[0.3, 1.0], [0.3, -1.0]])
    following = torch.tensor([[2.0, 3.0], [2.0, 3.0]])
    last = torch.tensor([False, True])
    q = 1 / (1 + np.exp(-np.array([1.0, -1.0])))
    target = 1 / (1 + np.exp(-np.array([3.0, 2.0])))
    expected = -(target * np.log(q) + (1 - target) * np.log(1 - q))
    np.testing.assert_allclose(continue_loss(halting, following, last), expected, rtol=1e-6)


def test_q_learning_looks_one_step_ahead() -> None:
    """HRM's loss: the next step of every row, without gradient, says what going on is worth."""
    reasoner = tiny(networks=2, gradient_calls=2)
    config = TrainingConfig(halting="q-learning", halt_steps=4, batch_size=2)
    carry, vectors, start = in_flight(reasoner)
    loss, after, _ = supervision_step(reasoner, config, carry, vectors, start, torch.zeros(2))
    inputs = (carry.batch.tokens, vectors, carry.batch.transforms)
    first = reasoner(start, *inputs)
    second = reasoner(first.state, *inputs)
    losses = supervise(first.logits, first.halting, carry.batch.labels, "stablemax")
    target = second.halting.amax(dim=1).sigmoid().detach()
    going_on = F.binary_cross_entropy_with_logits(first.halting[:, CONTINUE], target, reduction="sum")
    expected = (losses.cells.sum() + 0.5 * (losses.halting.sum() + going_on)) / 2
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(after.state.y, first.state.y)
    for a, b in zip(*(torch.autograd.grad(x, [reasoner.halt_weight, vectors]) for x in (loss, expected)), strict=True):
        torch.testing.assert_close(a, b)
    assert after.halted.tolist() == (first.halting[:, 0] > first.halting[:, 1]).tolist()


# --- NorMuon


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    for shape in ((3, 20, 50), (3, 50, 20)):
        matrices = torch.randn(shape, generator=drawn(), dtype=torch.float64)
        values = torch.linalg.svdvals(orthogonalise(matrices))
        assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
        ours, (u, _, v) = orthogonalise(matrices), torch.linalg.svd(matrices, full_matrices=False)
        assert float(F.cosine_similarity(ours.flatten(), (u @ v).flatten(), dim=0)) > 0.97


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_normuon_equals_plain_numpy(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    weights = [generator.standard_normal(shape) for _ in range(2)]
    parameters = [torch.nn.Parameter(torch.from_numpy(w.copy())) for w in weights]
    optimizer = NorMuon(parameters, lr=0.1, momentum=0.9, beta2=0.8, weight_decay=0.5)
    memory = [(np.zeros(shape), np.zeros((shape[0], 1))) for _ in range(2)]
    for _ in range(3):
        gradients = [generator.standard_normal(shape) for _ in range(2)]
        for p, gradient in zip(parameters, gradients, strict=True):
            p.grad = torch.from_numpy(gradient)
        optimizer.step()
        for number, gradient in enumerate(gradients):
            weights[number], *memory[number] = naive.normuon(weights[number], gradient, *memory[number], 0.1, 0.9, 0.8, 0.5)
            np.testing.assert_allclose(parameters[number].detach(), weights[number], rtol=1e-9)


@pytest.mark.parametrize("kind", ["muon", "normuon"])
@pytest.mark.parametrize("other", ["adamw", "adam-atan2"])
def test_matrices_have_an_optimizer_of_their_own(kind: str, other: str) -> None:
    """Every weight is moved by one of the two: the blocks' matrices by the first, all others (kernels too) by the second."""
    reasoner = tiny(convolution=3)
    config = replace(SMALL.training, matrix_optimizer=kind, optimizer=other, matrix_learning_rate=0.5, matrix_weight_decay=0.25)
    first, second = Optimizers(reasoner, config, 10).members
    names = {id(p): name for name, p in reasoner.named_parameters()}
    hidden = {names[id(p)] for p in first.param_groups[0]["params"]}
    rest = {names[id(p)] for p in second.param_groups[0]["params"]}
    parts = ("qkv", "out", "gate_up", "down")
    assert hidden == {f"networks.0.{layer}.{part}" for layer in range(2) for part in parts}
    assert rest == set(names.values()) - hidden
    assert "networks.0.0.kernel" in rest
    assert isinstance(first, {"muon": torch.optim.Muon | Muon, "normuon": NorMuon}[kind])
    assert (first.param_groups[0]["lr"], first.param_groups[0]["weight_decay"]) == (0.5, 0.25)
    for p in reasoner.parameters():
        p.grad = torch.ones_like(p)
    optimizers = Optimizers(reasoner, config, 10)
    optimizers.step(1)  # the first of three warm-up steps, for both
    assert [member.param_groups[0]["lr"] for member in optimizers.members] == pytest.approx([0.5 / 3, config.learning_rate / 3])
    assert type(second).__name__ == {"adamw": "AdamW", "adam-atan2": "AdamAtan2"}[other]


# --- compiled: the whole step, or each block


# PyTorch's compiler hides this warning of its own, which here would be an error
COMPILER = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@COMPILER
@pytest.mark.parametrize("what", [STEP, BLOCK])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"halting": "q-learning", "networks": 2, "gradient_calls": 2},
        {"convolution": 3, "latent_steps": 0, "states": 0, "gradient_calls": 1, "transform_tokens": True, "prefix": 12},
        {"cycles": 1, "random_start": True, "damping": 0.9, "loss": "softmax", "qk_norm": True, "output_norm": True}
        | {"gradient_clip": 0.1},
        {
            "cycles": 1,
            "latents": 2,
            "carry_best": True,
            "shared_start": True,
            "random_start": True,
            "gate": "norm-swiglu",
            "label_smoothing": 0.1,
        },
    ],
)
def test_it_compiles_without_breaks_and_once(changes: dict, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No graph breaks (fullgraph), no second compilation when rows halt, and the same numbers."""
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    config = SMALL.override({"layers": 1, "latent_steps": 1} | changes)  # the compiler takes as long as the graph is
    plain, compiled = (small_trainer(config, dtype=torch.float64, options=Options(compile_mode=f)) for f in ("", what))
    for trainer in (plain, compiled):
        trainer.reasoner.double()
        trainer.optimizers = Optimizers(trainer.reasoner, trainer.config.training, 12)
        trainer.average = None
    for number in range(6):
        with torch.compiler.set_stance("fail_on_recompile" if number > 1 else "default"):
            ours = compiled.train_step()
        theirs = plain.train_step()
        torch.testing.assert_close(ours.loss, theirs.loss, rtol=1e-9, atol=0)
        assert torch.equal(compiled.carries[0].halted, plain.carries[0].halted)
    assert bool(plain.carries[0].halted.any()), "no row halted, so this proves nothing"


@COMPILER
def test_every_window_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch gives up after eight shapes; six buckets at three depths are eighteen."""
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    small = SMALL.override({"layers": 1, "cycles": 1, "latent_steps": 1}).model
    reasoner, seen = Reasoner(small, torch.Generator().manual_seed(0)), []
    with torch._dynamo.config.patch(recompile_limit=8):
        reasoner.run_block = compile_operators(Block.forward)
        for side in range(1, 11):
            tokens = torch.ones(1, side, side, dtype=torch.uint8)
            state = reasoner.start(1, side, side, torch.float32, torch.Generator())
            output = reasoner(state, tokens, torch.zeros(1, 16), torch.zeros(1, 11, dtype=torch.uint8))
            seen.append(output.logits.shape[1])
    assert seen == list(range(1, 11))


def test_a_compiled_trainer_compiles(tmp_path: Path) -> None:
    """`Options.compile_mode` replaces the step, the checkpoint remembers it, and a run that resumes it compiles again."""
    trainer = small_trainer(options=Options(compile_mode=STEP))
    assert trainer.supervision_step is not supervision_step
    assert trainer.supervision_step._torchdynamo_orig_callable is supervision_step
    assert small_trainer().supervision_step is supervision_step
    saved = save_state(trainer, tmp_path, keep=1)
    assert load_checkpoint(saved).metadata.compile_mode == STEP
    header = saved / "checkpoint.json"
    edit_header(saved)
    as_written = header.read_text()
    assert '"compile_mode": "step"' in as_written
    header.write_text(as_written.replace('"compile_mode": "step"', '"compiled": true'))  # the first checkpoints had no other way
    assert load_checkpoint(saved).metadata.compile_mode == STEP
    header.write_text(as_written.replace('"compile_mode": "step"', '"compile_mode": "all"'))
    with pytest.raises(InputError, match=says("compile-mode-must-be")):
        load_checkpoint(saved)
    compiled = small_trainer(options=Options(compile_mode=BLOCK)).reasoner.run_block
    assert compiled._torchdynamo_orig_callable is Block.forward


@COMPILER
def test_a_compiler_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    with pytest.raises(InputError, match=says("pytorch-cannot-compile-here")) as caught:
        small_trainer(options=Options(compile_mode=BLOCK)).train_step()
    assert caught.value.flag == "--compile"


def test_noise_is_refused_with_compilation() -> None:
    with pytest.raises(InputError, match=says("torch-compile-cannot-draw")) as caught:
        small_trainer(SMALL.override({"noise": 0.1}), options=Options(compile_mode=STEP))
    assert caught.value.flag == "noise"
    small_trainer(SMALL.override({"noise": 0.1}), options=Options(compile_mode=BLOCK))


def test_print_tells_the_family_and_counts_the_parameters() -> None:
    trainer = small_trainer(SMALL.override({"states": 2, "convolution": 3}))
    text = repr(trainer.reasoner).splitlines()
    network = sum(p.numel() for p in trainer.reasoner.parameters())
    table = trainer.embedding.table
    assert text[0] == "Reasoner: multi-z with 2 states, width 16, 2 blocks, T 2, n 2"
    assert text[1].split() == ["network", f"{network:,}", "parameters"]
    assert text[2].split() == ["task", "embeddings", f"{table.numel():,}", "parameters,", f"{len(table):,}", "rows"]
    assert "states 2" in text[3]
    assert "convolution 3" in text[3]
    published = {"trm": "trm", "trm-mlp": "trm-mlp", "single-z": "single-z", "multi-z": "multi-z with 6 states", "hrm": "hrm"}
    for name, variant in {**published, "direct": "direct", "arc1-loop": "looped"}.items():
        assert PRESETS[name].model.variant == variant
    assert "none attached" in repr(Reasoner(ModelConfig(width=16, heads=2), torch.Generator()))


def test_a_compiler_that_damages_memory_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"mixer": "mlp", "positions": "none", "board_rows": 5, "board_columns": 5}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(InputError, match=says("in-mode-step-with")) as caught:
        small_trainer(SMALL.override(changes), options=Options(compile_mode=STEP))
    assert caught.value.flag == "--compile"
    small_trainer(SMALL, options=Options(compile_mode=STEP))
    small_trainer(SMALL.override(changes), options=Options(compile_mode=BLOCK))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    small_trainer(SMALL.override(changes), options=Options(compile_mode=STEP))
