"""Checkpoints that an earlier trm_arc has written, kept beside this file: they are read, and gone on with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.helpers import messages
from trm_arc.config import Config, load_preset
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.checkpoint_files import read_config

says = messages(__name__)

FOLDER = Path(__file__).parent / "old_checkpoints"
BOTH = {
    "width": 8,
    "heads": 2,
    "layers": 1,
    "expansion": 1.0,
    "prefix": 2,
    "cycles": 1,
    "latent_steps": 1,
    "batch_size": 2,
    "steps": 3,
    "warmup_steps": 2,
    "halt_steps": 2,
}
EXPECTED = {
    "arc": {
        "data": "",
        "evaluation_data": "old_challenges.json",
        "canvas": "buckets",
        "bucket_sides": "auto",
        "augmentations": 2,
    },
    "tokens": {
        "data": "",
        "evaluation_data": "arc/old_challenges.json",
        "canvas": "fit",
        "augmentations": 2,
        "prefix": 14,
        "transform_tokens": True,
    },
    "sudoku": {
        "positions": "none",
        "board_rows": 4,
        "board_columns": 4,
        "vocabulary": 6,
        "gate": "norm-swiglu",
        "data": "sudoku-4x4-easy",
        "evaluation_data": "sudoku-4x4-easy",
        "puzzles": 20,
        "epochs": 50_000,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "weight_decay": 0.05,
        "matrix_weight_decay": 0.005,
        "decay_share": 0.3,
        "task_embedding_learning_rate": 1e-4,
        "task_embedding_weight_decay": 1.0,
        "ema": 0.99,
        "loss": "softmax",
        "label_smoothing": 0.2,
        "halting_loss_weight": 0.05,
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_settings_and_tensors_of_an_old_checkpoint(name: str) -> None:
    checkpoint = load_checkpoint(FOLDER / name)
    assert checkpoint.config == read_config(FOLDER / name) == Config().override(BOTH | EXPECTED[name])
    assert checkpoint.step == 3
    for average in (False, True):
        weights = checkpoint.reasoner(average=average).state_dict()
        assert all(torch.isfinite(value).all() for value in weights.values())
        saved = checkpoint.part("average" if average else "model")
        assert saved
        assert all(torch.equal(weights[key], value) for key, value in saved.items())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_run_of_an_old_version_goes_on(name: str, tmp_path: Path, command: Callable) -> None:
    """A copy whose settings ask for two steps more."""
    run = shutil.copytree(FOLDER / name, tmp_path / "run")
    path = run / "checkpoint-00000003" / "checkpoint.json"
    header = json.loads(path.read_text())
    header.pop("sha256", None)  # of what is changed here
    header["config"]["training"]["steps"] = header["length"] = 5
    if name != "sudoku":
        header["config"]["training"]["evaluation_data"] = str(FOLDER / "arc" / "old_challenges.json")
    path.write_text(json.dumps(header))
    code, text, error = command("train", "--resume", "--out", run, "--device", "cpu")
    assert code == 0, error
    assert says("resumed-at-step-3") in text
    assert load_checkpoint(run).step == 5
    assert load_preset(run / "settings.toml") == read_config(run)
