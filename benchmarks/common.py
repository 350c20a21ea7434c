"""Shared by the benchmarks: medians, memory at its peak, the machine's name, one JSON object on request."""

import os
import platform
import resource
from pathlib import Path
from typing import Any, TypeVar

from trm_arc.cli import Parser
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_lines, to_json
from trm_arc.common.records import load_record
from trm_arc.common.streams import require_printed

T = TypeVar("T")


def machine() -> str:
    """The processor and how many cores of it there are."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def peak_megabytes() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read_results(kind: type[T], file: Path, what: str) -> list[T]:
    """The results of earlier runs in a file of JSON lines, none if there is no such file.

    Args:
        kind: of each, a dataclass.
        what: whose results they are, for an error.

    Raises:
        InputError: it holds something else.
    """
    try:
        return [load_record(kind, line, file) for line in read_lines(file)]
    except InputError as error:
        raise InputError(f"holds other lines than results of {what}; name another file", file=file) from error


def parser(name: str, description: str) -> Parser:
    """A command line with --json."""
    made = Parser(prog=f"python -m benchmarks.{name}", description=description)
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def report(results: dict[str, Any], as_json: bool) -> None:
    """Print results, as lines or as one JSON object."""
    results = {"machine": machine(), **results}
    if as_json:
        print(to_json(results).decode(), end="")
    else:
        for name, value in results.items():
            print(f"{name:>34}  {value:,.3f}" if isinstance(value, float) else f"{name:>34}  {value}")
    require_printed()
