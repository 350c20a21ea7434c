"""Checkpoints: their metadata, and files that an earlier version wrote, with its names."""

import threading
from pathlib import Path

import pytest
import torch

from augment import Window
from tests.helpers import CPU, make_puzzles, messages
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, to_json
from trm_arc.data.domains.arc import ARC
from trm_arc.data.puzzle_sources import load_puzzles
from trm_arc.model.checkpoint import Metadata, load_checkpoint, save_checkpoint
from trm_arc.model.checkpoint_files import domain_of_checkpoint, read_step
from trm_arc.model.export import export_pieces, load_pieces
from trm_arc.training.state import load_state
from trm_arc.training.trainer import Trainer

says = messages(__name__)

OLD = Path(__file__).parent / "old_checkpoints"
NEW_NAMES = ("domain", "compile_mode", "active_samples")
OLD_NAMES = ("family", "fused", "rows_in_flight")


def test_old_checkpoints_are_read() -> None:
    """Written by the version before `domain`, `compile_mode` and `active_samples` had these names."""
    arc, sudoku = (load_checkpoint(OLD / name) for name in ("arc", "sudoku"))
    assert arc.metadata == Metadata(
        windows=[Window(side, side) for side in (2, 3, 4, 5)], precision="float32", length=3, active_samples=(0, 1, 2)
    )
    assert (arc.step, [task for task, _ in arc.tasks], arc.domain) == (3, ["old00", "old01", "old02"], ARC)
    assert (sudoku.metadata.domain, sudoku.metadata.active_samples) == ("sudoku-4x4", (0,))
    assert (domain_of_checkpoint(OLD / "sudoku"), read_step(OLD / "sudoku")) == (make_puzzles("sudoku-4x4-easy", 1, 0).domain, 3)
    for checkpoint in (arc, sudoku):
        assert checkpoint.reasoner().config == checkpoint.config.model


@pytest.mark.parametrize("name", ["arc", "sudoku"])
def test_old_checkpoints_are_written_by_todays_names(name: str, tmp_path: Path) -> None:
    old = load_checkpoint(OLD / name)
    saved = save_checkpoint(tmp_path, old, keep=1)
    before, after = (read_json(path / "checkpoint.json") for path in (next((OLD / name).glob("checkpoint-*")), saved))
    assert set(before) ^ set(after) == {*OLD_NAMES, *NEW_NAMES, "rows_at_a_time", "tensors_crc32", "sha256"}
    assert [after[new] for new in NEW_NAMES] == [before[name] for name in OLD_NAMES]
    new = load_checkpoint(saved)
    assert (new.metadata, new.tasks, new.config) == (old.metadata, old.tasks, old.config)
    assert all(torch.equal(new.tensors[key], tensor) for key, tensor in old.tensors.items())


def test_an_old_export_is_read(tmp_path: Path) -> None:
    export_pieces(load_checkpoint(OLD / "arc"), tmp_path, 1 << 20)
    index = tmp_path / "export" / "export.json"
    content = read_json(index)
    del content["sha256"]
    header = content["checkpoint"]
    renamed = dict(zip(NEW_NAMES, OLD_NAMES, strict=True))
    content["checkpoint"] = {renamed.get(key, key): value for key, value in header.items()}
    index.write_bytes(to_json(content))
    assert load_pieces(tmp_path).metadata.active_samples == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [("compile_mode", "all"), ("domain", "chess"), ("length", -1), ("active_samples", [0.5]), ("windows", [[3, True]])],
)
def test_damaged_metadata_is_refused(field: str, value: object, tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, load_checkpoint(OLD / "arc"), keep=1)
    header = read_json(saved / "checkpoint.json")
    (saved / "checkpoint.json").write_bytes(to_json(header | {field: value}))
    with pytest.raises(InputError) as caught:
        load_checkpoint(saved)
    assert caught.value.file == saved or field == "domain"
    (saved / "checkpoint.json").write_bytes(to_json(header | {"mystery": 1}))
    with pytest.raises(InputError, match=says("mystery-is-not-known")) as caught:
        load_checkpoint(saved)
    assert caught.value.file == saved


def test_old_runs_go_on(tmp_path: Path) -> None:
    """A resumed run takes optimizers and active samples from an old checkpoint."""
    old = load_checkpoint(OLD / "sudoku")
    training = old.config.training
    how = {"count": training.puzzles, "seed": training.seed, "skip_bad": False}
    learn, answer = (
        load_puzzles("sudoku-4x4-easy", part, None, **how | more)
        for part, more in (("train", {}), ("test", {"count": training.evaluation_puzzles}))
    )
    trainer = Trainer(old.config, learn.domain.prepare(learn, answer, old.config)[0], CPU, 5)
    load_state(trainer, old)
    assert (trainer.step, trainer.steps, len(trainer.carries)) == (3, 3, 1)
    assert trainer.carries[0] is not None
    trainer.train_step()


def test_a_checkpoint_is_saved_where_no_thread_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    old = load_checkpoint(OLD / "arc")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    saved = load_checkpoint(save_checkpoint(tmp_path, old, keep=1))
    assert all(torch.equal(saved.tensors[key], tensor) for key, tensor in old.tensors.items())
