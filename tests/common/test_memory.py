"""The memory that a process may still take: the machine's, its container's, its own limit's, an accelerator's."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from tests.forked import python
from tests.helpers import ROOT
from trm_arc.common import memory
from trm_arc.common.memory import available_memory

HOST, CARD = torch.device("cpu"), torch.device("cuda", 1)
ASK = "import torch\nfrom trm_arc.common.memory import available_memory as free\nprint(free(torch.device('cpu')))"


def limits(tmp_path: Path, line: str, files: dict[str, str]) -> list[int]:
    """What control groups leave to a process whose membership and files are these."""
    (tmp_path / "membership").write_text(line)
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    return list(memory._limits(tmp_path / "membership", tmp_path / "root"))


@pytest.mark.parametrize(
    ("line", "files", "expected"),
    [
        ("0::/\n", {"memory.max": "1000\n", "memory.current": "400\n", "memory.stat": "anon 5\ninactive_file 100\n"}, [700]),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "900\n", "a/memory.current": "100\n"}, [800]),
        ("0::/a\n", {"a/memory.max": "90", "a/memory.current": "100", "memory.max": "50", "memory.current": "20"}, [-10, 30]),
        ("0::/of/the/host\n", {"memory.max": "1000", "memory.current": "1"}, [999]),
        (
            "5:cpu,memory:/job\n0::/\n",
            {"memory/job/memory.limit_in_bytes": "800", "memory/job/memory.usage_in_bytes": "300"},
            [500],
        ),
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712", "memory/memory.usage_in_bytes": "1"}, []),
        ("3:cpuset:/\n", {"memory.max": "1000"}, []),
        ("", {"memory.max": "1000"}, []),
    ],
)
def test_control_groups(line: str, files: dict[str, str], expected: list[int], tmp_path: Path) -> None:
    assert limits(tmp_path, line, files) == expected


def test_a_system_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert list(memory._limits(tmp_path / "none", tmp_path)) == []


def test_the_smallest_limit_counts_and_processes_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8000))
    groups = tmp_path / "membership", tmp_path / "root"
    assert limits(tmp_path, "0::/a\n", {"a/memory.max": "6000", "memory.max": "9000"}) == [6000, 9000]
    assert available_memory(HOST, 1, *groups) == 6000
    assert available_memory(HOST, 3, *groups) == 2000
    assert available_memory(HOST, 1, tmp_path / "none", tmp_path) == 8000


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_AS"), reason="this system has no such limit")
def test_a_limit_of_the_address_space_counts() -> None:
    limited = f"import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34))\n{ASK}"
    done = subprocess.run([*python(), "-c", limited], cwd=ROOT, check=True, capture_output=True, text=True)
    assert float(done.stdout) < 2**34


def test_what_torch_keeps_of_an_accelerator_is_free_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    module = SimpleNamespace(mem_get_info=lambda device: asked.append(device) or (700, 1000))
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    monkeypatch.setattr(torch.accelerator, "memory_reserved", lambda device: 200)
    monkeypatch.setattr(torch.accelerator, "memory_allocated", lambda device: 50)
    assert available_memory(CARD, sharers=8) == 850
    assert asked == [CARD]


def test_an_accelerator_that_does_not_say_is_not_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_device_module", lambda device: SimpleNamespace())
    assert available_memory(CARD) is None
