"""Saving a run of several processes: they compare their weights first."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers import messages, small_trainer
from trm_arc.common.distributed import ProcessGroup
from trm_arc.common.errors import InputError
from trm_arc.training.state import require_same_weights, save_state

says = messages(__name__)


class Others(ProcessGroup):
    """Process 0 of three, whose others have the same weights but for one bit of process 2."""

    def __init__(self, flipped: int) -> None:
        super().__init__(0, 3)
        self.flipped = flipped

    def gather(self, tensor: Tensor) -> Tensor:
        """Checksums (1, tensors) of each process."""
        other = tensor.clone()
        other[0, self.flipped] += 1
        return torch.cat((tensor, tensor, other))


def test_a_process_with_other_weights_ends_the_run_before_it_is_saved(tmp_path: Path) -> None:
    trainer = small_trainer()
    trainer.processes = Others(3)
    with pytest.raises(InputError, match=says("differ")):
        save_state(trainer, tmp_path, keep=1)
    assert not list(tmp_path.iterdir())


def test_any_bit_of_any_weight_changes_the_checksum() -> None:
    sums: list[Tensor] = []

    class Keep(ProcessGroup):
        def gather(self, tensor: Tensor) -> Tensor:
            sums.append(tensor)
            return tensor.repeat(2, 1)

    trainer = small_trainer()
    trainer.processes = Keep(0, 2)
    weights = [*trainer.reasoner.state_dict().values(), trainer.embedding.table]
    for weight in (weights[0], weights[0], weights[-1]):
        require_same_weights(trainer)
        weight.view(torch.int32).view(-1)[-1] ^= 1
    require_same_weights(trainer)
    assert len({tuple(s.flatten().tolist()) for s in sums}) == 3, "a bit that is flipped twice is as it was"
