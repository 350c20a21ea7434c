"""Which kernel of attention a device takes."""

import pytest
import torch
from torch.nn.attention import SDPBackend

from tests.helpers import SMALL, make_tasks, small_trainer
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.config import InferenceConfig
from trm_arc.model import attention, reasoner
from trm_arc.model.attention import prefer_kernels
from trm_arc.training.state import inference_state

CUDNN = int(SDPBackend.CUDNN_ATTENTION)


def order() -> list[int]:
    """In which PyTorch tries the kernels now."""
    return list(torch._C._get_sdp_priority_order())


@pytest.mark.parametrize(("capability", "first"), [((9, 0), CUDNN), ((7, 5), None), ((8, 9), None), ((10, 0), None)])
def test_cudnn_comes_first_on_hopper_alone(
    capability: tuple[int, int], first: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    before = order()
    assert before[0] != CUDNN
    with prefer_kernels(torch.device("cuda:1")):
        assert order()[0] == (before[0] if first is None else first)
        assert {int(b) for b in attention.ORDERS[9, 0]} <= set(order())
        # what the first cannot do, another does
        assert torch.backends.cuda.flash_sdp_enabled()
        assert torch.backends.cuda.math_sdp_enabled()
    assert order() == before
    with prefer_kernels(torch.device("cpu")):
        assert order() == before


def test_training_and_answering_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the device: here the CPU's, which is asked for as if it were a Hopper card."""
    seen, before = [], order()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    for module in ("trm_arc.training.trainer", "trm_arc.inference.predictor"):
        monkeypatch.setattr(f"{module}.prefer_kernels", lambda _device: prefer_kernels(torch.device("cuda")))
    real = reasoner.attend
    monkeypatch.setattr(reasoner, "attend", lambda *parts: (seen.append(order()[0]), real(*parts))[1])
    trainer = small_trainer(SMALL)
    seen.clear()  # of counting its operations
    trainer.train_step()
    assert set(seen) == {CUDNN}
    seen.clear()
    predict_tasks(inference_state(trainer), make_tasks(2, 2), trainer.device, InferenceConfig(steps=1), views=2, quiet=True)
    assert set(seen) == {CUDNN}
    assert order() == before
