"""Numbers of threads in the environment: what no library takes is refused before one reads it."""

from collections.abc import Callable

import pytest

from tests.helpers import messages
from trm_arc.common.errors import InputError
from trm_arc.common.launch import THREADS, check_threads

says = messages(__name__)


@pytest.mark.parametrize("name", THREADS)
@pytest.mark.parametrize(
    "value", ["0", "-1", "1000000", "9" * 400, "abc", "0x2", "1e3", "2.5", "nan", "\u0663", "1_0", "2,", "\x1b[2J"]
)
def test_what_is_no_number_of_threads_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=says("a-number-of-threads")) as refused:
        check_threads()
    assert refused.value.flag == name
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("name", THREADS)
@pytest.mark.parametrize("value", ["1", " 64 ", "4096", ""])
def test_numbers_of_threads_are_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    check_threads()


def test_openmp_takes_a_number_for_each_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4, 2")
    check_threads()


def test_commands_ask(command: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba, imported by the first kernel, would end the program by a traceback."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", "0")
    assert command("generate")[0] == 2
    assert command.refused.flag == "NUMBA_NUM_THREADS"
