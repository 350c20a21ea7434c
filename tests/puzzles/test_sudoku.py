"""Sudoku: rules, solver and canonical form against naive twins and real rows; then what the generator makes."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment import BoardTransform, sample_sudoku_transforms
from tests import naive
from tests.helpers import examples, messages
from trm_arc.common.errors import InputError
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.puzzle_sources import load_puzzles
from trm_arc.puzzles.sudoku.canonical import canonical
from trm_arc.puzzles.sudoku.generate import BLOCK, generate
from trm_arc.puzzles.sudoku.rules import Boxes, boxes_of, describe_conflict, is_solution, keeps_rules
from trm_arc.puzzles.sudoku.solve import solve

says = messages(__name__)

SMALL, OBLONG, NINE = Boxes(2, 2), Boxes(2, 3), Boxes(3, 3)
seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from([SMALL, OBLONG, NINE, Boxes(3, 2), Boxes(3, 4)])


@pytest.fixture(scope="module")
def real(shared: Path) -> dict[str, PuzzleSet]:
    """The real rows of Sudoku-Extreme."""
    return {part: load_puzzles("sudoku-extreme", part, shared / "data") for part in ("train", "test")}


def random_board(generator: np.random.Generator, boxes: Boxes, share: float) -> np.ndarray:
    board = generator.integers(1, boxes.side + 1, (boxes.side, boxes.side)).astype(np.uint8)
    board[generator.random(board.shape) > share] = 0
    return board


def images_of(boards: np.ndarray, boxes: Boxes, seed: int) -> np.ndarray:
    """A random image of every board."""
    keys = np.random.default_rng(seed).integers(0, 2**63, len(boards)).astype(np.uint64)
    table = sample_sudoku_transforms(keys, (boxes.rows, boxes.columns))
    shape = (boxes.side, boxes.side)
    return np.stack([BoardTransform.from_row(row, shape).apply(board) for row, board in zip(table, boards, strict=True)])


# --- rules


@given(shapes, seeds, st.floats(0, 0.3))
def test_rules_are_their_naive_twin(boxes: Boxes, seed: int, share: float) -> None:
    board = random_board(np.random.default_rng(seed), boxes, share)
    fine = naive.sudoku_keeps_rules(board, boxes.rows, boxes.columns)
    assert keeps_rules(board[None], boxes).tolist() == [fine]
    assert (describe_conflict(board, boxes) is None) == fine


def test_conflicts_are_told_by_their_place() -> None:
    board = np.zeros((6, 6), np.uint8)
    for cells, told in [
        ([(1, 0), (1, 5)], "two 4s in row 2 (columns 1 and 6)"),
        ([(0, 2), (5, 2)], "two 4s in column 3 (rows 1 and 6)"),
        ([(2, 3), (3, 5)], "two 4s in box 4 (cells 1 and 6)"),
    ]:
        board[:] = 0
        for cell in cells:
            board[cell] = 4
        assert describe_conflict(board, OBLONG) == told
    assert keeps_rules(np.full((1, 4, 4), 9, np.uint8), SMALL).tolist() == [False]


def test_solutions_keep_every_clue(real: dict[str, PuzzleSet]) -> None:
    train = real["train"]
    assert is_solution(train.questions, train.answers, NINE).all()
    wrong = train.answers.copy()
    wrong[:, [0, 1]] = wrong[:, [1, 0]]  # still keeps the rules, but moves clues
    assert keeps_rules(wrong, NINE).all()
    moved = ((train.questions > 0) & (train.questions != wrong)).any(axis=(1, 2))
    np.testing.assert_array_equal(is_solution(train.questions, wrong, NINE), ~moved)
    assert not is_solution(train.questions, train.questions, NINE).any()


def test_shapes_and_arrays_that_are_none() -> None:
    with pytest.raises(InputError, match=says("a-sudoku-has-side")):
        boxes_of(7)
    for shape in ((1, 9), (2, 6), (3, 5), (8, 2)):  # the solver's words hold no more
        with pytest.raises(InputError, match=says("at-least-2-rows")):
            Boxes(*shape)
    for call in (keeps_rules, canonical, solve):
        with pytest.raises(ValueError, match="uint8"):
            call(np.zeros((1, 9, 9), np.int64), NINE)
        with pytest.raises(ValueError, match="uint8"):
            call(np.zeros((1, 4, 4), np.uint8), NINE)
    with pytest.raises(ValueError, match=says("as-many-answers")):
        is_solution(np.zeros((2, 4, 4), np.uint8), np.zeros((1, 4, 4), np.uint8), SMALL)


# --- solver


@given(seeds, st.floats(0.1, 0.6))
def test_the_solver_finds_what_trying_finds(seed: int, share: float) -> None:
    board = random_board(np.random.default_rng(seed), SMALL, share)
    solutions = naive.sudoku_solutions(board.copy(), 2, 2, 4)
    solved = solve(board[None], SMALL, limit=4)
    assert solved.counts[0] == len(solutions)
    if solutions:
        assert is_solution(board[None], solved.solutions, SMALL)[0]
    else:
        assert not solved.solutions.any()


@examples(15)
@given(seeds)
def test_oblong_boxes_are_solved_too(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for boxes in (OBLONG, Boxes(3, 2)):
        board = random_board(generator, boxes, 0.25)
        solutions = naive.sudoku_solutions(board.copy(), boxes.rows, boxes.columns, 2)
        assert solve(board[None], boxes).counts[0] == len(solutions)


def test_guesses_are_the_ratings_of_the_data(real: dict[str, PuzzleSet]) -> None:
    """Every real row has the one solution that the file gives, and its rating is nearly always our number of guesses."""
    for part, puzzles in real.items():
        solved = solve(puzzles.questions, NINE)
        assert (solved.counts == 1).all()
        np.testing.assert_array_equal(solved.solutions, puzzles.answers, err_msg=part)
        first = solve(puzzles.questions, NINE, limit=1).guesses
        assert np.corrcoef(first, puzzles.ratings)[0, 1] > 0.99
        assert (first == puzzles.ratings).mean() > 0.9
        np.testing.assert_array_equal(first == 0, puzzles.ratings == 0)


# --- canonical form


@given(shapes, seeds, st.floats(0, 1))
def test_images_have_one_form_which_is_an_image(boxes: Boxes, seed: int, share: float) -> None:
    board = random_board(np.random.default_rng(seed), boxes, share)[None]
    form = canonical(board, boxes)
    np.testing.assert_array_equal(canonical(images_of(board, boxes, seed), boxes), form)
    np.testing.assert_array_equal(canonical(form, boxes), form)
    if boxes == SMALL:
        of_form, of_board = (naive.sudoku_images(one[0], 2, 2) for one in (form, board))
        assert of_form == of_board


def test_forms_tell_boards_apart_as_trying_does() -> None:
    """Of random boards of 4 x 4 with few clues, many of which are alike."""
    generator = np.random.default_rng(1)
    boards = np.stack([random_board(generator, SMALL, 0.2) for _ in range(150)])
    orbits = [min(naive.sudoku_images(board, 2, 2)) for board in boards]
    forms = [form.tobytes() for form in canonical(boards, SMALL)]
    assert len(set(orbits)) < 140, "the test shows nothing if no two are alike"
    same_orbit = [[a == b for b in orbits] for a in orbits]
    assert same_orbit == [[a == b for b in forms] for a in forms]


def test_forms_of_real_puzzles(real: dict[str, PuzzleSet]) -> None:
    for puzzles in real.values():
        for boards in (puzzles.questions, puzzles.answers):
            forms = canonical(boards[:200], NINE)
            np.testing.assert_array_equal(canonical(images_of(boards[:200], NINE, 3), NINE), forms)
        assert len(np.unique(canonical(puzzles.questions, NINE), axis=0)) == len(puzzles)


def test_forms_of_symmetric_boards_take_no_time() -> None:
    """Nothing, little, and as much symmetry as there can be."""
    for side in (4, 9, 16):
        boxes = boxes_of(side)
        r, c = np.indices((side, side))
        cyclic = (r % boxes.rows * boxes.columns + r // boxes.rows + c) % side + 1
        one, diagonal = np.zeros((2, side, side), np.uint8)
        one[0, 0] = 1
        np.fill_diagonal(diagonal, np.arange(1, side + 1))
        boards = np.stack([np.zeros((side, side)), one, diagonal, cyclic]).astype(np.uint8)
        canonical(boards[:1], boxes)
        began = time.process_time()  # not of the clock on the wall, which a busy machine moves
        forms = canonical(boards, boxes)
        assert time.process_time() - began < 20
        np.testing.assert_array_equal(canonical(images_of(boards, boxes, 5), boxes), forms)


# --- generator


@pytest.mark.parametrize(("boxes", "count"), [(SMALL, 10), (OBLONG, 30), (NINE, 4)])
def test_hard_puzzles_need_every_clue(boxes: Boxes, count: int) -> None:
    size = min(count, BLOCK)  # a whole one takes seconds
    questions = generate(count, boxes, 7, kind="hard", block_size=size).questions
    assert (solve(questions, boxes).counts == 1).all()
    for question in questions:
        clues = np.argwhere(question)
        without = np.repeat(question[None], len(clues), axis=0)
        without[np.arange(len(clues)), *clues.T] = 0
        assert (solve(without, boxes).counts == 2).all(), "a clue can be left out"


@pytest.mark.parametrize("side", [4, 6, 9, 12])
def test_easy_puzzles_need_no_guess(side: int) -> None:
    boxes = boxes_of(side)
    made = generate(12, boxes, 3, kind="easy")
    solved = solve(made.questions, boxes)
    assert (solved.counts == 1).all()
    assert (solved.guesses == 0).all()
    np.testing.assert_array_equal(solved.solutions, made.answers)
    np.testing.assert_array_equal(solved.guesses, made.guesses)
    share = (made.questions > 0).mean(axis=(1, 2))
    assert share.min() > 0.35
    assert len(np.unique(canonical(made.questions, boxes), axis=0)) == 12


def test_the_seed_alone_decides() -> None:
    counts: list[int] = []
    first = generate(20, OBLONG, 5, kind="hard", threads=1, progress=counts.append)
    second = generate(20, OBLONG, 5, kind="hard", threads=3)
    np.testing.assert_array_equal(first.questions, second.questions)
    assert counts[-1] == 20
    assert sorted(counts) == counts
    assert not np.array_equal(first.questions, generate(20, OBLONG, 6, kind="hard").questions)


def test_none_is_like_an_excluded_one() -> None:
    known = generate(60, SMALL, 1, kind="easy").questions
    made = generate(60, SMALL, 1, kind="easy", exclude=images_of(known, SMALL, 2)).questions
    forms = {form.tobytes() for form in canonical(known, SMALL)}
    assert not forms & {form.tobytes() for form in canonical(made, SMALL)}
    with pytest.raises(InputError, match=says("60-different-hard-sudoku")):
        generate(60, SMALL, 1, kind="hard")


@pytest.mark.slow
def test_hard_ones_have_the_profile_of_sudoku_extreme(real: dict[str, PuzzleSet]) -> None:
    train = real["train"]
    made = generate(400, NINE, 11, kind="hard", exclude=train.questions)
    assert 16 < made.guesses.mean() < 26
    assert 0.10 < (made.guesses == 0).mean() < 0.20
    assert 24 < (made.questions > 0).sum(axis=(1, 2)).mean() < 26
    quantiles = [np.quantile(guesses, (0.25, 0.5, 0.75, 0.95)) for guesses in (made.guesses, train.ratings)]
    assert np.abs(quantiles[0] - quantiles[1]).max() < 15
    forms = ({form.tobytes() for form in canonical(questions, NINE)} for questions in (made.questions, train.questions))
    assert set.isdisjoint(*forms)
