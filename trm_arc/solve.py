"""Solve one Sudoku or maze with a trained model: python -m trm_arc.solve "53..7...." """

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augment import BOARD, tokens_to_board
from trm_arc.cli import Parser, add_device_flags, add_thinking_flags, chosen_thinking, run
from trm_arc.common.device import find_device
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.text import wants_colour
from trm_arc.data.domains import domain_of_board
from trm_arc.data.domains.board import BoardDomain
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.evaluate import RUNS
from trm_arc.inference.answer import make_predictor
from trm_arc.inference.refinement import Moment
from trm_arc.inference.votes import Candidate, tally
from trm_arc.model.checkpoint import newest_checkpoint
from trm_arc.model.export import load_newest
from trm_arc.puzzles.maze.rules import CHARACTERS
from trm_arc.report.puzzle_terminal import draw_board
from trm_arc.report.terminal import flow

LINE = 100  # cells of a board that is also told in one line, to be copied


def read_question(text: str) -> tuple[BoardDomain, np.ndarray]:
    """A puzzle as people write it: Sudoku in one line or several, with . or 0 for blanks; a maze, or a Sudoku, from a text file.

    Args:
        text: the puzzle itself, or the path of a file with it.

    Returns:
        What it is, and the board, uint8 (rows, columns).

    Raises:
        InputError: no puzzle, with the reason.
    """
    where = "the puzzle"
    if len(text) < 1000 and "\n" not in text and _is_file(text):
        where = text
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot be read as text ({error})", file=where) from None
    elif "/" in text or text.endswith(".txt"):
        raise InputError(f"{text}: no such file")
    nothing = f"{where}: neither a puzzle nor a file of one; write a Sudoku in one line, or name a text file with one or a maze"
    if not text.strip():
        raise InputError(nothing)
    lines = text.rstrip("\n").split("\n")
    if "#" in text or set().union(*lines) <= set(CHARACTERS):
        side = max(len(lines), *(len(line.rstrip(" ")) for line in lines))  # editors cut the blanks at the end of a line
        board = "".join(line.rstrip(" ").ljust(side) for line in lines)
    else:
        board = "".join(character for line in lines for character in line if character not in " |-+─│┌┬┐├┼┤└┴┘")
    if len(board) > BOARD**2:
        raise InputError(nothing)
    domain = domain_of_board(board, where)
    question = domain.parse(board)[0]
    if fault := domain.question_fault(question):
        raise InputError(f"{fault}", file=where)
    return domain, question


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:
        return False


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.solve",
        description="Answer one Sudoku or maze with a checkpoint, and check the answer against the rules.",
        usage="%(prog)s PUZZLE [options]",
    )
    puzzle = "Sudoku in one line, with . or 0 for blanks; or a text file with a Sudoku or a maze of # and blanks, S and G"
    parser.add_argument("puzzle", metavar="PUZZLE", help=puzzle)
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint or a run's folder (default: the newest below runs/)")
    parser.add_argument("--steps", type=int, help="supervision steps (default: as many as in training)")
    parser.add_argument("--views", type=int, default=1, help="symmetries under which it is seen; they vote")
    parser.add_argument("--show-steps", action="store_true", help="draw the answer after each step of thought")
    add_thinking_flags(parser)
    add_device_flags(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, think, show.

    Args:
        arguments: the command line.

    Returns:
        0 if the answer is right, 1 if it is not.
    """
    values = make_parser().parse(arguments)
    require_least("views", values.views)
    if values.show_steps and (values.views > 1 or values.patience):
        raise InputError("shows one view to its last step; leave out --views and --patience", flag="--show-steps")
    puzzles = read_puzzle(values.puzzle)
    checkpoint = load_newest(values.checkpoint or newest_checkpoint(RUNS))
    if values.checkpoint is None and checkpoint.domain is not puzzles.domain:
        answers = f"answers {checkpoint.domain.title}, and the puzzle is {puzzles.domain.title}"
        raise InputError(f"the newest run {answers}; name another with --checkpoint", file=checkpoint.where)
    device = find_device(values.device, values.precision)
    predictor, _ = make_predictor(checkpoint, puzzles, device, steps=values.steps, **chosen_thinking(values))
    drawer = Drawer(puzzles, wants_colour())
    if values.show_steps:
        predictor.watch = drawer.draw_step
    views = np.arange(min(values.views, int(predictor.view_counts[0])))
    ranked = tally(predictor.predict(np.zeros_like(views), views), 1, 1, puzzles.domain)[0]
    print(drawer.draw_answer(ranked[0], len(views)))
    return 0 if puzzles.domain.are_solutions(puzzles.questions, ranked[0].grid[None])[0] else 1


def read_puzzle(text: str) -> PuzzleSet:
    """The puzzle of `read_question` with its solution, by which an answer is judged.

    Args:
        text: see there.

    Raises:
        InputError: no puzzle, or not one with one solution.
    """
    domain, question = read_question(text)
    answer, solutions, rating = (found[0] for found in domain.solve(question[None]))
    if solutions != 1:
        raise InputError(f"the puzzle has {'several solutions' if solutions else 'no solution'}; one is needed")
    return PuzzleSet("the puzzle", domain, question[None], answer[None], np.array([rating]), np.array([1]))


class Drawer:
    """Draws what a model says of a puzzle.

    Args:
        puzzles: the one puzzle.
        colour: styles, or marks.
    """

    def __init__(self, puzzles: PuzzleSet, colour: bool) -> None:
        self.domain, self.colour = puzzles.domain, colour
        self.question, self.truth = puzzles.questions[0], puzzles.answers[0]

    def draw_step(self, moment: Moment) -> None:
        """Print the answer after a step, of the rollout that is surest of it; the cycles before its last one are passed over."""
        if not moment.last:
            return
        surest = int(moment.halting.argmax())
        board = tokens_to_board(moment.answers[surest].cpu().numpy())
        right = int((board == self.truth).sum())
        sure = float(moment.halting[surest].float().sigmoid())
        print(f"step {moment.step}: {right} of {board.size} cells right, {sure:.0%} sure")
        print("\n".join(self._draw(board)) + "\n", flush=True)

    def _draw(self, board: np.ndarray) -> list[str]:
        return draw_board(self.domain, self.question, board, self.truth, self.colour)

    def draw_answer(self, candidate: Candidate, views: int) -> str:
        """The question, the answer beside it, and the verdict of the rules.

        Args:
            candidate: the answer.
            views: how many voted.
        """
        board, domain = candidate.grid, self.domain
        question = draw_board(domain, self.question, self.question, None, self.colour)
        titled = [("question", question), ("answer", self._draw(board))]
        if (board == self.truth).all():
            verdict = "right: the solution"
        elif domain.are_solutions(self.question[None], board[None])[0]:
            verdict = "right: another shortest path than the data sets' rule gives"
        else:
            verdict = f"wrong: {domain.answer_fault(self.question, board)}; {int((board != self.truth).sum())} cells differ"
        votes = f", {candidate.votes} of {views} views" if views > 1 else ""
        told = f"{verdict} ({candidate.halting:.0%} sure{votes})"
        line = f"{domain.show(board)}\n" if board.size < LINE else ""
        return f"{flow(titled)}\n{line}{told}"


if __name__ == "__main__":
    run(main)
