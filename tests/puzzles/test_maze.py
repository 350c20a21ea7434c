"""Mazes: against the naive twins and against Maze-Hard itself; then what the generator draws, and by which chances."""

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from augment import INVERSE, apply_symmetry
from tests import naive
from tests.helpers import messages
from trm_arc.common.errors import InputError
from trm_arc.data.puzzle_sources import load_puzzles
from trm_arc.puzzles.maze.generate import default_moves, generate
from trm_arc.puzzles.maze.rules import CHARACTERS, canonical, find_answer_fault, find_fault, is_solution, label

says = messages(__name__)


@st.composite
def mazes(draw: st.DrawFn, largest: int = 7) -> np.ndarray:
    """Few walls or many; most have one S and one G, which a path may join or not."""
    rows, columns = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    made = (generator.random((rows, columns)) > generator.uniform(0, 0.6)).astype(np.uint8)
    for cell in draw(st.sampled_from([(2, 3)] * 8 + [(2,), (3,), (2, 2, 3), (2, 3, 3), (2, 3, 4), (2, 3, 9)])):
        made[generator.integers(rows), generator.integers(columns)] = cell
    return made


@st.composite
def answered(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """A question and one of its shortest paths, with two cells changed, or one, or none."""
    question, symmetry = draw(mazes()), draw(st.integers(0, 7))
    turned = naive.maze_label(apply_symmetry(question, symmetry))[0]
    answer = apply_symmetry(turned, int(INVERSE[symmetry]))  # often another path than the label's
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for cell in draw(st.sampled_from([(), (), (4,), (1,), (4, 1), (4, 4), (0,), (2,), (5,)])):
        answer[generator.integers(answer.shape[0]), generator.integers(answer.shape[1])] = cell
    return question, answer


def read(*rows: str) -> np.ndarray:
    """A maze from its rows, of any shape."""
    return np.array([[CHARACTERS.index(character) for character in row] for row in rows], np.uint8)


@pytest.fixture(scope="module")
def real(shared: Path) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Maze-Hard: questions, answers and moves of its two splits."""
    splits = {split: load_puzzles("maze-hard", split, shared / "data") for split in ("train", "test")}
    return {split: (puzzles.questions, puzzles.answers, puzzles.ratings) for split, puzzles in splits.items()}


# --- labels and the check of answers


@given(mazes())
def test_label_is_its_naive_twin(question: np.ndarray) -> None:
    answers, moves = label(question[None])
    expected, expected_moves = naive.maze_label(question)
    np.testing.assert_array_equal(answers[0], expected)
    assert moves[0] == expected_moves
    assert (find_fault(question) is None) == (moves[0] >= 0)


def test_label_of_many_at_once_and_of_none() -> None:
    questions = np.stack([read("S G", "   "), read("S#G", "   "), read("S#G", " # ")])
    answers, moves = label(questions)
    np.testing.assert_array_equal(answers, np.stack([read("SoG", "   "), read("S#G", "ooo"), read("S#G", " # ")]))
    np.testing.assert_array_equal(moves, [2, 4, -1])
    assert label(questions[:0])[0].shape == (0, 2, 3)
    assert label(questions[:, :, ::-1])[1].tolist() == [2, 4, -1]  # not contiguous


def test_longest_path_of_the_largest_maze_is_found() -> None:
    question = np.ones((30, 30), np.uint8)
    question[1::4, :-1] = question[3::4, 1:] = 0  # one corridor, to and fro
    question[0, 0], question[28, 29] = 2, 3
    answer, moves = naive.maze_label(question)
    np.testing.assert_array_equal(label(question[None])[0][0], answer)
    assert label(question[None])[1][0] == moves > 400
    assert is_solution(question[None], answer[None])[0]


@given(answered())
def test_check_is_its_naive_twin(pair: tuple[np.ndarray, np.ndarray]) -> None:
    question, answer = pair
    expected = naive.maze_is_solution(question, answer)
    assert is_solution(question[None], answer[None])[0] == expected
    assert (find_answer_fault(question, answer) is None) == expected


@pytest.mark.parametrize(
    "rows",
    [("S  ", "   ", "  G"), ("S# ", "   ", " #G"), ("   ", "SG ", "   "), ("S   ", " #  ", "   G"), (" #S ", "    ", "G## ")],
)
def test_check_of_every_set_of_path_cells_is_its_naive_twin(rows: tuple[str, ...]) -> None:
    question = read(*rows)
    free = np.flatnonzero(question == 1)
    answers = np.tile(question.ravel(), (1 << len(free), 1))
    answers[:, free] += 3 * (np.arange(1 << len(free))[:, None] >> np.arange(len(free)) & 1).astype(np.uint8)
    answers = answers.reshape(-1, *question.shape)
    right = is_solution(np.broadcast_to(question, answers.shape), answers)
    assert right.tolist() == [naive.maze_is_solution(question, answer) for answer in answers]
    assert right.tolist() == [find_answer_fault(question, answer) is None for answer in answers]
    assert right.any()


def test_check_of_larger_mazes_is_its_naive_twin() -> None:
    """Shortest paths that are no labels; with a cell taken out; and with a cell diagonal to it put in, which may mend them."""
    verdicts = []
    for question in generate(60, 12, 0, least_moves=15, threads=1).questions:
        turned = label(apply_symmetry(question, 3)[None])[0][0]
        answer = apply_symmetry(turned, int(INVERSE[3]))
        assert is_solution(question[None], answer[None])[0]
        for row, column in np.argwhere(answer == 4):
            broken = answer.copy()
            broken[row, column] = 1
            assert not is_solution(question[None], broken[None])[0]
            for r, c in ((row - 1, column - 1), (row - 1, column + 1), (row + 1, column - 1), (row + 1, column + 1)):
                if 0 <= r < 12 and 0 <= c < 12 and broken[r, c] == 1:
                    mended = broken.copy()
                    mended[r, c] = 4
                    verdicts.append(naive.maze_is_solution(question, mended))
                    assert is_solution(question[None], mended[None])[0] == verdicts[-1]
                    assert (find_answer_fault(question, mended) is None) == verdicts[-1]
    assert 50 < sum(verdicts) < len(verdicts) - 50


def test_maze_hard_is_labelled_as_it_is(real: dict) -> None:
    for questions, answers, moves in real.values():
        np.testing.assert_array_equal(label(questions)[0], answers)
        np.testing.assert_array_equal(label(questions)[1], moves)
        assert is_solution(questions, answers).all()
        assert not is_solution(questions, np.roll(answers, 1, axis=0)).any()


def test_turned_label_is_right_though_no_label(real: dict) -> None:
    questions, answers, _ = real["test"]
    turned = [np.stack([apply_symmetry(grid, 1) for grid in grids[:50]]) for grids in (questions, answers)]
    assert is_solution(*turned).all()
    assert (label(turned[0])[0] != turned[1]).any(axis=(1, 2)).all()


# --- what is wrong with one


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (("   ", "  G"), "no S"),
        (("S  ", "   "), "no G"),
        (("S S", "S G"), "3 S (row 1, column 1 and row 1, column 3)"),
        (("S G", "  G"), "two G (row 1, column 3 and row 2, column 3)"),
        (("S#G", " # "), "no path from S to G"),
        (("S G", " o "), "path in a question (row 2, column 2); only answers have a path"),
        (("S#G", "   "), None),
    ],
)
def test_faults_are_named(rows: tuple[str, ...], fault: str | None) -> None:
    assert find_fault(read(*rows)) == fault


def test_strange_cell_is_named() -> None:
    assert find_fault(np.array([[2, 7, 3]], np.uint8)) == "7 is not a cell of a maze (row 1, column 2)"


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (("S#Go", "oooo", "   #"), "the answer's path is not a shortest one (it has 5 cells, the shortest 3)"),
        (("S#G ", "o oo", "ooo#"), "the answer's path is not a shortest one (it has 6 cells, the shortest 3)"),
        (("S#G ", "oo  ", "   #"), "the path is broken at row 2, column 2"),
        (("S#G ", "    ", "   #"), "the path is broken at row 1, column 1"),
        (("SoG ", "    ", "   #"), "the answer moves a wall (row 1, column 2)"),
        (("S#G ", "ooo ", "  # "), "the answer moves a wall (row 3, column 3)"),
        (("o#G ", "ooo ", "   #"), "the answer moves S (row 1, column 1)"),
        (("S#G ", "oooG", "   #"), "the answer moves G (row 2, column 4)"),
        (("S#G ", "ooo "), "the answer is 2 x 4, the question 3 x 4"),
        (("S#G ", "ooo ", "   #"), None),
    ],
)
def test_faults_of_answers_are_named(rows: tuple[str, ...], fault: str | None) -> None:
    assert find_answer_fault(read("S#G ", "    ", "   #"), read(*rows)) == fault


def test_faults_of_answers_begin_with_the_question() -> None:
    assert find_answer_fault(read("S  "), read("S  ")) == "the question has a fault: no G"
    assert find_answer_fault(read("S G"), np.array([[2, 9, 3]], np.uint8)) == (
        "the answer holds 9, which is not a cell of a maze (row 1, column 2)"
    )


def test_what_is_no_array_of_mazes_is_refused() -> None:
    for wrong in (np.ones((2, 3), np.uint8), np.ones((1, 3, 3), np.int64), np.ones((1, 31, 3), np.uint8)):
        with pytest.raises(ValueError, match=says("uint8-rows-and-columns")):
            label(wrong)
    with pytest.raises(ValueError, match=says("answer-of-its-shape")):
        is_solution(np.ones((1, 3, 3), np.uint8), np.ones((2, 3, 3), np.uint8))


# --- canonical form


@given(mazes())
def test_canonical_is_its_naive_twin(grid: np.ndarray) -> None:
    np.testing.assert_array_equal(canonical(grid[None])[0], naive.maze_canonical(grid))


@given(mazes(), st.integers(0, 7))
def test_canonical_is_the_same_for_every_image(grid: np.ndarray, symmetry: int) -> None:
    image = apply_symmetry(grid, symmetry)
    if image.shape == grid.shape:
        np.testing.assert_array_equal(canonical(image[None]), canonical(grid[None]))


def test_maze_hard_has_no_maze_twice_up_to_symmetry(real: dict) -> None:
    keys = [grid.tobytes() for questions, _, _ in real.values() for grid in canonical(questions)]
    assert len(set(keys)) == len(keys) == 1500


# --- the generator


@pytest.mark.parametrize(("side", "least_moves", "seed"), [(5, 7, 0), (6, 9, 1), (9, 12, 2)])
def test_generated_are_what_the_naive_twin_draws(side: int, least_moves: int, seed: int) -> None:
    known, expected, number = set(), [], 0
    while len(expected) < 12:
        stream, drawn = naive.MazeStream(seed, number), None
        while drawn is None or naive.maze_label(drawn)[1] < least_moves:
            drawn = naive.sample_maze(stream, side)
        key, number = naive.maze_canonical(drawn).tobytes(), number + 1
        if key not in known:
            known.add(key)
            expected.append(drawn)
    made = generate(12, side, seed, least_moves=least_moves, threads=1)
    np.testing.assert_array_equal(made.questions, expected)


def test_generated_have_the_chances_of_rejection_sampling() -> None:
    """Beside draws by NumPy's generator: kept as often at every distance, with as many walls, S as often in every place."""
    side, least_moves, generator = 8, 15, np.random.default_rng(0)
    draws = 400_000
    walls = generator.random((draws, side * side)) < generator.uniform(0.3, 0.5, (draws, 1))
    # S and G: the two highest of a random number for each free cell
    chosen = np.argpartition(np.where(walls, 0, generator.random(walls.shape, np.float32)), (-2, -1), axis=1)[:, -2:]
    plain = (~walls).astype(np.uint8)
    np.put_along_axis(plain, chosen, np.array([[2, 3]], np.uint8), axis=1)
    plain = plain.reshape(-1, side, side)
    moves = label(plain)[1]
    plain, moves = plain[moves >= least_moves], moves[moves >= least_moves]
    made = generate(2 * len(plain), side, 7, least_moves=least_moves, threads=1)
    assert len(plain) > 2000

    longest = 24  # and more, in one class
    counts = [np.bincount(np.minimum(m, longest), minlength=longest + 1)[least_moves:] for m in (moves, made.moves)]
    assert stats.chi2_contingency(counts).pvalue > 0.01
    shares = [(grids == 0).mean(axis=(1, 2)) for grids in (plain, made.questions)]
    assert stats.ks_2samp(*shares).pvalue > 0.01
    starts = [(grids.reshape(-1, side * side) == 2).sum(axis=0) for grids in (plain, made.questions)]
    assert stats.chi2_contingency(starts).pvalue > 0.01


def test_generated_mazes_are_solved_and_far_enough() -> None:
    made = generate(12, 20, 5)
    assert made.questions.shape == made.answers.shape == (12, 20, 20)
    assert made.questions.dtype == made.answers.dtype == np.uint8
    assert (made.moves >= default_moves(20)).all()
    assert is_solution(made.questions, made.answers).all()
    np.testing.assert_array_equal(made.answers, label(made.questions)[0])


def test_threads_and_count_change_nothing() -> None:
    first = generate(20, 8, 3, least_moves=14, threads=1)
    for other in (generate(20, 8, 3, least_moves=14, threads=3), generate(33, 8, 3, least_moves=14, threads=2)):
        np.testing.assert_array_equal(other.questions[:20], first.questions)
    assert (generate(20, 8, 4, least_moves=14).questions != first.questions).any()
    assert generate(0, 8, 3).questions.shape == (0, 8, 8)


def test_generated_are_new_up_to_symmetry() -> None:
    """At a side and a distance where the same maze comes often."""
    made = generate(300, 5, 0, least_moves=13, threads=1)
    assert len({grid.tobytes() for grid in canonical(made.questions)}) == 300
    seen = np.stack([apply_symmetry(grid, 1 + number % 7) for number, grid in enumerate(made.answers[:30])])
    other = generate(100, 5, 0, least_moves=13, exclude=seen, threads=1)
    np.testing.assert_array_equal(other.questions, made.questions[30:130])


def test_progress_counts_and_may_stop_it() -> None:
    counted: list[int] = []
    generate(5, 6, 0, least_moves=5, progress=counted.append)
    assert counted == [1, 2, 3, 4, 5]

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        generate(100, 12, 0, threads=2, progress=stop)
    assert threading.active_count() == before


def test_generate_refuses() -> None:
    for arguments, message in [
        ((1, 4, 0), says("side-of-5-to")),
        ((1, 31, 0), says("side-of-5-to-30")),
        ((-1, 8, 0), says("at-least-0-mazes")),
        ((1, 8, -1), says("a-seed-is-a")),
    ]:
        with pytest.raises(InputError, match=message):
            generate(*arguments)
    with pytest.raises(InputError, match=says("never-64-moves-apart")):
        generate(1, 8, 0, least_moves=64)
    with pytest.raises(InputError, match=says("at-least-1-threads")):
        generate(1, 8, 0, threads=0)
    with pytest.raises(ValueError, match=says("of-shape-n-8")):
        generate(1, 8, 0, exclude=np.ones((1, 9, 9), np.uint8))
    with pytest.raises(InputError, match=says("no-maze-of-side")):
        generate(1, 5, 0, least_moves=20, draws=100_000)
    known = generate(8, 8, 0, least_moves=10).questions
    with pytest.raises(InputError, match=says("after-0-of-8")):
        generate(8, 8, 0, least_moves=10, exclude=known, most_repeats=3)


def test_usual_moves_are_those_of_maze_hard() -> None:
    assert default_moves(30) == 109
    assert [default_moves(side) for side in (5, 10, 20)] == [14, 31, 69]


def test_generated_are_none_of_maze_hard(real: dict) -> None:
    known = np.concatenate([questions for questions, _, _ in real.values()])
    made = generate(10, 30, 0, exclude=known)
    everything = canonical(np.concatenate([known, made.questions]))
    assert len({grid.tobytes() for grid in everything}) == 1510


@pytest.mark.slow
def test_generated_have_the_profile_of_maze_hard(real: dict) -> None:
    known = np.concatenate([questions for questions, _, _ in real.values()])
    made = generate(1000, 30, 1)
    assert stats.ks_2samp((known == 0).mean(axis=(1, 2)), (made.questions == 0).mean(axis=(1, 2))).pvalue > 0.01
    counts = [np.bincount(np.minimum(m, 125), minlength=126)[109:] for m in (label(known)[1], made.moves)]
    assert stats.chi2_contingency(counts).pvalue > 0.01
