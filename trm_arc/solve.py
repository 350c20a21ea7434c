"""Solve one Sudoku or maze with a trained model: python -m trm_arc.solve "53..7...." """

import sys
from collections.abc import Sequence

from trm_arc.cli import (
    JSON_HELP,
    NEWEST,
    RUNS,
    Parser,
    add_answer_steps,
    add_compile_flag,
    add_device_flags,
    add_model_flag,
    add_refinement_flags,
    chosen_inference,
)
from trm_arc.common.device import find_device
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.output import print_json, print_styled, words_aside
from trm_arc.common.program import run
from trm_arc.common.streams import require_printed
from trm_arc.common.text import printable, wants_colour
from trm_arc.data.puzzle_text import mark_puzzles, read_puzzle
from trm_arc.inference.answer import make_predictor, rank_first
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
    views = "number of symmetries under which the puzzle is answered; they vote"
    parser.group("answering")("--views", type=int, default=1, metavar="N", help=views)
    add_answer_steps(parser)
    add_refinement_flags(parser)
    add_compile_flag(parser)
    flag = parser.group("output")
    flag("--show-steps", action="store_true", help="draw the answer after each supervision step")
    flag("--json", action="store_true", help=JSON_HELP)
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
    with words_aside(values.json):
        (best, *_), views = rank_first(predictor, values.views)
    right = bool(puzzles.domain.are_solutions(puzzles.questions, best.grid[None])[0])
    if values.json:
        answer = {"right": right, "answer": puzzles.domain.format_text(best.grid), "sure": best.halting, "votes": best.votes}
        about = {"kind": puzzles.domain.name, "question": puzzles.domain.format_text(puzzles.questions[0])}
        return print_json({**about, **answer, "views": views, "checkpoint": str(checkpoint.where)}, int(not right))
    print_styled(drawer.draw_answer(best, views))
    return require_printed(int(not right))


if __name__ == "__main__":
    run(main)
