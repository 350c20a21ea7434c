"""The loader of records: what goes in comes out, and every wrong value is named with its place."""

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest

from tests.helpers import messages
from trm_arc.common.errors import InputError
from trm_arc.common.records import load_record

says = messages(__name__)


class Colour(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: float = 0.5


@dataclass(frozen=True)
class Inner:
    kind: Literal["a", "b"]
    at: Point | None = None


@dataclass(frozen=True)
class Record:
    name: str
    inner: list[Inner]
    sides: tuple[int, ...] = ()
    pair: tuple[int, str] = (1, "x")
    table: dict[str, float] = field(default_factory=dict)
    colour: Colour = Colour.RED
    anything: Any = None
    grid: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.name == "none":
            raise ValueError("a name is needed")


WHOLE = {"name": "n", "inner": [{"kind": "a", "at": {"x": 1}}, {"kind": "b", "at": None}], "sides": [1, 2], "pair": [3, "z"]}


def load(value: object) -> Record:
    return load_record(Record, value, "f.json", {np.ndarray: lambda rows: np.array(rows, np.uint8)}, "write it again")


def test_round_trip() -> None:
    record = load(WHOLE | {"table": {"k": 1}, "colour": "red", "grid": [[1, 2]]})
    assert record.inner == [Inner("a", Point(1)), Inner("b")]
    assert (record.sides, record.pair, record.table, record.colour) == ((1, 2), (3, "z"), {"k": 1.0}, Colour.RED)
    assert record.grid.tolist() == [[1, 2]]
    plain = asdict(load(WHOLE))
    assert plain["inner"][1] == {"kind": "b", "at": None}


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"name": 1}, "name", "a text"),
        ({"name": "none"}, "", says("a-name-is-needed")),
        ({"nam": "x"}, "", says("did-you-mean-name")),
        ({"inner": {}}, "inner", "a list"),
        ({"inner": [{"kind": "c"}]}, "inner.0.kind", says("one-of-a-b")),
        ({"inner": [{}]}, "inner.0", says("kind-is-missing")),
        ({"inner": [{"kind": "a", "at": {"x": True}}]}, "inner.0.at.x", says("a-whole-number")),
        ({"inner": [{"kind": "a", "at": {"x": 1, "y": float("nan")}}]}, "inner.0.at.y", "finite"),
        ({"sides": [1, "2"]}, "sides.1", says("a-whole-number")),
        ({"pair": [1]}, "pair", "2 parts"),
        ({"table": {"k": "v"}}, "table.k", says("a-finite-number")),
        ({"table": []}, "table", "an object"),
        ({"colour": "blue"}, "colour", says("one-of-red")),
        ({"grid": [[1], [2, 3]]}, "grid", "inhomogeneous"),
    ],
)
def test_wrong_values_are_named(change: dict, place: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load(WHOLE | change)
    assert (str(caught.value.file), caught.value.place) == ("f.json", place)
    assert str(caught.value).endswith("write it again")


def test_no_object() -> None:
    with pytest.raises(InputError, match="an object"):
        load([])
