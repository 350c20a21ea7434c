"""The device and the precision of a run: found once, with the reason."""

import os
from collections.abc import Collection
from functools import cache
from typing import NamedTuple

import torch

from trm_arc.common import modes
from trm_arc.common.errors import InputError
from trm_arc.common.launch import launch_number
from trm_arc.common.text import printable

PRECISIONS = {name: getattr(torch, name) for name in modes.PRECISIONS}
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
NARROW = {"mps"}  # types of devices without float64
# What errors say that mean it, in lower case: by cudaMalloc, cuMemMap, Triton, NCCL and others; by allocators of the host; by
# SYCL; by cuBLAS and cuDNN, which on a nearly full device fail in several ways, and by the choice of a convolution's kernel.
_WORDS = (
    *("out of memory", "out_of_device_memory", "out_of_host_memory"),
    *("can't allocate memory", "cannot allocate memory", "could not allocate", "not enough memory", "std::bad_alloc"),
    *("tried to allocate", "failed to allocate", "unable to allocate", "failed to cuda calloc", "failed to cuda malloc"),
    *("alloc_failed", "allocation_failed", "cublas_status_not_initialized"),
    *(f"cudnn_status_{state}" for state in ("not_initialized", "internal_error", "execution_failed", "mapping_error")),
    "unable to find an engine",
)
PINNING = {"cuda", "xpu"}  # types of devices that copy to and from pinned memory while they compute


class Device(NamedTuple):
    """Where and in which dtype to compute, and why."""

    device: torch.device
    dtype: torch.dtype
    reason: str


def find_device(device: str = "auto", precision: str = "auto", why: str = "asked for") -> Device:
    """Choose the accelerator if there is one (of several processes, each its own), and bfloat16 where it is native.

    Args:
        device: "auto", or what `torch.device` accepts.
        precision: "auto" or one of `PRECISIONS`.

    Raises:
        InputError: the device does not exist, or the precision is unknown or not supported on it.
    """
    if precision not in ("auto", *PRECISIONS):
        raise InputError(f"choose auto or one of {', '.join(PRECISIONS)}, got {precision}", flag="--precision")
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if device == "auto" and os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1", "yes"):
        chosen, where = torch.device("cpu"), "cpu (accelerate launch --cpu)"
    elif device == "auto":
        chosen = accelerator or torch.device("cpu")
        if accelerator and "LOCAL_RANK" in os.environ:
            chosen = torch.device(accelerator.type, launch_number("LOCAL_RANK", 0))
        where = f"{chosen} (the accelerator found)" if accelerator else f"cpu (no accelerator found{_hidden()})"
    else:
        chosen, where = _named_device(device, accelerator), f"{device} (asked for)"
    if precision == "float64" and chosen.type in NARROW:
        raise InputError(f"{chosen} does not support float64; use float32, or --device cpu", flag="--precision")
    if precision != "auto":
        return Device(chosen, PRECISIONS[precision], f"{where}, {precision} ({why})")
    native = multiplies_bfloat16(chosen)
    if native:
        dtype, found = "bfloat16", "native here"
    else:  # accelerators without bfloat16 have float16; a CPU has neither
        dtype, found = "float32" if chosen.type == "cpu" else "float16", "bfloat16 is not native here"
    return Device(chosen, PRECISIONS[dtype], f"{where}, {dtype} ({found})")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that there is no memory left, on an accelerator or on the host, or may mean it."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in text for words in _WORDS)


def free_memory() -> None:
    """Release the accelerator memory that torch caches, after an allocation failed."""
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished all its work, for example before reading a clock."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


class Later:
    """A number of the device on its way to the host: to read it later waits for nothing that was asked of the device since.

    Args:
        value: without dimensions.
        pinning: types of devices that copy into pinned memory while they compute.
    """

    def __init__(self, value: torch.Tensor, pinning: Collection[str] = PINNING) -> None:
        self.value, self.arrived = value, None
        if value.device.type in pinning:
            self.value = value.to("cpu", non_blocking=True)  # into pinned memory
            module = torch.get_device_module(value.device)
            self.arrived = module.Event()
            self.arrived.record(module.current_stream(value.device))  # which need not be the current device's

    def read(self) -> bool | int | float:
        """The number, as soon as it is there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.value.item()


def _hidden() -> str:
    """What the environment says of the accelerators that a program may see: none, after a mistyped number."""
    return "".join(f"; {name} is {printable(os.environ[name], 40)!r}" for name in VISIBLE if name in os.environ)


def _named_device(name: str, accelerator: torch.device | None) -> torch.device:
    try:
        chosen = torch.device(name)
    except (RuntimeError, TypeError):
        raise InputError(
            f"{name} is not a kind of device; choose auto, cpu, or the name of an accelerator", flag="--device"
        ) from None
    if chosen.type != "cpu" and (accelerator is None or chosen.type != accelerator.type):
        raise InputError(f"{name} is not on this machine{_hidden()}; leave the flag out to use the device found", flag="--device")
    return chosen


@cache
def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has units that multiply matrices in bfloat16; others are much slower in it than in float32."""
    if device.type == "cpu":
        # Without matrix tiles (AMX) a CPU is no faster in bfloat16, and less exact.
        capabilities = getattr(torch.cpu, "get_capabilities", dict)  # missing in the oldest torch version that we support
        return bool(capabilities().get("amx_bf16", False))
    module = torch.get_device_module(device)
    properties = module.get_device_properties(device) if hasattr(module, "get_device_properties") else None
    return getattr(properties, "major", 8) >= 8  # a T4 is 7.5; kinds without such a number (Apple's, Intel's) are recent
