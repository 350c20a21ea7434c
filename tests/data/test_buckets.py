"""Size buckets: every pair in the smallest window that holds it and its marks, every task with its share of the steps."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from augment import Window
from tests.helpers import SMALL, assert_identical, everything, make_tasks, messages, small_trainer
from trm_arc.common.device import Device
from trm_arc.common.errors import InputError
from trm_arc.config import TrainingConfig
from trm_arc.data.batch import IGNORE_INDEX
from trm_arc.data.buckets import choose_sides, expected_side, make_schedule, parse_sides, sort_into_buckets
from trm_arc.data.examples import Examples, prepare_examples
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.inference.answer import choose_canvases, predict_tasks
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.predictor import runs_into_edge
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.training.state import inference_state, load_state, save_state
from trm_arc.training.trainer import Trainer

says = messages(__name__)

BOARD = {"board_rows": 12, "board_columns": 12}  # the full one costs a second a step
BUCKETS = SMALL.override({"canvas": "buckets", "bucket_sides": "4,6,30"})
CPU = Device(torch.device("cpu"), torch.float32, "a test")


def bucketed(sides: str = "4,6,30"):
    examples, _ = prepare_examples(
        make_tasks(6, 1, "train"), make_tasks(3, 2, "eval", 9), BUCKETS.override({"bucket_sides": sides})
    )
    return examples


def test_every_pair_is_in_the_smallest_window_that_holds_it_and_its_marks() -> None:
    examples = bucketed()
    assert [bucket.window for bucket in examples.buckets] == [Window(4, 4), Window(6, 6), Window(30, 30)]
    needs = examples.grids.shapes[examples.pairs].max(axis=(1, 2)) + 1
    seen = []
    for bucket, below in zip(examples.buckets, (0, 4, 6), strict=True):
        assert (needs[bucket.pairs] <= bucket.window.rows).all()
        assert (needs[bucket.pairs] > below).all()
        owners = np.searchsorted(examples.pair_starts, bucket.pairs, side="right") - 1
        np.testing.assert_array_equal(np.repeat(bucket.tasks, np.diff(bucket.starts)), owners)
        seen += bucket.pairs.tolist()
    assert sorted(seen) == list(range(len(examples.pairs)))


def test_every_pair_keeps_its_share_of_the_steps() -> None:
    """Over many steps each pair is shown as often as any other, to the thousandth that shares are rounded to."""
    examples = bucketed()
    config = replace(BUCKETS.training, batch_size=3)
    shown = np.zeros(len(examples.pairs))
    for step in range(1000):
        number, turn = examples.schedule.at(step)
        bucket = examples.buckets[number]
        place = (turn * 3 + np.arange(3)) % len(bucket.pairs)
        np.add.at(shown, bucket.pairs[place], 1)  # every epoch of a bucket shows each of its pairs once
    assert shown.sum() == 3000
    np.testing.assert_allclose(shown, shown.mean(), rtol=0.05)
    batch = examples.batch(0, config)
    assert batch.tokens.shape[1:] == examples.buckets[examples.schedule.at(0)[0]].window


def test_a_bucket_shows_its_pairs_once_an_epoch_at_their_board_places() -> None:
    examples = bucketed()
    number = 1
    bucket = examples.buckets[number]
    steps = [step for step in range(1000) if examples.schedule.at(step)[0] == number][: len(bucket.pairs)]
    config = replace(BUCKETS.training, batch_size=1)
    rows = [examples.batch(step, config) for step in steps]
    tasks = [int(np.searchsorted(examples.plan.starts, row.rows.numpy(), side="right")[0]) - 1 for row in rows]
    expected = np.repeat(bucket.tasks, np.diff(bucket.starts))
    assert sorted(tasks) == expected.tolist()
    for row in rows:  # no grid touches the far edge of its bucket: there is room for the marks
        labels = row.labels.masked_fill(row.labels == IGNORE_INDEX, 0)
        assert (labels >= 2).any()
        assert not runs_into_edge(row.tokens.numpy()).any()
        assert not runs_into_edge(labels.numpy()).any()


def test_translated_grids_keep_their_marks_in_buckets_and_not_on_full_boards() -> None:
    """On the full board the original lets grids lose their marks, and so do we; so does a grid as large as the board."""
    config = replace(BUCKETS.training, batch_size=200)

    def touch(examples: Examples, training: TrainingConfig) -> bool:
        batches = [examples.batch(step, training) for step in range(20)]
        return any(runs_into_edge(batch.tokens.numpy()).any() for batch in batches)

    assert not touch(bucketed(), config)
    small = SMALL.override({"canvas": "full", "board_rows": 10, "board_columns": 10})
    examples, _ = prepare_examples(make_tasks(6, 1, "train"), make_tasks(3, 2, "eval", 9), small)
    assert touch(examples, small.training)
    buckets = small.override({"canvas": "buckets", "bucket_sides": "4,9", "board_rows": 9, "board_columns": 9})
    examples, _ = prepare_examples(make_tasks(6, 1, "train"), make_tasks(3, 2, "eval", 9), buckets)
    assert touch(examples, buckets.training)


@pytest.mark.parametrize("pairs", [[5], [7, 1], [100, 50, 25, 3], [1, 1, 1], [10_000, 1]])
def test_turns_are_fair_at_every_moment(pairs: list[int]) -> None:
    schedule = make_schedule(pairs)
    shares = np.array(pairs) / sum(pairs)
    length = len(schedule.buckets)
    quotas = schedule.before[-1]
    assert quotas.sum() == length
    assert (quotas >= 1).all()
    assert np.abs(quotas / length - shares).max() <= 1e-3 + 1e-12
    for step in (*range(50), length - 1, length, 3 * length + 17):
        bucket, before = schedule.at(step)
        expected = [schedule.at(s)[0] for s in range(step)] if step <= length else None
        if expected is not None:
            assert before == expected.count(bucket)
        assert schedule.count(step).sum() == step
        assert np.abs(schedule.count(step) - quotas * step / length).max() < 1.5
    first, second = schedule.at(length + 5), schedule.at(5)
    assert first[0] == second[0]
    assert first[1] == second[1] + quotas[first[0]]


def test_small_squares_get_more_steps_by_the_exponent() -> None:
    """With 1 each pair costs as many cells, with 2 the small ones come first."""
    for exponent in (0.0, 1.0, 2.0):
        config = BUCKETS.override({"bucket_exponent": exponent, "bucket_sides": "auto:2"})
        examples, _ = prepare_examples(make_tasks(6, 1, "train"), make_tasks(3, 2, "eval"), config)
        weights = np.array([len(bucket.pairs) / bucket.window.cells**exponent for bucket in examples.buckets])
        steps = np.bincount([examples.schedule.at(step)[0] for step in range(1000)])
        assert len(steps) > 1
        np.testing.assert_allclose(steps / 1000, weights / weights.sum(), atol=1e-3)


def test_chosen_sides_waste_the_fewest_cells() -> None:
    generator = np.random.default_rng(0)
    needs = generator.integers(3, 12, 200)
    present = np.unique(needs)
    for count in (1, 2, 3):
        sides = choose_sides(needs, count)

        def cells(chosen: tuple[int, ...]) -> int:
            return int((np.array(chosen)[np.searchsorted(chosen, needs)] ** 2).sum())

        best = min(cells((*some, present[-1])) for some in itertools.combinations(present[:-1], count - 1))
        assert cells(tuple(sides)) == best
        assert len(sides) == count
    assert choose_sides(np.array([5, 5]), 6) == [5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10,x", says("sides-by-commas-are")),
        ("", says("sides-by-commas-are")),
        ("auto:0", says("sides-by-commas-are")),
        ("4,6", says("the-largest-pair-needs")),
        ("4,31", says("sides-must-be-from")),
        ("0,30", says("sides-must-be-from-1")),
        ("11,12", says("no-pair-needs-the")),
    ],
)
def test_odd_buckets_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bucketed(text)


def test_buckets_need_attention() -> None:
    with pytest.raises(InputError, match=says("there-are-no-buckets")):
        small_trainer(BUCKETS.override({"mixer": "mlp", "positions": "none"}))


@pytest.mark.parametrize("changes", [{}, {"halting": "q-learning", "latents": 2}])
def test_runs_in_buckets_repeat_and_resume_bit_for_bit(changes: dict, tmp_path: Path) -> None:
    config = SMALL.override({"canvas": "buckets", "bucket_sides": "auto:3", **changes})
    first, second = small_trainer(config), small_trainer(config)
    for _ in range(5):
        first.train_step()
        second.train_step()
    half = save_state(second, tmp_path / "half", keep=1)
    resumed = small_trainer(config)
    load_state(resumed, load_checkpoint(half))
    assert sum(carry is not None for carry in resumed.carries) > 1
    for _ in range(5):
        first.train_step()
        resumed.train_step()
    assert_identical(everything(first, tmp_path / "first"), everything(resumed, tmp_path / "resumed"))


def test_buckets_of_one_window_are_the_full_board() -> None:
    """With the board as the only bucket, and every grid at its corner, the run is that of `--canvas full`."""
    still = SMALL.override({"translate": False} | BOARD)
    full, bucket = (small_trainer(still.override(c)) for c in ({"canvas": "full"}, {"canvas": "buckets", "bucket_sides": "12"}))
    for _ in range(3):
        a, b = full.train_step(), bucket.train_step()
        assert float(a.loss) == float(b.loss)


# --- at test time


def task_of(shapes: list[tuple], given: tuple[int, int]) -> Task:
    pairs = tuple(Pair(np.zeros(a, np.uint8), np.zeros(b, np.uint8)) for a, b in shapes)
    return Task("t", pairs, (Pair(np.zeros(given, np.uint8), None),))


@pytest.mark.parametrize(
    ("shapes", "given", "side"),
    [
        ([((3, 3), (3, 3)), ((5, 4), (5, 4))], (7, 2), 8),  # keeps its size
        ([((3, 3), (2, 2)), ((5, 4), (2, 2))], (7, 2), 8),  # a fixed size, the input is larger
        ([((3, 3), (9, 9)), ((5, 4), (9, 9))], (4, 4), 10),  # a fixed size
        ([((2, 3), (4, 9)), ((3, 3), (6, 9))], (5, 5), 16),  # a fixed ratio: 2 and 3 times
        ([((2, 2), (4, 4))], (3, 3), 7),  # one demonstration: ratio 2
        ([((3, 3), (1, 5)), ((5, 4), (2, 2))], (4, 4), 6),  # no rule: the largest that is visible
    ],
)
def test_window_of_a_test_input_comes_from_what_is_visible(shapes: list, given: tuple[int, int], side: int) -> None:
    assert expected_side(task_of(shapes, given), 0) == side


def test_canvases_whose_answer_touches_the_edge() -> None:
    canvases = np.zeros((4, 3, 4), np.uint8)
    canvases[0, :2, :3] = 5
    canvases[1, 2, 0] = 5
    canvases[2, 0, 3] = 5
    canvases[3, 2, :] = 1  # marks there are fine
    assert runs_into_edge(canvases).tolist() == [False, True, True, False]


def trained_in(tmp_path: Path, canvas: str, **board: int):
    trainer = small_trainer(SMALL.override({"canvas": canvas, "bucket_sides": "auto:3"} | board))
    for _ in range(3):
        trainer.train_step()
    return load_checkpoint(save_state(trainer, tmp_path / canvas, keep=1))


def test_training_and_prediction_windows_mix(tmp_path: Path) -> None:
    """A model trained on full boards answers in buckets and the other way round; every view is predicted once."""
    tasks = make_tasks(3, 2, "eval")
    for trained in ("full", "buckets"):
        checkpoint = trained_in(tmp_path, trained, **BOARD)
        for canvas in ("trained", "full", "buckets"):
            config = InferenceConfig(steps=2, batch_size=4, canvas=canvas)
            parts = predict_tasks(checkpoint, tasks, CPU, config, views=3, quiet=True)
            slots = np.concatenate([part.test_index for part in parts])
            assert np.bincount(slots).tolist() == [3, 3, 3, 3]
            sizes = {part.canvases.shape[1:] for part in parts}
            if canvas == "full" or (canvas == "trained" and trained == "full"):
                assert sizes == {(12, 12)}


def test_the_canvas_fits_all_tasks_if_asked_to() -> None:
    tasks = make_tasks(3, 2, "eval")
    windows, larger = choose_canvases(inference_state(small_trainer(SMALL)), tasks, "fit")
    side = max(task.side for task in tasks)
    assert (set(windows), larger) == ({Window(side, side)}, [])


def test_a_run_in_a_single_bucket_is_answered_in_it() -> None:
    trainer = small_trainer(SMALL.override({"canvas": "buckets", "bucket_sides": "auto:1"}))
    assert trainer.examples.windows == [Window(6, 6)]
    windows, larger = choose_canvases(inference_state(trainer), make_tasks(3, 2, "eval"), "trained")
    assert set(windows) == {Window(6, 6)}
    assert larger == [Window(6, 6), Window(30, 30)]


def test_a_view_that_runs_into_the_edge_is_run_again_on_a_larger_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, tasks = trained_in(tmp_path, "buckets"), make_tasks(3, 2, "eval")
    from trm_arc.inference import predictor as predict

    windows, larger = choose_canvases(checkpoint, tasks, "trained")
    assert larger[-1] == Window(30, 30)

    def fills_small_windows(reasoner: object, tokens: torch.Tensor, *_: object) -> tuple[torch.Tensor, torch.Tensor]:
        answer = torch.zeros_like(tokens)
        answer[:, :7, :7] = 5
        return answer, torch.ones(len(tokens)), torch.ones(len(tokens), dtype=torch.int32)

    monkeypatch.setattr(predict, "refine", fills_small_windows)
    parts = predict_tasks(checkpoint, tasks, CPU, InferenceConfig(steps=1, batch_size=3), views=2, quiet=True)
    kept = [part for part in parts if len(part.test_index)]
    assert all(min(part.canvases.shape[1:]) > 7 for part in kept)
    assert np.bincount(np.concatenate([part.test_index for part in kept])).tolist() == [2, 2, 2, 2]
    assert any(min(window) <= 7 for window in windows)


def test_tasks_that_no_bucket_holds_get_the_board() -> None:
    examples, _ = prepare_examples(TaskSet([], "none"), make_tasks(3, 2, "eval"), BUCKETS.override({"bucket_sides": "auto:2"}))
    trainer = Trainer(BUCKETS.override({"bucket_sides": "auto:2"}), examples, CPU, 2)
    large = make_tasks(2, 5, "large", 20)
    windows, _ = choose_canvases(inference_state(trainer), large, "trained")
    for window, (task, number) in zip(windows, large.tests, strict=True):
        assert min(window) >= max(task.test[number].input.shape)


def test_buckets_are_sorted_by_hand() -> None:
    buckets = sort_into_buckets(np.array([0, 0, 1, 2]), np.array([3, 5, 4, 9]), [4, 9])
    assert [bucket.pairs.tolist() for bucket in buckets] == [[0, 2], [1, 3]]
    assert [bucket.tasks.tolist() for bucket in buckets] == [[0, 1], [0, 2]]
    assert parse_sides("9,4", np.array([3, 9]), 30) == [4, 9]
