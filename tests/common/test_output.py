"""What commands print is shown by every terminal: characters that it lacks are replaced, control characters escaped."""

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from submission.bundle import MANIFEST
from tests.helpers import ROOT, make_tasks, to_document
from trm_arc import show
from trm_arc.cli import run
from trm_arc.common.output import LOOKALIKES, EscapingStream, print_styled

SUDOKU = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
EVIL = "a\x1b[31mb\x1b]0;title\x07\r\x08\x7f\x9b2J\u202e\u2028\nc\td"
STYLE = re.compile(r"\x1b\[(0|1|32|38;2;[0-9;]+|48;2;[0-9;]+|1;38;2;[0-9;]+)m")  # those of this kit


def show_board(encoding: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal of an encoding shows."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "argv", ["show", SUDOKU])
    with pytest.raises(SystemExit) as ended:
        run(show.main)
    assert ended.value.code == 0
    return stream.buffer.getvalue().decode(encoding)


def test_a_board_is_shown_in_every_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = show_board("utf-8", monkeypatch)
    assert "┌" in whole
    assert show_board("cp437", monkeypatch) == whole  # it has these characters
    for encoding in ("latin-1", "cp1252", "ascii", "koi8-r"):
        assert show_board(encoding, monkeypatch).translate(str.maketrans(LOOKALIKES)) == whole.translate(
            str.maketrans(LOOKALIKES)
        )


def test_every_character_that_is_printed_has_a_lookalike_of_its_width() -> None:
    used = {c for p in ("trm_arc", "submission") for f in (ROOT / p).rglob("*.py") for c in f.read_text("utf-8") if c > "~"}
    assert used <= LOOKALIKES.keys()
    assert all(len(text) == 1 and text.isascii() for text in LOOKALIKES.values())


def test_other_characters_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nothing"])
    for encoding, shown in (("ascii", "r\\xe4ume \\u4e2d \\ud800\n"), ("utf-8", "räume 中 \\ud800\n")):
        stream = io.TextIOWrapper(io.BytesIO(), encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit):
            run(lambda _: print("räume 中 \ud800", flush=True) or 0)
        assert stream.buffer.getvalue().decode(encoding) == shown


def test_control_characters_are_escaped_but_for_line_ends() -> None:
    into = io.StringIO()
    stream = EscapingStream(into)
    print(EVIL, "next", sep="\n", file=stream)
    print("\r 50%|###", end="", file=stream)
    *lines, bar = into.getvalue().split("\n")
    assert all(line.isprintable() for line in lines)
    assert lines[-1] == "next"
    assert bar == "\r 50%|###"  # a progress bar begins its line anew


def test_our_own_colours_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    into = io.StringIO()
    for stream in (into, EscapingStream(into)):
        monkeypatch.setattr(sys, "stdout", stream)
        print_styled("\x1b[1mbold\x1b[0m")
    assert into.getvalue() == 2 * "\x1b[1mbold\x1b[0m\n"


@pytest.mark.parametrize("colour", ["FORCE_COLOR", "NO_COLOR"])
@pytest.mark.parametrize("name", ["check", "check broken", "score", "verify", "evaluate", "show", "solutions", "file"])
def test_a_file_cannot_control_the_terminal(
    name: str, colour: str, tmp_path: Path, base: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids of tasks, names of files and values in them, by every command that quotes them."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(colour, "1")
    tasks, other = make_tasks(2, 5, EVIL), tmp_path / "other.json"
    challenges, broken, answers = (tmp_path / name for name in ("tasks.json", "broken.json", EVIL.replace("/", "")))
    challenges.write_text(json.dumps(to_document(tasks, outputs=True)))
    document = to_document(tasks) | {EVIL: {"train": EVIL, EVIL: 1}}
    broken.write_text(json.dumps(document))
    answers.write_text(json.dumps({EVIL: [{"attempt_1": EVIL, EVIL: [[1]]}]}))
    other.write_text(json.dumps({f"{EVIL}2": [[["x"]]]}))
    (tmp_path / "bundle").mkdir()
    one = EVIL.replace("\n", "")
    kept = {"format": "trm_arc bundle", "version": 1, "kit": one, "versions": {}, "wheel": one, "checkpoints": [], "data": []}
    manifest = kept | {"files": {one: {"bytes": 1, "sha256": one}}}
    (tmp_path / "bundle" / MANIFEST).write_text(json.dumps(manifest))
    (tmp_path / "bundle" / one).write_text("")
    arguments = {
        "check": ["submission", "check", "--challenges", challenges, "--submission", answers],
        "check broken": ["submission", "check", "--challenges", broken, "--submission", answers],
        "score": ["submission", "score", "--submission", answers, "--solutions", other],
        "verify": ["submission", "verify", "--bundle", tmp_path / "bundle"],
        "evaluate": ["evaluate", "--checkpoint", base, "--data", challenges, "--out", tmp_path / EVIL, "--views", 1, "--show"],
        "show": ["show", f"{EVIL}00", "--data", challenges],
        "solutions": ["show", f"{EVIL}00", "--data", challenges, "--solutions", other],
        "file": ["show", "1", "--data", answers],
    }[name]
    _, out, err = command(*arguments)
    printed = STYLE.sub("", out) + err
    assert "\\x1b[31m" in printed
    assert all(line.isprintable() for line in printed.split("\n"))
    assert not [line for line in printed.split("\n") if line.startswith("c")]  # nor does an id begin a line
