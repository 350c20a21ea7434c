"""The folder of an evaluation: files of others that have the names of ours are not replaced."""

import json
from pathlib import Path

import pytest

from tests.helpers import random_arc
from trm_arc.common.errors import InputError
from trm_arc.common.files import RESULT_FILES
from trm_arc.evaluation.saving import refuse_foreign, save_and_print, save_results


@pytest.mark.parametrize("name", RESULT_FILES)
def test_results_of_others_are_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    refuse_foreign(tmp_path)
    (tmp_path / name).write_text(json.dumps({"mine": 1}))
    with pytest.raises(InputError) as caught:
        refuse_foreign(tmp_path)
    assert caught.value.file == tmp_path


def test_results_of_ours_are_replaced(tmp_path: Path) -> None:
    results = random_arc(1)[0]
    save_results(tmp_path, results, {})
    (tmp_path / "report.html").touch()
    refuse_foreign(tmp_path)
    (tmp_path / "predictions.json").write_text('{"format": "trm_arc predictions", "version": 0}')
    refuse_foreign(tmp_path)
    (tmp_path / "predictions.json").write_text("damaged")
    with pytest.raises(InputError):
        refuse_foreign(tmp_path)
    (tmp_path / "checkpoint-00000001").mkdir()
    refuse_foreign(tmp_path)


def test_scores_are_told_even_if_nothing_can_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        save_and_print(tmp_path / "file", random_arc(1)[0])
    assert caught.value.file is not None
    assert "pass@2" in capsys.readouterr().out


def test_a_sweep_of_ours_is_replaced(tmp_path: Path) -> None:
    names = ("sweep.json", "sweep.svg")
    (tmp_path / "sweep.svg").touch()
    with pytest.raises(InputError):
        refuse_foreign(tmp_path, names, "sweep.json", "points")
    (tmp_path / "sweep.json").write_text('{"points": []}')
    refuse_foreign(tmp_path, names, "sweep.json", "points")
