"""Every way to run out of memory that PyTorch and what it calls have, by their words; and what only looks like one."""

import pytest
import torch

from tests.helpers import messages
from trm_arc.common.device import find_device, is_out_of_memory
from trm_arc.common.errors import InputError
from trm_arc.common.text import first_words

says = messages(__name__)

ASYNCHRONOUS = "\nCUDA kernel errors might be asynchronously reported at some other API call."
NCCL = "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:77, unhandled cuda error, NCCL version 2.26.2\n"
CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.15 GiB of which 2.06 GiB is free."


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(CUDA),
        torch.AcceleratorError("CUDA error: out of memory" + ASYNCHRONOUS),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("HIP error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 18.00 GB, other allocations: 84 MB, max allowed: 18.13 GB)."),
        RuntimeError("XPU out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("FIND was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        torch.distributed.DistBackendError(
            f"{NCCL}ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'"
        ),
        torch.distributed.DistBackendError(f"{NCCL}Last error:\nFailed to CUDA calloc async 6291456 bytes"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8589934592 bytes. Error code 12"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8589934592 bytes."),
        RuntimeError("unable to mmap 1024 bytes from file </torch_1>: Cannot allocate memory (12)"),
        RuntimeError("std::bad_alloc"),
        MemoryError(),
    ],
    ids=lambda error: first_words(error)[:60],
)
def test_running_out_of_memory_is_known_by_its_words(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.programs
@pytest.mark.parametrize("error", [torch.OutOfMemoryError(CUDA), RuntimeError("Triton Error [CUDA]: out of memory")])
def test_so_it_is_in_an_error_of_the_compiler(error: Exception) -> None:
    from torch._inductor.exc import InductorError  # takes a second

    assert is_out_of_memory(InductorError(error, None))


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: an illegal memory access was encountered" + ASYNCHRONOUS,
        "CUDA error: device-side assert triggered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.",
        "No valid triton configs. OutOfMemoryError: out of resource: triton_per_fused_add Required: 327768 Hardware limit",
        "C++ compile error: main.cpp:7:9: error: 'allocate' was not declared in this scope",
        "Failed to find C compiler. Please specify via CC environment variable.",
        "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
        "mat1 and mat2 shapes cannot be multiplied (4x3 and 4x3)",
        "",
    ],
)
def test_other_errors_are_not_taken_for_it(text: str) -> None:
    assert not is_out_of_memory(RuntimeError(text))


def test_the_host_that_has_no_memory_says_so() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(error.value)


def test_the_first_words_are_one_short_line() -> None:
    words = first_words(RuntimeError(f"NCCL\n  error\x1b in:\n\n{'x' * 500}"))
    assert words == "NCCL error\\x1b in:"
    assert len(first_words(RuntimeError("y" * 500))) == 120
    assert first_words(MemoryError()) == "MemoryError"


def test_where_there_is_no_accelerator_it_is_said_what_hides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped number hides all of them."""
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "seven")
    assert says("hidden-by-cuda") in find_device().reason
    with pytest.raises(InputError, match=says("cuda-0-is-not")) as refused:
        find_device("cuda:0")
    assert refused.value.flag == "--device"
