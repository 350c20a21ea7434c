"""Solve an ARC task, a Sudoku or a maze with a trained model: python -m trm_arc.solve 66e6c45b"""

import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from trm_arc.cli import (
    JSON_HELP,
    NEWEST_OR_OURS,
    RUNS,
    Parser,
    add_answer_steps,
    add_compile_flag,
    add_machine_flags,
    add_model_flag,
    add_refinement_flags,
    chosen_inference,
)
from trm_arc.common.device import Device, find_device
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.errors import InputError, require_least
from trm_arc.common.output import print_json, print_styled, words_aside
from trm_arc.common.program import run
from trm_arc.common.streams import require_printed
from trm_arc.common.text import printable, wants_colour
from trm_arc.data.lookup import TaskFinder
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.data.puzzle_text import mark_puzzles, read_puzzle
from trm_arc.data.sources import load_tasks
from trm_arc.evaluation.ensemble import Ensemble
from trm_arc.evaluation.outcomes import SOLVED, score_tests
from trm_arc.inference.answer import make_predictor, rank_first
from trm_arc.inference.config import InferenceConfig
from trm_arc.model.checkpoint import Checkpoint
from trm_arc.model.export import load_newest
from trm_arc.model.locate import find_for
from trm_arc.report.drawing import render_answers
from trm_arc.report.solving import SolutionDrawer

VIEWS = 64  # of an ARC task, if nothing else is asked


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.solve",
        description="Answer an ARC task, a Sudoku or a maze with a checkpoint, and check the answer by solution or rules.",
        usage="%(prog)s PUZZLE [options]",
    )
    puzzle = (
        "an ARC task's id, or its JSON file; a Sudoku in one line or several, with . 0 * _ x or - for blanks, as a table or a "
        "list; or a text file with a Sudoku or a maze of # and blanks, S and G"
    )
    parser.add_argument("puzzle", metavar="PUZZLE", help=puzzle)
    add_model_flag(parser, NEWEST_OR_OURS)
    views = f"views at most, which vote (default: 1, of an ARC task {VIEWS})"
    parser.group("answering")("--views", type=int, metavar="N", help=views)
    add_answer_steps(parser)
    add_refinement_flags(parser)
    add_compile_flag(parser)
    flag = parser.group("output")
    flag("--show-steps", action="store_true", help="draw the answer to a Sudoku or maze after each supervision step")
    flag("--json", action="store_true", help=JSON_HELP)
    add_machine_flags(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Parse, answer, show.

    Returns:
        0 if the answer is right, or cannot be checked; 1 if it is not.
    """
    values = make_parser().parse(mark_puzzles(arguments))
    config = chosen_inference(values)
    require_least("views", values.views)
    asked = find_puzzle(values.puzzle, values.data_folder)
    is_board = asked.domain.shape is not None
    if values.show_steps and (not is_board or (values.views or 1) > 1 or values.patience):
        raise InputError("shows one view of a board to its last step; leave out --views and --patience", flag="--show-steps")
    checkpoint = load_newest(values.checkpoint or find_for(asked.domain, RUNS))
    if values.checkpoint is None:
        print(printable(f"answered by {checkpoint.where}"), file=sys.stderr)
    device = find_device(values.device, values.precision)
    return (answer_board if is_board else answer_tasks)(values, asked, checkpoint, device, config)


def find_puzzle(text: str, data_folder: Path | None) -> AnySet:
    """What a user asks: a set of one board, or of one ARC task; or of all tasks of a file."""
    if re.fullmatch(r"[0-9a-f]{8}", text):
        return TaskFinder(folder=data_folder).find(text).tasks
    return load_tasks(text, data_folder) if text.lower().endswith(".json") else read_puzzle(text)


def answer_tasks(values: Namespace, tasks: AnySet, checkpoint: Checkpoint, device: Device, config: InferenceConfig) -> int:
    """Answer ARC tasks in two attempts, and draw them; 1 if a test input with a known solution is not solved."""
    ensemble = Ensemble.of(checkpoint)
    with words_aside(True):
        tasks = ensemble.check_tasks(tasks, drop_leaks=False)
        results = ensemble.evaluate(tasks, device, config, views=values.views or VIEWS, processes=ProcessGroup())
    right = all(test.outcome in SOLVED for test in score_tests(results)) if tasks.has_solutions else None
    if values.json:
        answer = {"answer": results.submission(), "right": right, "views": max(one.views for one in results)}
        return print_json({"kind": tasks.domain.name, **answer, "checkpoint": str(checkpoint.where)}, int(right is False))
    print_styled(render_answers(results, wants_colour(), tables=True))
    return require_printed(int(right is False))


def answer_board(values: Namespace, puzzles: PuzzleSet, checkpoint: Checkpoint, device: Device, config: InferenceConfig) -> int:
    """Answer a Sudoku or maze, and draw it; 1 if the rules do not allow the answer."""
    predictor, _ = make_predictor(checkpoint, puzzles, device, config)
    if predictor.compiled.note:
        print(predictor.compiled.note, file=sys.stderr)  # apart from the answer
    drawer = SolutionDrawer(puzzles, colour=wants_colour())
    predictor.callback = drawer.render_step if values.show_steps else None
    with words_aside(values.json):
        (best, *_), views = rank_first(predictor, values.views or 1)
    right = bool(puzzles.domain.are_solutions(puzzles.questions, best.grid[None])[0])
    if values.json:
        texts = {"question": puzzles.domain.format_text(puzzles.questions[0]), "answer": puzzles.domain.format_text(best.grid)}
        answer = {**texts, "right": right, "sure": best.halting, "votes": best.votes, "views": views}
        return print_json({"kind": puzzles.domain.name, **answer, "checkpoint": str(checkpoint.where)}, int(not right))
    print_styled(drawer.render_answer(best, views))
    return require_printed(int(not right))


if __name__ == "__main__":
    run(main)
