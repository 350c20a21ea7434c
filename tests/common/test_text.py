"""Text for a terminal."""

import pytest

from trm_arc.common.text import format_value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "true"),
        (None, "null"),
        ('a "b"\n\x1b\ud800é', r'"a \"b\"\n\u001b\ud800é"'),
        ("", '""'),
        ("0123456789" * 9, '"0123456789012345678…234567890123456789"'),
        ([[0, 1], {"a": None}], "[[0, 1], {'a': None}]"),
        (list(range(99)), "[0, 1, 2, 3, 4, 5, ...]"),
        (-1.5, "-1.5"),
        (10**50, "100000000000000000...0000000000000000000"),
        ([1 << 99_999], "a huge number"),
    ],
)
def test_a_value_is_shown_in_a_short_line(value: object, shown: str) -> None:
    assert format_value(value) == shown
