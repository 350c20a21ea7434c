"""The reasoner: a small network that refines its own answer.

A supervision step refines an answer y and k scratch states z from the embedded puzzle x:

    latent   z_i <- net(sum(z) + y + x)     n times (latent steps), i cycling over the k states
    answer   y   <- net'(y + sum(z))        once; n latent steps and an answer are a cycle, run T times

k = 1 is TRM, k = 6 multi-z; with k = 0 (single-z) a latent step changes y.  net' is net (TRM) or a second network (HRM).  With
n = 0 a cycle is one call, y <- net(y + x): T = 1 is the recursion-free baseline (direct), T > 1 a looped transformer.
Gradient flows through the last `gradient_calls` network calls; states are detached between supervision steps.

Shapes:
    B rows, H x W the window of the board, P prefix tokens, L = P + H * W tokens, D width, V vocabulary, k states
    K parallel latents: K rows of states a puzzle, one after the other
    tokens (B, H, W)   task vectors (B, D)   x, y, z_i (B, L, D)   logits (B, H, W, V)   halting logits (B, 2)

Source: Jolicoeur-Martineau, "Less is More: Recursive Reasoning with Tiny Networks", arXiv 2510.04871, and its public code.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from augment import COLOURS, SYMMETRIES
from augment.kernels import FIRST_COLOUR
from trm_arc.config import ModelConfig
from trm_arc.model.attention import attend
from trm_arc.model.convolution import convolve
from trm_arc.model.noise import Source, hash_normal, hash_uniform, keys_of, sample_normal
from trm_arc.model.rotary import find_tables

NORM_EPSILON = 1e-5
# Matrices that are stored as one, as published, with their parts and the parts' shares of the rows.
_JOINT = (("qkv", ("qk", "v"), (2, 1)), ("gate_up", ("gate", "up"), (1, 1)), ("mix_gate_up", ("mix_gate", "mix_up"), (1, 1)))
_LIMIT = 2.0  # deviations at which initial weights are truncated
_MASS = math.erf(_LIMIT / math.sqrt(2))  # of a normal within them
TILE = 8  # elements of half precision that a matrix unit reads at once
HALT, CONTINUE = 0, 1  # rows of the halting head


class TokenLayout(NamedTuple):
    """Where the tokens are: P prefix tokens, then rows x columns of the window; cosine and sine of each token's rotation."""

    prefix: int
    rows: int
    columns: int
    rotary: tuple[Tensor, Tensor] | None


class State(NamedTuple):
    """What is carried from one supervision step to the next: the answer y (B, L, D) and the scratch states z, each (B, L, D)."""

    y: Tensor
    z: tuple[Tensor, ...]

    def take(self, rows: slice, latents: int) -> "State":
        """The states of some puzzles, all `latents` of each."""
        here = slice(rows.start * latents, rows.stop * latents)
        return State(self.y[here], tuple(part[here] for part in self.z))

    def share(self, best: Tensor) -> "State":
        """The y of the best latent for all latents of its puzzle, each with its own z.

        Args:
            best: (B,), the row of the best latent of each puzzle.
        """
        return State(self.y[best].repeat_interleave(len(self.y) // len(best), dim=0), self.z)

    @staticmethod
    def join(parts: Sequence["State"]) -> "State":
        """The states of all parts, concatenated."""
        y, *z = (torch.cat(tensors) for tensors in zip(*((part.y, *part.z) for part in parts), strict=True))
        return State(y, tuple(z))


class Output(NamedTuple):
    """What a supervision step gives: the next state (detached), logits (B, H, W, V), halting logits (B, 2) in float32."""

    state: State
    logits: Tensor
    halting: Tensor


class Block(nn.Module):
    """Mix tokens, then features; each with a residual, then an RMS norm (post-norm, no weights in the norm).

    Args:
        tokens: L; the MLP mixer has weights for each.
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
        elif config.mixer != "convolution":
            raise ValueError(f"no such mixer: {config.mixer}")
        inner = inner_width(config.expansion, width)
        self.gate_up = nn.Parameter(torch.empty(2 * inner, width))
        self.down = nn.Parameter(torch.empty(width, inner))
        if config.convolution:
            self.kernel = nn.Parameter(torch.empty(inner, config.convolution, config.convolution))
        self.heads, self.mixer, self.gating = config.heads, config.mixer, config.gate
        self.qk_norm, self.output_norm = config.qk_norm, config.output_norm

    def cast(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The weights in the dtype of the computation: cast once a step, used by every one of its T (n + 1) calls.

        Joint matrices are split here, and not their products: the gradients of split activations would have to be
        concatenated in every call, those of split weights only once.
        """
        cast = {name: parameter.to(dtype) for name, parameter in self.named_parameters()}
        for joint, parts, shares in _JOINT:
            if joint in cast:
                matrix = cast.pop(joint)
                unit = len(matrix) // sum(shares)
                cast |= zip(parts, matrix.split([unit * share for share in shares]), strict=True)
        if self.mixer == "mlp" and (zeros := count_padding(cast["mix_gate"].shape[1], cast["mix_gate"].device)):
            cast |= {name: F.pad(cast[name], (0, zeros)) for name in ("mix_gate", "mix_up")}
            cast["mix_down"] = F.pad(cast["mix_down"], (0, 0, 0, zeros))
        return cast

    def forward(self, h: Tensor, weights: dict[str, Tensor], layout: TokenLayout) -> Tensor:
        """h (B, L, D) -> (B, L, D), with the weights of `cast`."""
        if self.mixer == "attention":
            h = _norm(self._attend(h, weights, layout.rotary).add_(h))
        elif self.mixer == "mlp":  # the norm of the MLP mixer runs over the tokens, as in the original
            h = h.transpose(1, 2)  # (B, D, L)
            zeros = weights["mix_gate"].shape[1] - h.shape[2]
            mixed = _gated(F.pad(h, (0, zeros)) if zeros else h, weights["mix_gate"], weights["mix_up"], self.gating)
            mixed = F.linear(mixed, weights["mix_down"])
            h = _norm(mixed[..., :-zeros] + h if zeros else mixed.add_(h)).transpose(1, 2)
        inner = _gated(h, weights["gate"], weights["up"], self.gating)
        if "kernel" in weights:
            inner = convolve(inner, weights["kernel"], layout.prefix, layout.rows, layout.columns)
        return _norm(F.linear(inner, weights["down"]).add_(h))

    def _attend(self, h: Tensor, weights: dict[str, Tensor], rotary: tuple[Tensor, Tensor] | None) -> Tensor:
        batch, length, width = h.shape
        qk = F.linear(h, weights["qk"]).view(batch, length, 2, self.heads, width // self.heads)
        value = F.linear(h, weights["v"]).view(batch, length, self.heads, width // self.heads)
        if self.qk_norm:
            qk = _norm(qk)
        if rotary is not None:
            cos, sin = rotary  # (L, 1, 1, D / heads)
            first, second = qk.chunk(2, dim=-1)
            qk = torch.addcmul(qk * cos, torch.cat((second, first), dim=-1), sin)  # torch.roll's gradient would not be vectorised
        query, key = qk.unbind(dim=2)
        mixed = attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        mixed = mixed.transpose(1, 2).reshape(batch, length, width)
        return F.linear(_norm(mixed) if self.output_norm else mixed, weights["out"])


class Reasoner(nn.Module):
    """The recursive model, without its task embeddings (see `trm_arc.model.embedding`).

    Args:
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
        if config.transform_tokens:
            self.symmetry_token = nn.Parameter(torch.empty(SYMMETRIES, config.width))
            self.palette_tokens = nn.Parameter(torch.empty(COLOURS, config.width))
        self.head = nn.Parameter(torch.empty(config.vocabulary, config.width))
        self.halt_weight = nn.Parameter(torch.empty(2, config.width))
        self.halt_bias = nn.Parameter(torch.empty(2))
        self.register_buffer("y_start", torch.empty(1 if config.shared_start else config.latents, config.width))
        self.register_buffer("z_start", torch.empty(config.states, config.latents, config.width))
        self.use_operators()
        self.starts: dict[tuple[int, torch.dtype], tuple[Tensor, ...]] = {}
        self.start_versions: list[tuple[Tensor | None, int]] = [(None, 0)] * 2
        self.embedding_rows = 0  # of the separate table of task embeddings of this network; only for print
        self.task_embeddings: Tensor | None = None  # the table (rows, D) of an official checkpoint, for `to_official`
        self.reset(generator)

    def use_operators(self, prepare: Callable[[Callable], Callable] = lambda function: function) -> None:
        """Take the functions that all calls of the network share, as they are or prepared, such as compiled."""
        self.run_block, self.run_noise = prepare(Block.forward), prepare(hash_normal)

    def __repr__(self) -> str:
        config, default = self.config, ModelConfig()
        network = sum(p.numel() for p in self.parameters())
        rows = self.embedding_rows
        table = f"{rows * config.width:,} parameters, {rows:,} row{'s' * (rows != 1)}" if rows else "none attached"
        changed = [f.name for f in fields(config) if getattr(config, f.name) != getattr(default, f.name)]
        depth = f"T {config.cycles}, n {config.latent_steps}"
        lines = (
            f"Reasoner: {config.variant}, width {config.width}, {config.layers} blocks, {depth}",
            f"  network          {network:,} parameters",
            f"  task embeddings  {table}",
            f"  unlike TRM       {', '.join(f'{name} {getattr(config, name)}' for name in changed) or 'nothing'}",
        )
        return "\n".join(lines)

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw every weight again; this is the whole initialisation.

        tokens               truncated normal, std 1 / sqrt(D): scaled by sqrt(D) when used
        matrices, head       truncated normal, std 1 / sqrt(columns) (LeCun)
        kernels              the same; a column for every cell that they see
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
                truncated_normal_(tensor, tensor[0].numel() ** -0.5, generator)

    def start(
        self, batch: int, rows: int, columns: int, dtype: torch.dtype, generator: torch.Generator | Tensor | None = None
    ) -> State:
        """The initial states of `batch` puzzles, K rows each, on a window of `rows` x `columns` cells.

        Args:
            dtype: of the states, and so of the computation.
            generator: draws random initial states (`random_start`), or a source of the puzzles' own; not used without.
        """
        config, wide = self.config, torch.promote_types(dtype, torch.float32)
        shape = (batch * config.latents, config.prefix + rows * columns, config.width)

        def sample(number: int) -> Tensor:
            assert generator is not None, "random initial states need a generator"
            if isinstance(generator, Tensor):
                uniform = hash_uniform(keys_of(generator, number), [config.latents, *shape[1:]]).view(shape)
                return _truncated_normal_(uniform.mul_(2 * _MASS).sub_(_MASS), 1.0).to(dtype)
            return truncated_normal_(torch.empty(shape, dtype=wide, device=self.y_start.device), 1.0, generator).to(dtype)

        if not config.random_start:
            y, *z = (part.expand(shape) for part in self._fixed_starts(shape[0], dtype))
            return State(y, tuple(z))
        y = _repeat_start(self.y_start, shape[0], dtype).expand(shape) if config.shared_start else sample(0)
        return State(y, tuple(sample(number + 1) for number in range(len(self.z_start))))

    def _fixed_starts(self, count: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The initial y and z of `count` rows, (count, 1, D) each, made once until the weights are loaded or moved."""
        sources = (self.y_start, self.z_start)
        if torch.is_inference_mode_enabled() or any(part.is_inference() for part in sources):  # would not do for training
            return tuple(_repeat_start(part, count, dtype) for part in (self.y_start, *self.z_start))
        versions = [(part, part._version) for part in sources]
        if not all(part is old and now == then for (part, now), (old, then) in zip(versions, self.start_versions, strict=True)):
            self.starts, self.start_versions = {}, versions
        if (count, dtype) not in self.starts:
            self.starts[count, dtype] = tuple(_repeat_start(part, count, dtype) for part in (self.y_start, *self.z_start))
        return self.starts[count, dtype]

    def forward(
        self,
        state: State,
        tokens: Tensor,
        task_vectors: Tensor,
        transforms: Tensor,
        depth: tuple[int, int] | None = None,
        noise: Source | None = None,
        callback: Callable[[Tensor, Tensor], None] | None = None,
    ) -> Output:
        """One supervision step, in the dtype of the state.

        Args:
            state: from `start` or the step before.
            tokens: (B, H, W) integers below the vocabulary; the window starts at the board's corner.
            task_vectors: (B, D).
            transforms: (B, 11) rows of a plan, for the prefix tokens of symmetry and palette; not read without them.
            depth: T and n, if not the config's.
            noise: draws the noise of each row's network calls; without it there is none.
            callback: called with logits and halting logits after every cycle but the last, whose are returned.
        """
        config, dtype = self.config, state.y.dtype
        rows, columns = tokens.shape[1:]
        layout = TokenLayout(config.prefix, rows, columns, find_tables(config, rows, columns, dtype, state.y.device))
        weights = [[block.cast(dtype) for block in network] for network in self.networks]
        x = self._embed(tokens, task_vectors, transforms, dtype)
        y, z = state.y, list(state.z)

        def call(network: int, old: Tensor, h: Tensor, number: int) -> Tensor:
            for block, block_weights in zip(self.networks[network], weights[network], strict=True):
                h = self.run_block(block, h, block_weights, layout)
            if config.damping < 1:
                h = torch.lerp(old, h, config.damping)
            if config.noise and noise is not None:
                h = h + config.noise * sample_normal(noise, number, h.shape[1:], dtype, hashed=self.run_noise)
            return h

        cycles, latent_steps = depth or (config.cycles, config.latent_steps)
        calls = cycles * (latent_steps + 1)
        with_gradient = config.calls_with_gradient(cycles, latent_steps)
        grad = torch.is_grad_enabled()
        for number in range(calls):
            latent_step = number % (latent_steps + 1)
            with torch.set_grad_enabled(grad and number >= calls - with_gradient):
                if latent_steps == 0:
                    y = call(-1, y, y + x, number)
                elif latent_step == latent_steps:
                    y = call(-1, y, _total(y, z), number)
                elif z:
                    at = latent_step % len(z)
                    z[at] = call(0, z[at], _total(y, z) + x, number)
                else:
                    y = call(0, y, y + x, number)
            if callback is not None and latent_step == latent_steps and number < calls - 1:
                callback(*self._read(y, rows, columns))
        logits, halting = self._read(y, rows, columns)
        return Output(State(y.detach(), tuple(part.detach() for part in z)), logits, halting)

    def _read(self, y: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Logits (B, H, W, V) and halting logits (B, 2) of an answer y (B, L, D)."""
        logits = F.linear(y[:, self.config.prefix :], self.head.to(y.dtype)).unflatten(1, (rows, columns))
        wide = torch.promote_types(y.dtype, torch.float32)  # in half precision equal votes would tie by rounding
        # No prefix token sees the board where a convolution mixes.
        summary = y[:, self.config.prefix :].mean(dim=1) if self.config.mixer == "convolution" else y[:, 0]
        halting = F.linear(summary.to(wide), self.halt_weight.to(wide), self.halt_bias.to(wide)).float()
        return logits, halting

    def _embed(self, tokens: Tensor, task_vectors: Tensor, transforms: Tensor, dtype: torch.dtype) -> Tensor:
        embedding = self.embed_tokens.to(dtype)
        parts = [task_vectors.to(dtype)[:, None]]
        if self.config.transform_tokens:
            # A prefix token for each colour of the untransformed task says which token stands for it now; attention looks it up.
            became = F.embedding(transforms[:, 1:].int() + FIRST_COLOUR, embedding)
            parts.append(F.embedding(transforms[:, :1].int(), self.symmetry_token.to(dtype)))
            parts.append((became + self.palette_tokens.to(dtype)) * 0.5**0.5)
        board = F.embedding(tokens.flatten(1).int(), embedding)
        if self.config.mixer == "convolution":
            board = board + parts[0]
        parts.append(board.new_zeros(len(tokens), self.config.prefix - sum(p.shape[1] for p in parts), self.config.width))
        return math.sqrt(self.config.width) * torch.cat((*parts, board), dim=1)


def inner_width(expansion: float, width: int) -> int:
    """Inner width of a SwiGLU: two thirds of the expansion, rounded up to a multiple of 256."""
    return -(-max(1, round(expansion * width * 2 / 3)) // 256) * 256


def count_padding(tokens: int, device: torch.device) -> int:
    """How many zeros follow the tokens where the MLP mixer multiplies by them, so that their number fits an accelerator."""
    return 0 if device.type == "cpu" else -tokens % TILE


def truncated_normal_(tensor: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Fill with a normal truncated at two deviations whose std is `std` after the truncation (as JAX does, not PyTorch)."""
    return _truncated_normal_(tensor.uniform_(-_MASS, _MASS, generator=generator), std)


def _truncated_normal_(uniform: Tensor, std: float) -> Tensor:
    """The same from numbers that are uniform between -_MASS and _MASS."""
    density = math.exp(-0.5 * _LIMIT**2) / math.sqrt(2 * math.pi)
    corrected = std / math.sqrt(1 - 2 * _LIMIT * density / _MASS)
    return uniform.erfinv_().mul_(math.sqrt(2) * corrected).clamp_(-_LIMIT * corrected, _LIMIT * corrected)


def _repeat_start(start: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """The initial states of `count` rows, (count, 1, D), from those of K latents, (K, D), or of all together, (1, D)."""
    return start.to(dtype).repeat(count // len(start), 1)[:, None]


def _total(y: Tensor, z: list[Tensor]) -> Tensor:
    total = y
    for part in z:
        total = total + part
    return total


def _norm(h: Tensor) -> Tensor:
    return F.rms_norm(h, h.shape[-1:], eps=NORM_EPSILON)


def _gated(h: Tensor, gate: Tensor, up: Tensor, gating: str) -> Tensor:
    """The inner activations of a gated MLP."""
    g, u = F.linear(h, gate), F.linear(h, up)
    if gating == "swiglu":
        # In place where no gradient needs g: these are the largest tensors of all.
        return F.silu(g) * u if torch.is_grad_enabled() else F.silu(g, inplace=True).mul_(u)
    if gating == "norm-swiglu":
        # Muon's steps are of one size for every matrix, so the product g u outgrows the rest unless it is normed.
        # Source: Dillon, "Speed is Confidence", arXiv 2601.19085.
        return g.sigmoid() * _norm(g * u)
    raise ValueError(f"no such gate: {gating}")
