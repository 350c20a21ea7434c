"""Rows at a time: predicted, shared out evenly, saved with the run and taken up again."""

import math
import weakref
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from augment import Window
from tests.helpers import SMALL, edit_header, everything, messages, small_trainer
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.errors import InputError
from trm_arc.config import load_preset
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.export import export_pieces, load_pieces
from trm_arc.training import trainer as trainer_module
from trm_arc.training.cost import _Fused, count_step, prepare_step
from trm_arc.training.memory import MARGIN, NETWORKS, RowFit, carried_bytes, describe_rows, fit_rows
from trm_arc.training.options import Options
from trm_arc.training.state import full_state, load_state, save_state
from trm_arc.training.trainer import Trainer

says = messages(__name__)

SINGLE, LARGE = torch.float32, Window(30, 30)
BUCKETS = SMALL.override({"canvas": "buckets", "bucket_sides": "4,6"})


def kept(window: Window, rows: int) -> float:
    """Bytes that a row of the small model keeps."""
    return count_step(SMALL, window, rows, SINGLE).kept / rows


def carried(*windows: Window, rows: int) -> int:
    return sum(carried_bytes(SMALL.model, window, rows, SINGLE) for window in windows)


class Living(TorchDispatchMode):
    """Counts the bytes of the tensors that live at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                before = self.known.get(storage._cdata)
                if before is None or before() is None:
                    self.known[storage._cdata] = weakref.ref(storage)
                    weakref.finalize(storage, self.free, storage.nbytes())
                    self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        return out

    def free(self, size: int) -> None:
        self.now -= size


@pytest.mark.parametrize("name", ["demo", "hrm", "multi-z"])  # the last two take most beside
def test_half_of_the_margin_covers_what_a_step_takes_beside(name: str) -> None:
    config = load_preset(name).override({"width": 128, "heads": 2})
    step = prepare_step(config, LARGE, 64, SINGLE)
    with Living() as living, _Fused():
        step().backward()
    counted = count_step(config, LARGE, 64, SINGLE).kept
    assert counted < living.most < (1 + (MARGIN - 1) / 2) * counted


def test_rows_are_those_that_the_memory_holds() -> None:
    window, network = Window(6, 6), 10_000
    row, reserved = kept(window, 96), NETWORKS * network + 3 * carried(window, rows=96)

    def fit(free: float | None) -> RowFit:
        return fit_rows(SMALL, [window], 96, 96, free, network, SINGLE)[0]

    assert fit(None) == fit(math.inf) == fit(MARGIN * (reserved + 96.5 * row)) == (96, 96)
    assert fit(MARGIN * (reserved + 95.5 * row)) == (48, 96), "two equal pieces, not 95 rows and one"
    assert fit(MARGIN * (reserved + 40.5 * row)).rows == 32
    assert fit(reserved + 50.5 * row).most == 50
    assert fit(0) == fit(-5) == (1, 1), "one row is tried in any case"


def test_a_smaller_window_has_more_rows_and_is_counted_only_where_a_larger_one_does_not_fit() -> None:
    small, large = Window(4, 4), Window(12, 12)
    reserved = carried(small, large, rows=64) + 2 * carried(large, rows=64)
    free = MARGIN * (reserved + 20.5 * kept(large, 64))
    few = fit_rows(SMALL, [small, large], 64, 64, free, 0, SINGLE)
    assert few[1].rows == 16
    assert few[0].rows == 64
    halved = fit_rows(SMALL, [small, large], 64, 16, free, 0, SINGLE)  # as with --accumulation-steps 4
    assert halved == [(16, 16), (16, 16)]


def scarce(monkeypatch: pytest.MonkeyPatch, free: float | None) -> None:
    """Let so much memory be free."""
    monkeypatch.setattr(trainer_module, "available_memory", lambda device, sharers: free)


def enough_for(rows: float) -> float:
    """Free memory in which so many rows of the larger window fit with the margin."""
    small, large = Window(4, 4), Window(6, 6)
    network = sum(p.nbytes for p in small_trainer(BUCKETS).reasoner.parameters())
    states = carried(small, large, rows=8) + 2 * carried(large, rows=8)
    return MARGIN * (NETWORKS * network + states + (rows + 0.5) * kept(large, 8))


def buckets(options: Options | None = None, dtype: torch.dtype = torch.float32) -> Trainer:
    return small_trainer(BUCKETS, options=options, dtype=dtype)


def test_a_run_begins_with_what_fits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    free = enough_for(3)
    scarce(monkeypatch, free)
    trainer = buckets()
    assert trainer.examples.windows == [(4, 4), (6, 6)]
    assert trainer.pieces[1] == 3
    assert trainer.pieces[0] >= 4
    sizes, real = [], trainer.supervision_step

    def watched(reasoner: object, config: object, carry: object, *rest: object) -> object:
        sizes.append((carry.batch.tokens.shape[1], len(carry.halted)))
        return real(reasoner, config, carry, *rest)

    monkeypatch.setattr(trainer, "supervision_step", watched)
    while {side for side, _ in sizes} != {4, 6}:
        trainer.train_step()
    assert {rows for side, rows in sizes if side == 6} == {3, 2}
    assert "out of memory" not in capsys.readouterr().out


def test_the_rows_are_saved_and_taken_up_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scarce(monkeypatch, enough_for(4))
    first = buckets()
    first.pieces[1] = 2  # as after one error
    saved = load_checkpoint(save_state(first, tmp_path, keep=1))
    assert saved.metadata.rows_at_a_time == (8, 2), "all rows of a small window fit"
    for free in (None, math.inf, enough_for(4) / MARGIN):  # in the last, so many fit without the margin alone
        scarce(monkeypatch, free)
        again = buckets()
        load_state(again, saved)
        assert again.pieces == [8, 2], "exactly as before, so that the sums are those of one run"
    scarce(monkeypatch, 0)
    smaller = buckets()
    load_state(smaller, saved)
    assert smaller.pieces == [1, 1], "so many cannot fit here"


def test_other_pieces_by_the_flag_are_not_those_of_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = buckets()
    first.pieces[:] = 2, 2
    saved = load_checkpoint(save_state(first, tmp_path, keep=1))
    again = buckets(Options(accumulation=2))
    load_state(again, saved)
    assert again.pieces == [4, 4]


def test_a_checkpoint_without_them_and_an_export_leave_it_to_the_prediction(tmp_path: Path) -> None:
    first = buckets()
    first.pieces[:] = 2, 2
    old = save_state(first, tmp_path / "old", keep=1)
    edit_header(old, rows_at_a_time=[])
    export_pieces(full_state(first), tmp_path, 1 << 20)
    for checkpoint in (load_checkpoint(old), load_pieces(tmp_path)):
        assert checkpoint.metadata.rows_at_a_time == ()
        again = buckets()
        load_state(again, checkpoint)
        assert again.pieces == [8, 8]


@pytest.mark.parametrize("rows", [[8], [8, 0], [8, -1], [8, 8, 8], [8, True], [8, 1.5], "8", None])
def test_rows_that_cannot_be_are_refused(rows: object, tmp_path: Path) -> None:
    saved = save_state(buckets(), tmp_path, keep=1)
    edit_header(saved, rows_at_a_time=rows)
    with pytest.raises(InputError, match=says("damaged")) as error:
        load_checkpoint(saved)
    assert error.value.file == saved or str(error.value.file) == str(saved)


def test_the_pieces_give_what_the_whole_batch_gives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = buckets(dtype=torch.float64)
    scarce(monkeypatch, 0)
    single = buckets(dtype=torch.float64)
    assert single.pieces == [1, 1]
    for _ in range(4):
        whole.train_step(), single.train_step()
    a, b = everything(whole, tmp_path / "a"), everything(single, tmp_path / "b")
    for name, tensor in a.items():
        torch.testing.assert_close(b[name], tensor, rtol=1e-9, atol=1e-11, msg=name)


def test_several_processes_agree_on_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    class Two(ProcessGroup):
        def gather(self, tensor: torch.Tensor) -> torch.Tensor:
            return torch.cat([tensor, torch.tensor([[3, 9]])])

    assert Two(0, 2).least([5, 7], torch.device("cpu")) == [3, 7]
    assert ProcessGroup().least([5, 7], torch.device("cpu")) == [5, 7]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert (ProcessGroup(0, 8).on_this_machine, ProcessGroup().on_this_machine) == (4, 1)
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert ProcessGroup(0, 8).on_this_machine == 8


def test_only_fewer_rows_are_told() -> None:
    assert describe_rows([Window(4, 4), LARGE], [8, 8], 8) == ""
    assert says("rows-at-a-time") in describe_rows([Window(4, 4), LARGE], [8, 3], 8)
