"""The batches of a run, in order: on an accelerator the next one is made in a thread while the device works on the last."""

from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from trm_arc.common.device import PINNING
from trm_arc.data.batch import Batch


class Loader:
    """Gives the batch of any step on a device; a step asked for in order is ready when it is asked for.

    A batch depends on its step alone, so that it is the same whether it was made ahead or not.

    Args:
        make: the batch of a step, in host memory.
        pinning: types of devices that copy from pinned memory while they compute.
    """

    def __init__(self, make: Callable[[int], Batch], device: torch.device, pinning: Collection[str] = PINNING) -> None:
        self.make, self.device, self.pins = make, device, device.type in pinning
        # The thread ends with this object, and after its batch when the program ends.
        self.thread = None if device.type == "cpu" else ThreadPoolExecutor(1, thread_name_prefix="loader")
        self.ahead: tuple[int, Future[Batch]] | None = None

    def take(self, step: int) -> Batch:
        """The batch of a step, on the device.

        Raises:
            Exception: whatever making it has raised, in the thread or not.
        """
        if self.thread is None:
            return self.make(step)
        ahead, self.ahead = self.ahead, None
        try:
            batch = ahead[1].result() if ahead and ahead[0] == step else self._prepare(step)
        finally:
            if ahead:
                ahead[1].cancel()
        self.ahead = step + 1, self.thread.submit(self._prepare, step + 1)
        return Batch(*(part.to(self.device, non_blocking=self.pins) for part in batch))

    def _prepare(self, step: int) -> Batch:
        """A batch in host memory, pinned where that lets the copy run beside the device's work."""
        batch = self.make(step)
        return Batch(*(part.pin_memory() for part in batch)) if self.pins else batch
