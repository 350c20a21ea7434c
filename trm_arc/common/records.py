"""Dataclasses from the plain values of a JSON or TOML file: one loader, which checks every value by its type."""

import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from trm_arc.common.errors import InputError, did_you_mean
from trm_arc.common.text import format_value

T = TypeVar("T")
Parsers = Mapping[Any, Callable[[object], Any]]


def load_record(kind: type[T], value: object, file: Path | str, parsers: Parsers | None = None, advice: str = "") -> T:
    """A dataclass or named tuple from an object of plain values, recursively.

    Fields are bool, int, float, str, None, `Literal`, `Enum`, `Any`, other records, and lists, tuples, mappings and unions of
    these.  A field that is left out takes its default.  A whole number is accepted for a float; numbers are finite.

    Args:
        parsers: for further types, as `numpy.ndarray`: they raise ValueError for what they do not accept.
        advice: appended to an error, after a semicolon.

    Raises:
        InputError: a field is unknown, missing or of another type, or the record itself refuses its values.
    """
    try:
        return _parse(kind, value, (), parsers or {})
    except _MismatchError as error:
        raise InputError("; ".join(filter(None, (error.problem, advice))), file=file, place=".".join(error.place)) from None


def check_record(record: Any) -> None:
    """Check the types of a record that was built in code, as `load_record` does; numbers of NumPy and torch become Python's.

    Raises:
        InputError: a field is of another type, or a number that is not finite.
    """
    for name, hint in _shape(type(record))[0].items():
        value = getattr(record, name)
        if hasattr(value, "dtype") and getattr(value, "shape", None) == ():
            object.__setattr__(record, name, value := value.item())
        try:
            _parse(hint, value, (), {})
        except _MismatchError as error:
            raise InputError(error.problem, flag=name) from None


class _MismatchError(ValueError):
    def __init__(self, place: Sequence[str], problem: str) -> None:
        self.place, self.problem = place, problem


def _parse(hint: Any, value: object, place: tuple[str, ...], parsers: Parsers) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in parsers:
        try:
            return parsers[hint](value)
        except ValueError as error:
            raise _MismatchError(place, str(error)) from None
    if hint is Any:
        return value
    if is_record(hint):
        return _parse_record(hint, value, place, parsers)
    if origin is Literal:
        return _require(value in arguments and type(value) in map(type, arguments), value, hint, place)
    if origin in (Union, types.UnionType):
        return _parse_union(arguments, value, hint, place, parsers)
    if isinstance(hint, type) and issubclass(hint, Enum):
        _require(value in [member.value for member in hint], value, hint, place)
        return hint(value)
    if hint is float:
        return float(_require(type(value) in (int, float) and math.isfinite(value), value, hint, place))
    if hint in (bool, int, str, type(None)):
        return _require(type(value) is hint, value, hint, place)
    return _parse_container(origin or hint, arguments, value, place, parsers)


def is_record(hint: Any) -> bool:
    """Whether a type is a dataclass or a named tuple."""
    return isinstance(hint, type) and (is_dataclass(hint) or hasattr(hint, "_field_defaults"))


@cache
def _shape(kind: type) -> tuple[dict[str, Any], set[str]]:
    """Names and types of a record's fields, and which of them must be given."""
    hints = get_type_hints(kind)
    if is_dataclass(kind):
        own = [f for f in fields(kind) if f.init]
        return {f.name: hints[f.name] for f in own}, {
            f.name for f in own if f.default is MISSING and f.default_factory is MISSING
        }
    return {name: hints[name] for name in kind._fields}, set(kind._fields) - set(kind._field_defaults)


def _parse_record(kind: type, value: object, place: tuple[str, ...], parsers: Parsers) -> Any:
    if not isinstance(value, Mapping):
        raise _MismatchError(place, f"must be an object, got {format_value(value)}")
    hints, needed = _shape(kind)
    for name in value:
        if name not in hints:
            raise _MismatchError(place, f"{name} is not known{did_you_mean(str(name), hints)}")
    missing = sorted(needed - value.keys())
    if missing:
        raise _MismatchError(place, f"{', '.join(missing)} is missing")
    given = {name: _parse(hints[name], part, (*place, name), parsers) for name, part in value.items()}
    try:
        return kind(**given)
    except ValueError as error:  # InputError is one
        raise _MismatchError(place, str(error)) from None


def _parse_union(kinds: Sequence[Any], value: object, hint: Any, place: tuple[str, ...], parsers: Parsers) -> Any:
    others = [kind for kind in kinds if kind is not type(None)]
    if value is not None and len(others) == 1:
        return _parse(others[0], value, place, parsers)
    deepest = _MismatchError(place, _wanted(value, hint))
    for kind in kinds:
        try:
            return _parse(kind, value, place, parsers)
        except _MismatchError as error:
            deepest = max(deepest, error, key=lambda e: len(e.place))
    raise deepest


def _parse_container(origin: Any, arguments: Sequence[Any], value: object, place: tuple[str, ...], parsers: Parsers) -> Any:
    def inside(kind: Any, key: object, part: object) -> Any:
        return _parse(kind, part, (*place, str(key)), parsers)

    if issubclass(origin, Mapping):
        _require(isinstance(value, Mapping), value, origin, place)
        of = arguments[1] if arguments else Any
        return {key: inside(of, key, part) for key, part in value.items()}
    if not issubclass(origin, Sequence):
        raise TypeError(f"no value of a file can be a {origin}")
    _require(isinstance(value, list | tuple), value, origin, place)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise _MismatchError(place, f"must have {len(arguments)} parts, got {len(value)}")
        return tuple(inside(kind, n, part) for n, (kind, part) in enumerate(zip(arguments, value, strict=True)))
    parts = [inside(arguments[0] if arguments else Any, n, part) for n, part in enumerate(value)]
    return tuple(parts) if origin is tuple else parts


_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    type(None): "nothing",
}


def _require(holds: bool, value: Any, hint: Any, place: Sequence[str]) -> Any:
    if not holds:
        raise _MismatchError(place, _wanted(value, hint))
    return value


def _wanted(value: object, hint: Any) -> str:
    if get_origin(hint) is Literal:
        what = f"one of {', '.join(map(str, get_args(hint)))}"
    elif isinstance(hint, type) and issubclass(hint, Enum):
        what = f"one of {', '.join(str(member.value) for member in hint)}"
    elif isinstance(hint, type) and issubclass(hint, Mapping):
        what = "an object"
    elif isinstance(hint, type) and issubclass(hint, Sequence) and hint is not str:
        what = "a list"
    elif get_origin(hint) in (Union, types.UnionType):
        what = " or ".join(_NAMES.get(kind, "an object" if is_record(kind) else "a list") for kind in get_args(hint))
    else:
        what = _NAMES[hint]
    return f"must be {what}, got {format_value(value)}"
