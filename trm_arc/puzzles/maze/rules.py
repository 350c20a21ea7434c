"""Mazes: the shortest path that Maze-Hard labels them with, a check of answers, what is wrong with one, a canonical form.

A maze is a uint8 array (rows, columns), at most 30 x 30, of cells 0 wall, 1 free, 2 start, 3 goal and, in answers only, 4 path.
One moves down, left, right or up by one cell, between cells that are no wall; around the maze there is nothing.
"""

from collections.abc import Sequence

import numpy as np

from trm_arc.puzzles.maze import kernels
from trm_arc.puzzles.maze.kernels import FREE, GOAL, PATH, SIDE, START, WALL

CHARACTERS = "# SGo"  # of the cells 0 to 4, in Maze-Hard's files
_NAMES = ("a wall", "a free cell", "S", "G", "path")


def label(mazes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw the shortest path that Maze-Hard gives as the answer.

    From S, the path takes at each cell the first of Down, Left, Right, Up that stays on a shortest path to G.  Turning a maze
    turns its answers, but not this one of them into the one of the turned maze.

    Args:
        mazes: questions, uint8 (n, rows, columns).

    Returns:
        Answers, uint8 (n, rows, columns), and how many moves they take, int64 (n,).  Where `find_fault` finds a fault, the
        answer is the question and the number of moves is -1.

    Raises:
        ValueError: `mazes` is no such array.
    """
    mazes = _checked(mazes, "mazes")
    answers, moves = mazes.copy(), np.empty(len(mazes), np.int64)
    kernels.label_mazes(mazes, answers, moves, kernels.empty_levels(), kernels.empty_rows())
    return answers, moves


def is_solution(questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Whether answers show a shortest path: any, not just the one that `label` draws.

    Args:
        questions: mazes, uint8 (n, rows, columns).
        answers: of the same shape.

    Returns:
        bool (n,): the answer is the question but for free cells that became path, and S, the path and G are the cells of one
        shortest path.  False where the question has a fault.

    Raises:
        ValueError: an argument is no such array, or their shapes differ.
    """
    questions, answers = _checked(questions, "questions"), _checked(answers, "answers")
    if questions.shape != answers.shape:
        raise ValueError(f"every question needs an answer of its shape, got {questions.shape} and {answers.shape}")
    right = np.empty(len(questions), np.bool_)
    kernels.check_answers(questions, answers, right, kernels.empty_levels(), kernels.empty_rows())
    return right


def canonical(mazes: np.ndarray) -> np.ndarray:
    """The one that stands for all mazes that turning and mirroring make of each other.

    Args:
        mazes: questions or answers, uint8 (n, rows, columns).

    Returns:
        uint8 of the same shape: of the eight images of each maze (the four that keep the shape, if it is not square) the
        smallest, comparing cell by cell from the first row.

    Raises:
        ValueError: `mazes` is no such array.
    """
    mazes = _checked(mazes, "mazes")
    out = np.empty_like(mazes)
    kernels.smallest_images(mazes.reshape(len(mazes), -1), mazes.shape[1:], out)
    return out


def find_fault(maze: np.ndarray) -> str | None:
    """What is wrong with a question.

    Args:
        maze: uint8 (rows, columns).

    Returns:
        A phrase that names the cells at fault, counted from row 1 and column 1; None for a maze of one S, one G and a path
        between them.

    Raises:
        ValueError: `maze` is no such array.
    """
    maze = _checked(maze[None], "a maze")[0]
    for place in np.argwhere(maze >= PATH):
        if maze[tuple(place)] == PATH:
            return f"path in a question ({_name(place)}); only answers have a path"
        return f"{maze[tuple(place)]} is not a cell of a maze ({_name(place)})"
    for cell in (START, GOAL):
        places = [_name(place) for place in np.argwhere(maze == cell)]
        if not places:
            return f"no {_NAMES[cell]}"
        if len(places) > 1:
            return f"{'two' if len(places) == 2 else len(places)} {_NAMES[cell]} ({' and '.join(places[:2])})"
    return "no path from S to G" if label(maze[None])[1][0] < 0 else None


def find_answer_fault(question: np.ndarray, answer: np.ndarray) -> str | None:
    """What is wrong with an answer.

    Args:
        question: uint8 (rows, columns).
        answer: uint8 (rows, columns).

    Returns:
        A phrase that names the cell at fault, counted from row 1 and column 1, or both lengths; None where the answer shows a
        shortest path.

    Raises:
        ValueError: an argument is no such array.
    """
    question, answer = _checked(question[None], "a question")[0], _checked(answer[None], "an answer")[0]
    if fault := find_fault(question):
        return f"the question has a fault: {fault}"
    if question.shape != answer.shape:
        return f"the answer is {_size(answer)}, the question {_size(question)}"
    for place in np.argwhere((question != answer) & ((question != FREE) | (answer != PATH))):
        return f"the answer {_name_change(question[tuple(place)], answer[tuple(place)])} ({_name(place)})"
    if end := _find_end(answer):
        return f"the path is broken at {_name(end)}"
    cells, shortest = int((answer == PATH).sum()), int(label(question[None])[1][0]) - 1
    if cells == shortest:
        return None
    return f"the answer's path is not a shortest one (it has {cells} cells, the shortest {shortest})"


def _checked(mazes: np.ndarray, name: str) -> np.ndarray:
    """The mazes, contiguous, so that kernels are compiled once."""
    if mazes.dtype != np.uint8 or mazes.ndim != 3 or not all(1 <= side <= SIDE for side in mazes.shape[1:]):
        raise ValueError(
            f"{name}: uint8 rows and columns, 1 to {SIDE} of them, are needed, got {mazes.dtype} of shape {mazes.shape}"
        )
    return np.array(mazes, order="C", copy=not (mazes.flags.c_contiguous and mazes.flags.writeable) or None)


def _name(place: Sequence[int]) -> str:
    return f"row {place[0] + 1}, column {place[1] + 1}"


def _size(maze: np.ndarray) -> str:
    return f"{maze.shape[0]} x {maze.shape[1]}"


def _name_change(before: int, after: int) -> str:
    """What an answer does to a cell, where it may not."""
    if after > PATH:
        return f"holds {after}, which is not a cell of a maze"
    if WALL in (before, after):
        return "moves a wall"
    return f"moves {_NAMES[before if before != FREE else after]}"


def _find_end(answer: np.ndarray) -> tuple[int, int] | None:
    """The cell at which the path from S ends without reaching G, of several the furthest; None if it reaches G."""
    levels, rows = kernels.empty_levels(), kernels.empty_rows()
    # A maze that is free on the path alone: free cells become walls, and path becomes free.
    start, goal, _ = kernels.read_maze(np.array([WALL, WALL, START, GOAL, FREE], np.uint8)[answer], rows)
    moves, last = kernels.flood(levels, rows, start, goal, len(levels))
    if moves >= 0:
        return None
    ends = levels[last] & ~levels[last - 1] if last else levels[0]
    row = int(np.flatnonzero(ends)[0])
    return row - 1, int(ends[row]).bit_length() - 1
