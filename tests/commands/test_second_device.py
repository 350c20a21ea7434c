"""On a device beside the CPU, whose tensors may not be mixed with the CPU's (see second_device/sitecustomize.py).

What a machine without an accelerator can say of one: nothing is left on the wrong side, and the program waits where it has to.
With TRM_ARC_TEST_DEVICE=cuda (or another type) the same programs run on a real accelerator, whose waits are not counted.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import torch
from safetensors.torch import load_file

from tests.forked import python
from tests.helpers import ROOT, SETTINGS, make_tasks, messages, write_kaggle
from trm_arc.common.device import find_device
from trm_arc.common.errors import InputError

says = messages(__name__)

HERE = Path(__file__).parent / "second_device"
DEVICE = os.environ.get("TRM_ARC_TEST_DEVICE", "beside")
REAL = DEVICE != "beside"
# without --device cpu; the MLP mixer takes the same way on both devices, attention does not
MIXER = "--mixer mlp --positions none --board-rows 5 --board-columns 5".split()
FLAGS = [*SETTINGS[:-2], "--data", "", *MIXER]
RUN_ALL = """
import json, os, runpy, sys
os._exit = sys.exit  # a program that ends at once would end those after it, too
for module, *flags in json.loads(sys.argv[1]):
    sys.argv = [module, *flags]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
"""
pytestmark = pytest.mark.skipif(
    not REAL and not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this PyTorch has no such backends for Python programs",
)
Programs = Callable[..., dict[str, int]]


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Run programs one after the other where there is a second device; gives how often each line waited for it, if counted."""

    def call(*commands: list[str], before: str = "") -> dict[str, int]:
        counted = tmp_path / "waits.json"
        environment = os.environ | ({} if REAL else {"PYTHONPATH": str(HERE), "SECOND_DEVICE_WAITS": str(counted)})
        arguments = [sys.executable, "-c", before + RUN_ALL, json.dumps(commands)]
        done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        assert DEVICE in done.stdout
        return {} if REAL else json.loads(counted.read_bytes())

    return call


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A file of tasks."""
    return write_kaggle(tmp_path, make_tasks(4, 1), "few")


def near(first: Path, second: Path, name: str) -> bool:
    """Whether two checkpoints hold the same, but for the order in which fused operators round."""
    a, b = (load_file(folder / name / "tensors.safetensors") for folder in (first, second))
    return a.keys() == b.keys() and all(torch.allclose(a[key], b[key], rtol=0, atol=1e-4) for key in a)


def test_it_computes_the_same(tmp_path: Path, tasks: Path, programs: Programs) -> None:
    """The checkpoints and answers of the CPU; and a training step waits for the device once, for the step before it."""
    runs = [tmp_path / device for device in (DEVICE, "cpu")]

    def commands(run: Path) -> tuple[list[str], list[str]]:
        common = ["--device", run.name, "--precision", "float32"]
        answer = ["trm_arc.evaluate", "--checkpoint", str(run), "--views", "4", *common]
        return ["trm_arc.train", *FLAGS, "--evaluation-data", str(tasks), "--out", str(run), "--save-every", "3", *common], answer

    waits = programs(*commands(runs[0]))
    for one in commands(runs[1]):
        subprocess.run([*python(), "-m", *one], cwd=ROOT, check=True, capture_output=True)
    assert near(*runs, "checkpoint-00000003")
    assert near(*runs, "checkpoint-00000006")
    first, second = (orjson.loads((run / "predictions.json").read_bytes()) for run in runs)
    assert (first["tasks"], first["results"]) == (second["tasks"], second["results"])
    if REAL:
        return
    assert waits.pop("device.py read") == 6
    # else for lines of the log, checkpoints and answers alone
    assert {place.split()[0] for place in waits} == {
        *("loop.py", "stability.py", "checkpoint.py"),
        *("predictor.py", "refinement.py", "traces.py"),
    }


def test_every_way(tmp_path: Path, tasks: Path, programs: Programs) -> None:
    """Training, resuming, adapting, answering in a session, puzzles with rollouts: nothing is left on the CPU."""
    run, small, submission = tmp_path / "run", tmp_path / "small", tmp_path / "submission.json"
    size = "--width 16 --heads 2 --cycles 1 --latent-steps 1 --halt-steps 2 --batch-size 4 --steps 2 --log-every 1".split()
    fast = "--canvas buckets --augmentations 2 --transform-tokens --positions rotary-2d --gate norm-swiglu".split()
    arc = [*size, *fast, "--matrix-optimizer", "normuon", "--data", "", "--evaluation-data", str(tasks)]
    other = "--embeddings cpu --half-embeddings --halting q-learning --evaluate-every 1 --latents 2".split()
    waits = programs(
        ["trm_arc.train", *arc, "--noise", "0.1", "--accumulation-steps", "2", "--precision", "float16", "--out", str(run)],
        ["trm_arc.train", *arc, *other, "--out", str(run), "--overwrite"],
        ["trm_arc.train", "--resume", "--out", str(run)],
        ["trm_arc.adapt", "--checkpoint", str(run), "--challenges", str(tasks), "--steps", "2", "--out", str(tmp_path / "new")],
        ["submission", "predict", "--challenges", str(tasks), "--checkpoint", str(run), "--views", "2", "--out", str(submission)],
        ["trm_arc.train", "--preset", "maze-small", *size, "--data", "maze-8x8-easy", "--out", str(small)],
        ["trm_arc.evaluate", "--checkpoint", str(small), "--puzzles", "4", "--rollouts", "2", "--patience", "1", "--no-report"],
    )
    if REAL:
        return
    steps = 2 + 2 + 2 + 2  # a run, another, the adapted one, the mazes
    assert waits["device.py read"] == steps
    never = {"trainer.py", "guard.py", "loader.py", "reasoner.py", "noise.py"}
    never |= {"supervision.py", "halting.py", "loss.py", "optim.py"}
    assert not [place for place in waits if place.split()[0] in never]


@pytest.mark.skipif(REAL, reason="a real device has the types that it has")
def test_without_float64(tmp_path: Path, tasks: Path, programs: Programs) -> None:
    """Apple's devices have no float64: nothing but a user asks for it there."""
    flags = [*SETTINGS[:-2], "--data", "", "--evaluation-data", str(tasks), "--out", str(tmp_path / "run")]
    answer = ["trm_arc.evaluate", "--checkpoint", str(tmp_path / "run"), "--views", "2", "--no-report"]
    narrow = "import sitecustomize, torch, trm_arc.common.device as d; sitecustomize.refused.add(torch.float64); "
    narrow += "d.NARROW.add('beside')"
    programs(["trm_arc.train", *flags], answer, before=narrow)


def test_a_device_without_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apple's devices tell nothing of themselves, have bfloat16, and no float64."""
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: torch.device("mps"))
    found = find_device()
    assert (found.device.type, found.dtype) == ("mps", torch.bfloat16)
    with pytest.raises(InputError, match=says("mps-does-not-support")):
        find_device(precision="float64")
