"""What the worker pool and its workers send each other: a line of JSON, then for predictions safe tensors; nothing is pickled.

worker                                  pool
Started         its program runs
                                        InitMessage     what to answer, where, how
Ready           its device works
                                        Order           an item of work
Loaded          its checkpoint, if it is another than before
Predicted or Failed
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import orjson
from safetensors.numpy import load, save

from trm_arc.common.files import to_json
from trm_arc.common.records import load_record
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.votes import Predictions

T = TypeVar("T")
ITEM = 4  # batches of an item of work at most
_FIELDS = ("canvases", "table", "test_index", "halting", "steps")


@dataclass(frozen=True)
class InitMessage:
    """What a worker needs to know once.

    Attributes:
        tasks: by id, as in a challenges file.
        device: where to compute.
        precision: see `trm_arc.common.device.find_device`.
        inference: how views are answered.
    """

    tasks: Mapping[str, Any]
    device: str
    precision: str
    inference: InferenceConfig


@dataclass(frozen=True)
class Order:
    """Views to predict; with none of them, a checkpoint to load.

    Attributes:
        item: number of the item of work.
        checkpoint: its path.
        test_indices: int64 (n,), the test input of each view.
        views: int64 (n,), its number.
    """

    item: float
    checkpoint: str
    test_indices: np.ndarray
    views: np.ndarray


@dataclass(frozen=True)
class Started:
    """The worker's program runs, and reads its messages."""


@dataclass(frozen=True)
class Ready:
    """The worker's device works."""

    device: str
    note: str = ""  # on what is compiled there


@dataclass(frozen=True)
class Loaded:
    """A checkpoint is loaded.

    Attributes:
        checkpoint: its path.
        counts: int64 (test inputs,), the views that there are of each.
        cells: int64 (test inputs,), cells of the canvas of each.
    """

    checkpoint: str
    counts: np.ndarray
    cells: np.ndarray


@dataclass(frozen=True)
class Predicted:
    """An item is done; its predictions follow."""

    item: float
    seconds: float


@dataclass(frozen=True)
class Failed:
    """An item cannot be done, because of its checkpoint or otherwise."""

    item: float
    error: str
    is_unusable_checkpoint: bool = False


Answer = Started | Ready | Loaded | Predicted | Failed


def encode(record: InitMessage | Order | Answer, data: bytes = b"") -> bytes:
    """A message."""
    return to_json(record) + data


def decode(kind: type[T], message: bytes) -> tuple[T, bytes]:
    """Read back `encode`.

    Raises:
        InputError: a field is missing, unknown or of another type.
        JSONDecodeError: the message is none.
    """
    line, _, data = message.partition(b"\n")
    return load_record(kind, orjson.loads(line), "message", {np.ndarray: _parse_integers}), data


def _parse_integers(value: object) -> np.ndarray:
    if not isinstance(value, list) or not all(type(number) is int for number in value):
        raise ValueError("must be a list of whole numbers")
    return np.array(value, np.int64)


def pack_predictions(parts: list[Predictions]) -> bytes:
    """Predictions as safe tensors."""
    # contiguous, as safetensors writes the bytes of an array without a look at its strides
    fields = {f"{number}.{name}": getattr(part, name) for number, part in enumerate(parts) for name in _FIELDS}
    return save({name: np.ascontiguousarray(array) for name, array in fields.items()})


def unpack_predictions(data: bytes) -> list[Predictions]:
    """Read back `pack_predictions`."""
    arrays = load(data)
    return [Predictions(*(arrays[f"{number}.{name}"] for name in _FIELDS)) for number in range(len(arrays) // len(_FIELDS))]
