"""Short runs for tables: resumed, cut at numbers that are none, and laid out."""

import math
from pathlib import Path

import pytest

from benchmarks import ablation, short_runs, width_transfer
from benchmarks.short_runs import Case, Outcome, run_all, spread
from tests.helpers import messages
from trm_arc.common.errors import InputError
from trm_arc.config import PRESETS
from trm_arc.training.supervision import Metrics
from trm_arc.training.trainer import NotFiniteError, Trainer

says = messages(__name__)

TINY = {"data": "sudoku-4x4-easy", "evaluation_data": "sudoku-4x4-easy", "puzzles": 20, "evaluation_puzzles": 4, "width": 16}
TINY |= {"heads": 2, "batch_size": 4, "cycles": 1, "latent_steps": 1, "halt_steps": 1, "steps": 2, "depth_curriculum": ""}


def test_what_is_done_is_read_and_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, case = tmp_path / "results.jsonl", Case("as it is", PRESETS["sudoku-small"].override(TINY))
    first = run_all([case], 1, None, file)
    assert math.isfinite(first[0].loss)
    assert 0 <= first[0].exact <= first[0].cells <= 1
    trained = []
    real = short_runs.train_short
    monkeypatch.setattr(short_runs, "train_short", lambda *given: trained.append(given[0]) or real(*given))
    wider = Case("wider", case.config.override({"width": 32}))
    both = run_all([case, wider], 1, None, file)
    assert trained == ["wider"]
    assert both[0] == first[0]
    assert len({one.settings for one in both}) == 2
    file.write_text('{"else": 1}\n')
    with pytest.raises(InputError, match=says("holds-other-lines")) as caught:
        run_all([case], 1, None, file)
    assert caught.value.file == file


def test_a_run_whose_loss_is_no_number_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(trainer: Trainer) -> Metrics:
        raise NotFiniteError(trainer.step, None)

    monkeypatch.setattr(Trainer, "train_step", fail)
    [outcome] = run_all([Case("wild", PRESETS["sudoku-small"].override(TINY))], 1, None, tmp_path / "results.jsonl")
    assert (outcome.loss, outcome.exact, outcome.cells) == (None, 0.0, 0.0)
    assert run_all([Case("wild", PRESETS["sudoku-small"].override(TINY))], 1, None, tmp_path / "results.jsonl") == [outcome]


def test_every_piece_of_every_preset_is_a_setting_that_changes_it() -> None:
    for preset, pieces in ablation.PIECES.items():
        cases = ablation.list_cases(preset, ablation.scaled_schedule(PRESETS[preset], 40), None)
        assert cases[0].name == ablation.AS_IS
        assert {case.name for case in cases[1:]} <= set(pieces)
        assert len({repr(case.config) for case in cases}) == len(cases) > 3
        assert all(case.config.training.steps == 40 for case in cases)
    with pytest.raises(InputError, match=says("not-a-piece")) as caught:
        ablation.list_cases("arc1-fast", {}, ["colour"])
    assert caught.value.flag == "--only"


def test_tables_have_a_row_for_each_case_and_width() -> None:
    cases = width_transfer.list_cases((64, 128), (0.5, 1.0), 10)
    assert {case.config.model.width // case.config.model.heads for case in cases} == {width_transfer.HEAD}
    made = [
        Outcome(case.name, seed, str(number), number + seed, 0, 0.5, 1) for seed in (0, 1) for number, case in enumerate(cases)
    ]
    lines = width_transfer.format_table(made).splitlines()
    assert len(lines) == 2 + 2 * len(width_transfer.OPTIMIZERS)
    assert lines[2] == "| Muon | 64 | 0.005: 0.500 (0.000, 1.000); 0.01: 1.500 (1.000, 2.000) | 0.005 |"
    told = ablation.format_table("demo", [Outcome("as it is", seed, "", 1.0 + seed, 0.25, 0.5, 3.0) for seed in (0, 1)])
    assert told.splitlines()[2] == "| as it is | 1.500 (1.000, 2.000) | 50.0 (50.0, 50.0) | 25.0 (25.0, 25.0) | 3 |"
    assert spread([None, 1.0], 1) == "- (-, 1.0)"
