"""Durations and sizes as a person writes them."""

import math
import re
import statistics
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from trm_arc.common.errors import InputError
from trm_arc.common.text import printable

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def parse_duration(text: str, flag: str | None = None) -> float:
    """Seconds of "11h30m", "90s", "1.5h", or a plain number of seconds; `flag` gave it.

    Raises:
        InputError: not a duration, or not above zero.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text, re.ASCII)
    if "".join(number + unit for number, unit in parts) == text and parts:
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        seconds = float(text) if re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII) else 0.0
    if not 0 < seconds < math.inf:
        raise InputError(f"{printable(text, 40)!r} is not a duration: write 11h30m, 45m or 90s", flag=flag)
    return seconds


def seconds_until(moment: str, flag: str | None = None) -> float:
    """Seconds from now to "17:45" (today, or else tomorrow) or to a date and time in ISO form, here or with an offset; `flag`
    gave it.

    Raises:
        InputError: not a time or date, or one that has passed.
    """
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", moment, re.ASCII):
            now = datetime.now().astimezone()
            hour, minute, *second = map(int, moment.split(":"))
            then = now.replace(hour=hour, minute=minute, second=second[0] if second else 0, microsecond=0)
            then += timedelta(days=then <= now)
        else:
            then = datetime.fromisoformat(moment).astimezone()
    except (ValueError, OverflowError):
        problem = f"{printable(moment, 40)!r} is not a time or date: write 17:45 or 2026-11-22T17:45"
        raise InputError(problem, flag=flag) from None
    seconds = then.timestamp() - time.time()
    if seconds <= 0:
        raise InputError(f"{moment}: this time has passed", flag=flag)
    return seconds


def parse_size(text: str, flag: str | None = None) -> int:
    """Bytes of "15MiB", "20MB"; `flag` gave it.

    Raises:
        InputError: not a size, or not above zero.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]i?B|B)", text, re.ASCII)
    size = float(match[1]) * _SIZES[match[2]] if match else 0.0
    if not 1 <= size < math.inf:
        raise InputError(f"{printable(text, 40)!r} is not a size: write 15MiB or 20MB", flag=flag)
    return int(size)


def format_size(size: float) -> str:
    """A number of bytes as people read it."""
    return f"{size / 1e6:,.1f} MB"


def median_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of some work, the median of `repeats` times after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def format_duration(seconds: float) -> str:
    """ "2 d 3 h", "3 h 20 min", "5 min 7 s" or "12 s"."""
    whole = round(seconds)
    for large, small, size in (("d", "h", 86_400), ("h", "min", 3600), ("min", "s", 60)):
        if whole >= size:
            first, rest = divmod(whole, size)
            return f"{first} {large} {rest * {'d': 24, 'h': 60, 'min': 60}[large] // size} {small}"
    return f"{whole} s"
