"""Sudoku and mazes in the pipeline of ARC: files read, checked, learned, answered under symmetries, judged, told."""

import csv
import gc
import gzip
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from augment import BoardTransform
from tests.helpers import make_puzzles, make_tasks, messages, to_document
from trm_arc.common.device import Device
from trm_arc.common.errors import InputError
from trm_arc.config import PRESETS, Config
from trm_arc.data import puzzle_sources as sources
from trm_arc.data.domains import domain_by_name
from trm_arc.data.domains.arc import ARC
from trm_arc.data.leakage import check_leakage
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.puzzle_sources import fit_to_data
from trm_arc.data.puzzle_text import read_question
from trm_arc.data.table import read_puzzles, write_puzzles
from trm_arc.evaluation.puzzle_scores import PuzzleScores
from trm_arc.inference.answer import make_predictor
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.refinement import RefinementStep, refine
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.report.puzzle_terminal import render_board
from trm_arc.training.run_folder import best_so_far
from trm_arc.training.state import load_state, save_state
from trm_arc.training.trainer import Trainer

says = messages(__name__)

CPU = Device(torch.device("cpu"), torch.float32, "a test")
TINY = (
    "--width 16 --heads 2 --prefix 2 --cycles 1 --latent-steps 1 --batch-size 8 --halt-steps 2 --warmup-steps 2 --steps 6 "
    "--log-every 2 --precision float32 --device cpu"
).split()
QUESTION = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
ANSWER = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
MAZE = "S   ## # ## # ## #  # ##G"  # 5 x 5
PATH = "Sooo## #o## #o## #oo# ##G"


@pytest.fixture(scope="session")
def sudoku() -> PuzzleSet:
    """Easy puzzles of 4 x 4."""
    return make_puzzles("sudoku-4x4-easy", 40, 3)


@pytest.fixture
def files(sudoku: PuzzleSet, tmp_path: Path) -> Path:
    """A folder with train.csv and test.csv of 4 x 4."""
    write_puzzles(tmp_path / "train.csv", sudoku.take(np.arange(24)))
    write_puzzles(tmp_path / "test.csv", sudoku.take(np.arange(24, 40)))
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, sudoku: PuzzleSet) -> Path:
    """A run on some of the puzzles, with what it was trained on beside it."""
    folder = tmp_path_factory.mktemp("puzzles")
    write_puzzles(folder / "train.csv", sudoku.take(np.arange(24)))
    write_puzzles(folder / "test.csv", sudoku.take(np.arange(24, 40)))
    config = Config().override(
        {
            "width": 16,
            "heads": 2,
            "prefix": 2,
            "cycles": 1,
            "latent_steps": 1,
            "batch_size": 8,
            "halt_steps": 3,
            "augmentations": 3,
        }
        | {"data": str(folder / "train.csv"), "evaluation_data": str(folder / "test.csv"), "warmup_steps": 2}
    )
    config = fit_to_data(config, {"data": config.training.data})
    training = read_puzzles(folder / "train.csv", "train")
    trainer = Trainer(config, training.domain.prepare(training, training, config)[0], CPU, 4)
    for _ in range(4):
        trainer.train_step()
    save_state(trainer, folder / "run", 1)
    return folder / "run"


def write_rows(path: Path, rows: list[tuple[str, ...]], header: str = "question,answer") -> Path:
    with path.open("w", newline="") as file:
        file.write(header + "\n")
        csv.writer(file).writerows(rows)
    return path


# --- files


@pytest.mark.parametrize("name", ["sudoku-extreme", "maze-hard"])
def test_the_public_files(name: str, shared: Path, command: Callable, tmp_path: Path) -> None:
    """They load, train and evaluate with one command each."""
    folder = shared / "data"
    preset = "maze" if "maze" in name else "sudoku-mlp"
    flags = ["--preset", preset, "--data", sources.find_file(name, "train", folder), "--evaluation-puzzles", 4]
    code, printed, error = command("train", *flags, *TINY, "--puzzles", 1000, "--steps", 3, "--out", tmp_path / "run")
    assert (code, "trained:" in printed) == (0, True), error
    assert says("learning-1-000-puzzles") in printed
    code, printed, error = command("evaluate", "--checkpoint", tmp_path / "run", "--device", "cpu", "--views", 2, "--no-report")
    assert code == 0, error
    assert says("exact-the-expected-answer") in printed
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["puzzles"] == 4
    assert metrics["domain"] == ("maze-30x30" if "maze" in name else "sudoku-9x9")
    flags = ["--data", name, "--data-folder", folder, "--puzzles", 2, "--no-report"]
    assert command("evaluate", "--checkpoint", tmp_path / "run", *flags)[0] == 0
    assert (tmp_path / "run" / name / "predictions.csv").exists()


@pytest.mark.parametrize("name", ["sudoku-extreme", "maze-hard"])
def test_train_and_test_are_disjoint_up_to_symmetry(name: str, shared: Path) -> None:
    train, test = (sources.load_puzzles(name, part, shared / "data") for part in ("train", "test"))
    assert not np.isin(train.input_hashes(), test.input_hashes()).any()
    assert check_leakage(train, test, drop=False)[1] == []


def test_empty_lines_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"question,answer\n\n{QUESTION},{ANSWER}\n\n")
    assert read_puzzles(tmp_path / "x.csv", "x").rows.tolist() == [1]


def test_sets_are_read_as_written(files: Path, sudoku: PuzzleSet, tmp_path: Path) -> None:
    for name in ("train.csv", "train.csv.gz"):
        write_puzzles(files / name, sudoku)
        back = read_puzzles(files / name, "again")
        for part in ("questions", "answers", "ratings"):
            np.testing.assert_array_equal(getattr(back, part), getattr(sudoku, part))
    np.testing.assert_array_equal(back.rows, np.arange(1, 41))


def test_answers_that_a_file_lacks_are_solved_for(tmp_path: Path) -> None:
    puzzles = read_puzzles(write_rows(tmp_path / "q.csv", [(QUESTION,), (QUESTION.replace(".", "0"),)], "question"), "q")
    assert [puzzles.domain.format_text(board) for board in puzzles.answers] == [ANSWER] * 2
    assert (puzzles.questions[0] == puzzles.questions[1]).all()
    mazes = read_puzzles(write_rows(tmp_path / "m.csv", [(MAZE,)], "question"), "m")
    assert mazes.domain.format_text(mazes.answers[0]) == PATH
    assert mazes.ratings.tolist() == [8]


def test_a_draw_needs_one_pass_and_no_more_memory_than_it_keeps(tmp_path: Path) -> None:
    """The same rows whatever the size of a chunk; and many rows take no more than few."""
    rows = [(QUESTION, ANSWER)] * 30_000
    few, many = write_rows(tmp_path / "few.csv", rows[:10_000]), tmp_path / "many.csv.gz"
    many.write_bytes(gzip.compress(write_rows(tmp_path / "many.csv", rows).read_bytes()))
    whole = read_puzzles(few, "few", 10, seed=1)
    peaks = []
    for path in (few, many):
        gc.collect()
        tracemalloc.start()
        assert len(read_puzzles(path, "x", 10, seed=1)) == 10
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], "30,000 rows take as much as 10,000"
    np.testing.assert_array_equal(read_puzzles(few, "few", 10, seed=1, chunk_size=7).rows, whole.rows)
    assert read_puzzles(few, "few", 10, seed=2).rows.tolist() != whole.rows.tolist()


SHORT, LETTER = QUESTION[:80], "z" + QUESTION[1:]
BAD_ROWS = [
    (SHORT, ANSWER, "the question has 80 characters, sudoku-9x9 needs 81"),
    (LETTER, ANSWER, "row 1, column 1 holds none of '.' '1'"),
    ("55" + QUESTION[2:], ANSWER, "two 5s in row 1"),
    (QUESTION, "1" + ANSWER[1:], "the answer contradicts the question in row 1, column 1"),
    (QUESTION, ANSWER[:2] + "1" + ANSWER[3:], "the answer breaks the rules: two 1s in row 1"),
    (QUESTION, QUESTION, "the answer has no digit in row 1, column 3"),
    (QUESTION, ANSWER[:-1], "the answer has 80 characters"),
    ("." * 81, ANSWER, "several solutions"),
]
BAD_MAZES = [
    (MAZE.replace("S", " "), PATH, "no S"),
    (MAZE.replace("G", " "), PATH, "no G"),
    ("S#  #" + "#" * 10 + "     " * 2, PATH, "no G"),
    ("S#   " + "#" * 5 + "     " * 2 + "    G", PATH, "no path from S to G"),
    (MAZE, MAZE, "the path is broken at row 1, column 1"),
    (MAZE, PATH.replace("#", " ", 1), "the answer moves a wall (row 1, column 5)"),
    (MAZE.replace(" ", "?", 1), PATH, "column 2 holds none of '#' ' ' 'S' 'G' 'o'"),
]


@pytest.mark.parametrize(("question", "answer", "reason"), [*BAD_ROWS, *BAD_MAZES])
def test_bad_rows_are_refused_or_skipped(question: str, answer: str, reason: str, tmp_path: Path, command: Callable) -> None:
    good = (MAZE, PATH) if len(question) == 25 else (QUESTION, ANSWER)
    path = write_rows(tmp_path / "train.csv", [good, (question, answer), good])
    write_rows(tmp_path / "test.csv", [good])
    with pytest.raises(InputError, match="row 2: ") as caught:
        read_puzzles(path, "x")
    assert reason in str(caught.value)
    assert "--skip-bad" in str(caught.value)
    kept = read_puzzles(path, "x", skip_bad=True)
    assert kept.rows.tolist() == [1, 3]
    assert says("left-out-1-bad") in kept.note
    flags = ["--data", path, "--drop-leaks", *TINY, "--augmentations", 7, "--batch-size", 2, "--out", tmp_path / "run"]
    code, _, error = command("train", *flags)
    assert code == 2
    assert f"{path}, row 2: " in error


def test_no_solution_is_found_out_where_no_answer_is_given(tmp_path: Path) -> None:
    impossible = "12345678.........9" + "." * 63  # the first row needs a 9 in its last cell, whose box has one
    path = write_rows(tmp_path / "q.csv", [(impossible,), (QUESTION,)], "question")
    with pytest.raises(InputError, match=says("row-1-no-solution")):
        read_puzzles(path, "q")
    assert read_puzzles(path, "q", skip_bad=True).rows.tolist() == [2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", says("the-file-is-empty")),
        (b"riddle,answer\n1,2\n", says("the-header-needs-the")),
        (b"question,answer\n", says("no-puzzles-here")),
        (b"question,answer\nabc,def\n", says("3-characters-are-no")),
        (b"question\n\xff\xfe\n", says("not-utf-8-text")),
    ],
)
def test_what_is_no_table_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_puzzles(path, "x")


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    whole = gzip.compress(write_rows(tmp_path / "x.csv", [(QUESTION, ANSWER)] * 1000).read_bytes())
    for content, message in ((whole[:-10], says("truncated-or-damaged")), (b"no gzip at all", says("not-compressed-by-gzip"))):
        (tmp_path / "x.csv.gz").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_puzzles(tmp_path / "x.csv.gz", "x")


# --- names


def test_names_of_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sources.CACHE_VARIABLE, str(tmp_path / "cache"))
    assert sources.domain_of_data("sudoku-extreme,sudoku-9x9-easy") is domain_by_name("sudoku-9x9")
    assert sources.domain_of_data("arc1-training,concept") is ARC
    assert sources.domain_of_data("") is ARC
    with pytest.raises(InputError, match=says("sudoku-4x4-holds-sudoku")):
        sources.domain_of_data("sudoku-4x4,concept")
    with pytest.raises(InputError, match=says("sudoku-4x4-holds-sudoku-4x4")):
        sources.domain_of_data("sudoku-4x4,maze-hard")
    with pytest.raises(InputError, match=says("sudoku-extreme-not-found")):
        sources.load_puzzles("sudoku-extreme", "train", tmp_path)
    with pytest.raises(InputError, match=says("nothing-says-what-to")):
        sources.test_of(str(tmp_path / "puzzles.csv"))
    with pytest.raises(InputError, match=says("no-test-csv-beside")):
        sources.test_of(str(tmp_path / "train.csv"))
    with pytest.raises(InputError, match=says("sudoku-has-side-no")):
        sources.domain_of_data("sudoku-7x7")


def test_names_of_mazes_with_one_path(command: Callable, tmp_path: Path) -> None:
    for name in ("maze-unique", "maze-unique-easy", "maze-unique-30x30", "maze-hard,maze-unique"):
        assert sources.domain_of_data(name) is domain_by_name("maze-30x30")
    assert sources.domain_of_data("maze-unique-9x9-easy") is domain_by_name("maze-9x9")
    full, short = (make_puzzles(name, 3, 0).questions for name in ("maze-unique-30x30", "maze-unique"))
    np.testing.assert_array_equal(full, short)
    for name, reason in [
        ("sudoku-unique-9x9", says("leave-unique-out")),
        ("maze-unique-8x8", says("one-path-side")),
        ("maze-unique-9x10", says("maze-unique-9x10-no-such")),
        ("maze-uniqe", says("maze-uniqe-no-such")),
    ]:
        code, _, error = command("train", "--preset", "maze-small", "--data", name, "--out", tmp_path / "run")
        assert (code, reason in error) == (2, True), error


def test_a_run_on_mazes_with_one_path(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained and scored by name; the training puzzles are none of those that are scored."""
    monkeypatch.setenv(sources.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(type(domain_by_name("maze-9x9")), "default_count", 20)
    flags = ["--preset", "maze-small", "--data", "maze-unique-9x9", "--puzzles", 24, "--evaluation-puzzles", 8, *TINY]
    code, printed, error = command("train", *flags, "--out", tmp_path / "run")
    assert code == 0, error
    assert says("answering-8-of-maze-unique") in printed
    code, _, error = command("evaluate", "--checkpoint", tmp_path / "run", "--puzzles", 8, "--no-report", "--device", "cpu")
    assert code == 0, error
    answered = read_puzzles(tmp_path / "run" / "predictions.csv", "answered")
    np.testing.assert_array_equal(answered.questions, sources.load_puzzles("maze-unique-9x9", "test", count=8).questions)


@pytest.mark.parametrize("name", ["maze-7x7-easy", "maze-unique-10x10"])
def test_made_sets_are_kept_and_disjoint(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sources.CACHE_VARIABLE, str(tmp_path / "cache"))
    train, test = (sources.load_puzzles(name, part) for part in ("train", "test"))
    assert (len(train), len(test)) == (1000, 1000)
    assert not np.isin(train.input_hashes(), test.input_hashes()).any()
    assert len(list((tmp_path / "cache").iterdir())) == 2
    monkeypatch.setattr(type(train.domain), "generate", None)
    monkeypatch.setattr(type(train.domain), "_generate_unique", None)
    again = sources.load_puzzles(name, "test", count=5)
    np.testing.assert_array_equal(again.questions, test.questions[:5])


def test_an_unwritable_cache_costs_time_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(sources.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    assert len(sources.generate_set("maze-7x7-easy", "test", 3)) == 3
    assert says("made-again-each-time") in capsys.readouterr().out


# --- settings


def test_settings_follow_from_the_data(files: Path) -> None:
    given = {"data": str(files / "train.csv")}
    config = fit_to_data(PRESETS["arc1-fast"].override({"transform_tokens": False} | given), given)
    assert (config.model.board_rows, config.model.board_columns, config.model.vocabulary) == (4, 4, 6)
    assert config.training.canvas == "full"
    assert config.training.evaluation_data == str(files / "test.csv")
    maze = fit_to_data(PRESETS["trm"].override({"data": "maze-10x10"}), {"data": "maze-10x10"})
    assert (maze.training.augmentations, maze.training.evaluation_data) == (0, "maze-10x10")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--vocabulary", 12], says("vocabulary-sudoku-4x4-needs")),
        (["--board-rows", 9], says("board-rows-sudoku-4x4")),
        (["--canvas", "buckets"], says("canvas-sudoku-4x4-needs")),
        (["--smallest", 3], says("smallest-does-nothing-for")),
        (["--no-translate"], says("translate-does-nothing-for")),
        (["--arc-gen"], says("arc-gen-does-nothing")),
        (["--generated-pairs", 5], says("generated-pairs-does-nothing")),
        (["--transform-tokens", "--prefix", 12], says("transform-tokens-they-tell")),
        (["--evaluation-data", "maze-5x5-easy"], says("is-scored-on-sudoku")),
        (["--evaluation-data", "arc1-evaluation"], says("is-scored-on-sudoku-4x4")),
    ],
)
def test_settings_that_say_nothing_of_boards(flags: list, reason: str, files: Path, command: Callable) -> None:
    code, _, error = command("train", "--data", files / "train.csv", *TINY, *flags, "--out", files / "run")
    assert code == 2
    assert reason in error


def test_settings_of_puzzles_say_nothing_of_arc(command: Callable, tmp_path: Path) -> None:
    code, _, error = command("train", "--preset", "demo", "--puzzles", 3, "--out", tmp_path / "run")
    assert code == 2
    assert says("does-nothing-for-arc") in error
    assert command.refused.flag == "--puzzles"
    code, _, error = command("train", "--preset", "demo", "--evaluation-data", "maze-hard", "--out", tmp_path / "run")
    assert code == 2
    assert says("a-run-on-arc") in error
    assert command.refused.flag == "evaluation_data"
    code, _, error = command("train", "--data", "maze-9x9", "--augmentations", 8, "--out", tmp_path / "run")
    assert says("maze-9x9-has-7") in error
    assert command.refused.flag == "--augmentations"


def test_commands_of_arc_refuse_other_puzzles(trained: Path, command: Callable, tmp_path: Path) -> None:
    challenges = tmp_path / "c.json"
    challenges.write_text(json.dumps(to_document(make_tasks(1, 0))))
    for name, *flags in (("adapt", "--checkpoint", trained), ("submission", "predict", "--checkpoint", trained)):
        code, _, error = command(name, *flags, "--challenges", challenges, "--out", tmp_path / "out")
        assert code == 2
        assert says("answers-sudoku-4x4-not") in error
    code, _, error = command("submission", "bundle", "--checkpoint", trained, "--out", tmp_path / "bundle")
    assert says("answers-sudoku-4x4-not") in error
    code, _, error = command("adapt", "--preset", "maze", "--challenges", challenges)
    assert says("maze-is-for-sudoku") in error
    assert command.refused.flag == "--preset"
    code, _, error = command("evaluate", "--checkpoint", trained, "--data", challenges)
    assert f"answers sudoku-4x4, but {challenges} holds ARC" in error


# --- leaks


@pytest.mark.parametrize("name", ["sudoku-4x4-easy", "sudoku-6x6-easy", "maze-8x8-easy"])
def test_leaks_are_found_up_to_symmetry(name: str) -> None:
    """The image of a scored puzzle is no training puzzle, and one of a trained one is not scored."""
    puzzles = make_puzzles(name, 40, 3)
    domain, test = puzzles.domain, puzzles.take(np.arange(20, 40))
    rows = domain.sample(np.arange(20, dtype=np.uint64), np.ones(20, np.int64))
    transforms = [BoardTransform.from_row(row, domain.shape) for row in rows]
    moved = {
        name: np.stack([t.apply(board) for t, board in zip(transforms, getattr(test, name), strict=True)])
        for name in ("questions", "answers")
    }
    assert domain.are_solutions(moved["questions"], moved["answers"]).all()
    mixed = replace(test, **{name: np.concatenate([moved[name][:2], getattr(puzzles, name)[:3]]) for name in moved})
    mixed = replace(mixed, ratings=np.zeros(5, int), rows=np.arange(1, 6))
    with pytest.raises(InputError, match=says("holds-test-answers-of")):
        check_leakage(mixed, test, drop=False)
    kept, dropped = check_leakage(mixed, test, drop=True)
    assert (kept.rows.tolist(), dropped) == ([3, 4, 5], ["row 1", "row 2"])
    assert domain.are_trained(test, mixed.input_hashes()).nonzero()[0].tolist() == [0, 1]


def test_trained_puzzles_are_not_scored(trained: Path, command: Callable) -> None:
    code, _, error = command("evaluate", "--checkpoint", trained, "--data", trained.parent / "train.csv", "--device", "cpu")
    assert code == 2
    assert says("this-checkpoint-was-trained") in error


# --- training


def small_config(files: Path, **settings: object) -> Config:
    data = {"data": str(files / "train.csv")}
    small = {"width": 16, "heads": 2, "prefix": 2, "cycles": 1, "latent_steps": 1, "batch_size": 8, "halt_steps": 2}
    return fit_to_data(PRESETS["sudoku-attention"].override(small | data | settings), data)


def test_batches_are_images_of_the_puzzles(files: Path, sudoku: PuzzleSet) -> None:
    config = small_config(files, augmentations=5)
    puzzles = sudoku.take(np.arange(24))
    examples = puzzles.domain.prepare(puzzles, puzzles, config)[0]
    assert (examples.embedding_rows, examples.distinct) == (1, 24 * 6)
    known = {question.tobytes(): answer for question, answer in puzzles}
    whole = replace(config.training, batch_size=48)
    batch, seen = examples.batch(0, whole), []
    for tokens, labels, owner, row in zip(*(part.numpy() for part in batch), strict=True):
        transform = BoardTransform.from_row(row, puzzles.domain.shape)
        question = transform.undo(tokens - 1)
        np.testing.assert_array_equal(transform.undo(labels - 1), known[question.tobytes()])
        assert owner == 0
        seen.append(question.tobytes())
    assert all(len(set(epoch)) == 24 for epoch in (seen[:24], seen[24:])), "an epoch shows every puzzle once"
    parts = [examples.batch(0, whole, slice(begin, begin + 12)) for begin in range(0, 48, 12)]
    assert torch.equal(torch.cat([part.tokens for part in parts]), batch.tokens), "any process can paint any part"


def test_a_killed_run_goes_on_to_the_same_bytes(files: Path, command: Callable) -> None:
    flags = ["--preset", "sudoku-mlp", "--data", files / "train.csv", *TINY, "--save-every", 3]
    assert command("train", *flags, "--out", files / "whole")[0] == 0
    assert command("train", *flags, "--out", files / "parts", "--keep", 9)[0] == 0
    (files / "parts" / "checkpoint-00000006").rename(files / "gone")
    code, printed, error = command("train", "--resume", "--out", files / "parts")
    assert code == 0, error
    assert says("resumed-at-step-3") in printed
    first, second = (load_checkpoint(files / name).tensors for name in ("whole", "parts"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    write_puzzles(files / "train.csv", read_puzzles(files / "test.csv", "other"))
    code, _, error = command("train", "--resume", "--drop-leaks", "--out", files / "parts")
    assert code == 2


def test_the_best_checkpoint_is_that_of_evaluations(files: Path, command: Callable) -> None:
    """Training's own share of exact rows is another number, and plays no part."""
    flags = ["--preset", "sudoku-mlp", "--data", files / "train.csv", *TINY, "--log-every", 1, "--evaluate-every", 3]
    assert command("train", *flags, "--out", files / "run")[0] == 0
    lines = [json.loads(line) for line in (files / "run" / "metrics.jsonl").read_text().splitlines()]
    scored = [line for line in lines if "exact answers" in line]
    assert [line["step"] for line in scored] == [3, 6]
    assert all("exact" not in line for line in scored)
    made_up = [{"step": 1, "exact": 1.0}, *scored]
    assert best_so_far(files / "run", made_up, "exact answers") == max(line["exact answers"] for line in scored)


def test_resuming_on_other_puzzles_is_refused(files: Path, sudoku: PuzzleSet) -> None:
    config = small_config(files)
    one, other = (sudoku.take(np.arange(*part)) for part in ((0, 12), (12, 24)))
    saved = save_state(Trainer(config, one.domain.prepare(one, one, config)[0], CPU, 2), files / "run", 1)
    with pytest.raises(InputError, match=says("was-trained-on-other")):
        load_state(Trainer(config, other.domain.prepare(other, other, config)[0], CPU, 2), load_checkpoint(saved))


# --- refinement


def test_rollouts_are_noisy_but_for_the_first(trained: Path, sudoku: PuzzleSet) -> None:
    """The first alone is what there was without rollouts; what a view comes to depends on no other view."""
    checkpoint = load_checkpoint(trained)
    reasoner = checkpoint.reasoner().eval()
    tokens = torch.from_numpy(sudoku.questions[:6] + 1)
    rest = checkpoint.tensors["embedding.table"].expand(6, -1), torch.zeros(6, 30, dtype=torch.uint8)
    seen: list[RefinementStep] = []
    plain = refine(reasoner, tokens, *rest, InferenceConfig(steps=3), torch.float32, range(6))
    rollouts = InferenceConfig(steps=3, rollouts=4, noise=2.0)
    noisy = refine(reasoner, tokens, *rest, rollouts, torch.float32, range(6), seen.append)
    answers, sure = (part.view(6, 4, *part.shape[1:]) for part in (seen[-1].answers, seen[-1].halting))
    assert torch.equal(answers[:, 0], plain.answers)
    assert (answers[:, 0] != answers[:, 1]).any()
    best = sure.argmax(dim=1)
    assert torch.equal(noisy.answers, answers[torch.arange(6), best])
    assert noisy.steps.tolist() == [12] * 6
    alone = refine(reasoner, tokens[4:5], *(part[4:5] for part in rest), rollouts, torch.float32, [4])
    assert torch.equal(alone.answers[0], noisy.answers[4])


def test_patience_stops_what_has_settled(trained: Path, sudoku: PuzzleSet) -> None:
    checkpoint = load_checkpoint(trained)
    reasoner = checkpoint.reasoner().eval()
    tokens = torch.from_numpy(sudoku.questions + 1)
    rest = checkpoint.tensors["embedding.table"].expand(40, -1), torch.zeros(40, 30, dtype=torch.uint8)
    seen: list[RefinementStep] = []
    full = refine(reasoner, tokens, *rest, InferenceConfig(steps=12), torch.float32, range(40), seen.append)
    history = [step.answers for step in seen if step.last]
    for patience in (2, 1):
        short = refine(reasoner, tokens, *rest, InferenceConfig(steps=12, patience=patience), torch.float32, range(40))
        for row, taken in enumerate(short.steps.tolist()):
            same = [torch.equal(history[step][row], history[step - 1][row]) for step in range(1, 12)]
            settled = [step + 1 for step in range(patience, 12) if all(same[step - patience : step])]
            assert taken == (settled[0] if settled else 12)
            assert torch.equal(short.answers[row], history[taken - 1][row])
    assert full.steps.tolist() == [12] * 40
    assert int(short.steps.sum()) < 12 * 40, "none has settled, so the test shows nothing"


@pytest.mark.parametrize(
    ("flag", "value"), [("--rollouts", 0), ("--patience", -1), ("--rollout-noise", 1), ("--answer-steps", 0)]
)
def test_refinement_flags_out_of_range(flag: str, value: int, trained: Path, command: Callable) -> None:
    code, _, error = command("evaluate", "--checkpoint", trained, flag, value)
    assert code == 2
    assert f"{flag}: " in error


def test_views_are_symmetries_that_vote(trained: Path, sudoku: PuzzleSet) -> None:
    predictor, unseen = make_predictor(load_checkpoint(trained), sudoku, CPU, InferenceConfig(steps=2))
    assert unseen == []
    slots, views = np.repeat(np.arange(3), 5), np.tile(np.arange(5), 3)
    [part] = predictor.predict(slots, views)
    np.testing.assert_array_equal(part.table[::5], [sudoku.domain.identity()] * 3)
    assert len(np.unique(part.table, axis=0)) == 13
    again = predictor.predict(slots[::-1].copy(), views[::-1].copy())[0]
    np.testing.assert_array_equal(again.table[::-1], part.table)
    np.testing.assert_array_equal(again.canvases[::-1], part.canvases)


# --- judging


def test_exact_and_valid_are_told_apart() -> None:
    """Of a maze any shortest path is right, the data's own alone is the expected one."""
    domain = domain_by_name("maze-5x5")
    question = domain.parse("S    " + " " * 15 + "    G")
    answer, _, moves = domain.solve(question)
    other = question.copy()
    other[0, 0, 1:] = 4
    other[0, 1:4, 4] = 4
    wrong = other.copy()
    wrong[0, 2, 2] = 4
    boards = [answer[0], other[0], wrong[0]]
    puzzles = PuzzleSet("x", domain, np.repeat(question, 4, 0), np.repeat(answer, 4, 0), np.repeat(moves, 4), np.arange(1, 5))
    scores = PuzzleScores.of(puzzles, [[board] for board in boards] + [[]])
    assert scores.exact.tolist() == [True, False, False, False]
    assert scores.valid.tolist() == [True, True, False, False]
    assert scores.cells[1] == pytest.approx(1 - 14 / 25)
    document = scores.document()
    assert (document["exact"]["solved"], document["valid"]["solved"]) == (1, 2)
    assert document["by_difficulty"][0]["class"] == "8 moves"
    text = scores.table()
    assert all(len(line) <= 80 for line in text.splitlines())


def test_classes_of_difficulty(sudoku: PuzzleSet) -> None:
    ratings = np.arange(40)
    puzzles = replace(sudoku, ratings=ratings)
    classes = list(PuzzleScores.of(puzzles, [[board] for board in sudoku.answers]).classes())
    assert [name for name, _ in classes] == ["0 guesses", "1 to 5 guesses", "6 to 20 guesses", "21 to 39 guesses"]
    assert sum(here.sum() for _, here in classes) == 40


def test_every_answer_is_written(trained: Path, command: Callable, tmp_path: Path) -> None:
    flags = ["--device", "cpu", "--out", tmp_path, "--show", "--views", 3, "--rollouts", 2, "--patience", 1, "--answer-steps", 4]
    code, printed, error = command("evaluate", "--checkpoint", trained, *flags)
    assert code == 0, error
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    domain = domain_by_name("sudoku-4x4")
    for row in rows:
        assert (row["prediction"] == row["answer"]) == (row["exact"] == "1")
        assert domain.parse(row["question"]).shape == (1, 4, 4)
        assert 1 <= int(row["votes"]) <= 3
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["views"], metrics["rollouts"], metrics["patience"]) == (3, 2, 1)
    assert 1 < metrics["supervision_steps"] <= 4
    assert printed.count("question") == 16
    for flag, value, reason in (
        ("--solutions", "x", says("does-nothing-for-sudoku")),
        ("--puzzles", -1, says("puzzles-at-least-0")),
        ("--canvas", "full", says("fill-their-board")),
    ):
        code, _, error = command("evaluate", "--checkpoint", trained, flag, value, "--out", tmp_path)
        assert code == 2
        assert reason in error


def test_what_one_step_alone_would_score(trained: Path, command: Callable, tmp_path: Path) -> None:
    """The same number as an evaluation with one step, beside the scores of all steps, which it leaves alone."""
    scores = {}
    for name, flags in {"all": [], "one": ["--answer-steps", 1], "both": ["--one-step"]}.items():
        code, printed, error = command("evaluate", "--checkpoint", trained, "--device", "cpu", "--out", tmp_path / name, *flags)
        assert code == 0, error
        scores[name] = json.loads((tmp_path / name / "metrics.json").read_text())
    assert f"{100 * scores['one']['exact']['value']:.1f} % exact" in printed
    assert scores["both"]["one_step_score"] == scores["one"]["exact"]["value"]
    assert scores["both"]["exact"] == scores["all"]["exact"]
    assert says("score-of-one-step") in (tmp_path / "both" / "report.html").read_text()
    code, _, error = command("evaluate", "--checkpoint", trained, "--answer-steps", 1, "--one-step", "--out", tmp_path)
    assert (code, says("one-step-does-nothing") in error) == (2, True)


# --- one puzzle


def test_questions_as_people_write_them(tmp_path: Path) -> None:
    lines = [QUESTION[at : at + 9] for at in range(0, 81, 9)]
    drawn = "\n".join(f"| {' '.join(line[:3])} | {' '.join(line[3:6])} | {' '.join(line[6:])} |" for line in lines)
    for text in (QUESTION, QUESTION.replace(".", "0"), "\n".join(lines), drawn):
        (tmp_path / "puzzle.txt").write_text(text)
        for source in (text, str(tmp_path / "puzzle.txt")):
            domain, question = read_question(source)
            assert (domain.name, domain.format_text(question)) == ("sudoku-9x9", QUESTION)
    open_row = "     \n# ###\n#S#G#\n# # #\n#   #\n"
    assert read_question(open_row)[0].name == read_question(open_row.replace("\n", " \n"))[0].name == "maze-5x5"
    (tmp_path / "maze.txt").write_text("S\n# # #\n# # #\n#   #\n  #G#\n")
    domain, question = read_question(str(tmp_path / "maze.txt"))
    assert domain.name == "maze-5x5"
    assert domain.format_text(question) == "S    # # ## # ##   #  #G#"


def test_a_run_of_another_kind_is_passed_over(
    trained: Path, sudoku: PuzzleSet, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    _, _, error = command("solve", QUESTION, "--device", "cpu")  # 9 x 9
    assert "networks/sudoku-extreme" in error
    _, _, error = command("solve", sudoku.domain.format_text(sudoku.questions[0]), "--device", "cpu")
    assert "runs/checkpoint-" in error


def test_solve_answers_and_checks(trained: Path, sudoku: PuzzleSet, command: Callable) -> None:
    question = sudoku.domain.format_text(sudoku.questions[30])
    flags = ["--checkpoint", trained, "--device", "cpu"]
    code, printed, error = command("solve", question, *flags, "--show-steps", "--rollouts", 2)
    assert code == 1, error
    assert all(f"step {step}: " in printed for step in (1, 2, 3))
    assert says("wrong-the-answer") in printed
    assert printed.count("┌─────┬─────┐") == 5
    code, printed, _ = command("solve", question, *flags, "--views", 4)
    assert says("of-4-views") in printed
    for text, reason in [
        (QUESTION, says("answers-sudoku-4x4-and")),
        (QUESTION[:-1], says("80-characters-are-no")),
        ("." * 16, says("the-puzzle-has-several")),
        ("/no/such.txt", says("no-such-txt-no")),
        ("S   #\n# # #\n# x #\n#   #\n  #G#", says("row-3-column-3")),
        ("11" + "." * 14, says("the-puzzle-two-1s")),
        ("1z" + "." * 14, says("row-1-column-2")),
    ]:
        code, _, error = command("solve", text, *flags)
        assert code == 2
        assert reason in error
    code, _, error = command("solve", question, *flags, "--views", 2, "--show-steps")
    assert says("shows-one-view") in error
    assert command.refused.flag == "--show-steps"


def test_boards_are_drawn_in_80_columns_with_and_without_colour() -> None:
    for name, text, answer in (("sudoku-9x9", QUESTION, ANSWER), ("maze-5x5", MAZE, PATH)):
        domain = domain_by_name(name)
        question, truth = domain.parse(text)[0], domain.parse(answer)[0]
        wrong = truth.copy()
        wrong[0, 2] = 1
        plain = render_board(domain, question, wrong, truth, colour=False)
        assert max(map(len, plain)) <= 80
        assert "!" in plain[1 if name.startswith("sudoku") else 0]
        assert "!" not in "".join(render_board(domain, question, truth, truth, colour=False))
        coloured = "\n".join(render_board(domain, question, wrong, truth, colour=True))
        assert "\x1b[1;31m" in coloured


# --- making puzzles, and the curve


def test_generate_writes_what_train_reads(command: Callable, tmp_path: Path) -> None:
    path = tmp_path / "m.csv.gz"
    code, printed, error = command("generate", "maze-6x6-easy", "--puzzles", 8, "--out", path)
    assert code == 0, error
    assert says("8-puzzles-moves-from") in printed
    first = read_puzzles(path, "m")
    code, _, _ = command("generate", "maze-6x6-easy", "--puzzles", 8, "--seed", 0, "--exclude", path, "--out", tmp_path / "n.csv")
    second = read_puzzles(tmp_path / "n.csv", "n")
    assert not np.isin(first.input_hashes(), second.input_hashes()).any()
    for flags, reason in [
        (["sudoku-5x5"], says("a-sudoku-has-side")),
        (["chess"], says("chess-no-such-kind")),
        (["maze-6x6", "--puzzles", 0], says("puzzles-at-least-1")),
        (["sudoku-4x4", "--seed", 10**22], says("seed-must-be-below")),
        (["maze-6x6", "--exclude", tmp_path / "none.csv"], says("no-such-file")),
    ]:
        code, _, error = command("generate", *flags, "--out", tmp_path / "x.csv")
        assert code == 2
        assert reason in error
    code, _, error = command("generate", "maze-6x6", "--out", tmp_path / "x.txt")
    assert says("a-file-ending-in") in error
    assert command.refused.flag == "--out"


def test_accuracy_against_compute(trained: Path, command: Callable, tmp_path: Path) -> None:
    flags = ["--answer-steps", 1, 2, 4, "--patience", 1, "--rollouts", 2, "--views", 2, 3, "--device", "cpu", "--out", tmp_path]
    code, printed, error = command("sweep", "--checkpoint", trained, *flags)
    assert code == 0, error
    points = json.loads((tmp_path / "sweep.json").read_text())["points"]
    kinds = [point["kind"] for point in points]
    assert kinds == ["steps"] * 3 + ["patience"] * 2 + ["rollouts"] + ["views"] * 2
    taken = [point["taken"] for point in points]
    assert taken[:3] == [1, 2, 4]
    assert taken[4] <= 4
    assert taken[5:] == [6, 6, 9]
    assert points[2]["operations"] == 4 * points[0]["operations"]
    assert all(len(line) <= 80 for line in printed.splitlines()[2:9])


def test_the_picture_of_the_curve(trained: Path, command: Callable, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture is drawn by matplotlib")
    assert (
        command("sweep", "--checkpoint", trained, "--answer-steps", 1, "--rollouts", 2, "--views", 2, "--out", tmp_path)[0] == 0
    )
    assert (tmp_path / "sweep.svg").read_text().startswith("<?xml")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_domains_have_names() -> None:
    assert domain_by_name("arc") is ARC
    for name in ("arc-9x9", "sudoku-9x6", "maze-2x2", "maze-31x31", "chess"):
        with pytest.raises(InputError):
            domain_by_name(name)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("generate", ["maze-31x31", "--out", "x.csv"], says("maze-31x31-mazes-have")),
        ("generate", ["maze-3x3", "--out", "x.csv"], says("maze-3x3-generated-mazes")),
        ("generate", ["sudoku-9x8", "--out", "x.csv"], says("sudoku-9x8-no-such")),
        ("show", ["{file}"], says("a-file-but-not")),
        ("show", ["{folder}"], says("a-folder-but-not")),
        ("solve", ["{file}"], says("neither-a-puzzle-nor")),
        ("solve", [""], says("the-puzzle-neither-a")),
        ("upstream", ["{file}", "--config", "{file}", "--out", "{folder}/out"], says("no-checkpoint-of-torch")),
    ],
)
def test_what_is_no_puzzle_or_file_is_told_so(
    name: str, arguments: list[str], message: str, tmp_path: Path, command: Callable
) -> None:
    file = tmp_path / "README.md"
    file.write_text("# A readme\n\nIt has words, and a line that is long enough: " + "words " * 200)
    code, _, error = command(name, *[argument.format(file=file, folder=tmp_path) for argument in arguments])
    assert (code, message in error) == (2, True), error


def test_made_sets_are_announced_where_there_is_no_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(sources.CACHE_VARIABLE, str(tmp_path))
    sources.generate_set("maze-7x7-easy", "test", 3)
    assert capsys.readouterr().err == f"generating 3 puzzles of maze-7x7-easy test, kept as {next(tmp_path.glob('*.gz'))}\n"
    sources.generate_set("maze-7x7-easy", "test", 3)
    assert capsys.readouterr().err == ""  # it is there
