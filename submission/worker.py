"""One device at work: reads orders from its standard input, writes predictions to its standard output.

An order is a line of JSON, an answer a line of JSON followed by `size` bytes of safe tensors; nothing touches a disk, and nothing
is pickled.  The first line says what to answer and where to compute.  When the input ends, so does the worker.

    {"tasks": {...}, "device": "cuda:0", "precision": "auto", "inference": {"steps": null, ...}}
    {"device": "cuda:0"}                                                          answer: the device works
    {"unit": 7, "checkpoint": "PATH", "slots": [0, 0, 1], "views": [4, 5, 4]}     views of test inputs to predict
    {"unit": 7, "seconds": 1.2, "size": 4096}                                     answer: predictions
    {"checkpoint": "PATH", "counts": [1001, 640], "cells": [900, 121]}            answer: views that there are, cells of a canvas
    {"unit": 7, "error": "...", "checkpoint": true}                               answer: the checkpoint cannot be used
    {"unit": 7, "error": "..."}                                                   answer: these views cannot be predicted
"""

import os
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import torch
from safetensors.numpy import load, save

from trm_arc.common.device import Device, find_device
from trm_arc.common.errors import InputError
from trm_arc.common.files import to_json
from trm_arc.common.records import load_record
from trm_arc.data.task import TaskSet, parse_task
from trm_arc.inference.answer import make_predictor
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.predictor import Predictor
from trm_arc.inference.votes import Predictions
from trm_arc.model.export import load_newest

_FIELDS = ("canvases", "table", "test_index", "halting", "steps")


def pack_predictions(parts: list[Predictions]) -> bytes:
    """Predictions as safe tensors."""
    # contiguous, as safetensors writes the bytes of an array without a look at its strides
    fields = {f"{number}.{name}": getattr(part, name) for number, part in enumerate(parts) for name in _FIELDS}
    return save({name: np.ascontiguousarray(array) for name, array in fields.items()})


def unpack_predictions(data: bytes) -> list[Predictions]:
    """Read back `pack_predictions`."""
    arrays = load(data)
    return [Predictions(*(arrays[f"{number}.{name}"] for name in _FIELDS)) for number in range(len(arrays) // len(_FIELDS))]


class Worker:
    """Holds one checkpoint at a time, and answers orders with it.

    Args:
        tasks: what to answer.
        device: where.
        config: how views are answered.
        out: where answers go.
    """

    def __init__(self, tasks: TaskSet, device: Device, config: InferenceConfig, out: BinaryIO) -> None:
        self.tasks, self.device, self.config, self.out = tasks, device, config, out
        self.path, self.predictor = "", None

    def say(self, header: dict[str, Any], data: bytes = b"") -> None:
        """Write an answer.

        Args:
            header: its line.
            data: what follows.
        """
        self.out.write(to_json(header | ({"size": len(data)} if data else {})) + data)
        self.out.flush()

    def do(self, order: dict[str, Any]) -> None:
        """Carry out an order."""
        try:
            predictor = self.load(order["checkpoint"])
        except InputError as error:
            self.say({"unit": order["unit"], "error": str(error), "checkpoint": True})
            return
        began = time.monotonic()
        try:
            parts = predictor.predict(np.array(order["slots"], np.int64), np.array(order["views"], np.int64))
        except (RuntimeError, MemoryError):
            raise  # the device may be in no state to go on: a new worker takes over
        except Exception as error:  # whatever is wrong with these views, others may be fine
            self.say({"unit": order["unit"], "error": f"{type(error).__name__}: {error}"})
            return
        self.say({"unit": order["unit"], "seconds": time.monotonic() - began}, pack_predictions(parts))

    def load(self, path: str) -> Predictor:
        """The predictor of a checkpoint; another one's is let go first.

        Args:
            path: of the checkpoint.

        Raises:
            InputError: it cannot be used.
        """
        if path != self.path:
            self.path, self.predictor = "", None
            self.predictor, _ = make_predictor(load_newest(Path(path)), self.tasks, self.device, self.config)
            self.path = path
            cells = [window.cells for window in self.predictor.windows]
            self.say({"checkpoint": path, "counts": self.predictor.view_counts.tolist(), "cells": cells})
        return self.predictor


def main() -> None:
    """Read orders until there are no more."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the answers
    first = orjson.loads(sys.stdin.buffer.readline())
    device = find_device(first["device"], first["precision"])
    config = load_record(InferenceConfig, first["inference"], "orders")
    tasks = TaskSet((parse_task(task_id, value, "orders") for task_id, value in first["tasks"].items()), "orders")
    worker = Worker(tasks, device, config, out)
    if torch.ones(8, device=device.device).sum().item() != 8:  # a device that fails does so before any checkpoint is read
        raise RuntimeError(f"{first['device']}: eight ones do not make eight")
    worker.say({"device": first["device"]})
    for line in sys.stdin.buffer:
        worker.do(orjson.loads(line))


if __name__ == "__main__":
    main()
