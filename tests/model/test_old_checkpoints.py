"""Checkpoints that an earlier trm_arc has written, kept beside this file: they are read, and gone on with, as ever."""

from pathlib import Path

import pytest

from trm_arc.config import Config
from trm_arc.model.checkpoint import load_checkpoint, read_config

FOLDER = Path(__file__).parent / "old_checkpoints"
SMALL = {
    "width": 8,
    "heads": 2,
    "layers": 1,
    "expansion": 1.0,
    "cycles": 1,
    "thoughts": 1,
    "augmentations": 2,
    "batch_size": 2,
    "steps": 3,
    "halt_steps": 2,
}
EXPECTED = {
    "arc": {"prefix": 2, "data": "", "evaluation_data": "/tmp/w/old/old_challenges.json", "window": "lanes", "lanes": "auto"},
    "sudoku": {},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_old_checkpoint_is_read_with_its_settings_and_tensors(name: str) -> None:
    checkpoint = load_checkpoint(FOLDER / name)
    expected = Config().override(SMALL | EXPECTED[name])
    assert checkpoint.config == read_config(FOLDER / name) == expected
