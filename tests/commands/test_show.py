"""Tasks and answers in the terminal: what is drawn, what is marked, that it fits, and how a task is found."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.helpers import make_tasks, messages, to_document, write_kaggle
from trm_arc.common.errors import InputError
from trm_arc.common.text import printable
from trm_arc.data.domains import domain_by_name
from trm_arc.data.puzzle_set import AnySet, PuzzleSet
from trm_arc.data.sources import DATA_VARIABLE
from trm_arc.data.task import Grid, Pair, Task, TaskSet
from trm_arc.evaluation.result_files import find_results, write_results
from trm_arc.evaluation.results import Results, ResultsMetadata, make_results
from trm_arc.inference.votes import Candidate
from trm_arc.report.terminal import flow, join_lines, render_grid

says = messages(__name__)

STYLE = re.compile(r"\x1b\[[0-9;]*m")
ORIENTATIONS = 8
VIEWS = 40


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No colour, 80 columns and no data folder but for tests that say so."""
    for name in ("NO_COLOR", "FORCE_COLOR", DATA_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def wide(text: str) -> int:
    """Columns of the longest line in a terminal."""
    return max(map(len, STYLE.sub("", text).splitlines()))


def make_answers(tasks: AnySet, grids: Sequence[Sequence[Grid]]) -> Results:
    """Results with these candidates, the first of which has the most votes."""
    of_puzzles = isinstance(tasks, PuzzleSet)
    ways = 1 if of_puzzles else ORIENTATIONS

    def votes(place: int) -> tuple[int, tuple[int, ...]]:
        count = 16 // 2**place
        return count, () if of_puzzles else (count,) + (0,) * (ORIENTATIONS - 1)

    ranked = [[Candidate(grid, votes(n)[0], 0.75, votes(n)[1]) for n, grid in enumerate(each)] for each in grids]
    return make_results(ResultsMetadata(data=tasks.name), tasks, ranked, np.full((len(ranked), ways), VIEWS // ways))


def spoil(grid: Grid) -> Grid:
    """The grid with another first cell."""
    spoilt = grid.copy()
    spoilt[0, 0] = (spoilt[0, 0] + 1) % 10
    return spoilt


@pytest.fixture
def tasks() -> TaskSet:
    """Two tasks, the second of which has two test inputs."""
    return make_tasks(2, 3)


@pytest.fixture
def arc_run(tmp_path: Path, tasks: TaskSet) -> Path:
    """A run that misses the first task by a cell, its right answer in third place, and solves one test of the other task."""
    truths = [task.test[number].output for task, number in tasks.tests]
    grids = [[spoil(truths[0]), np.zeros((9, 9), np.uint8), truths[0]], [truths[1], spoil(truths[1])], []]
    write_results(tmp_path / "run" / "predictions.json", make_answers(tasks, grids))
    return tmp_path / "run"


@pytest.fixture(scope="module")
def sudoku() -> PuzzleSet:
    """Five small puzzles, made by hand: each lacks another two cells that can be told at once."""
    domain = domain_by_name("sudoku-4x4")
    answers = np.repeat(domain.parse("1234341221434321"), 5, axis=0)
    questions = answers.copy()
    questions[np.arange(5), [0, 0, 0, 0, 1], [0, 1, 2, 3, 0]] = 0
    questions[:, 3, 3] = 0
    return PuzzleSet("sudoku-4x4", domain, questions, answers, np.zeros(5, np.int64), np.arange(1, 6))


@pytest.fixture
def sudoku_run(tmp_path: Path, sudoku: PuzzleSet) -> Path:
    """A run that solves all but the second puzzle, whose answer comes second."""
    grids = [[answer] for answer in sudoku.answers]
    wrong = sudoku.answers[1].copy()
    wrong[0] = wrong[0, ::-1]
    grids[1] = [wrong, sudoku.answers[1]]
    write_results(tmp_path / "puzzles" / "predictions.json", make_answers(sudoku, grids))
    return tmp_path / "puzzles"


def test_a_wrong_cell_is_marked_with_and_without_colour() -> None:
    grid, truth = np.array([[0, 4], [9, 3]], np.uint8), np.array([[1, 4], [9, 5]], np.uint8)
    assert render_grid(grid, False, truth) == ["0!4 ", "9 3!"]
    assert render_grid(grid, False) == ["0 4 ", "9 3 "] == render_grid(grid, False, truth[:1])
    coloured = render_grid(grid, True, truth)
    assert [STYLE.sub("", line) for line in coloured] == ["><  ", "  ><"]
    assert "\x1b[1;38;2;255;255;255m><" in coloured[0], "white on black"
    assert "\x1b[48;2;46;204;64m\x1b[1;38;2;0;0;0m><" in coloured[1], "black on green"


def test_pictures_flow_in_rows_that_fit() -> None:
    pictures = [("one", ["12345", "1"]), ("two", ["\x1b[1m12\x1b[0m"]), ("three", ["123"])]
    assert STYLE.sub("", flow(pictures, 12)).splitlines() == ["one     two", "12345   12", "1", "", "three", "123"]
    assert join_lines([["a", "b"], ["->"], ["c"]], " ") == ["a -> c", "b"]
    assert flow(pictures, 1).count("\n\n") == 2, "one that does not fit stands alone"


@pytest.mark.parametrize("colour", [False, True])
def test_a_large_task_fits_80_columns(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch, colour: bool) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1" if colour else "")
    grid = np.random.default_rng(0).integers(0, 10, (30, 30)).astype(np.uint8)
    narrow = grid[:, :18].copy()
    task = Task("large" * 30, (Pair(grid, grid[:, ::-1].copy()), Pair(narrow, narrow)), (Pair(grid, grid),))
    tasks = TaskSet([task], "large tasks")
    run = tmp_path / "predictions.json"
    write_results(run, make_answers(tasks, [[spoil(grid), 9 - grid] + [np.full((30, n), 3, np.uint8) for n in range(1, 9)]]))
    code, text, error = command("show", task.id, "--run", run)
    assert code == 0, error
    assert ("\x1b" in text) == colour
    assert wide(text) <= 80
    assert says("demonstration-1-30-x") in text
    assert says("demonstration-2-30-x") in text
    assert says("right-size-1-wrong") in STYLE.sub("", text).replace("\n", " ")
    assert (STYLE.sub("", text).count("><") if colour else text.count("!")) > 1


def test_a_task_is_shown_with_its_solution(tmp_path: Path, tasks: TaskSet, command: Callable) -> None:
    path = write_kaggle(tmp_path, tasks, "made")
    code, text, _ = command("show", "made01", "made00", "--data", path)
    assert code == 0
    assert "\x1b" not in text
    assert text.index("made01 of made_challenges.json") < text.index("made00 of made_challenges.json")
    first = tasks["made01"].train[0]
    rows, columns = first.input.shape
    assert f"demonstration 1: {rows} x {columns} to {rows} x {columns}" in text
    assert all(" ".join(map(str, row)) in text for row in first.output.tolist())
    assert says("test-input-2") in text
    blind = tmp_path / "blind.json"
    blind.write_bytes(orjson.dumps(to_document(tasks)))
    shape = " x ".join(map(str, tasks[0].test[0].input.shape))
    assert f"test input: {shape}\n" in command("show", "made00", "--data", blind)[1], "its output is not known"
    solutions = path.with_name("made_solutions.json")
    assert f"test input: {shape} to {shape}\n" in command("show", "made00", "--data", blind, "--solutions", solutions)[1]


def test_a_file_of_one_task_is_a_task(tmp_path: Path, tasks: TaskSet, command: Callable) -> None:
    path = tmp_path / "single.json"
    path.write_bytes(orjson.dumps(to_document(tasks, outputs=True)["made00"]))
    assert says("single-of-single-json") in command("show", path)[1]
    code, _, error = command("show", write_kaggle(tmp_path, tasks, "made"))
    assert code == 2
    assert says("holds-2-tasks-name") in error


def test_answers_are_shown_with_votes_and_marks(arc_run: Path, tasks: TaskSet, command: Callable) -> None:
    code, text, error = command("show", "made00", "--run", arc_run)
    assert code == 0, error
    head = "made00: not solved, right answer at rank 3, given by 4 of 40 views, under 1 of 8 symmetries"
    assert head in text.replace("\n", " "), "it may stand in two lines"
    assert re.search(r"attempt 1 +attempt 2: 9 x 9 +truth\n", text)
    assert re.search(r"16 of 40 views +8 of 40 views ", text)
    truth = tasks[0].test[0].output
    assert f"{(truth[0, 0] + 1) % 10}!" in text
    assert text.count("!") == 1
    rows, columns = truth.shape
    assert f"     1     16  40.0%     0.75  {rows} x {columns}    1 wrong cell" in text
    assert "     2      8  20.0%     0.75  9 x 9    wrong size" in text
    assert f"     3      4  10.0%     0.75  {rows} x {columns}    right" in text
    text = command("show", "made01 test 2", "--run", arc_run / "predictions.json")[1]
    assert says("made01-test-1-solved") in text
    assert says("made01-test-2-not") in text
    assert "a guess" in text
    assert says("no-view-gave-an") in text


def test_the_right_answer_is_listed_wherever_it_stands(tmp_path: Path, command: Callable) -> None:
    tasks = make_tasks(1, 5)
    truth = tasks[0].test[0].output
    others = [np.full((9, n), 1, np.uint8) for n in range(1, 13)]
    write_results(tmp_path / "predictions.json", make_answers(tasks, [[*others, truth]]))
    text = command("show", "made00", "--run", tmp_path)[1]
    assert re.search(r"(?m)^    10  .*wrong size\n    13  .*right$", text)
    assert says("13-distinct-answers-from") in text


def test_a_solution_from_elsewhere_judges_the_run(tmp_path: Path, tasks: TaskSet, command: Callable) -> None:
    truths = [task.test[number].output for task, number in tasks.tests]
    blind = make_answers(tasks.without_solutions(), [[spoil(truth), np.zeros((9, 9), np.uint8), truth] for truth in truths])
    write_results(tmp_path / "predictions.json", blind)
    code, text, _ = command("show", "made00", "--run", tmp_path)
    assert (code, "truth" in text, "right" in text, "!" in text) == (0, False, False, False)
    text = command("show", "made00", "--run", tmp_path, "--data", write_kaggle(tmp_path, tasks, "made"))[1]
    assert says("right-answer-at-rank") in text
    other = write_kaggle(tmp_path, make_tasks(2, 99), "other")  # others with the same ids
    text = command("show", "made00", "--run", tmp_path, "--data", other)[1]
    assert says("has-no-answer-to") in text.replace("\n", " ")
    assert "attempt" not in text


def test_puzzles_are_shown_with_answers(sudoku_run: Path, sudoku: PuzzleSet, command: Callable) -> None:
    code, text, error = command("show", 1, "row 2", "--run", sudoku_run)
    assert code == 0, error
    assert "sudoku-4x4: sudoku-4x4\nrow 1, 0 guesses: solved\n" in text
    assert says("row-2-0-guesses") in text
    assert text.count("!") == 4
    assert "     2      8  20.0%     0.75  4 x 4    right" in text
    assert wide(text) <= 80
    question = sudoku.domain.format_text(sudoku.questions[1])
    assert "row 2, " in command("show", question, "--run", sudoku_run)[1], "a puzzle is known again"
    code, _, error = command("show", 77, "--run", sudoku_run)
    assert code == 2
    assert says("row-77-not-among") in error
    code, _, error = command("show", "made00", "--run", sudoku_run)
    assert (code, says("made00-neither-a-row") in error) == (2, True)


def test_puzzles_are_shown_with_their_solution(tmp_path: Path, sudoku: PuzzleSet, sudoku_run: Path, command: Callable) -> None:
    question = sudoku.domain.format_text(sudoku.questions[0])
    code, text, error = command("show", question)
    assert code == 0, error
    assert "sudoku-4x4, 0 guesses\nquestion        solution\n" in text
    maze = tmp_path / "maze.txt"
    maze.write_text("S    \n# # #\n# ## \n  #  \n#G#  \n")
    text = command("show", maze, "--run", sudoku_run)[1]
    assert says("maze-5x5-5-moves") in text
    assert says("has-no-answer-to") in text.replace("\n", " ")
    table = tmp_path / "table.csv"
    table.write_text(f"question,answer\n{question},{sudoku.domain.format_text(sudoku.answers[0])}\n")
    assert says("table-csv-row-1") in command("show", 1, "--data", table)[1].replace("\n", " ")
    code, _, error = command("show", table)
    assert (code, says("holds-many-puzzles-name") in error) == (2, True)
    code, _, error = command("show", 1, "--data", table, "--solutions", maze)
    assert (code, says("does-nothing-for-sudoku") in error) == (2, True)
    assert command.refused.flag == "--solutions"


def test_ids_that_are_nowhere(tmp_path: Path, tasks: TaskSet, arc_run: Path, command: Callable) -> None:
    path = write_kaggle(tmp_path, tasks, "made")
    code, _, error = command("show", "made001", "--data", path)
    assert code == 2
    assert error == says("error-made001-no-task")
    assert command("show", "zzz", "--run", arc_run)[2] == says("error-zzz-no-task")
    for arguments, reason in (
        (("made00", "--run", tmp_path), says("holds-no-predictions-yet")),
        (("made00", "--run", tmp_path / "none"), says("no-such-run")),
        (("made00", "--run", path), says("no-predictions-of-this")),
        (("made00", "--solutions", path), says("solutions-goes-with-a")),
        ((), "TASK"),
    ):
        code, _, error = command("show", *arguments)
        assert code == 2, arguments
        assert reason in error


def test_named_sets_are_looked_through(arc: Path, command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(arc))
    code, text, error = command("show", "007bbfb7", "a8610ef7")
    assert code == 0, error
    assert says("007bbfb7-of-arc1-training") in text
    assert says("a8610ef7-of-arc1-evaluation") in text
    assert wide(text) <= 80
    code, _, error = command("show", "007bbfb8")
    assert (code, says("did-you-mean-007bbfb7") in error) == (2, True)
    code, _, error = command("show", "12")
    assert (code, says("for-a-row-of") in error) == (2, True)


def test_another_task_with_the_same_id_is_told(tmp_path: Path, command: Callable) -> None:
    write_kaggle(tmp_path / "arc-prize-2025", make_tasks(2, 1), "arc-agi_training")
    write_kaggle(tmp_path / "arc-prize-2025", make_tasks(2, 2), "arc-agi_evaluation")
    code, text, _ = command("show", "made00", "--data-folder", tmp_path)
    assert code == 0
    assert "made00 of arc2-training\nAnother task has this id in arc2-evaluation; --data arc2-evaluation shows it.\n" in text


def test_a_task_cannot_control_the_terminal(tmp_path: Path, tasks: TaskSet, command: Callable) -> None:
    evil = TaskSet([Task("\x1b[2Jevil\r\n\u202e", tasks[1].train, tasks[1].test)], "made")
    path = tmp_path / "evil\x1b[31m.json"
    path.write_bytes(orjson.dumps(to_document(evil, outputs=True)))
    truths = [pair.output for pair in evil[0].test]
    run = tmp_path / "predictions.json"
    write_results(run, make_answers(evil, [[truth] for truth in truths]))
    for arguments in (("--data", path), ("--run", run), ("--data", path, "--run", run)):
        code, text, error = command("show", evil[0].id, *arguments)
        assert code == 0, error
        assert "\\x1b[2Jevil\\r\\n\\u202e" in text
        assert printable(text.replace("\n", "")) == text.replace("\n", "")
    code, _, error = command("show", "\x1b[2Jevil", "--data", path)
    assert code == 2
    assert says("did-you-mean-1b") in error
    assert "\x1b" not in error


def test_results_are_found_by_folder_and_file(arc_run: Path, sudoku_run: Path, tasks: TaskSet) -> None:
    for path in (arc_run, arc_run / "predictions.json", arc_run / "checkpoint-00000002"):
        assert [task.id for task in find_results(path).tasks] == [task.id for task in tasks]
    for path in (sudoku_run, sudoku_run / "predictions.json"):
        assert len(find_results(path).tasks) == 5
    with pytest.raises(InputError, match=says("cannot-be-looked-up")):
        find_results(Path("x" * 5000))


def test_help_says_what_a_task_is(command: Callable) -> None:
    code, text, _ = command("show", "--help")
    assert code == 0
    assert says("task-task") in text
    assert wide(text) <= 80
