"""The reasoner: a small network that refines its own answer.

A supervision step refines an answer y and k scratch states z from the embedded puzzle x:

    think    z_i <- net(sum(z) + y + x)     n times, i cycling over the k states
    answer   y   <- net'(y + sum(z))        once; n thoughts and an answer are a cycle, run T times

k = 1 is TRM, k = 6 multi-z; with k = 0 (single-z) a thought lands in y.  net' is net (TRM) or a second network (HRM).
Gradient flows through the last `gradient_calls` network calls; states are detached between supervision steps.

Shapes:
    B rows, H x W the window of the board, P prefix slots, L = P + H * W tokens, D width, V vocabulary, k states
    tokens (B, H, W)   task vectors (B, D)   x, y, z_i (B, L, D)   logits (B, H, W, V)   halting logits (B, 2)

Source: Jolicoeur-Martineau, "Less is More: Recursive Reasoning with Tiny Networks", arXiv 2510.04871, and its public code.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment import COLOURS, SYMMETRIES
from augment.kernels import FIRST_COLOUR
from trm_arc.config import ModelConfig

NORM_EPSILON = 1e-5
ROTARY_BASE = 10000.0
SHORT = 512  # tokens up to which explicit attention beats the CPU's fused kernel in training
# Matrices that are stored as one, as published, with their parts and the parts' shares of the rows.
_FUSED = (("qkv", ("qk", "v"), (2, 1)), ("gate_up", ("gate", "up"), (1, 1)), ("mix_gate_up", ("mix_gate", "mix_up"), (1, 1)))
HALT, CONTINUE = 0, 1  # rows of the halting head


class State(NamedTuple):
    """What is carried from one supervision step to the next: the answer y (B, L, D) and the scratch states z, each (B, L, D)."""

    y: Tensor
    z: tuple[Tensor, ...]


class Output(NamedTuple):
    """What a supervision step gives: the next state (detached), logits (B, H, W, V), halting logits (B, 2) in float32."""

    state: State
    logits: Tensor
    halting: Tensor


class Block(nn.Module):
    """Mix tokens, then features; each with a residual and an RMS norm behind it (post-norm, no weights in the norm).

    Args:
        config: the model's settings.
        tokens: L, of which the MLP mixer has weights for each.
    """

    def __init__(self, config: ModelConfig, tokens: int) -> None:
        super().__init__()
        width = config.width
        if config.mixer == "attention":
            self.qkv = nn.Parameter(torch.empty(3 * width, width))
            self.out = nn.Parameter(torch.empty(width, width))
        elif config.mixer == "mlp":
            inner = inner_width(config.expansion, tokens)
            self.mix_gate_up = nn.Parameter(torch.empty(2 * inner, tokens))
            self.mix_down = nn.Parameter(torch.empty(tokens, inner))
        else:
            raise ValueError(f"no such mixer: {config.mixer}")
        inner = inner_width(config.expansion, width)
        self.gate_up = nn.Parameter(torch.empty(2 * inner, width))
        self.down = nn.Parameter(torch.empty(width, inner))
        self.heads, self.mixer = config.heads, config.mixer

    def cast(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The weights in the dtype of the computation: cast once a step, used by every one of its T (n + 1) calls.

        Fused matrices are taken apart here, and not their products: the gradients of split activations would have to be glued
        together in every call, those of split weights only once.
        """
        cast = {name: parameter.to(dtype) for name, parameter in self.named_parameters()}
        for fused, parts, shares in _FUSED:
            if fused in cast:
                matrix = cast.pop(fused)
                unit = len(matrix) // sum(shares)
                cast |= zip(parts, matrix.split([unit * share for share in shares]), strict=True)
        return cast

    def forward(self, h: Tensor, weights: dict[str, Tensor], rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        """h (B, L, D) -> (B, L, D), with the weights of `cast`."""
        if self.mixer == "attention":
            h = _norm(h + self._attend(h, weights, rotary))
        else:  # the norm of the MLP mixer runs over the tokens, as in the original
            h = h.transpose(1, 2)  # (B, D, L)
            h = _norm(h + _swiglu(h, weights["mix_gate"], weights["mix_up"], weights["mix_down"])).transpose(1, 2)
        return _norm(h + _swiglu(h, weights["gate"], weights["up"], weights["down"]))

    def _attend(self, h: Tensor, weights: dict[str, Tensor], rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        batch, length, width = h.shape
        qk = F.linear(h, weights["qk"]).view(batch, length, 2, self.heads, width // self.heads)
        value = F.linear(h, weights["v"]).view(batch, length, self.heads, width // self.heads)
        if rotary is not None:
            cos, sin = rotary  # (L, 1, 1, D / heads)
            qk = torch.addcmul(qk * cos, qk.roll(qk.shape[-1] // 2, dims=-1), sin)
        query, key = qk.unbind(dim=2)
        mixed = _attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        return F.linear(mixed.transpose(1, 2).reshape(batch, length, width), weights["out"])


class Reasoner(nn.Module):
    """The recursive model, without its task embeddings (see `trm_arc.embedding`).

    Args:
        config: which member of the family.
        generator: draws the initial weights and states.
    """

    def __init__(self, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        tokens = config.prefix + config.board_rows * config.board_columns
        self.embed_tokens = nn.Parameter(torch.empty(config.vocabulary, config.width))
        self.networks = nn.ModuleList(
            nn.ModuleList(Block(config, tokens) for _ in range(config.layers)) for _ in range(config.networks)
        )
        if config.transform_slots:
            self.symmetry_slot = nn.Parameter(torch.empty(SYMMETRIES, config.width))
            self.palette_slots = nn.Parameter(torch.empty(COLOURS, config.width))
        self.head = nn.Parameter(torch.empty(config.vocabulary, config.width))
        self.halt_weight = nn.Parameter(torch.empty(2, config.width))
        self.halt_bias = nn.Parameter(torch.empty(2))
        self.register_buffer("y_start", torch.empty(config.width))
        self.register_buffer("z_start", torch.empty(config.states, config.width))
        self.reset(generator)

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw every weight anew; this is the whole initialisation.

        embed_tokens, slots  truncated normal, std 1 / sqrt(D): scaled by sqrt(D) when used
        matrices, head       truncated normal, std 1 / sqrt(columns) (LeCun)
        y_start, z_start     truncated normal, std 1, never trained
        halting head         weight 0, bias -5: at first no row stops early
        """
        for name, tensor in [*self.named_parameters(), *self.named_buffers()]:
            if name == "halt_weight":
                tensor.zero_()
            elif name == "halt_bias":
                tensor.fill_(-5.0)
            elif name in ("y_start", "z_start"):
                truncated_normal_(tensor, 1.0, generator)
            else:
                truncated_normal_(tensor, tensor.shape[-1] ** -0.5, generator)

    def start(self, batch: int, rows: int, columns: int, dtype: torch.dtype) -> State:
        """The initial state of `batch` rows on a window of `rows` x `columns` cells."""
        shape = (batch, self.config.prefix + rows * columns, self.config.width)
        y = self.y_start.to(dtype).expand(shape)
        return State(y, tuple(z.to(dtype).expand(shape) for z in self.z_start))

    def forward(self, state: State, tokens: Tensor, task_vectors: Tensor, transforms: Tensor) -> Output:
        """One supervision step, in the dtype of the state.

        Args:
            state: from `start` or the step before.
            tokens: (B, H, W) integers below the vocabulary; the window starts at the board's corner.
            task_vectors: (B, D).
            transforms: (B, 11) rows of a plan, which the transform slots tell; not read without them.
        """
        config, dtype = self.config, state.y.dtype
        rows, columns = tokens.shape[1:]
        rotary = self._rotary(rows, columns, dtype)
        weights = [[block.cast(dtype) for block in network] for network in self.networks]
        x = self._embed(tokens, task_vectors, transforms, dtype)
        y, z = state.y, list(state.z)

        def call(network: int, h: Tensor) -> Tensor:
            for block, block_weights in zip(self.networks[network], weights[network], strict=True):
                h = block(h, block_weights, rotary)
            return h

        calls = config.cycles * (config.thoughts + 1)
        first_with_gradient = calls - (config.gradient_calls or config.thoughts + 1)
        grad = torch.is_grad_enabled()
        for number in range(calls):
            thought = number % (config.thoughts + 1)
            with torch.set_grad_enabled(grad and number >= first_with_gradient):
                if thought == config.thoughts:
                    y = call(-1, _total(y, z))
                elif z:
                    z[thought % len(z)] = call(0, _total(y, z) + x)
                else:
                    y = call(0, y + x)
        logits = F.linear(y[:, config.prefix :], self.head.to(dtype)).unflatten(1, (rows, columns))
        wide = torch.promote_types(dtype, torch.float32)  # in half precision equal votes would tie by rounding
        halting = F.linear(y[:, 0].to(wide), self.halt_weight.to(wide), self.halt_bias.to(wide)).float()
        return Output(State(y.detach(), tuple(part.detach() for part in z)), logits, halting)

    def _embed(self, tokens: Tensor, task_vectors: Tensor, transforms: Tensor, dtype: torch.dtype) -> Tensor:
        embedding = self.embed_tokens.to(dtype)
        parts = [task_vectors.to(dtype)[:, None]]
        if self.config.transform_slots:
            # A slot for each colour of the untransformed task says which token stands for it now, for attention to look up.
            became = F.embedding(transforms[:, 1:].int() + FIRST_COLOUR, embedding)
            parts.append(F.embedding(transforms[:, :1].int(), self.symmetry_slot.to(dtype)))
            parts.append((became + self.palette_slots.to(dtype)) * 0.5**0.5)
        board = F.embedding(tokens.flatten(1).int(), embedding)
        parts.append(board.new_zeros(len(tokens), self.config.prefix - sum(p.shape[1] for p in parts), self.config.width))
        return math.sqrt(self.config.width) * torch.cat((*parts, board), dim=1)

    def _rotary(self, rows: int, columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
        """Cosine and sine, each (L, 1, 1, D / heads), of the rotation of every token of the window.

        A rotation takes (a, b) to (a cos - b sin, b cos + a sin), a and b being the halves of a head.  The sign is put into the
        sine here, so that a roll by half a head is all that is left to do.
        """
        config = self.config
        if config.positions == "none":
            return None
        device, head_width = self.y_start.device, config.width // config.heads
        # float64, as long tables of float32 angles would differ from the exact ones in the last digits
        row, column = torch.meshgrid(
            torch.arange(rows, dtype=torch.float64, device=device),
            torch.arange(columns, dtype=torch.float64, device=device),
            indexing="ij",
        )
        if config.positions == "rotary-1d":  # prefix and board in one line, cells where the full board has them
            slots = torch.arange(config.prefix, dtype=torch.float64, device=device)
            place = torch.cat((slots, config.prefix + (row * config.board_columns + column).flatten()))[:, None]
            angles = place * _frequencies(head_width, device)
        elif config.positions == "rotary-2d":  # half of the frequencies turn with the row, half with the column
            frequencies = _frequencies(head_width // 2, device)
            board = torch.cat((row.reshape(-1, 1) * frequencies, column.reshape(-1, 1) * frequencies), dim=1)
            angles = torch.cat((board.new_zeros(config.prefix, head_width // 2), board))
        else:
            raise ValueError(f"no such positions: {config.positions}")
        cos, sin = angles.cos(), angles.sin()
        tables = torch.cat((cos, cos), dim=1), torch.cat((-sin, sin), dim=1)
        return tuple(table[:, None, None].to(dtype) for table in tables)


def inner_width(expansion: float, width: int) -> int:
    """Inner width of a SwiGLU: two thirds of the expansion, rounded up to a multiple of 256."""
    return -(-round(expansion * width * 2 / 3) // 256) * 256


def truncated_normal_(tensor: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Fill with a normal truncated at two deviations whose std is `std` after the truncation (as JAX does, not PyTorch)."""
    lower, upper = -2.0, 2.0
    low, high = math.erf(lower / math.sqrt(2)), math.erf(upper / math.sqrt(2))
    mass = (high - low) / 2
    density = math.exp(-0.5 * lower**2) / math.sqrt(2 * math.pi)
    corrected = std / math.sqrt(1 - (upper - lower) * density / mass)
    tensor.uniform_(low, high, generator=generator)
    return tensor.erfinv_().mul_(math.sqrt(2) * corrected).clamp_(lower * corrected, upper * corrected)


def _total(y: Tensor, z: list[Tensor]) -> Tensor:
    total = y
    for part in z:
        total = total + part
    return total


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention over all tokens: (B, heads, L, D / heads) each."""
    training_on_cpu = query.device.type == "cpu" and query.requires_grad
    if training_on_cpu and query.shape[2] <= SHORT and query.dtype != torch.float64:  # float64 is for proofs, not for speed
        # The CPU's fused kernel is fast forward but up to 12 times slower than this backward on short rows (see LOG.md).
        weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        return weights.softmax(dim=-1) @ value
    return F.scaled_dot_product_attention(query, key, value)


def _norm(h: Tensor) -> Tensor:
    return F.rms_norm(h, h.shape[-1:], eps=NORM_EPSILON)


def _swiglu(h: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return F.linear(F.silu(F.linear(h, gate)) * F.linear(h, up), down)


def _frequencies(width: int, device: torch.device) -> Tensor:
    return ROTARY_BASE ** (-torch.arange(0, width, 2, dtype=torch.float64, device=device) / width)
