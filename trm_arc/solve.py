"""Solve one Sudoku or maze with a trained model: python -m trm_arc.solve "53..7...." """

import sys
from collections.abc import Sequence

from trm_arc.cli import (
    NEWEST,
    RUNS,
    Parser,
    add_compile_flag,
    add_device_flags,
    add_model_flag,
    add_refinement_flags,
    chosen_inference,
)
from trm_arc.common.device import find_device
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.output import print_styled
from trm_arc.common.program import run
from trm_arc.common.streams import require_printed
from trm_arc.common.text import printable, wants_colour
from trm_arc.data.puzzle_text import mark_puzzles, read_puzzle
from trm_arc.inference.answer import answer_first, make_predictor
from trm_arc.model.export import load_newest
from trm_arc.model.locate import find_for
from trm_arc.report.solving import SolutionDrawer


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.solve",
        description="Answer one Sudoku or maze with a checkpoint, and check the answer against the rules.",
        usage="%(prog)s PUZZLE [options]",
    )
    puzzle = (
        "Sudoku in one line or several, with . 0 * _ x or - for blanks, as a table or a list; or a text file with a Sudoku or a "
        "maze of # and blanks, S and G"
    )
    parser.add_argument("puzzle", metavar="PUZZLE", help=puzzle)
    add_model_flag(parser, f"{NEWEST} that answers such puzzles, else a network of the kit")
    parser.add_argument("--steps", type=int, help="supervision steps (default: the answer_steps of the run)")
    parser.add_argument("--views", type=int, default=1, help="number of symmetries under which the puzzle is answered; they vote")
    parser.add_argument("--show-steps", action="store_true", help="draw the answer after each supervision step")
    add_refinement_flags(parser)
    add_compile_flag(parser)
    add_device_flags(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, answer, show.

    Returns:
        0 if the answer is right, 1 if it is not.
    """
    values = make_parser().parse(mark_puzzles(arguments))
    config = chosen_inference(values)
    require_least("views", values.views)
    if values.show_steps and (values.views > 1 or values.patience):
        raise InputError("shows one view to its last step; leave out --views and --patience", flag="--show-steps")
    puzzles = read_puzzle(values.puzzle)
    checkpoint = load_newest(values.checkpoint or find_for(puzzles.domain, RUNS))
    if values.checkpoint is None:
        print(printable(f"answered by {checkpoint.where}"), file=sys.stderr)
    device = find_device(values.device, values.precision)
    predictor, _ = make_predictor(checkpoint, puzzles, device, config)
    if predictor.compiled.note:
        print(predictor.compiled.note, file=sys.stderr)  # apart from the answer
    drawer = SolutionDrawer(puzzles, colour=wants_colour())
    if values.show_steps:
        predictor.callback = drawer.draw_step
    best, views = answer_first(predictor, values.views)
    print_styled(drawer.draw_answer(best, views))
    return require_printed(0 if puzzles.domain.are_solutions(puzzles.questions, best.grid[None])[0] else 1)


if __name__ == "__main__":
    run(main)
