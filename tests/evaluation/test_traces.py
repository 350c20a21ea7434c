"""Refinement traces: every frame against a loop over the model, the file that keeps them, and what is traced."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from augment import Transform, Window, pack_boards, pack_grids
from tests.helpers import examples, make_puzzles, make_tasks, messages, mutate, random_arc, random_puzzles, read_unless_refused
from trm_arc.common.device import Device
from trm_arc.common.errors import InputError
from trm_arc.config import Config
from trm_arc.data.examples import fingerprint, sample_plans
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.evaluation.outcomes import score_tests
from trm_arc.evaluation.traces import DEFAULT_COUNT, Frame, Trace, choose_tests, read_traces, trace_refinement, write_traces
from trm_arc.inference.answer import find_view_embeddings, make_predictor
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.refinement import RefinementStep
from trm_arc.model.checkpoint import Checkpoint, Metadata
from trm_arc.model.reasoner import Reasoner

says = messages(__name__)

CPU = Device(torch.device("cpu"), torch.float32, "a test")
HALF = Device(torch.device("cpu"), torch.bfloat16, "a test")
SMALL = {"width": 16, "heads": 2, "prefix": 2, "cycles": 3, "latent_steps": 2, "canvas": "fit", "augmentations": 3}
BOARD = {"board_rows": 7, "board_columns": 7}
TASKS = make_tasks(2, 4, largest=5)
KINDS = {
    "trm": {},
    "single-z": {"states": 0},
    "multi-z": {"states": 2},
    "hrm": {"networks": 2, "layers": 1},
    "direct": {"states": 0, "latent_steps": 0, "cycles": 1},
    "looped": {"states": 0, "latent_steps": 0},
    "mlp": {"mixer": "mlp", "positions": "none"},
    "local": {"mixer": "convolution", "positions": "none", "convolution": 3},
    "latents": {"latents": 3},
    "carried": {"latents": 3, "carry_best": True, "shared_start": True, "qk_norm": True, "output_norm": True},
    "noisy": {"noise": 0.3, "damping": 0.7},
    "transform tokens": {"transform_tokens": True, "prefix": 14, "positions": "rotary-2d"},
}


def make_checkpoint(tasks: AnySet, changes: dict, windows: tuple[int, ...] = (7,)) -> Checkpoint:
    """An untrained model with a halting head that has something to say."""
    config = Config().override({**SMALL, **BOARD, **changes})
    generator = torch.Generator().manual_seed(7)
    reasoner = Reasoner(config.model, generator)
    torch.nn.init.normal_(reasoner.halt_weight, generator=generator)
    tensors = {f"model.{name}": tensor for name, tensor in reasoner.state_dict().items()}
    entries, rows = [], 1
    if not isinstance(tasks, PuzzleSet):
        plan = sample_plans(tasks, config.training.augmentations, 0)
        tensors |= {"plan.table": torch.from_numpy(plan.table), "plan.starts": torch.from_numpy(plan.starts)}
        entries = [(task.id, fingerprint(task)) for task in tasks]
        rows = len(tasks) if config.model.transform_tokens else len(plan.table)
    else:
        tensors["plan.table"] = torch.zeros(1, 1)
    tensors["embedding.table"] = torch.randn(rows, config.model.width, generator=generator)
    shapes = [Window(side, side) for side in windows]
    metadata = Metadata(windows=shapes, precision="float32", domain=tasks.domain.name)
    return Checkpoint(config, 0, entries, tensors, metadata, "here")


def on_board(name: str) -> dict:
    domain = make_puzzles(name, 1, 0).domain
    return {"board_rows": domain.shape[0], "board_columns": domain.shape[1], "vocabulary": domain.vocabulary}


def by_hand(checkpoint: Checkpoint, tasks: AnySet, test: int, steps: int, device: Device) -> list[tuple]:
    """Step, cycle, answer and halting probability: every cycle is a forward pass of its own, as deep as that."""
    reasoner, config, domain = checkpoint.reasoner(), checkpoint.config.model, tasks.domain
    rows = find_view_embeddings(checkpoint, tasks)
    if isinstance(tasks, PuzzleSet):
        first, grids = int(rows.plan.starts[test]), pack_boards(tasks.questions)
    else:
        task, number = tasks.tests[test]
        first, grids = int(rows.plan.starts[tasks.tasks.index(task)]), pack_grids([task.test[number].input])
    at = test if isinstance(tasks, PuzzleSet) else 0
    row = rows.plan.rows(np.array([first]))
    canvas = domain.paint(grids, np.array([at]), row, (config.board_rows, config.board_columns))
    copies = (config.latents, *[1] * 2)
    tokens, vectors, transforms = torch.from_numpy(canvas), rows.vectors[[first]], torch.from_numpy(row)
    puzzle = tokens.repeat(copies), vectors.repeat(copies[:2]), transforms.repeat(copies[:2])
    state, told = reasoner.start(1, *canvas.shape[1:], device.dtype), []
    for step in range(1, steps + 1):
        for cycle in range(1, config.cycles + 1):
            with torch.inference_mode():
                output = reasoner(state, *puzzle, depth=(cycle, config.latent_steps))
            sure = int(output.halting[:, 0].argmax())
            answer = domain.undo(output.logits[sure].argmax(dim=-1).numpy().astype(np.uint8), row[0])
            told.append((step, cycle, answer.tolist(), float(output.halting[sure, 0].sigmoid())))
        state = output.state
        if config.carry_best:
            state = state._replace(y=state.y[[sure] * len(state.y)])
    return told


def said(frames: list[Frame]) -> list[tuple]:
    return [(frame.step, frame.cycle, frame.grid.tolist(), frame.halting) for frame in frames]


def whole(traces: list[Trace]) -> list[tuple]:
    return [(one.name, said(one.frames)) for one in traces]


def predicted(checkpoint: Checkpoint, tasks: AnySet, test: int, device: Device = CPU, **options) -> tuple[list, float]:
    """What a predictor says of a test input under its first view."""
    predictor, _ = make_predictor(checkpoint, tasks, device, InferenceConfig(**options))
    (part,) = (part for part in predictor.predict(np.array([test]), np.array([0])) if len(part.test_index))
    return tasks.domain.undo(part.canvases[0], part.table[0]).tolist(), float(part.halting[0])


@pytest.mark.parametrize("device", [CPU, HALF], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_a_forward_pass_of_its_own(kind: str, device: Device) -> None:
    checkpoint = make_checkpoint(TASKS, KINDS[kind])
    tests = range(TASKS.outputs) if device is CPU else [2]  # many a CPU computes slowly in bfloat16
    cycles = checkpoint.config.model.cycles
    traces = trace_refinement(
        checkpoint, TASKS, tests, TASKS_RESULTS.tasks.names, device, InferenceConfig(steps=2, canvas="full")
    )
    assert [one.name for one in traces] == ["made00", "made01 test 1", "made01 test 2"][-len(tests) :]
    for test, one in zip(tests, traces, strict=True):
        assert [frame[:3] for frame in one.frames] == [(s, c, c == cycles) for s in (1, 2) for c in range(1, cycles + 1)]
        assert said(one.frames) == by_hand(checkpoint, TASKS, test, 2, device)
    assert len({json.dumps(told[2]) for one in traces for told in said(one.frames)}) > len(tests)  # not always the same answer


@pytest.mark.parametrize(
    "changes",
    [{}, {"latents": 2}, {"random_start": True, "latents": 2}, {"states": 0, "latent_steps": 0, "cycles": 1}],
    ids=["default", "latents", "random", "direct"],
)
@pytest.mark.parametrize("rollouts", [1, 3])
def test_the_last_frame_of_a_step_is_the_answer_of_so_many_steps(changes: dict, rollouts: int) -> None:
    checkpoint = make_checkpoint(TASKS, changes)
    (one,) = trace_refinement(checkpoint, TASKS, [2], ["a", "b", "c"], CPU, InferenceConfig(steps=3, rollouts=rollouts))
    lasts = [(frame.grid.tolist(), frame.halting) for frame in one.frames if frame.last]
    assert lasts == [predicted(checkpoint, TASKS, 2, steps=steps, rollouts=rollouts) for steps in (1, 2, 3)]
    assert trace_refinement(checkpoint, TASKS, [2], ["c"] * 3, CPU, InferenceConfig(steps=3, rollouts=rollouts))[0].name == "c"


@pytest.mark.parametrize(("settings", "steps"), [({"halt_steps": 2}, 2), ({"halt_steps": 2, "answer_steps": 3}, 3)])
def test_an_answer_takes_as_many_steps_as_the_run_says(settings: dict, steps: int) -> None:
    checkpoint = make_checkpoint(TASKS, settings)
    (trace,) = trace_refinement(checkpoint, TASKS, [2], ["a", "b", "c"], CPU, InferenceConfig())
    assert {frame.step for frame in trace.frames} == set(range(1, steps + 1))
    assert predicted(checkpoint, TASKS, 2) == predicted(checkpoint, TASKS, 2, steps=steps)
    assert predicted(checkpoint, TASKS, 2, steps=1) != predicted(checkpoint, TASKS, 2)


@pytest.mark.parametrize("changes", [{}, {"latents": 2}, {"states": 0, "latent_steps": 0}])
@pytest.mark.parametrize("rollouts", [1, 2])
def test_a_callback_changes_nothing(changes: dict, rollouts: int) -> None:
    checkpoint = make_checkpoint(TASKS, changes)
    predictor, _ = make_predictor(checkpoint, TASKS, CPU, InferenceConfig(steps=3, rollouts=rollouts))
    views = np.zeros(9, np.int64) + np.arange(9) % 3, np.arange(9) // 3
    (unseen,), seen_steps = predictor.predict(*views), []
    predictor.callback = seen_steps.append
    (seen,) = predictor.predict(*views)
    for name in ("canvases", "table", "test_index", "halting", "steps"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(unseen, name))
    assert len(seen_steps) == 9
    assert {len(step.answers) for step in seen_steps} == {9 * rollouts * changes.get("latents", 1)}


@pytest.mark.parametrize("changes", [{}, {"latents": 2}])
def test_a_view_that_is_run_again_on_a_larger_window_shows_its_last_run_alone(changes: dict) -> None:
    checkpoint = make_checkpoint(TASKS, {**changes, "canvas": "buckets", "bucket_sides": "4,6,7"}, (4, 6, 7))
    predictor, _ = make_predictor(checkpoint, TASKS, CPU, InferenceConfig(steps=2))
    larger = 0
    for test, one in enumerate(trace_refinement(checkpoint, TASKS, range(3), "abc", CPU, InferenceConfig(steps=2))):
        seen_steps: list[RefinementStep] = []
        predictor.callback = seen_steps.append
        predictor.predict(np.array([test]), np.array([0]))
        larger += len({step.answers.shape for step in seen_steps}) > 1
        assert [frame[:3] for frame in one.frames] == [(s, c, c == 3) for s in (1, 2) for c in (1, 2, 3)]
        assert (one.frames[-1].grid.tolist(), one.frames[-1].halting) == predicted(checkpoint, TASKS, test, steps=2)
    assert larger


@pytest.mark.parametrize("name", ["maze-5x5-easy", "sudoku-4x4"])
@pytest.mark.parametrize("mixer", [{}, {"mixer": "mlp", "positions": "none"}], ids=["attention", "mlp"])
def test_answers_to_puzzles_are_traced_alike(tmp_path: Path, name: str, mixer: dict) -> None:
    puzzles = make_puzzles(name, 5, 1)
    checkpoint = make_checkpoint(puzzles, on_board(name) | mixer)
    traces = trace_refinement(checkpoint, puzzles, [4, 0], [f"row {n}" for n in range(1, 6)], CPU, InferenceConfig(steps=2))
    assert [one.name for one in traces] == ["row 5", "row 1"]
    for test, one in zip([4, 0], traces, strict=True):
        assert said(one.frames) == by_hand(checkpoint, puzzles, test, 2, CPU)
        assert all(frame.grid.shape == puzzles.domain.shape for frame in one.frames)
    write_traces(tmp_path / "a.json", traces)
    assert whole(read_traces(tmp_path / "a.json")) == whole(traces)


def test_what_does_not_fit_or_is_not_finite_is_left_out(tmp_path: Path) -> None:
    small = make_checkpoint(TASKS, {"board_rows": 3, "board_columns": 3}, (3,))
    fits = [task.test[number].input.shape for task, number in TASKS.tests]
    names = [f"{shape}" for shape in fits]
    traces = trace_refinement(small, TASKS, range(3), names, CPU, InferenceConfig(steps=1))
    assert [one.name for one in traces] == [str(shape) for shape in fits if max(shape) <= 3]
    broken = make_checkpoint(TASKS, {})
    broken.tensors["model.halt_bias"][:] = torch.nan
    assert trace_refinement(broken, TASKS, range(3), names, CPU, InferenceConfig(steps=2)) == []


# --- the file


def frames_of(seed: int) -> list[Trace]:
    generator = np.random.default_rng(seed)
    grids = [np.empty((0, 0), np.uint8), np.array([[255]], np.uint8), generator.integers(0, 10, (2, 3)).astype(np.uint8)]
    frames = [Frame(s, c, c == 2, grids[int(generator.integers(3))], float(generator.random())) for s in (1, 2) for c in (1, 2)]
    return [Trace("a task", frames), Trace("row 7", frames[1:2]), Trace('":\n', frames[:2])]


def test_frames_are_read_as_they_were_written(tmp_path: Path) -> None:
    turned = Frame(1, 1, True, Transform(1).apply(np.eye(2, 3, dtype=np.uint8)), 1.0)
    for traces in [[], *map(frames_of, range(9)), [Trace("turned", [turned])]]:
        write_traces(tmp_path / "a.json", traces)
        again = read_traces(tmp_path / "a.json")
        assert whole(again) == whole(traces)
        assert all(f.grid.dtype == np.uint8 and f.grid.ndim == 2 and type(f.last) is bool for one in again for f in one.frames)


@pytest.mark.parametrize(
    "change",
    [{"step": 0}, {"step": True}, {"step": "1"}, {"cycle": -1}, {"cycle": 1.5}, {"last": 1}, {"last": None}]
    + [{"halting": halting} for halting in (-0.1, 1.1, 1, None, "0.5", True)]
    + [{"grid": odd} for odd in (None, 5, {}, "12", [1, 2], [[1], [2, 3]], [[[1]]])]
    + [{"grid": [[odd]]} for odd in (256, -1, 0.5, True, "1", None, {}, 2**64 - 1)],
)
def test_frames_that_say_nothing_are_refused(tmp_path: Path, change: dict) -> None:
    write_traces(tmp_path / "a.json", frames_of(0))
    document = json.loads((tmp_path / "a.json").read_bytes())
    frame = document["formed"][0]["frames"][1]
    for broken in (frame | change, {name: part for name, part in frame.items() if name not in change}, None, []):
        document["formed"][0]["frames"][1] = broken
        (tmp_path / "a.json").write_text(json.dumps(document))
        with pytest.raises(InputError, match="--trace") as refused:
            read_traces(tmp_path / "a.json")
        assert refused.value.file == tmp_path / "a.json"
        assert refused.value.place.startswith("formed.0")


@given(st.data())
@examples(250)
def test_damaged_frames_are_refused_or_sound(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.json"
    write_traces(path, frames_of(data.draw(st.integers(0, 3))))
    broken = json.loads(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        broken = mutate(broken, data)
    path.write_text(json.dumps(broken))
    traces = read_unless_refused(read_traces, path) or []
    for one in traces:
        assert isinstance(one.name, str)
        for frame in one.frames:
            assert (type(frame.step), type(frame.cycle), type(frame.last), type(frame.halting)) == (int, int, bool, float)
            assert min(frame.step, frame.cycle) >= 1
            assert 0 <= frame.halting <= 1
            assert (frame.grid.ndim, frame.grid.dtype) == (2, np.uint8)
    write_traces(path, traces)
    assert whole(read_traces(path)) == whole(traces)


# --- what is traced


TASKS_RESULTS = replace(random_arc(0, count=2)[0], tasks=TASKS)


def test_named_test_inputs_are_traced() -> None:
    results = random_arc(1, count=4)[0]
    assert results.tasks.names == ["00", "01 test 1", "01 test 2", "02", "03 test 1", "03 test 2"]
    assert choose_tests(results, ["03 test 2", "01", "00", "01 test 1"]) == [5, 1, 2, 0]
    rows = random_puzzles("sudoku-4x4", 0)
    assert choose_tests(rows, ["2", "row 6"]) == [1, 5]
    for odd, every in (("04", results), ("", results), ("01 test 3", results), ("row 7", rows), ("0", rows)):
        with pytest.raises(InputError, match=says("is-not-in-name")) as caught:
            choose_tests(every, [odd])
        assert caught.value.flag == "--trace"
        assert caught.value.problem.startswith(f"{odd} ")


@pytest.mark.parametrize("seed", range(6))
def test_the_first_of_each_outcome_is_traced_if_none_is_named(seed: int) -> None:
    for results in (random_arc(seed, known=0.5)[0], random_arc(seed, count=1)[0], random_puzzles("maze-5x5-easy", seed)):
        chosen, outcomes = choose_tests(results), [verdict.outcome for verdict in score_tests(results)]
        assert len(chosen) == len(set(chosen)) == min(DEFAULT_COUNT, len(outcomes))
        assert len({outcomes[test] for test in chosen}) == min(DEFAULT_COUNT, len(set(outcomes)))
        assert all(outcomes.index(outcome) in chosen for outcome in {outcomes[test] for test in chosen})
