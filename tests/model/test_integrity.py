"""Silent damage: every flipped bit of a checkpoint or an export is found, and so are values that are not finite."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers import SETTINGS, edit_header, make_tasks, messages, small_trainer, write_kaggle
from trm_arc.common.errors import InputError
from trm_arc.common.files import read_json, to_json
from trm_arc.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from trm_arc.model.checkpoint_files import list_checkpoints, read_task_ids
from trm_arc.model.export import export_pieces, load_pieces, load_whole
from trm_arc.model.integrity import check_seal, checksum, is_finite, seal
from trm_arc.train import main as train_main
from trm_arc.training.state import full_state, save_state

says = messages(__name__)


@pytest.fixture(scope="module")
def state() -> Checkpoint:
    """The state of a run after one step."""
    trainer = small_trainer()
    trainer.train_step()
    return full_state(trainer)


def flip(file: Path, generator: np.random.Generator) -> None:
    """Flip a random bit."""
    data = bytearray(file.read_bytes())
    data[int(generator.integers(len(data)))] ^= 1 << int(generator.integers(8))
    file.write_bytes(data)


def test_every_flipped_bit_of_the_tensors_is_found(state: Checkpoint, tmp_path: Path) -> None:
    file = save_checkpoint(tmp_path, state, keep=1) / "tensors.safetensors"
    whole, generator = file.read_bytes(), np.random.default_rng(0)
    for _ in range(50):
        flip(file, generator)
        with pytest.raises(InputError, match=says("use-an-older-checkpoint")) as caught:
            load_checkpoint(file.parent)
        assert caught.value.file == file
        file.write_bytes(whole)
    load_checkpoint(file.parent)


def test_no_flipped_bit_of_the_header_changes_what_is_read(state: Checkpoint, tmp_path: Path) -> None:
    """A bit of the layout, a space that becomes a tab, is no damage; any other is found."""
    file = save_checkpoint(tmp_path, state, keep=1) / "checkpoint.json"
    whole, generator, found = file.read_bytes(), np.random.default_rng(1), 0
    header = read_json(file)
    for _ in range(200):
        flip(file, generator)
        try:
            load_checkpoint(file.parent)
            assert read_json(file) == header
        except InputError:
            found += 1
        file.write_bytes(whole)
    assert found > 100


def test_every_flipped_bit_of_an_export_is_found(state: Checkpoint, tmp_path: Path) -> None:
    pieces = export_pieces(state, tmp_path, 1 << 16)
    generator = np.random.default_rng(2)
    for number in range(20):
        file = pieces[number % len(pieces)]
        whole = file.read_bytes()
        flip(file, generator)
        with pytest.raises(InputError, match=says("this-piece-is-damaged")) as caught:
            load_pieces(tmp_path)
        assert caught.value.file == file
        file.write_bytes(whole)
    index = tmp_path / "export" / "export.json"
    whole = index.read_bytes()  # without spaces or line ends that might change into others
    for _ in range(50):
        flip(index, generator)
        with pytest.raises(InputError):
            load_pieces(tmp_path)
        index.write_bytes(whole)
    load_pieces(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"dtype": "float33"}, {"dtype": "nn"}, {"shape": [3, 3]}, {"shape": "x"}, {"more": 1}],
)
def test_an_index_that_does_not_fit_its_pieces_is_refused(change: dict, state: Checkpoint, tmp_path: Path) -> None:
    export_pieces(state, tmp_path, 1 << 20)
    index = tmp_path / "export" / "export.json"
    content = read_json(index)
    del content["sha256"]
    content["tensors"]["model.head"] |= change
    index.write_bytes(to_json(content))
    with pytest.raises(InputError, match=says("does-not-fit-its")) as caught:
        load_pieces(tmp_path)
    assert caught.value.file == index


def test_a_piece_outside_the_folder_is_not_read(state: Checkpoint, tmp_path: Path) -> None:
    export_pieces(state, tmp_path, 1 << 20)
    index = tmp_path / "export" / "export.json"
    content = read_json(index)
    content["pieces"] = {f"../export/{name}": digest for name, digest in content["pieces"].items()}
    index.write_bytes(to_json(seal({name: value for name, value in content.items() if name != "sha256"})))
    with pytest.raises(InputError, match=says("this-piece-is-missing")):
        load_pieces(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["model.head", "average.head", "embedding.table", "optimizer.0.1.m"])
def test_weights_that_are_not_finite_are_neither_saved_nor_read(
    name: str, value: float, state: Checkpoint, tmp_path: Path
) -> None:
    saved = save_checkpoint(tmp_path, state, keep=1)
    spoiled = state.tensors[name].clone()
    spoiled.view(-1)[-1] = value
    wrong = replace(state, step=2, tensors=state.tensors | {name: spoiled})
    with pytest.raises(InputError, match=says("nothing-was-saved")) as caught:
        save_checkpoint(tmp_path, wrong, keep=1)
    assert name in str(caught.value)
    with pytest.raises(InputError, match=says("nothing-was-exported")):
        export_pieces(wrong, tmp_path, 1 << 20)
    assert list_checkpoints(tmp_path) == [saved]
    tensors = load_file(saved / "tensors.safetensors")
    tensors[name].view(-1)[0] = value
    save_file(tensors, saved / "tensors.safetensors")
    edit_header(saved)
    with pytest.raises(InputError, match=says("not-all-values-are")) as caught:
        load_checkpoint(saved)
    assert name in str(caught.value)
    assert caught.value.file == saved


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_finite_as_isfinite_says(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        tensor = torch.randn(3, 5, generator=generator).to(dtype)
        if torch.rand((), generator=generator) < 0.7:
            place = int(torch.randint(15, (), generator=generator))
            tensor.view(-1)[place] = [float("nan"), float("inf"), -float("inf")][place % 3]
        assert is_finite(tensor) == bool(torch.isfinite(tensor).all())
    assert is_finite(torch.zeros(0, dtype=dtype))
    assert is_finite(torch.zeros(3, dtype=torch.int64))


def test_a_checkpoint_without_checksums_is_read(state: Checkpoint, tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, state, keep=1)
    assert read_json(saved / "checkpoint.json")["tensors_crc32"] == checksum(state.tensors)
    edit_header(saved)
    assert load_checkpoint(saved).step == state.step


def test_an_edited_header_says_how_it_is_accepted(state: Checkpoint, tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, state, keep=1)
    file = saved / "checkpoint.json"
    header = read_json(file)
    header["config"]["training"]["seed"] = 7
    file.write_bytes(to_json(header))
    with pytest.raises(InputError, match=says("if-you-edited-it")) as caught:
        load_checkpoint(saved)
    assert caught.value.file == file
    del header["sha256"]
    file.write_bytes(to_json(header))
    assert load_checkpoint(saved).config.training.seed == 7


def test_the_checksum_is_that_of_all_that_a_tensor_is() -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1, dtype=torch.int64), "c": torch.zeros(0, 3)}
    total = checksum(tensors)
    assert total == checksum(dict(reversed(tensors.items())))
    assert total == checksum(tensors | {"a": tensors["a"].T.contiguous().T})
    others = [
        {"a": tensors["a"].reshape(3, 2)},
        {"a": tensors["a"].view(torch.int32)},
        {"a": -tensors["a"]},
        {"b": torch.tensor(2)},
        {"c": torch.zeros(0)},
        {"d": torch.zeros(0)},
    ]
    assert len({checksum(tensors | other) for other in others} - {total}) == len(others)
    assert checksum({"x": tensors["a"]}) != checksum({"y": tensors["a"]})


def test_a_seal_ignores_order_and_is_for_all_values(tmp_path: Path) -> None:
    sealed = seal({"a": [1, 2.5, "x"], "b": {"c": None}})
    check_seal(dict(reversed(sealed.items())), tmp_path)
    check_seal({"a": 1}, tmp_path)
    for other in ({"a": [1, 2.5, "y"]}, {"b": {}}, {"d": 1}, {"sha256": ""}, {"sha256": None}):
        with pytest.raises(InputError, match="SHA-256"):
            check_seal(sealed | other, tmp_path)


def test_odd_task_ids_of_a_header_are_left_out(state: Checkpoint, tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path, state, keep=1)
    edit_header(saved, tasks=[["a", "x"], [["b"], "x"], [{"c": 1}, "x"], [3, "x"], [None], [], "d", 5, {"e": 1}])
    assert read_task_ids(saved) == {"a"}


# --- resuming


def damage(checkpoint: Path, how: str) -> None:
    """Damage a checkpoint, in one of several ways."""
    tensors, header = checkpoint / "tensors.safetensors", checkpoint / "checkpoint.json"
    if how == "bit":
        flip(tensors, np.random.default_rng(0))
    elif how == "cut":
        tensors.write_bytes(tensors.read_bytes()[:1000])
    elif how == "half a header":
        header.write_bytes(header.read_bytes()[:100])
    elif how == "no header":
        header.unlink()
    elif how == "no tensors":
        tensors.unlink()
    elif how == "empty":
        shutil.rmtree(checkpoint)
        checkpoint.mkdir()


@pytest.mark.parametrize("how", ["bit", "cut", "half a header", "no header", "no tensors", "empty"])
def test_the_newest_whole_checkpoint_is_taken(how: str, tmp_path: Path) -> None:
    trainer = small_trainer()
    for _ in range(3):
        trainer.train_step()
        save_state(trainer, tmp_path, keep=9)
    first, second, third = list_checkpoints(tmp_path)
    checkpoint, notes = load_whole(tmp_path)
    assert (checkpoint.where, notes) == (str(third), [])
    damage(third, how)
    checkpoint, notes = load_whole(tmp_path)
    assert (checkpoint.where, len(notes)) == (str(second), 1)
    assert str(third) in notes[0]
    damage(second, how)
    checkpoint, notes = load_whole(tmp_path)
    assert (checkpoint.step, len(notes)) == (1, 2)
    damage(first, how)
    with pytest.raises(InputError) as caught:
        load_whole(tmp_path)
    assert third in (caught.value.file, caught.value.file.parent)


def test_a_damaged_export_gives_way_to_a_checkpoint_and_the_other_way_round(tmp_path: Path) -> None:
    trainer = small_trainer()
    trainer.train_step()
    older = save_state(trainer, tmp_path, keep=9)
    trainer.train_step()
    pieces = export_pieces(full_state(trainer), tmp_path, 1 << 20)
    assert load_whole(tmp_path)[0].step == 2
    newer = save_state(trainer, tmp_path, keep=9)
    damage(newer, "bit")
    checkpoint, notes = load_whole(tmp_path)
    assert (checkpoint.where, checkpoint.step, len(notes)) == (str(tmp_path / "export"), 2, 1)
    index = (tmp_path / "export" / "export.json").read_bytes()
    (tmp_path / "export" / "export.json").write_bytes(index[:-9])
    checkpoint, notes = load_whole(tmp_path)
    assert (checkpoint.where, len(notes)) == (str(older), 2)
    (tmp_path / "export" / "export.json").write_bytes(index)
    pieces[0].unlink()
    assert load_whole(tmp_path)[0].where == str(older)


@pytest.mark.programs
def test_a_run_resumes_from_the_older_checkpoint_and_says_so(run_of_six: Path, tmp_path: Path, command: Callable) -> None:
    """It ends with the bytes of an undisturbed run, and the damaged checkpoint is set aside."""
    run = shutil.copytree(run_of_six, tmp_path / "run")
    newest = list_checkpoints(run)[-1]
    expected = {file.name: file.read_bytes() for file in newest.iterdir()}
    damage(newest, "bit")
    code, text, error = command("train", "--resume", "--out", run, "--device", "cpu", "--dry-run")
    assert (code, newest.is_dir()) == (0, True), error
    assert says("passed-over") in text
    code, text, error = command("train", "--resume", "--out", run, "--device", "cpu", "--keep", 1)
    assert code == 0, error
    assert says("passed-over") in text
    assert says("resumed-at-step-4") in text
    assert str(run / "damaged-00000006") in text
    assert list_checkpoints(run) == [newest]
    assert {file.name: file.read_bytes() for file in newest.iterdir()} == expected
    assert (run / "damaged-00000006" / "tensors.safetensors").is_file()
    code, text, error = command("train", "--resume", "--out", run, "--device", "cpu")
    assert (code, says("passed-over") in text) == (0, False), error


def test_a_run_without_a_whole_checkpoint_is_left_alone(run_of_six: Path, tmp_path: Path, command: Callable) -> None:
    run = shutil.copytree(run_of_six, tmp_path / "run")
    there = list_checkpoints(run)
    for checkpoint in there:
        damage(checkpoint, "bit")
    code, _, _ = command("train", "--resume", "--out", run, "--device", "cpu")
    assert (code, command.refused.file) == (2, there[-1] / "tensors.safetensors")
    assert list_checkpoints(run) == there


def test_commands_refuse_a_damaged_checkpoint(run_of_six: Path, tmp_path: Path, command: Callable) -> None:
    run = shutil.copytree(run_of_six, tmp_path / "run")
    newest = list_checkpoints(run)[-1]
    damage(newest, "bit")
    for call in (
        ("evaluate", "--checkpoint", run, "--views", 1, "--device", "cpu"),
        ("evaluate", "--checkpoint", newest, "--views", 1, "--device", "cpu"),
        ("adapt", "--checkpoint", run, "--challenges", run_of_six.parent / "eval_challenges.json", "--out", tmp_path / "adapted"),
        ("submission", "bundle", "--checkpoint", run, "--out", tmp_path / "bundle", "--id", "a/bcd"),
    ):
        code, _, error = command(*call)
        assert (code, command.refused.file) == (2, newest / "tensors.safetensors"), error
    assert not (tmp_path / "bundle").exists()


@pytest.fixture(scope="module")
def run_of_six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps with a checkpoint after every second."""
    folder = tmp_path_factory.mktemp("six")
    train = write_kaggle(folder, make_tasks(4, 1, "train"), "train")
    answer = write_kaggle(folder, make_tasks(3, 2, "eval"), "eval")
    flags = [*SETTINGS, "--data", train, "--evaluation-data", answer, "--save-every", "2", "--keep", "9"]
    assert train_main([*map(str, flags), "--out", str(folder / "run")]) == 0
    return folder / "run"
