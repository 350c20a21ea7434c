"""The page of results: what is published, where ladders stand beside it, and what is written between its marks."""

from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.cost_to_score import BEGIN, END, System, format_published, list_rows, main, read_done, read_published
from benchmarks.ladder import RESULTS, list_rungs, read_ladder
from benchmarks.ladder_table import Outcome
from tests.helpers import ROOT, messages
from trm_arc.common.errors import InputError
from trm_arc.common.files import append_line, to_json

says = messages(__name__)

SUDOKU, ARC = (ROOT / f"benchmarks/ladders/{name}.toml" for name in ("sudoku", "arc"))


def climb(file: Path, out: Path, seeds: int = 2) -> Path:
    """Made results of all variants of a ladder."""
    out.mkdir()
    for rung in list_rungs(read_ladder(file), file):
        if rung.seed < seeds:
            names = (rung.group, rung.variant, rung.seed, rung.digest)
            made = Outcome(*names, solved=rung.seed + 1, asked=50, operations=1e14 * (rung.seed + 1), seconds=1800.0, steps=9)
            append_line(out / RESULTS, to_json(asdict(made)))
    return out


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(f"before\n\n{BEGIN}\nold\n{END}\nafter\n")
    return path


def test_what_is_published_is_whole() -> None:
    published = read_published()
    assert [one.title for one in published.sets] == ["ARC-AGI-1", "Sudoku-Extreme", "Maze-Hard, exact"]
    for system in (system for one in published.sets for system in one.systems):
        assert 0 < system.score <= 100
        assert system.hours > 0
        assert system.source.startswith(("arXiv ", "github.com/", "run logs of arXiv "))
        assert system.device in published.peaks or system.device.startswith("a ")


def test_operations_that_nobody_states_are_an_upper_bound() -> None:
    system = System("x", 50, 2, "card", "there", at_most=True)
    assert system.cost({"card": 1e12})[1:] == ((50,), 7.2e15, 2, ("operations", "hours"), "under 2 h, card; there")
    assert system.cost({}).operations != system.cost({}).operations  # not known
    stated = System("x", 50, 2, "card", "there", operations=5e15).cost({"card": 1e12})
    assert (stated.operations, stated.at_most) == (5e15, ())
    assert "| 288 h, H100 | at most 1.025 ZFLOP |" in format_published(read_published())


def test_ladders_stand_beside_what_is_published_on_their_set(tmp_path: Path) -> None:
    published = read_published()
    done = [read_done(file, climb(file, tmp_path / file.stem)) for file in (SUDOKU, ARC)]
    sudoku, arc = list_rows(done, published)
    assert (sudoku.title, [name for name, _ in sudoku.groups]) == ("Sudoku-Extreme", ["sudoku, 20 minutes"])
    assert [cost.name for cost in arc.marked] == ["TRM", "mdlARC", "CompressARC"]
    assert [cost.name for cost in arc.groups[0][1]] == list(done[1].ladder.groups["arc10"].variants)
    assert arc.groups[0][1][0][1:4] == ((2.0, 4.0), 1.5e14, 0.5)
    twice = list_rows([done[0], done[0]], published)
    assert len(twice[0].groups) == 2


def test_a_page_is_renewed_between_its_marks(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the picture is drawn by matplotlib")
    arguments = ["--page", str(page), "--ladder", str(SUDOKU), str(climb(SUDOKU, tmp_path / "sudoku"))]
    assert main(arguments) == 0
    assert str(page.with_suffix(".png")) in capsys.readouterr().out
    text = page.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n\n![")
    assert text.endswith(f"\n\n{END}\nafter\n")
    assert "old" not in text
    assert "| width-256 | 1, 2 of 50 | 3.0 |" in text
    picture = page.with_suffix(".png").read_bytes()
    main(arguments)
    assert (page.read_text(), page.with_suffix(".png").read_bytes()) == (text, picture)


def test_what_cannot_be_written_or_is_not_there_is_refused(page: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = climb(SUDOKU, tmp_path / "sudoku")
    bare = tmp_path / "bare.md"
    bare.write_text("text")
    picture = tmp_path / "page.png"
    picture.write_bytes(b"\x89PNG")
    misnamed = tmp_path / "text.png"
    misnamed.write_text(page.read_text())
    for target, out, problem, file in (
        (page, tmp_path / "empty", says("no-result"), tmp_path / "empty"),
        (page, tmp_path / "none", says("no-result"), tmp_path / "none"),
        (bare, done, says("no-marks"), bare),
        (picture, done, says("no-text"), picture),
        (misnamed, done, says("own-picture"), misnamed),
        (tmp_path / "none.md", done, says("no-page"), tmp_path / "none.md"),
    ):
        with pytest.raises(InputError, match=problem) as caught:
            main(["--page", str(target), "--ladder", str(SUDOKU), str(out)])
        assert caught.value.file == file
    assert "old" in page.read_text()


def test_the_page_of_the_project_has_what_is_published_now() -> None:
    assert format_published(read_published()) in (ROOT / "docs/results.md").read_text(encoding="utf-8")
