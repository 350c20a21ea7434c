"""The benchmarks compare like with like."""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import correctness, gpu, speed
from benchmarks.lease import Lease, Parcel, unpack
from benchmarks.lease import main as lease_main
from benchmarks.model import make_batch, original_step, our_step
from tests.forked import python
from tests.helpers import ROOT, SMALL, messages, small_trainer
from trm_arc.common.deadline import Deadline
from trm_arc.common.device import find_device
from trm_arc.common.errors import InputError
from trm_arc.common.program import run
from trm_arc.config import PRESETS, Config, ModelConfig, TrainingConfig
from trm_arc.data.batch import Batch
from trm_arc.model.export import load_pieces
from trm_arc.model.flops import count_forward, count_training
from trm_arc.model.reasoner import Reasoner
from trm_arc.training.cost import Rates
from trm_arc.training.supervision import supervision_step

says = messages(__name__)


def test_both_arrangements_compute_the_same_step() -> None:
    config = ModelConfig(width=32, heads=2, board_rows=5, board_columns=5, cycles=2, latent_steps=2)
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

    config = ModelConfig(width=64, heads=2, board_rows=6, board_columns=6, cycles=2, latent_steps=1)
    reasoner, batch = Reasoner(config, torch.Generator().manual_seed(0)).double(), make_batch(config, 1)
    reasoner.requires_grad_(False)
    forward, training = count_forward(config, 36), count_training(config, TrainingConfig(), 36)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        our_step(reasoner, batch, torch.zeros(1, 64, dtype=torch.float64), torch.float64, supervision_step)
    attention = 4 * 52**2 * 64 * config.layers * config.calls  # the fused kernel on the CPU is not in its list
    halting = 2 * 64 * 2
    assert counted.get_total_flops() in (forward + halting, forward + halting - attention)
    assert 1 < training / forward < 3


def find_faults(case: tuple[str, str], monkeypatch: pytest.MonkeyPatch, spoil: Callable | None = None) -> dict[str, bool]:
    """By precision, whether the CPU is right beside itself, its step being spoilt after the references are there."""
    real, cpu = correctness.answer, torch.device("cpu")

    def asked(config: Config, device: torch.device, dtype: torch.dtype, mode: str | None = None) -> tuple[torch.Tensor, ...]:
        parts = real(config, device, dtype, mode or "")
        return parts if mode is None or spoil is None else spoil(*parts)

    monkeypatch.setattr(correctness, "answer", asked)
    return {one["precision"]: one["right"] for one in correctness.check(cpu, True, *case)}


@pytest.mark.parametrize("case", correctness.CHECKED[:8], ids=" ".join)
def test_an_accelerator_that_is_right_is_found_right(case: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With roundings of bfloat16 of its own: here, of other weights in the last digit."""

    def rounded(*parts: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(part * (1 + 1e-4 * torch.randn(part.shape)) for part in parts)

    assert find_faults(case, monkeypatch, rounded) == {"float32": True, "bfloat16": True}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda y, loss, gradients: (y, loss, torch.zeros_like(gradients)),
        lambda y, loss, gradients: (y, loss, 2 * gradients),
        lambda y, loss, gradients: (y.roll(1, dims=1), loss, gradients),
        lambda y, loss, gradients: (y, loss * float("nan"), gradients),
    ],
)
@pytest.mark.parametrize("name", ["trm", "sudoku-mlp"])
def test_an_accelerator_that_is_wrong_is_found_out(name: str, spoil: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_faults((name, ""), monkeypatch, spoil) == {"float32": False, "bfloat16": False}


@pytest.mark.parametrize("name", ["trm", "sudoku-fast", "arc1-fast", "hrm"])
def test_a_network_that_is_a_little_off_is_found_out(name: str) -> None:
    config = correctness.shrink(PRESETS[name], small=True).override({"latents": 1})
    cpu = torch.device("cpu")
    right = correctness.answer(config, cpu, torch.float64)
    odd = correctness.answer(config.override({"latent_steps": config.model.latent_steps + 1}), cpu, torch.float64)
    assert correctness.differ(odd, right)[0] > 10 * correctness.BOUND


def test_an_accelerator_is_timed_in_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = gpu.Record(tmp_path / "gpu.json", 1000.0)
    record.add("device", "this")
    cases = ["arc1-fast", "sudoku-fast --prefix 7", "trm --noise 0.1 --compile"]
    values = Namespace(small=True, repeats=1, check=False, time=cases)
    assert gpu.measure(record, find_device("cpu", "float32"), values)
    timed = record.values["timings"]
    assert [one["case"] for one in timed] == ["arc1-fast", "sudoku-fast --prefix 7"]
    assert all((one["rows"], one["piece"]) == (8, 8) and 0 < one["loading"] < 1 and 0 < one["waiting"] < 1 for one in timed)
    assert says("noise-torch-compile-cannot") in record.values["failed"][0]["error"]
    told = capsys.readouterr().out.splitlines()
    assert all(len(line) < 130 for line in told)
    assert [line.split()[0] for line in told[-4:]] == ["preset", "arc1-fast", "sudoku-fast", "trm"]  # the table once more
    device = find_device("cpu")
    with pytest.raises(InputError, match=says("no-such-flag-did")) as caught:
        speed.read_case("trm --prefx 3", device)
    assert caught.value.flag == "--prefx"
    with pytest.raises(InputError, match=says("does-nothing-where-steps")) as idle:
        speed.read_case("trm --time-limit 3m", device)
    assert idle.value.flag == "--time-limit"
    _, where, options = speed.read_case("trm --precision float32 --accumulation-steps 4 --compile block", device)
    assert (where.dtype, options.accumulation, options.compile_mode) == (torch.float32, 4, "block")
    late = gpu.Record(tmp_path / "late.json", -1.0)
    assert not late.has_time("this", 0.0)
    late.write()
    assert json.loads((tmp_path / "late.json").read_text())["not begun, for want of time"] == ["this"]
    assert json.loads((tmp_path / "gpu.json").read_text())["timings"][0]["case"] == "arc1-fast"


@pytest.mark.parametrize(("ahead", "seconds", "waiting"), [(False, 10.0, 0.4), (True, 6.0, 0.1)])
def test_a_loader_that_works_ahead_is_told_from_one_that_does_not(
    ahead: bool, seconds: float, waiting: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock of its own: making a batch takes 4 s, taking one made ahead 1 s in 10, a step with its batch 6 s."""
    trainer, now, taken = small_trainer(SMALL), [0.0], []
    make, learn = trainer.loader.make, trainer.learn

    def after(wait: float, value: object) -> object:
        now[0] += wait
        return value

    def take(step: int) -> Batch:
        taken.append(step)
        return after(1.0 if ahead else 4.0, make(step))

    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(trainer.loader, "make", lambda step: after(4.0, make(step)))
    monkeypatch.setattr(trainer.loader, "take", take)
    monkeypatch.setattr(trainer.loader, "thread", object() if ahead else None)
    monkeypatch.setattr(trainer, "learn", lambda *given: after(6.0, learn(*given)))
    timed = speed.time_buckets(trainer, 2)
    assert (timed.loading, timed.seconds) == pytest.approx((4.0, seconds))
    monkeypatch.setattr(trainer, "learn", lambda *given: after(9.0 if ahead else 6.0, learn(*given)))
    assert speed.time_waiting(trainer, 3) == pytest.approx(waiting)
    assert taken == [0, 1, 2, 3], "in the order of a run, so that the next one can be made ahead"


def test_views_are_timed_and_the_most_wanted_comes_first(tmp_path: Path) -> None:
    record = gpu.Record(tmp_path / "gpu.json", 1000.0)
    values = Namespace(small=True, repeats=1)
    line = gpu.ask(gpu.VIEWS, f"trm --halt-steps 1 {speed.PLAIN_ORDER}", record, find_device("cpu", "float32"), RATES, values)
    seen = record.values["views"][0]
    assert (seen["views"], seen["seconds"] > 0, seen["share"] > 0) == (8, True, True)
    assert "views of trm" in line
    assert gpu.ASKED[0] == (gpu.STEPS, "trm")
    device = find_device("cpu")
    assert [speed.read_case(case, device)[0] for what, case in gpu.ASKED if what != gpu.CHECKS], "all can be read"


def call(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a benchmark, started as its last line starts it."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as ended:
        run(importlib.import_module(f"benchmarks.{name}").main)
    return ended.value.code


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        *((name, "--data-folder nowhere", "nowhere") for name in ("maze", "paint", "plan", "report", "sudoku", "vote")),
        ("settle", "--checkpoint nowhere/none", "nowhere/none"),
        ("train_step", "--presets foo", says("invalid-choice-foo")),
        ("train_step", "--repeats 0", says("repeats-at-least-1")),
        ("model", "--widht 64", says("widht-no-such-flag")),
        ("gpu", f"--out {__file__} --small --no-check --time demo", says("cannot-be-written")),
        ("gpu", "--small", says("the-following-arguments-are")),
        ("lease", f"--out {__file__} --time-limit 30s -- --preset demo", says("cannot-be-written")),
        ("lease", "--oot there -- --preset demo", says("the-following-arguments-are-required")),
    ],
)
def test_mistakes_get_one_sentence_here_too(
    name: str, flags: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRM_ARC_DATA", raising=False)
    assert call(name, flags.split(), monkeypatch) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert message in told.err


@pytest.mark.parametrize(
    "name",
    sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py") if "\ndef main(" in path.read_text(encoding="utf-8")),
)
def test_a_benchmark_tells_its_defaults(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(name, ["--help"], monkeypatch) == 0
    told = capsys.readouterr().out
    assert f"python -m benchmarks.{name}" in told
    assert "(default:" in told
    assert "None" not in told


RATES = Rates(1e12, 1e12, 1e12, 1e10)
LEASE = "--preset sudoku-small --data sudoku-4x4-easy --puzzles 20 --width 16 --heads 2 --batch-size 8 --steps 1000000".split()


def lease(out: Path, *flags: str) -> list[str]:
    """The arguments of a lease in small, whose training saves about every second."""
    where = ["--out", str(out), "--piece", "64KiB", "--files", "99", "--save-every", "1s", "--time-limit", "10h"]
    return [*where, *flags, "--device", "cpu", "--log-every", "1"]


def steps_of(out: Path) -> int:
    """How far a lease came, by the pieces that it left; 0 if there are none yet."""
    if not (out / "export.json").is_file():
        return 0
    with tempfile.TemporaryDirectory() as folder:
        unpack(out, Path(folder))
        return load_pieces(Path(folder)).step


def clock_until(is_done: Callable[[], bool], then: float) -> Callable[[], float]:
    """A clock that stands still until something is done, and then jumps: how fast the machine is makes no difference."""
    return lambda: then if is_done() else 0.0


def test_a_run_goes_on_from_lease_to_lease(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One lease is over before its training has stopped, one stops early and scores; files are within a transfer's limits."""
    first, second = tmp_path / "first", tmp_path / "second"
    late = 10 * 3600 - 10  # less than a third of the reserve before the end
    assert lease_main(lease(first, "--", *LEASE), clock_until(lambda: steps_of(first) > 0, late), python()) == 0
    printed = capsys.readouterr().out
    assert says("the-time-is-up") in printed
    assert says("to-give-back") in printed
    assert {"export.json", "metrics.jsonl", "piece-0001.safetensors"} <= {path.name for path in first.iterdir()}

    asked = []

    def ask_to_stop() -> bool:
        if not asked and steps_of(second) > steps_of(first):
            asked.append(os.kill(os.getpid(), signal.SIGTERM))
        return False

    score = ["--evaluate", "--puzzles 4 --device cpu", "--evaluate-time", "1h"]
    assert lease_main(lease(second, "--state", str(first), *score, "--"), clock_until(ask_to_stop, late), python()) == 0
    assert says("to-give-back") in capsys.readouterr().out
    assert 0 < steps_of(first) < steps_of(second)
    logged = [json.loads(line)["step"] for line in (second / "metrics.jsonl").read_text().splitlines()]
    assert logged == list(range(1, steps_of(second) + 1))  # the second went on where the first had ended
    assert json.loads((second / "metrics.json").read_text())["puzzles"] == 4
    with pytest.raises(InputError, match=says("is-not-empty")) as refused:
        lease_main(lease(first, "--", *LEASE))
    assert refused.value.file == first


STAND_IN = "import sys, time; open({!r}, 'w').write(' '.join(sys.argv[1:])); time.sleep({})"


def stand_in(folder: Path, seconds: int) -> tuple[str, ...]:
    """A program in place of the training, which notes its flags and waits."""
    return (sys.executable, "-c", STAND_IN.format(str(folder / "flags"), seconds))


def test_a_lease_leaves_time_for_saving_and_scores(tmp_path: Path) -> None:
    """What is told to the training, and when it is killed if it does not keep to it."""
    looks = [1529.0, 1530.0]  # of 600 s from 1000 on, 60 are kept for scores and a third of 30 to kill it and export

    def clock() -> float:
        there = (tmp_path / "flags").is_file() and (tmp_path / "flags").read_text()
        return looks.pop(0) if there else 1000.0  # a third look would fail

    made = Lease(Deadline(600, 1000.0, clock), 30, 60, stand_in(tmp_path, 3600))
    assert made.train(["--resume"], Parcel(tmp_path / "run", tmp_path / "out", 1000)) == 0
    assert (tmp_path / "flags").read_text() == "--time-limit 510s --resume"
    assert not looks, "killed at the second look, not before"
    for limit in (90, 50):
        with pytest.raises(InputError) as refused:
            Lease(Deadline(limit), 30, 60)
        assert refused.value.flag == "--time-limit"


def test_a_lease_whose_training_fails_says_so(tmp_path: Path) -> None:
    parcel = Parcel(tmp_path / "run", tmp_path / "out", 1000)
    assert Lease(Deadline(600), 30, 0, (sys.executable, "-c", "raise SystemExit(3)")).train([], parcel) == 3


def test_a_lease_removes_its_own_pieces_alone(tmp_path: Path) -> None:
    (tmp_path / "run" / "export").mkdir(parents=True)
    (tmp_path / "run" / "export" / "piece-0001.safetensors").touch()
    (tmp_path / "out" / "folder").mkdir(parents=True)
    for name in ("piece-0002.safetensors", "notes.txt"):
        (tmp_path / "out" / name).touch()
    packed = Parcel(tmp_path / "run", tmp_path / "out", 1000).pack()
    assert packed == [tmp_path / "out" / "piece-0001.safetensors"]
    assert sorted(os.listdir(tmp_path / "out")) == ["folder", "notes.txt", "piece-0001.safetensors"]


def test_a_lease_that_is_cut_off_has_not_been_for_nothing(tmp_path: Path) -> None:
    """What is to be given back lies there from the first checkpoint on; a signal ends the training, too."""
    out = tmp_path / "out"
    program = [*python(), "-m", "benchmarks.lease", *lease(out, "--", *LEASE)]
    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        while not (out / "metrics.jsonl").is_file():
            assert running.poll() is None
            time.sleep(0.1)
        now = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["step"]
        running.terminate()
        told = running.communicate()[0]
    assert running.returncode == 0
    assert "to return: " in told
    assert steps_of(out) >= now > 0
