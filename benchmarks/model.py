"""A training step and a forward step of the published network, beside the original's arrangement of the same operations.

Both are timed in one run and given as a share of the fastest matrix product that the machine does in the same precision.
The original's arrangement is written out here from its description: a cast of every weight at every use, norms and rotations
in float32, stablemax in float64.  It computes the same function (a test compares them) and stands in for its code.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import common
from trm_arc.common.device import PRECISIONS, Device
from trm_arc.common.durations import median_seconds
from trm_arc.common.program import run
from trm_arc.config import ModelConfig, TrainingConfig
from trm_arc.data.batch import Batch
from trm_arc.model.compiling import compile_operators
from trm_arc.model.flops import count_forward, count_training, measure_peak
from trm_arc.model.reasoner import NORM_EPSILON, Reasoner
from trm_arc.model.rotary import ROTARY_BASE
from trm_arc.training.halting import first_carry
from trm_arc.training.supervision import supervision_step


def original_step(
    reasoner: Reasoner, tokens: Tensor, vectors: Tensor, labels: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Logits and loss of a supervision step of TRM from the initial state, arranged as in the original's code."""
    config = reasoner.config
    heads, size = config.heads, config.width // config.heads
    length = config.prefix + tokens[0].numel()
    places = torch.arange(length).double()[:, None] * ROTARY_BASE ** (-torch.arange(0, size, 2).double() / size)
    wide = torch.promote_types(dtype, torch.float32)
    cos, sin = (torch.cat((table, table), dim=1).to(wide)[:, None] for table in (places.cos(), places.sin()))

    def linear(h: Tensor, weight: Tensor) -> Tensor:
        return F.linear(h, weight.to(h.dtype))

    def norm(h: Tensor) -> Tensor:
        h = h.to(wide)
        return (h * torch.rsqrt(h.square().mean(dim=-1, keepdim=True) + NORM_EPSILON)).to(dtype)

    def rotate(h: Tensor) -> Tensor:
        first, second = h.to(wide).chunk(2, dim=-1)
        return (h.to(wide) * cos + torch.cat((-second, first), dim=-1) * sin).to(dtype)

    def network(h: Tensor) -> Tensor:
        for block in reasoner.networks[0]:
            query, key, value = linear(h, block.qkv).view(len(h), length, 3, heads, size).unbind(dim=2)
            parts = (part.transpose(1, 2) for part in (rotate(query), rotate(key), value))
            mixed = F.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(len(h), length, config.width)
            h = norm(h + linear(mixed, block.out))
            gate, up = linear(h, block.gate_up).chunk(2, dim=-1)
            h = norm(h + linear(F.silu(gate) * up, block.down))
        return h

    board = F.embedding(tokens.flatten(1).int(), reasoner.embed_tokens.to(dtype))
    prefix = F.pad(vectors.to(dtype)[:, None], (0, 0, 0, config.prefix - 1))
    x = config.width**0.5 * torch.cat((prefix, board), dim=1)
    y, z = (start.to(dtype).expand(x.shape) for start in (reasoner.y_start[0], reasoner.z_start[0, 0]))
    grad = torch.is_grad_enabled()
    for cycle in range(config.cycles):
        with torch.set_grad_enabled(grad and cycle == config.cycles - 1):
            for _ in range(config.latent_steps):
                z = network(z + (y + x))
            y = network(y + z)
    logits = linear(y, reasoner.head)[:, config.prefix :]
    halting = F.linear(y[:, 0].to(wide), reasoner.halt_weight.to(wide), reasoner.halt_bias.to(wide)).float()
    s = logits.double()
    s = torch.where(s < 0, 1 / (1 - s.clamp(max=0)), s + 1)
    chosen = (s / s.sum(dim=-1, keepdim=True)).log().gather(-1, labels.flatten(1).long()[..., None]).squeeze(-1)
    exact = (logits.argmax(dim=-1) == labels.flatten(1)).all(dim=1)
    halting_loss = F.binary_cross_entropy_with_logits(halting[:, 0], exact.float(), reduction="sum")
    return logits, (halting_loss * 0.5 - chosen.mean(dim=1).sum()) / len(tokens)


def our_step(reasoner: Reasoner, batch: Batch, vectors: Tensor, dtype: torch.dtype, step: Callable) -> Tensor:
    """Loss of the same step by `trm_arc`, everything included that training does up to the optimizer."""
    start = reasoner.start(*batch.tokens.shape, dtype)
    carry = first_carry(start, batch)._replace(batch=batch)
    at_least = torch.zeros(len(vectors), dtype=torch.int64)
    return step(reasoner, TrainingConfig(batch_size=len(vectors)), carry, vectors, start, at_least)[0]


def make_batch(config: ModelConfig, rows: int) -> Batch:
    """Random puzzles on the whole board."""
    shape = (rows, config.board_rows, config.board_columns)
    tokens, labels = (torch.randint(0, 12, shape, generator=torch.Generator().manual_seed(s), dtype=torch.uint8) for s in (1, 2))
    return Batch(tokens, labels, torch.arange(rows), torch.zeros(rows, 11, dtype=torch.uint8))


def profile(step: Callable[[], object]) -> str:
    """The operations that take the most time of a step, after two that warm up."""
    step()
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as measured:
        step()
    rows = sorted(measured.key_averages(), key=lambda entry: -entry.self_cpu_time_total)
    total = sum(entry.self_cpu_time_total for entry in rows) / 1e3
    lines = [f"{total:9.0f} ms in all"]
    lines += [f"{e.self_cpu_time_total / 1e3:9.1f} ms {e.count:5d} calls  {e.key[:60]}" for e in rows[:16]]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = common.parser("model", __doc__ or "")
    parser.add_argument("--width", type=int, default=512, help="width of the network")
    parser.add_argument("--side", type=int, default=30, help="of the board")
    parser.add_argument("--batch", type=int, default=4, help="examples")
    parser.add_argument("--precision", choices=tuple(PRECISIONS), default="bfloat16", help="precision of the computation")
    parser.add_argument("--compile", action="store_true", help="time our step compiled, too (a minute or two)")
    parser.add_argument("--repeats", type=int, default=5, help="number of measurements, of which the median counts")
    parser.add_argument("--profile", action="store_true", help="print where the time of our training step goes, and stop")
    values = parser.parse(arguments)
    if values.width < 64 or values.width % 64 or values.repeats < 1 or values.batch < 1 or not 1 <= values.side <= 30:
        parser.error("--width takes multiples of 64, --side 1 to 30, --repeats and --batch at least 1")
    dtype = PRECISIONS[values.precision]
    config = ModelConfig(width=values.width, heads=values.width // 64, board_rows=values.side, board_columns=values.side)
    reasoner = Reasoner(config, torch.Generator().manual_seed(0))
    batch = make_batch(config, values.batch)
    cells = values.side**2
    forward, training = count_forward(config, cells), count_training(config, TrainingConfig(), cells)
    forward, training = values.batch * forward, values.batch * training

    def vectors() -> Tensor:
        return torch.zeros(values.batch, values.width, requires_grad=torch.is_grad_enabled())

    def train(loss: Callable[[], Tensor]) -> float:
        return median_seconds(lambda: loss().backward(), values.repeats)

    def infer(loss: Callable[[], Tensor]) -> float:
        with torch.inference_mode():
            return median_seconds(loss, values.repeats)

    def ours(step: Callable = supervision_step) -> Tensor:
        return our_step(reasoner, batch, vectors(), dtype, step)

    def theirs() -> Tensor:
        return original_step(reasoner, batch.tokens, vectors(), batch.labels, dtype)[1]

    if values.profile:
        print(profile(lambda: ours().backward()))
        return 0
    ceiling = measure_peak(Device(torch.device("cpu"), dtype, "a benchmark"), values.repeats)
    steps = {
        "training step, original's arrangement": (train(theirs), training),
        "training step, ours": (train(ours), training),
        "forward step, original's arrangement": (infer(theirs), forward),
        "forward step, ours": (infer(ours), forward),
    }
    if values.compile:
        compiled = compile_operators(supervision_step)
        steps["training step, ours, compiled"] = (train(lambda: ours(compiled)), training)
    results = {"ceiling, GFLOP/s": ceiling / 1e9, "GFLOP an example, training": training / values.batch / 1e9}
    for name, (seconds, operations) in steps.items():
        results[f"{name}: s an example"] = seconds / values.batch
        results[f"{name}: share of ceiling"] = operations / seconds / ceiling
        kind = name.split(",")[0]
        if "ours" in name:
            results[f"{name}: of the original's"] = seconds / steps[f"{kind}, original's arrangement"][0]
    common.report(results, values.json)
    return 0


if __name__ == "__main__":
    run(main)
