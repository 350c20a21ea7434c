"""Durations, moments and sizes; those that no clock or disk can hold are refused."""

import pytest

from tests.helpers import messages
from trm_arc.common.durations import parse_duration, parse_size, seconds_until
from trm_arc.common.errors import InputError

says = messages(__name__)
MANY = "9" * 400


@pytest.mark.parametrize(
    "text", [f"{MANY}h", MANY, f"1d{MANY}s", "0", "1e9", "-1s", "inf", "nan", "\u0663\u0660s", "1_0s", "0x9", "-0", ""]
)
def test_durations_are_finite(text: str) -> None:
    with pytest.raises(InputError, match=says("not-a-duration")) as refused:
        parse_duration(text, "--time-limit")
    assert refused.value.flag == "--time-limit"
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("text", [f"{MANY}GB", "0GB", "0.5B", "1e5MB", "infGB", f"{MANY}.5KiB", "\u0661MB"])
def test_sizes_are_finite(text: str) -> None:
    with pytest.raises(InputError, match=says("not-a-size")) as refused:
        parse_size(text, "--export-size")
    assert refused.value.flag == "--export-size"


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00+14:00",
        "0001-01-01",
        "99999999999-01-01",
        "25:00",
        f"{MANY}:00",
        "1\u0667:45",
    ],
)
def test_moments_are_on_the_calendar(text: str) -> None:
    with pytest.raises(InputError) as refused:
        seconds_until(text, "--deadline")
    assert refused.value.flag == "--deadline"
