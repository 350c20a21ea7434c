"""One device at work: receives orders from the worker pool, and answers them; see `submission.messages`.

Its connection is its standard input.  When the pool closes it, by intent or because its program was killed, the worker ends at
once, even in the middle of its work; see `submission.child`.
"""

import os
import queue
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from submission.messages import (
    ITEM,
    Answer,
    Failed,
    InitMessage,
    Loaded,
    Order,
    Predicted,
    Ready,
    Started,
    decode,
    encode,
    pack_predictions,
)
from trm_arc.common.device import Device, find_device
from trm_arc.common.errors import InputError
from trm_arc.data.task import TaskSet, parse_task
from trm_arc.inference.answer import load_kernels, make_predictor
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.predictor import Predictor, choose_compiled
from trm_arc.model.compiling import compiling_seconds
from trm_arc.model.export import load_newest


class Worker:
    """Holds one checkpoint at a time, and processes orders with it."""

    def __init__(self, tasks: TaskSet, device: Device, config: InferenceConfig, connection: Connection) -> None:
        self.tasks, self.device, self.config, self.connection = tasks, device, config, connection
        self.path, self.predictor = "", None

    def send(self, answer: Answer, data: bytes = b"") -> None:
        """Answer the pool."""
        self.connection.send_bytes(encode(answer, data))

    def do(self, order: Order) -> None:
        """Do an order."""
        try:
            predictor = self.load(order.checkpoint)
        except InputError as error:
            self.send(Failed(order.item, str(error), is_unusable_checkpoint=True))
            return
        began = time.monotonic() - compiling_seconds()
        try:
            parts = predictor.predict(order.test_indices, order.views)
        except (RuntimeError, MemoryError):
            raise  # the device may be unusable: a new worker takes over
        except Exception as error:  # other views may be fine
            self.send(Failed(order.item, f"{type(error).__name__}: {error}"))
            return
        self.send(Predicted(order.item, time.monotonic() - compiling_seconds() - began), pack_predictions(parts))

    def load(self, path: str) -> Predictor:
        """The predictor of a checkpoint; another one's is freed first.

        Raises:
            InputError: the checkpoint cannot be used.
        """
        if path != self.path:
            if self.predictor is not None:  # what the memory was not enough for, it will not be enough for again
                least = min(self.config.batch_size, self.predictor.batch_size * self.config.rollouts)
                self.config = replace(self.config, batch_size=least)
            self.path, self.predictor = "", None
            self.predictor, _ = make_predictor(load_newest(Path(path)), self.tasks, self.device, self.config)
            self.path, self.predictor.at_once = path, ITEM * self.config.batch_size
            cells = np.array([window.cells for window in self.predictor.windows], np.int64)
            self.send(Loaded(path, self.predictor.view_counts, cells))
        return self.predictor


def receive(connection: Connection, messages: "queue.SimpleQueue[bytes]") -> None:
    """Forward messages until the connection closes, then end this program at once, as its answers are no longer needed."""
    try:
        while True:
            messages.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def main() -> None:
    """Process orders until the connection closes."""
    connection = Connection(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a program started from here must not keep the connection open
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=receive, args=(connection, messages), daemon=True).start()
    connection.send_bytes(encode(Started()))
    init, _ = decode(InitMessage, messages.get())
    device = find_device(init.device, init.precision)
    tasks = TaskSet((parse_task(task_id, value, "orders") for task_id, value in init.tasks.items()), "orders")
    if torch.ones(8, device=device.device).sum().item() != 8:  # a device that fails does so before any checkpoint is loaded
        raise RuntimeError(f"{init.device}: the sum of eight ones is not eight")
    load_kernels(tasks)  # before it is ready, from when on it may not be silent for long
    worker = Worker(tasks, device, init.inference, connection)
    worker.send(Ready(init.device, choose_compiled(init.inference, device).note))
    while True:
        worker.do(decode(Order, messages.get())[0])


if __name__ == "__main__":
    main()
