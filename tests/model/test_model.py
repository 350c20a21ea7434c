"""The reasoner: equal to the originals in float64, and to a plain NumPy forward pass where their arrays are not at hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests import naive
from tests.helpers import FAMILY, by_their_names, labels_of, load_original, messages, read_arrays, relative
from trm_arc.common.errors import InputError
from trm_arc.config import ModelConfig
from trm_arc.model.attention import attend
from trm_arc.model.reasoner import Reasoner, State, count_padding, inner_width, truncated_normal_
from trm_arc.training.loss import supervise

says = messages(__name__)


@pytest.mark.parametrize("name", FAMILY)
def test_equals_the_original(shared: Path, name: str) -> None:
    arrays = read_arrays(shared / "reference" / f"{name}.npz")
    reasoner = load_original(arrays)
    config = reasoner.config
    assert config.variant.startswith(name.replace("_", "-"))
    board = (-1, config.board_rows, config.board_columns)
    tokens = torch.from_numpy(arrays["inputs"]).view(board)
    labels = labels_of(arrays["labels"]).view(board)
    vectors = torch.from_numpy(arrays["param/puzzle_emb.weights"][arrays["puzzle_identifiers"]]).requires_grad_()
    transforms = torch.zeros(len(tokens), 11, dtype=torch.uint8)
    state = reasoner.start(len(tokens), *board[1:], torch.float64)
    for step in (1, 2, 3):
        output = reasoner(state, tokens, vectors, transforms)
        losses = supervise(output.logits, output.halting, labels, "stablemax")
        state = output.state
        assert relative(output.logits.flatten(1, 2), arrays[f"step{step}/logits"]) < 1e-9
        assert relative(output.halting[:, 0], arrays[f"step{step}/q_halt"]) < 1e-6
        assert relative(output.halting[:, 1], arrays[f"step{step}/q_continue"]) < 1e-6
        assert relative(losses.cells.sum(), arrays[f"step{step}/lm_loss"]) < 1e-9
        assert relative(losses.halting.sum(), arrays[f"step{step}/q_halt_loss"]) < 1e-6
        if step == 1:
            ((losses.cells.sum() + 0.5 * losses.halting.sum()) / len(tokens)).backward()
            assert relative(vectors.grad, arrays["grad/puzzle_emb.local_weights"]) < 1e-9
            for theirs, gradient in by_their_names(reasoner, [p.grad for p in reasoner.parameters()]).items():
                assert relative(gradient, arrays[f"grad/{theirs}"]) < 1e-9, theirs
    if config.states:
        assert relative(state.y, arrays["step3/z_H"]) < 1e-9
        z_names = ["step3/z_L"] if config.states == 1 else [f"step3/z_L{i}" for i in range(1, 7)]
        for ours, theirs in zip(state.z, z_names, strict=True):
            assert relative(ours, arrays[theirs]) < 1e-9
    else:
        assert relative(state.y, arrays["step3/z_L"]) < 1e-9


SMALL = {"width": 16, "heads": 2, "prefix": 3, "board_rows": 5, "board_columns": 5, "cycles": 2, "latent_steps": 3}
LOCAL = {"mixer": "convolution", "positions": "none", "convolution": 3}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "rotary-2d"},
        {"positions": "none"},
        {"mixer": "mlp", "positions": "none"},
        {"states": 0},
        {"states": 2},
        {"networks": 2, "layers": 1},
        {"states": 0, "latent_steps": 0},
        {"gate": "norm-swiglu"},
        {"convolution": 3},
        {"convolution": 5, "gate": "norm-swiglu", "mixer": "mlp", "positions": "none"},
        LOCAL,
        {"damping": 0.7, "states": 2},
        {"transform_tokens": True, "prefix": 14},
        {"qk_norm": True},
        {"output_norm": True, "gate": "norm-swiglu"},
        {"qk_norm": True, "output_norm": True, "positions": "rotary-2d", "layers": 1},
    ],
)
@pytest.mark.parametrize("window", [(5, 5), (4, 3)])
def test_equals_plain_numpy(changes: dict, window: tuple[int, int]) -> None:
    if changes.get("mixer") == "mlp" and window != (5, 5):
        pytest.skip("the MLP mixer has a weight for every position, so its window is the board")
    config = ModelConfig(**{**SMALL, **changes})
    generator = torch.Generator().manual_seed(3)
    reasoner = Reasoner(config, generator).double()
    torch.nn.init.normal_(reasoner.halt_weight, generator=generator)
    tokens = torch.randint(0, 12, (2, *window), generator=generator)
    vectors = torch.randn(2, config.width, dtype=torch.float64, generator=generator)
    transforms = torch.tensor([[3, 0, *range(9, 0, -1)], [7, *range(10)]], dtype=torch.uint8)
    state = reasoner.start(2, *window, torch.float64)
    with torch.no_grad():
        first = reasoner(state, tokens, vectors, transforms)
        second = reasoner(first.state, tokens, vectors, transforms)
    y, z = state.y.numpy(), [part.numpy() for part in state.z]
    weights = {name: t.detach().numpy() for name, t in reasoner.state_dict().items()}
    same = ("heads", "cycles", "latent_steps", "prefix", "positions", "gate", "damping", "qk_norm", "output_norm")
    settings = {name: getattr(config, name) for name in same}
    for output in (first, second):
        y, z, logits, halting = naive.supervision_step(
            weights, y, z, tokens.numpy(), vectors.numpy(), transforms.numpy(), **settings
        )
        np.testing.assert_allclose(output.state.y, y, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(output.logits.flatten(1, 2), logits, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(output.halting, halting, rtol=1e-5)


@pytest.mark.parametrize("length", [36, 300, 900])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_way_of_attention_is_the_same_function(length: int, dtype: torch.dtype) -> None:
    """All branches of the CPU's attention against float64, with gradients, on rows shorter and longer than the switch."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(3, length, 3, 8, generator=generator).to(dtype).transpose(1, 2) for _ in range(3)]
    exact, ours = ([part.to(kind).requires_grad_() for part in drawn] for kind in (torch.float64, dtype))
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    theirs = torch.nn.functional.scaled_dot_product_attention(*exact)
    mixed = attend(*ours)
    assert relative(mixed, theirs.detach().numpy()) < tolerance
    weight = torch.randn(theirs.shape, generator=generator, dtype=torch.float64)
    gradients = (torch.autograd.grad((out * weight).sum(), parts) for out, parts in ((mixed.double(), ours), (theirs, exact)))
    for a, b in zip(*gradients, strict=True):
        assert relative(a, b.numpy()) < tolerance


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({}, 6.83),
        ({"mixer": "mlp", "positions": "none", "board_rows": 9, "board_columns": 9}, 5.03),
        ({"networks": 2, "layers": 4}, 27.28),
    ],
)
def test_published_parameter_counts(settings: dict, parameters: float) -> None:
    reasoner = Reasoner(ModelConfig(**settings), torch.Generator())
    assert round(sum(p.numel() for p in reasoner.parameters()) / 1e6, 2) == parameters


def test_gradient_flows_through_the_last_calls_alone() -> None:
    """Full backpropagation differs from the last cycle's; one call's gradient is that of an answer alone."""

    def gradient(calls: int) -> torch.Tensor:
        reasoner = Reasoner(ModelConfig(**SMALL, gradient_calls=calls), torch.Generator().manual_seed(0)).double()
        state = reasoner.start(1, 5, 5, torch.float64)
        tokens = torch.ones(1, 5, 5, dtype=torch.uint8)
        reasoner(state, tokens, torch.zeros(1, 16, dtype=torch.float64), torch.zeros(1, 11)).logits.square().sum().backward()
        grad = reasoner.embed_tokens.grad
        return torch.zeros_like(reasoner.embed_tokens) if grad is None else grad

    torch.testing.assert_close(gradient(0), gradient(4))
    assert not torch.allclose(gradient(4), gradient(8))
    assert (gradient(1) == 0).all()  # the answer does not look at x


def test_transform_tokens_tell_the_symmetry_and_the_palette() -> None:
    reasoner = Reasoner(ModelConfig(**{**SMALL, "prefix": 12}, transform_tokens=True), torch.Generator().manual_seed(0)).double()
    state, tokens, vectors = reasoner.start(1, 5, 5, torch.float64), torch.ones(1, 5, 5), torch.zeros(1, 16, dtype=torch.float64)

    def logits(symmetry: int, palette: list[int]) -> torch.Tensor:
        return reasoner(state, tokens, vectors, torch.tensor([[symmetry, *palette]], dtype=torch.uint8)).logits

    plain, swapped = list(range(10)), [0, 2, 1, *range(3, 10)]
    torch.testing.assert_close(logits(0, plain), logits(0, plain), rtol=0, atol=0)
    assert not torch.allclose(logits(0, plain), logits(1, plain))
    assert not torch.allclose(logits(0, plain), logits(0, swapped))


def test_a_norm_of_queries_and_keys_bounds_the_logits_of_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the weights are, no logit exceeds the root of a head's width; without the norm they grow with them."""
    largest: list[float] = []

    def watched(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        largest.append(float((query @ key.mT).detach().abs().max()) / query.shape[-1] ** 0.5)
        return attend(query, key, value)

    monkeypatch.setattr("trm_arc.model.reasoner.attend", watched)
    bound = (SMALL["width"] / SMALL["heads"]) ** 0.5
    for qk_norm in (False, True):
        reasoner = Reasoner(ModelConfig(**SMALL, qk_norm=qk_norm), torch.Generator().manual_seed(0)).double()
        with torch.no_grad():
            reasoner.networks[0][0].qkv.mul_(10)
        largest.clear()
        state = reasoner.start(1, 5, 5, torch.float64)
        reasoner(state, torch.ones(1, 5, 5), torch.zeros(1, 16, dtype=torch.float64), torch.zeros(1, 11))
        assert (max(largest) <= bound) == qk_norm


def test_initialisation_is_lecun_and_seeded() -> None:
    first, second, third = (Reasoner(ModelConfig(), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    for (name, a), (_, b), (_, c) in zip(*(r.state_dict().items() for r in (first, second, third)), strict=True):
        assert torch.equal(a, b), name
        assert name.startswith("halt_") or not torch.equal(a, c), name
        if name == "halt_bias":
            assert (a == -5).all()
        elif name == "halt_weight":
            assert (a == 0).all()
        else:
            std = 1.0 if name.endswith("start") else a.shape[-1] ** -0.5
            assert abs(float(a.std()) / std - 1) < 0.1, name
            assert float(a.abs().max()) < 2.3 * std, name


def test_truncated_normal_has_the_std_that_was_asked_for() -> None:
    sample = truncated_normal_(torch.empty(200_000), 0.7, torch.Generator().manual_seed(0))
    assert abs(float(sample.std()) - 0.7) < 0.005
    assert inner_width(4.0, 512) == 1536
    assert inner_width(4.0, 64) == inner_width(5e-324, 64) == 256


def test_states_are_detached_and_rows_do_not_mix() -> None:
    reasoner = Reasoner(ModelConfig(**SMALL), torch.Generator().manual_seed(0)).double()
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 12, (3, 5, 5), generator=generator)
    vectors = torch.randn(3, 16, dtype=torch.float64, generator=generator)
    transforms = torch.zeros(3, 11)
    together = reasoner(reasoner.start(3, 5, 5, torch.float64), tokens, vectors, transforms)
    assert isinstance(together.state, State)
    assert not together.state.y.requires_grad
    alone = reasoner(reasoner.start(1, 5, 5, torch.float64), tokens[1:2], vectors[1:2], transforms[:1])
    torch.testing.assert_close(together.logits[1:2], alone.logits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 100}, says("width-must-be-a")),
        ({"board_rows": 31}, says("board-rows-must-be")),
        ({"width": 0}, says("width-must-be-at")),
        ({"states": -1}, "states"),
        ({"networks": 3}, says("networks-must-be-1")),
        ({"mixer": "mlp"}, says("positions-the-mlp-mixer")),
        ({"mixer": "fourier"}, says("mixer-must-be-one")),
        ({"gradient_calls": 16}, says("gradient-calls-must-be")),
        ({"prefix": 2, "transform_tokens": True}, says("prefix-must-be-at")),
        ({"width": 512.0}, says("width-must-be-a-whole")),
        ({"expansion": float("nan")}, says("expansion-must-be-a")),
        ({"convolution": 2}, says("convolution-must-be-0")),
        ({"damping": 0.0}, says("damping-must-be-above")),
        ({"noise": -0.1}, says("noise-must-be-at")),
        ({"latents": 0}, says("latents-must-be-at")),
        ({"gradient_calls": -2}, says("gradient-calls-must-be-2")),
        ({"states": 6}, says("states-a-latent-step")),
        ({"latent_steps": 0}, says("states-a-latent-step-changes")),
        ({"latent_steps": 0, "states": 0, "networks": 2}, says("networks-the-first-of")),
        ({"latents": 2, "noise": 0.1}, says("noise-the-best-latent")),
        ({"mixer": "mlp", "positions": "none", "qk_norm": True}, says("qk-norm-is-for")),
        ({"mixer": "mlp", "positions": "none", "output_norm": True}, says("output-norm-is-for")),
        ({"mixer": "convolution", "positions": "none"}, says("mixer-without-a-convolution")),
        ({"mixer": "convolution", "convolution": 3}, says("positions-is-read-by-attention")),
        ({**LOCAL, "transform_tokens": True}, says("transform-tokens-is-read-by-attention")),
        ({"latents": 2, "states": 0, "carry_best": True}, says("carry-best-without-scratch")),
        ({"latents": 2, "states": 0, "shared_start": True}, says("shared-start-without-scratch")),
    ],
)
def test_config_refuses(settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ModelConfig(**settings)
    assert str(caught.value).startswith(f"{caught.value.flag}: ")


@pytest.mark.parametrize("gate", ["swiglu", "norm-swiglu"])
def test_zeros_beside_the_tokens_of_the_mlp_mixer_change_nothing(gate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accelerator's products are over a multiple of eight tokens; answers and gradients stay, to rounding."""
    config = ModelConfig(**SMALL | {"mixer": "mlp", "positions": "none", "gate": gate})
    reasoner = Reasoner(config, torch.Generator().manual_seed(0)).double()
    tokens = torch.randint(1, 12, (2, 5, 5), generator=torch.Generator().manual_seed(1))
    found = []
    for device in ("cpu", "meta"):
        monkeypatch.setattr(
            "trm_arc.model.reasoner.count_padding", lambda count, _, to=device: count_padding(count, torch.device(to))
        )
        widths = {name: tuple(w.shape) for name, w in reasoner.networks[0][0].cast(torch.float64).items() if "mix" in name}
        length = 28 if device == "cpu" else 32
        inner = reasoner.networks[0][0].mix_down.shape[1]
        assert widths == {"mix_gate": (inner, length), "mix_up": (inner, length), "mix_down": (length, inner)}
        vectors = torch.ones(2, 16, dtype=torch.float64, requires_grad=True)
        state = reasoner.start(2, 5, 5, torch.float64)
        logits = reasoner(state, tokens, vectors, torch.zeros(2, 11, dtype=torch.uint8)).logits
        weights = [vectors, *(p for name, p in reasoner.named_parameters() if "halt" not in name)]
        found.append((logits, *torch.autograd.grad(logits.square().sum(), weights)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_where_a_convolution_mixes_a_block_sees_one_cell_further() -> None:
    """Two calls of one block: a change is seen within two cells and nowhere else, and the window around it does not matter."""
    config = ModelConfig(**SMALL | LOCAL | {"cycles": 1, "latent_steps": 1, "layers": 1, "board_rows": 12, "board_columns": 12})
    reasoner = Reasoner(config, torch.Generator().manual_seed(0)).double()
    tokens = torch.randint(0, 12, (1, 12, 12), generator=torch.Generator().manual_seed(1))
    vectors, transforms = torch.randn(1, 16, dtype=torch.float64), torch.zeros(1, 11, dtype=torch.uint8)

    def answer(tokens: torch.Tensor) -> torch.Tensor:
        window = tokens.shape[1:]
        return reasoner(reasoner.start(1, *window, torch.float64), tokens, vectors, transforms).logits

    changed = tokens.clone()
    changed[0, 5, 5] = (changed[0, 5, 5] + 1) % 12
    differs = (answer(tokens) != answer(changed)).any(dim=-1)[0]
    seen = torch.zeros(12, 12, dtype=torch.bool)
    seen[3:8, 3:8] = True
    assert torch.equal(differs, seen)
    torch.testing.assert_close(answer(tokens[:, :9, :10])[:, :7, :8], answer(tokens)[:, :7, :8], rtol=1e-12, atol=1e-12)
