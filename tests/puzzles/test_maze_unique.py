"""Mazes with one path: that they are perfect, how long their paths are, and how they are drawn."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage, stats

from augment import INVERSE, apply_symmetry
from tests import naive
from tests.helpers import messages
from trm_arc.common.errors import InputError
from trm_arc.puzzles.maze.rules import FREE, PATH, WALL, canonical, is_solution, label
from trm_arc.puzzles.maze.unique import generate_unique, moves_between

says = messages(__name__)


def count_doors(maze: np.ndarray) -> int:
    """Pairs of neighbours that are no walls."""
    free = maze != WALL
    return int((free[1:] & free[:-1]).sum() + (free[:, 1:] & free[:, :-1]).sum())


def count_ends(mazes: np.ndarray) -> np.ndarray:
    """Free cells with one free neighbour, in each maze."""
    free = np.pad(mazes != WALL, ((0, 0), (1, 1), (1, 1))).astype(int)
    around = free[:, 2:, 1:-1] + free[:, :-2, 1:-1] + free[:, 1:-1, 2:] + free[:, 1:-1, :-2]
    return ((free[:, 1:-1, 1:-1] == 1) & (around == 1)).sum(axis=(1, 2))


@pytest.mark.parametrize(("side", "easy", "count"), [(9, False, 20), (12, True, 20), (17, False, 20), (30, False, 8)])
def test_there_is_one_path(side: int, easy: bool, count: int) -> None:
    """Free cells are joined, with one door fewer than cells: a tree.  Without any cell of the path, S and G are apart."""
    made = generate_unique(count, side, 0, easy=easy)
    assert made.questions.shape == made.answers.shape == (count, side, side)
    assert made.questions.dtype == made.answers.dtype == np.uint8
    for question, answer, moves in zip(made.questions, made.answers, made.moves, strict=True):
        assert ndimage.label(question != WALL)[1] == 1
        assert count_doors(question) == (question != WALL).sum() - 1
        expected, expected_moves = naive.maze_label(question)
        np.testing.assert_array_equal(answer, expected)
        assert moves == expected_moves == (answer == PATH).sum() + 1
        for place in np.argwhere(answer == PATH):
            cut = question.copy()
            cut[tuple(place)] = WALL
            assert naive.maze_label(cut)[1] == -1


def test_paths_are_as_long_as_those_of_maze_unique() -> None:
    assert moves_between(30) == moves_between(29) == (100, 140)
    assert moves_between(30, easy=True) == (50, 70)
    assert [moves_between(side) for side in (9, 10, 15, 20)] == [(8, 11), (8, 11), (25, 35), (41, 58)]
    counts = np.bincount(generate_unique(400, 30, 3).moves)
    assert (np.flatnonzero(counts).min(), len(counts) - 1) == (100, 140)
    assert stats.chisquare(counts[100:]).pvalue > 0.01


def test_any_right_answer_is_the_expected_one() -> None:
    """Exact and shortest are one score: the label of a turned maze, turned back, is the label, whatever the order of its rule."""
    made = generate_unique(30, 15, 1)
    assert is_solution(made.questions, made.answers).all()
    for symmetry in range(8):
        turned = label(np.stack([apply_symmetry(question, symmetry) for question in made.questions]))[0]
        back = np.stack([apply_symmetry(answer, int(INVERSE[symmetry])) for answer in turned])
        np.testing.assert_array_equal(back, made.answers)


def test_walls_are_carved_as_those_of_the_naive_twin() -> None:
    """Dead ends and the distance of the farthest corners of mazes of 7 x 7 rooms."""
    generator = np.random.default_rng(0)
    twins = np.stack([naive.perfect_maze(7, generator) for _ in range(800)])
    made = generate_unique(800, 15, 5).questions
    made = np.where(made == WALL, np.uint8(WALL), np.uint8(FREE))
    assert stats.ks_2samp(count_ends(made), count_ends(twins)).pvalue > 0.01
    moves = []
    for mazes in (made, twins):
        mazes[:, 1, 1], mazes[:, 13, 13] = 2, 3
        moves.append(label(mazes)[1])
    assert stats.ks_2samp(*moves).pvalue > 0.01
    assert (canonical(made) != made).any()


def test_starts_are_anywhere() -> None:
    """On rooms as often as their share of the free cells, about half; and goals as well."""
    questions = generate_unique(600, 15, 6).questions
    for cell in (2, 3):
        places = np.argwhere(questions == cell)[:, 1:]
        rooms = int((places % 2 == 1).all(axis=1).sum())
        assert stats.binomtest(rooms, 600, 49 / 97).pvalue > 0.01


def test_the_same_seed_gives_the_same_mazes() -> None:
    """On every machine, and with every version of what draws them."""
    first = generate_unique(20, 30, 7)
    np.testing.assert_array_equal(generate_unique(33, 30, 7).questions[:20], first.questions)
    assert (generate_unique(20, 30, 8).questions != first.questions).any(axis=(1, 2)).all()
    assert hashlib.blake2b(first.questions.tobytes(), digest_size=8).hexdigest() == "79ac0d0f95d865e1"
    assert generate_unique(0, 9, 7).questions.shape == (0, 9, 9)


@pytest.mark.parametrize("side", [9, 10])
def test_mazes_are_new_up_to_symmetry(side: int) -> None:
    """At an even side, too, where the image of a maze has the spare walls on another side."""
    made = generate_unique(200, side, 0)
    assert len({grid.tobytes() for grid in canonical(made.questions[:, :9, :9])}) == 200
    seen = made.answers[:50].copy()
    seen[:, :9, :9] = [apply_symmetry(grid, 1 + number % 7) for number, grid in enumerate(seen[:, :9, :9])]
    other = generate_unique(100, side, 0, exclude=seen)
    np.testing.assert_array_equal(other.questions, made.questions[50:150])


def test_generate_unique_refuses() -> None:
    for arguments, message in [
        ((1, 8, 0), says("side-of-9")),
        ((1, 31, 0), says("side-of-9")),
        ((-1, 9, 0), says("at-least-0")),
        ((1, 9, -1), says("at-least-0")),
    ]:
        with pytest.raises(InputError, match=message):
            generate_unique(*arguments)
    with pytest.raises(ValueError, match=says("of-shape-n-9")):
        generate_unique(1, 9, 0, exclude=np.ones((1, 10, 10), np.uint8))
    known = generate_unique(8, 9, 0).questions
    with pytest.raises(InputError, match=says("after-0-of-8")):
        generate_unique(8, 9, 0, exclude=known, most_repeats=3)
