"""The benchmarks compare like with like."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.model import make_batch, original_step, our_step
from trm_arc.config import PRESETS, ModelConfig, TrainingConfig
from trm_arc.cost import count_forward, count_training
from trm_arc.device import find_device
from trm_arc.errors import InputError
from trm_arc.model import Reasoner
from trm_arc.supervision import supervision_step

ROOT = Path(__file__).resolve().parents[1]


def test_both_arrangements_compute_the_same_step() -> None:
    config = ModelConfig(width=32, heads=2, board_rows=5, board_columns=5, cycles=2, thoughts=2)
    reasoner, batch = Reasoner(config, torch.Generator().manual_seed(0)).double(), make_batch(config, 2)
    torch.nn.init.normal_(reasoner.halt_weight)
    vectors = [torch.ones(2, 32, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    ours = our_step(reasoner, batch, vectors[0], torch.float64, supervision_step)
    _, theirs = original_step(reasoner, batch.tokens, vectors[1], batch.labels, torch.float64)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)
    gradients = [torch.autograd.grad(loss, [v, reasoner.head]) for loss, v in ((ours, vectors[0]), (theirs, vectors[1]))]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-12)


def test_operations_are_counted_as_pytorch_counts_them() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = ModelConfig(width=64, heads=2, board_rows=6, board_columns=6, cycles=2, thoughts=1)
    reasoner, batch = Reasoner(config, torch.Generator().manual_seed(0)).double(), make_batch(config, 1)
    reasoner.requires_grad_(False)
    forward, training = count_forward(config, 36), count_training(config, TrainingConfig(), 36)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        our_step(reasoner, batch, torch.zeros(1, 64, dtype=torch.float64), torch.float64, supervision_step)
    attention = 4 * 52**2 * 64 * config.layers * config.calls  # the fused kernel on the CPU is not in its list
    halting = 2 * 64 * 2
    assert counted.get_total_flops() in (forward + halting, forward + halting - attention)
    assert 1 < training / forward < 3


@pytest.mark.parametrize("name", ["trm", "sudoku-fast", "arc1-fast", "hrm"])
def test_an_accelerator_is_asked_for_the_same_step(name: str) -> None:
    """What is compared on an accelerator is right here, and a network that is a little off is found out."""
    config = gpu.shrink(PRESETS[name], small=True).override({"latents": 1})
    cpu = torch.device("cpu")
    right = gpu.answer(config, cpu, torch.float64)
    assert max(gpu.differ(gpu.answer(config, cpu, torch.float32), right)) < gpu.BOUND
    odd = gpu.answer(config.override({"thoughts": config.model.thoughts + 1}), cpu, torch.float64)
    assert gpu.differ(odd, right)[0] > 10 * gpu.BOUND


def test_an_accelerator_is_timed_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = gpu.Record(tmp_path / "gpu.json", 100.0)
    record.add("device", "this")
    cases = ["arc1-fast", "sudoku-fast --prefix 15", "trm --noise 0.1 --compile"]
    values = Namespace(small=True, repeats=1, check=False, time=cases)
    assert gpu.measure(record, find_device("cpu", "float32"), values)
    timed = record.values["timings"]
    assert [one["case"] for one in timed] == ["arc1-fast", "sudoku-fast --prefix 15"]
    assert all((one["rows"], one["piece"]) == (8, 8) and 0 < one["loading"] < 1 and one["seconds"] > 0 for one in timed)
    assert "noise: torch.compile cannot draw" in record.values["failed"][0]["error"]
    told = capsys.readouterr().out.splitlines()
    assert all(len(line) < 130 for line in told)
    assert [line.split()[0] for line in told[-4:]] == ["preset", "arc1-fast", "sudoku-fast", "trm"]  # the table once more
    with pytest.raises(InputError, match="--prefx: no such flag; did you mean --prefix"):
        gpu.read_case("trm --prefx 3")
    late = gpu.Record(tmp_path / "late.json", -1.0)
    assert not late.has_time("this")
    late.write()
    assert json.loads((tmp_path / "late.json").read_text())["not begun, for want of time"] == ["this"]
    assert json.loads((tmp_path / "gpu.json").read_text())["timings"][0]["case"] == "arc1-fast"


def test_a_run_goes_on_from_lease_to_lease(tmp_path: Path) -> None:
    """Each lease stops by itself and leaves files within a transfer's limits, from which the next one goes on."""
    settings = "--preset sudoku-small --data sudoku-4x4-easy --puzzles 20 --width 16 --heads 2 --batch-size 8".split()
    steps = []
    for lease in range(2):
        out = tmp_path / str(lease)
        before = ["--state", str(tmp_path / str(lease - 1))] if lease else []
        flags = [*before, "--", *([] if lease else [*settings, "--steps", "1000000"]), "--device", "cpu", "--log-every", "1"]
        program = [sys.executable, "-m", "benchmarks.lease", "--out", str(out), "--time-limit", "7s", "--piece", "64KiB"]
        score = ["--evaluate", "--puzzles 4 --device cpu", "--evaluate-time", "6s", "--files", "99"]
        done = subprocess.run([*program, *score, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "to give back: " in done.stdout
        assert {"export.json", "metrics.jsonl", "piece-0001.safetensors"} <= {path.name for path in out.iterdir()}
        logged = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert logged == list(range(1, len(logged) + 1))  # the second goes on where the first has ended
        steps.append(len(logged))
    assert steps[1] > steps[0] > 0
    again = subprocess.run([*program, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (again.returncode, "is not empty" in again.stderr) == (2, True)
