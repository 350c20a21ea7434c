"""What is compiled by default, how often, and what is measured without it."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from augment import Window
from benchmarks.speed import read_case
from tests.helpers import SMALL, make_tasks, messages, small_trainer
from trm_arc.cli import parse_train_flags, read_machine
from trm_arc.common.deadline import Deadline
from trm_arc.common.device import Device, find_device
from trm_arc.common.durations import parse_duration
from trm_arc.common.errors import InputError
from trm_arc.common.modes import AUTO, BLOCK, NONE, STEP, WORTHWHILE
from trm_arc.config import PRESETS
from trm_arc.inference.answer import make_predictor, predict_tasks
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.predictor import CPU_TOKENS, Predictor, choose_compiled
from trm_arc.model import compiling
from trm_arc.model.compiling import (
    CPU_LEAST,
    CompileChoice,
    choose_compile_mode,
    compiling_seconds,
    even_pieces,
    find_missing,
)
from trm_arc.model.reasoner import Block
from trm_arc.training import loop
from trm_arc.training.build import build_trainer
from trm_arc.training.machine import choose_options
from trm_arc.training.options import Machine, Options
from trm_arc.training.state import inference_state
from trm_arc.training.time_budget import TimeBudget

says = messages(__name__)
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
COMPILER = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
BUCKETS = {"canvas": "buckets", "bucket_sides": "auto:2"}


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of what each compiled graph is called with first; it runs as it is."""
    found: list[tuple[int, ...]] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable:
        found.append(next(tuple(part.shape) for part in inputs if isinstance(part, torch.Tensor) and part.ndim == 3))
        return graph

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    return found


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let CUDA's devices, Triton and a C compiler be there or not."""

    def set_up(capability: int = 9, *, triton: bool = True, compiler: bool = True) -> None:
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (capability, 0))
        monkeypatch.setattr(compiling.importlib.util, "find_spec", lambda name: name if triton else None)
        monkeypatch.setattr(compiling.shutil, "which", lambda name: f"/usr/bin/{name}" if compiler else None)

    return set_up


def test_blocks_are_compiled_where_there_is_a_compiler(card: Callable) -> None:
    card()
    assert choose_compile_mode(AUTO, CUDA)[:2] == (BLOCK, True)
    assert choose_compile_mode(AUTO, CUDA, seconds=WORTHWHILE)[:2] == (BLOCK, True)
    assert choose_compile_mode(AUTO, CPU) == CompileChoice()
    assert choose_compile_mode(AUTO, CPU, operations=CPU_LEAST)[:2] == (BLOCK, True)
    assert choose_compile_mode(AUTO, CPU, operations=0.9 * CPU_LEAST) == CompileChoice()
    for mode in (STEP, BLOCK):  # what was asked for is done, or fails
        assert choose_compile_mode(mode, CUDA) == choose_compile_mode(mode, CPU) == CompileChoice(mode)
    assert choose_compile_mode(NONE, CUDA) == CompileChoice()
    for before in ("", BLOCK, STEP):  # a run goes on as it was
        assert choose_compile_mode(AUTO, CUDA, before, seconds=1.0).mode == before
        assert choose_compile_mode(AUTO, CPU, before).mode == before
        assert choose_compile_mode(NONE, CUDA, before).mode == ""


@pytest.mark.parametrize(
    ("device", "lacks", "sentence"),
    [
        ("cuda", {"triton": False}, says("no-triton")),
        ("cuda", {"compiler": False}, says("no-c-compiler")),
        ("cuda", {"capability": 6}, says("old-card")),
        ("mps", {}, says("no-code-for-mps")),
        ("cpu", {"compiler": False}, says("no-c++-compiler")),
    ],
)
def test_where_there_is_none_a_sentence_says_so(device: str, lacks: dict, sentence: str, card: Callable) -> None:
    card(**lacks)
    where = torch.device(device)
    assert find_missing(where) == sentence
    for before in (None, BLOCK):  # a run that comes from a machine with one goes on, too
        if before and device == "cpu":
            continue  # compiled or not, it rounds in its own way
        chosen = choose_compile_mode(AUTO, where, before, operations=CPU_LEAST)
        assert (chosen.mode, chosen.falls_back) == ("", False)
        told = chosen.annotate(Device(where, torch.float32, "found")).reason
        assert told == f"found; {says('nothing-is-compiled')} {sentence}"


def test_a_short_run_is_not_compiled(card: Callable) -> None:
    card()
    for device in (CUDA, CPU):
        chosen = choose_compile_mode(AUTO, device, seconds=WORTHWHILE - 1, operations=CPU_LEAST)
        assert (chosen.mode, chosen.note) == ("", says("too-short"))
    for limit, mode in (("19m", ""), ("20m", AUTO)):  # AUTO: by what there is to compute
        assert choose_options(Machine(device="cpu"), None, parse_duration(limit))[1].compile_mode == mode


def test_flags_and_settings_choose(card: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    card()
    device = Device(CUDA, torch.bfloat16, "a test")
    monkeypatch.setattr("trm_arc.training.machine.find_device", lambda *_: device)
    for flags, mode in (
        ("", BLOCK),
        ("--compile auto", BLOCK),
        ("--compile none", ""),
        ("--compile", STEP),
        ("--time-limit 9m", ""),
    ):
        values = parse_train_flags(["--preset", "trm", *flags.split()])
        found, options = choose_options(read_machine(values), None, values.time_limit and parse_duration(values.time_limit))
        assert options.compile_mode == mode
        assert ("compiled" in found.reason) == (flags in ("", "--compile auto", "--time-limit 9m"))
    assert choose_compiled(InferenceConfig(), device).mode == BLOCK
    assert choose_compiled(InferenceConfig(compile="none"), device).mode == ""
    assert choose_compiled(InferenceConfig(patience=2), device).mode == ""
    with pytest.raises(InputError, match=says("patience")) as caught:
        InferenceConfig(patience=2, compile="block")
    assert caught.value.flag == "--compile"
    assert read_case("trm", device)[2].compile_mode == ""  # a case of a benchmark says what it is
    assert read_case("trm --compile block", device)[2].compile_mode == BLOCK


@COMPILER
@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_a_window_in_training_is_one_graph(accumulation: int, graphs: list[tuple[int, ...]]) -> None:
    """One with and one without gradient, however many pieces the batch of eight has: three would be 3, 3 and 2."""
    trainer = small_trainer(SMALL.override(BUCKETS), options=Options(compile_mode=BLOCK, accumulation=accumulation))
    for _ in range(12):
        trainer.train_step()
    assert len({shape[1] for shape in graphs}) == 2, "of one window, so this proves nothing"
    assert len(graphs) == 2 * 2
    assert {shape[0] for shape in graphs} == {{1: 8, 2: 4, 3: 2}[accumulation]}


def test_pieces_are_even_where_that_costs_little() -> None:
    assert [even_pieces(768, most) for most in (768, 384, 300, 7)] == [768, 384, 256, 6]
    assert even_pieces(97, 48) == 48  # a prime
    assert even_pieces(8, 8) == even_pieces(8, 20) == 8
    assert even_pieces(5, 1) == 1


@COMPILER
def test_a_canvas_in_prediction_is_one_graph(graphs: list[tuple[int, ...]]) -> None:
    """Answers are those of a network that is not compiled, in however many batches, the last of them filled up."""
    trainer = small_trainer(SMALL.override(BUCKETS))
    for _ in range(4):
        trainer.train_step()
    tasks, state = make_tasks(5, 3), inference_state(trainer)
    plain, fused = (
        predict_tasks(state, tasks, trainer.device, InferenceConfig(batch_size=4, compile=how), views=3, quiet=True)
        for how in ("none", "block")
    )
    canvases = {part.canvases.shape[1:] for part in fused}
    assert len(canvases) > 1
    lengths = {shape[1] for shape in graphs}
    assert len(graphs) == len(lengths) == len(canvases)
    for ours, theirs in zip(fused, plain, strict=True):
        for name in ("canvases", "table", "test_index", "steps"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        np.testing.assert_allclose(ours.halting, theirs.halting, rtol=1e-5)
    graphs.clear()
    predict_tasks(state, tasks, trainer.device, InferenceConfig(batch_size=4, compile="block"), views=3, quiet=True)
    assert not graphs, "another network of the same settings is compiled again"


def fused_predictor(batch_size: int = 64) -> Predictor:
    trainer = small_trainer(SMALL.override(BUCKETS))
    config = InferenceConfig(batch_size=batch_size, steps=1, compile="block")
    return make_predictor(inference_state(trainer), make_tasks(6, 3), trainer.device, config)[0]


def test_a_worker_has_one_size_for_each_canvas(graphs: list[tuple[int, ...]]) -> None:
    """Items of 1, 4, 16, ... views of all canvases; the size is that of the share of the largest item."""
    predictor = fused_predictor()
    predictor.at_once = 4 * 64
    tests = np.arange(len(predictor.windows))
    for count in (1, 4, 16, 3):
        views = np.arange(count)
        predictor.predict(np.resize(tests, count), views % 5)
    per_window = {window: sum(w == window for w in predictor.windows) for window in set(predictor.windows)}
    expected = {window: min(64, -(-256 * n // len(tests))) for window, n in per_window.items()}
    sizes = {window: predictor._size(window, 1) for window in predictor.sizes if window in per_window}
    assert sizes == {window: expected[window] for window in sizes}
    assert len(graphs) <= len(predictor.sizes) + 2  # canvases that few views ran over to


def test_a_canvas_met_by_few_views_gets_room_in_few_steps() -> None:
    predictor = fused_predictor()
    window = predictor.windows[0]
    sizes = [predictor._size(window, views) for views in (1, 2, 2, 3, 5, 9, 17, 33, 64, 1)]
    assert sizes == [1, 2, 2, 4, 8, 16, 32, 64, 64, 64]
    predictor.batch_size = 32  # memory ran out
    assert predictor._size(window, 5) == 32
    predictor.compiled = CompileChoice()
    assert predictor._size(window, 5) == 5


def test_views_at_a_time_fit_the_cache_of_a_cpu_and_no_more_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = fused_predictor(256)
    window = predictor.windows[0]
    tokens = predictor.reasoner.config.prefix + window.cells
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert predictor._at_a_time(window) == min(256, 2 * CPU_TOKENS // tokens) < 256
    assert predictor._at_a_time(Window(90, 90)) == 1
    predictor.device = predictor.device._replace(device=CUDA)
    assert predictor._at_a_time(window) == 256


def test_a_run_on_a_cpu_compiles_if_it_computes_enough() -> None:
    tiny = {"data": "sudoku-4x4-easy", "evaluation_data": "sudoku-4x4-easy", "puzzles": 20, "evaluation_puzzles": 4}
    board = {"board_rows": 4, "board_columns": 4, "vocabulary": 6, "width": 16, "heads": 2}
    config = PRESETS["sudoku-small"].override(tiny | board)
    for steps, mode in ((10, ""), (10**7, BLOCK)):
        longer = config.override({"steps": steps})
        trainer, _, notes = build_trainer(longer, None, find_device("cpu"), options=Options(compile_mode=AUTO))
        assert (trainer.options.compile_mode, trainer.options.falls_back) == (mode, bool(mode))
        assert notes[-1].endswith(says("every-block")) == bool(mode)
    assert choose_compiled(InferenceConfig(), trainer.device).mode == ""


@pytest.mark.programs
@COMPILER
def test_what_cannot_be_compiled_runs_without_if_nobody_asked_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no C++ compiler")

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    plain = small_trainer()
    trainer = small_trainer(options=Options(compile_mode=BLOCK, falls_back=True))
    for _ in range(3):
        assert torch.equal(trainer.train_step().loss, plain.train_step().loss)
    assert capsys.readouterr().out.count(says("continuing-without")) == 1
    assert trainer.options.compile_mode == ""
    assert inference_state(trainer).metadata.compile_mode == ""
    predictor = fused_predictor()
    with pytest.raises(InputError, match=says("cannot-compile-here")) as caught:
        predictor.predict(np.zeros(2, np.int64), np.arange(2))
    assert caught.value.flag == "--compile"
    predictor.compiled = CompileChoice(BLOCK, True)
    assert sum(len(part.steps) for part in predictor.predict(np.zeros(2, np.int64), np.arange(2))) == 2
    assert capsys.readouterr().out.count(says("continuing-without")) == 1
    assert predictor.reasoner.run_block is Block.forward


def test_the_time_of_compiling_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def slow(graph: torch.fx.GraphModule, _inputs: object) -> Callable:
        now[0] += 40
        return graph

    torch.compiler.reset()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=slow))
    double = compiling.compile_operators(lambda x: 2 * x)
    before = compiling_seconds()
    double(torch.ones(3))
    assert compiling_seconds() - before == 40
    double(torch.ones(3))
    assert compiling_seconds() - before == 40
    double(torch.ones(4))
    assert compiling_seconds() - before == 80


def test_a_plan_of_time_does_not_know_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Neither the steps in which something was compiled count, nor the seconds of an evaluation that it took."""
    trainer, now = small_trainer(steps=4), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    real, seen = trainer.train_step, []

    def compile_for(seconds: float) -> None:
        compiling.CLOCK.start()
        now[0] += seconds
        compiling.CLOCK.stop()

    def train_step(request: object, *, measure: bool) -> object:
        compile_for(50.0 * (trainer.step in (0, 1)))
        now[0] += 2.0
        return real(request, measure=measure)

    def evaluate(_look: Callable) -> dict[str, float]:
        compile_for(30.0)
        now[0] += 7.0
        return {"score": 0.5}

    monkeypatch.setattr(trainer, "train_step", train_step)
    real_note = loop._Loop.score

    def score(self: loop._Loop) -> bool:
        went_on = real_note(self)
        seen.append((self.budget.evaluating, [list(rates) for rates in self.budget.rates]))
        return went_on

    monkeypatch.setattr(loop._Loop, "score", score)
    loop.train(trainer, tmp_path, loop.LoopConfig(evaluate_every=4), peak=1.0, evaluate=evaluate)
    [(evaluating, [rates])] = seen
    assert evaluating == 7.0
    assert [rate * trainer.operations(0, None) for rate in rates] == [2.0, 2.0]
    budget = TimeBudget(trainer, Deadline())
    budget.add(9.0, 0, compiled=True)
    assert (budget.stepping, list(budget.rates[0])) == (9.0, [])


def test_a_cpu_says_nothing_of_it() -> None:
    device = find_device("cpu")
    assert choose_compile_mode(AUTO, device.device).annotate(device) == device
