"""Memory that is free: on an accelerator, or on the host, within the limits that this process has there."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

_MEMBERSHIP, _ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_UNLIMITED = 2**62  # bytes above which a limit is none


def available_memory(device: torch.device, sharers: int = 1, membership: Path = _MEMBERSHIP, root: Path = _ROOT) -> float | None:
    """Bytes that this process may still take; None if the device does not say.

    Args:
        sharers: processes that share the host's memory; an accelerator is one process's.
    """
    if device.type == "cpu":
        limits = _limits(membership, root)
        return min(psutil.virtual_memory().available, *limits, *_address_space(), _UNLIMITED) / sharers
    try:
        ask = getattr(torch.get_device_module(device), "mem_get_info", torch.accelerator.get_memory_info)
        free, _ = ask(device)
        cached = torch.accelerator.memory_reserved(device) - torch.accelerator.memory_allocated(device)
    except (RuntimeError, AttributeError, ValueError):  # not every kind of accelerator has them
        return None
    return free + cached


def _limits(membership: Path, root: Path) -> Iterator[int]:
    """What the control groups of this process leave to it, as a container's; what the system would give back counts as free."""
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, most, used, given_back = root, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, most, used, given_back = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            limit = _read(folder / most).strip()
            if limit.isdecimal() and int(limit) < _UNLIMITED:
                stat = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
                yield int(limit) - int(_read(folder / used).strip() or 0) + int(stat.get(given_back, 0))
            if folder == top:
                break


def _address_space() -> Iterator[int]:
    """Half of what `ulimit -v` leaves to this process, on systems that have it: the gaps of its heap count there, too."""
    if hasattr(psutil, "RLIMIT_AS"):
        process = psutil.Process()
        limit, _ = process.rlimit(psutil.RLIMIT_AS)
        if 0 <= limit < _UNLIMITED:
            yield (limit - process.memory_info().vms) // 2


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
