"""The folder of a run: nothing in it that others wrote is replaced or removed, and a save is rehearsed before any work."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import small_trainer
from trm_arc.common.errors import InputError
from trm_arc.model.checkpoint_files import list_checkpoints
from trm_arc.model.export import FOLDER, export_pieces, list_pieces
from trm_arc.training.loop import BEST
from trm_arc.training.run_folder import list_stale, prepare_folder
from trm_arc.training.state import full_state, save_state

OTHERS = [{"notes.txt": ""}, {"export.json": "{}"}, {"export.json": "[]", "piece-0001.safetensors": ""}]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a checkpoint, a best one and an export."""
    trainer, folder = small_trainer(), tmp_path / "run"
    save_state(trainer, folder, 1)
    save_state(trainer, folder / BEST, 1)
    export_pieces(full_state(trainer), folder, 1 << 16)
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_replaced_as_a_whole(run: Path) -> None:
    prepare_folder(run, overwrite=True)
    trainer = small_trainer()
    trainer.train_step()
    (run / "submission.json").touch()
    (run / "notes.txt").touch()
    save_state(trainer, run, 1, list_stale(run))
    assert sorted(path.name for path in run.iterdir()) == ["checkpoint-00000001", "notes.txt"]


@pytest.mark.parametrize("place", ["checkpoint-00000000", f"{BEST}/checkpoint-00000000", FOLDER])
def test_a_run_with_files_of_others_in_it_is_not_replaced(run: Path, place: str) -> None:
    (run / place / "thesis.txt").write_text("years of work")
    before = everything(run)
    with pytest.raises(InputError) as caught:
        prepare_folder(run, overwrite=True)
    assert caught.value.file == run / place
    trainer = small_trainer()
    trainer.train_step()
    save_state(trainer, run, 1, list_stale(run))  # as if they had come later
    assert everything(run)[f"{place}/thesis.txt"] == before[f"{place}/thesis.txt"]


def test_a_checkpoint_of_another_run_that_is_linked_stays(run: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "checkpoint-00000000").symlink_to(run / "checkpoint-00000000")
    before = everything(run)
    with pytest.raises(InputError) as caught:
        prepare_folder(tmp_path / "other", overwrite=True)
    assert caught.value.file == tmp_path / "other" / "checkpoint-00000000"
    trainer = small_trainer()
    trainer.train_step()
    save_state(trainer, tmp_path / "other", 1, list_stale(tmp_path / "other"))
    assert everything(run) == before


def test_an_old_checkpoint_with_notes_is_kept(run: Path) -> None:
    (run / "checkpoint-00000000" / "notes.txt").touch()
    trainer = small_trainer()
    for _ in range(3):
        trainer.train_step()
        save_state(trainer, run, 1)
    assert [path.name[-1] for path in list_checkpoints(run)] == ["0", "3"]


@pytest.mark.parametrize("content", OTHERS)
def test_an_export_replaces_exports_alone(tmp_path: Path, content: dict[str, str]) -> None:
    (tmp_path / FOLDER).mkdir()
    for name, text in content.items():
        (tmp_path / FOLDER / name).write_text(text)
    before = everything(tmp_path)
    prepare_folder(tmp_path)
    with pytest.raises(InputError) as caught:
        prepare_folder(tmp_path, export=True)
    assert caught.value.file == tmp_path / FOLDER
    with pytest.raises(InputError):
        export_pieces(full_state(small_trainer()), tmp_path, 1 << 16)
    assert everything(tmp_path) == before


def test_an_index_names_pieces_alone(run: Path) -> None:
    index = (run / FOLDER / "export.json").read_text()
    (run / FOLDER / "export.json").write_text(index.replace("piece-0001.safetensors", "../checkpoint-00000000/checkpoint.json"))
    assert all(path.parent == run / FOLDER for path in list_pieces(run))


def test_an_export_alone_is_a_run(run: Path, tmp_path: Path) -> None:
    (run / FOLDER).rename(tmp_path / FOLDER)
    with pytest.raises(InputError) as caught:
        prepare_folder(tmp_path)
    assert caught.value.file == tmp_path
    prepare_folder(tmp_path, resume=True)


@pytest.mark.parametrize("name", ["settings.toml", "metrics.jsonl", "bad-batch.safetensors"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_with_names_of_ours(tmp_path: Path, name: str, overwrite: bool) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError) as caught:
        prepare_folder(tmp_path, overwrite=overwrite)
    assert caught.value.file == tmp_path
    (tmp_path / ".lock").touch()  # a run has begun here, and ended before its first checkpoint
    prepare_folder(tmp_path, overwrite=overwrite)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/full", path)])
def test_what_is_no_file_is_refused_before_any_work(tmp_path: Path, make: Callable) -> None:
    make(tmp_path / "metrics.jsonl")
    with pytest.raises(InputError) as caught:
        prepare_folder(tmp_path)
    assert caught.value.file == tmp_path / "metrics.jsonl"


def test_a_save_is_rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted", "a", None, "b")

    monkeypatch.setattr(os, "rename", refuse)  # of folders; that of files is os.replace
    with pytest.raises(InputError) as caught:
        prepare_folder(tmp_path)
    assert caught.value.file == tmp_path
    assert list(tmp_path.iterdir()) == []
