"""What a training step costs on a device that need not be there: launches, FLOPs and bytes counted on the meta device, and
from them a modelled time.

A step on the meta device runs no kernel and holds no numbers, so a step of 768 rows is counted in a second on any machine.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from trm_arc.common.device import Device
from trm_arc.config import Config
from trm_arc.data.batch import Batch
from trm_arc.data.examples import Examples
from trm_arc.model.attention import attend, prefer_kernels
from trm_arc.model.flops import time_on_device
from trm_arc.model.reasoner import Reasoner
from trm_arc.model.rotary import find_tables
from trm_arc.training.halting import first_carry
from trm_arc.training.supervision import supervision_step

LAUNCH = 7e-6  # seconds that a program in Python needs to start a kernel, about
_CONVOLUTIONS = (torch.ops.aten.convolution, torch.ops.aten.convolution_backward)
_META = torch.device("meta")


class Rates(NamedTuple):
    """What a device does in a second.

    Attributes:
        peak: operations of the fastest products, of which shares are stated.
        products: operations that the matrix products of a step reach.
        attention: operations that the fused kernel of attention reaches.
        memory: bytes that elementwise kernels read and write.
    """

    peak: float
    products: float
    attention: float
    memory: float

    @classmethod
    def of_data_sheet(cls, peak: float, memory: float) -> "Rates":
        """Of a card that is not here: large products reach about 65 percent of the data sheet's operations, FlashAttention-2
        35 percent (on an H100, arXiv 2407.08608), elementwise kernels 85 percent of the bytes.

        Args:
            peak: operations a second, in bfloat16, without sparsity.
            memory: bytes a second.
        """
        return cls(peak, 0.65 * peak, 0.35 * peak, 0.85 * memory)

    @classmethod
    def measured(cls, device: Device, peak: float, processes: int = 1) -> "Rates":
        """Of the device that is here, in about a second.

        Args:
            peak: operations a second of the fastest matrix product, of one process.
            processes: each on a device of its own.
        """
        few = device.device.type == "cpu"
        query = torch.rand(2 if few else 64, 8, 916, 64, dtype=device.dtype, device=device.device)
        wide = torch.rand((16 if few else 256) << 20, dtype=device.dtype, device=device.device)
        target = torch.empty_like(wide)
        with prefer_kernels(device.device):
            attention = 4 * query.shape[2] * query.numel() / time_on_device(device, lambda: attend(query, query, query))
        memory = 2 * wide.nbytes / time_on_device(device, lambda: torch.mul(wide, 2, out=target))
        return cls(*(processes * rate for rate in (peak, peak, attention, memory)))


class StepCount(NamedTuple):
    """The cost of one training step, without that of the optimizers.

    Attributes:
        launches: kernels, one for each operator that is no view.
        products: FLOPs of matrix products.
        attention: FLOPs within attention; its backward kernel computes the weights again.
        traffic: bytes that all other kernels read and write.
        fused_launches: kernels, if all that lies between two products is one.
        fused_traffic: bytes that these read and write.
        kept: bytes that are kept for the backward pass.
    """

    launches: int
    products: float
    attention: float
    traffic: float
    fused_launches: int
    fused_traffic: float
    kept: float

    def seconds(self, rates: Rates, *, fused: bool) -> float:
        """The modelled time: products, attention and bytes one after the other, or what starting the kernels takes."""
        launches, traffic = (self.fused_launches, self.fused_traffic) if fused else (self.launches, self.traffic)
        return max(self.products / rates.products + self.attention / rates.attention + traffic / rates.memory, launches * LAUNCH)


class _Kernels(TorchDispatchMode):
    """Counts kernels, their FLOPs and their bytes.

    Fused, the operators between two products are one kernel: it reads once what was made before it, and writes what is read
    after it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.fused_launches = 0
        self.products = self.attention = self.traffic = self.fused_traffic = 0.0
        self.fusing = False  # whether the last kernel was elementwise, so that the next is a part of it
        self.number = 0  # of the fused kernel
        self.made: dict[int, tuple[int, bool]] = {}  # by storage: the fused kernel that made it, and whether it was written
        self.read: set[int] = set()  # storages that this fused kernel has read
        self.storages: list[Any] = []  # kept, as a freed one would give its key to another

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, which on the meta device makes shapes only, and count it."""
        out = func(*args, **(kwargs or {}))
        inputs, outputs = ([leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)] for tree in ((args, kwargs), out))
        known = {_key(part) for part in inputs}
        if outputs and not func._schema.is_mutable and all(_key(part) in known for part in outputs):
            return out  # a view
        packet, moved = func._overloadpacket, sum(map(_bytes, (*inputs, *outputs)))
        heavy = packet in flop_registry
        self.launches += 1
        if heavy or not self.fusing:
            self.number, self.read, self.fused_launches = self.number + 1, set(), self.fused_launches + 1
        self.fusing = not heavy
        if packet in _CONVOLUTIONS:  # depthwise ones, which memory limits
            self.traffic, self.fused_traffic = self.traffic + moved, self.fused_traffic + moved
        elif heavy:
            operations = flop_registry[packet](*args, **(kwargs or {}), out_val=out)
            attention = "attention" in str(packet)
            self.attention, self.products = self.attention + operations * attention, self.products + operations * (not attention)
        else:
            self.traffic += moved
        for part in inputs:
            self._read(part, count=not heavy)
        for part in outputs:
            self.storages.append(part.untyped_storage())
            self.made[_key(part)] = (self.number, heavy)
        return out

    def _read(self, part: Tensor, *, count: bool) -> None:
        """Count what is read for the first time in this kernel, and that what a fused kernel made had to be written."""
        key = _key(part)
        maker, written = self.made.get(key, (0, True))
        if maker == self.number or key in self.read:
            return
        self.read.add(key)
        self.fused_traffic += _bytes(part) * (count + (not written))
        self.made[key] = (maker, True)


class _Fused(TorchFunctionMode):
    """Attention and RMS norm as the single kernels that accelerators have; the meta device would take them apart."""

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function, or what stands for it."""
        if func is F.scaled_dot_product_attention:
            return torch.ops.aten._scaled_dot_product_flash_attention(*args)[0]
        if func is F.rms_norm:
            return _Norm.apply(args[0])
        return func(*args, **(kwargs or {}))


class _Norm(torch.autograd.Function):
    """Stands for an RMS norm: one kernel forward and one backward, with their bytes."""

    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, h: Tensor) -> Tensor:
        """Read h, and write as much."""
        context.save_for_backward(h)
        return h.neg()

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        """Read h and the gradient, and write as much as one of them."""
        return gradient + context.saved_tensors[0]


def mean_over_buckets(examples: Examples, values: Sequence[float]) -> float:
    """The mean of a step's values, one for each size bucket, weighted by how often the buckets come."""
    turns = examples.schedule.before[-1]
    return float(turns @ values / turns.sum())


def model_seconds(config: Config, examples: Examples, rates: Rates, dtype: torch.dtype) -> tuple[float, float]:
    """The modelled time of a step of a run: with operators one by one, and fused."""
    counts = [count_step(config, bucket.window, config.training.batch_size, dtype) for bucket in examples.buckets]
    eager, fused = ([count.seconds(rates, fused=fused) for count in counts] for fused in (False, True))
    return mean_over_buckets(examples, eager), mean_over_buckets(examples, fused)


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    """Of a tensor, or of its storage, if that is smaller, as its values are repeated."""
    return min(tensor.nbytes, tensor.untyped_storage().nbytes())


@lru_cache(maxsize=64)
def count_step(config: Config, window: tuple[int, int], batch: int, dtype: torch.dtype = torch.bfloat16) -> StepCount:
    """Count a training step, forward and backward, at the model's full depth; noise is not counted."""
    step = prepare_step(config, window, batch, dtype)
    with _Kernels() as count:
        loss, kept = _forward(step)
        loss.backward()
    return StepCount(
        *(count.launches, count.products, count.attention, count.traffic, count.fused_launches, count.fused_traffic, kept)
    )


@lru_cache(maxsize=64)
def count_kept(config: Config, window: tuple[int, int], batch: int, dtype: torch.dtype) -> int:
    """The bytes that `count_step` has as kept, of a forward pass alone, which takes a third of its time: every run begins so."""
    return _forward(prepare_step(config, window, batch, dtype))[1]


def _forward(step: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """The loss of a step on the meta device, and the bytes that are kept for its backward pass."""
    kept = {}  # storages, by their keys

    def keep(part: Tensor) -> Tensor:
        kept[_key(part)] = part.untyped_storage()
        return part

    with _Fused(), saved_tensors_hooks(keep, lambda part: part):
        loss = step()
    return loss, sum(storage.nbytes() for storage in kept.values())


def prepare_step(config: Config, window: tuple[int, int], batch: int, dtype: torch.dtype) -> Callable[[], Tensor]:
    """A training step on the meta device, for `count_step`: a function that goes forward and returns the loss."""
    reasoner = Reasoner(replace(config.model, random_start=False), torch.Generator()).to(_META)
    start = reasoner.start(batch, *window, dtype)
    tokens, transforms = (torch.empty(batch, *shape, dtype=torch.uint8, device=_META) for shape in (window, (11,)))
    rows, at_least = torch.empty(2, batch, dtype=torch.int64, device=_META)
    vectors = torch.empty(batch, config.model.width, device=_META, requires_grad=True)
    carry = first_carry(start, Batch(tokens, tokens, rows, transforms))
    find_tables(config.model, *window, dtype, _META)  # which a run makes once, and not in every step
    return lambda: supervision_step(reasoner, config.training, carry, vectors, start, at_least)[0]
