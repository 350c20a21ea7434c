"""Tables of rotations and initial states are made once, and never out of date."""

import torch

from trm_arc.config import ModelConfig
from trm_arc.model.reasoner import Reasoner
from trm_arc.model.rotary import _make_tables, find_tables

CPU = torch.device("cpu")
CONFIG = ModelConfig(width=16, heads=2, prefix=3, board_rows=6, board_columns=6, positions="rotary-2d")


def test_tables_are_made_once_for_each_window() -> None:
    with torch.inference_mode():  # an evaluation comes first
        first = find_tables(CONFIG, 4, 5, torch.float32, CPU)
    assert not any(table.is_inference() for table in first)
    assert find_tables(CONFIG, 4, 5, torch.float32, CPU) is first
    others = [find_tables(CONFIG, 5, 4, torch.float32, CPU), find_tables(CONFIG, 4, 5, torch.bfloat16, CPU)]
    assert all(other is not first for other in others)
    for ours, theirs in zip(first, _make_tables("rotary-2d", 3, 4, 5, 6, 8, torch.float32, CPU), strict=True):
        assert torch.equal(ours, theirs)


def test_initial_states_are_made_once_until_the_weights_change() -> None:
    reasoner = Reasoner(CONFIG, torch.Generator().manual_seed(0))

    def start(**changes: object) -> torch.Tensor:
        given = {"batch": 4, "rows": 4, "columns": 5, "dtype": torch.float32} | changes
        state = reasoner.start(**given)
        assert torch.equal(state.y, reasoner.y_start.to(given["dtype"]).expand_as(state.y))
        assert torch.equal(state.z[0], reasoner.z_start[0].to(given["dtype"]).expand_as(state.z[0]))
        return state.y

    first = start()
    assert start().data_ptr() == first.data_ptr()
    assert start(rows=6).data_ptr() == first.data_ptr()  # the same for every cell of any window
    assert start(dtype=torch.bfloat16).dtype == torch.bfloat16
    reasoner.load_state_dict({name: tensor + 1 for name, tensor in reasoner.state_dict().items()})
    assert torch.equal(start()[:, :1] - 1, first[:, :1]) or start().data_ptr() != first.data_ptr()
    reasoner.double()
    start(dtype=torch.float64)
    with torch.inference_mode():
        assert reasoner.start(4, 4, 5, torch.float64).y.is_inference()
    assert not start(dtype=torch.float64).is_inference()
