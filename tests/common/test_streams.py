"""Standard streams that fail: closed ones, pipes without a reader, a full disk, pipes that are full for now."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tqdm.std import tqdm

from tests.forked import python
from tests.helpers import ROOT, messages
from trm_arc.common import streams
from trm_arc.common.streams import make_progress_bar, require_printed
from trm_arc.common.text import is_terminal

says = messages("common.test_streams")
RUN = """
import sys
from trm_arc.common.program import run
from trm_arc.common import streams
from trm_arc.common.streams import make_progress_bar, require_printed
from tqdm import tqdm
def main(arguments):
    with make_progress_bar(2, "step") as bar:
        for step in range(2):
            print("line", step, "x" * 9000)
            print("remark", file=sys.stderr)
            tqdm.write("score")
            bar.update()
    with open(arguments[0], "w") as file:
        file.write("done")
    return require_printed(3) if "result" in arguments else 3
run(main)
"""


def shell(how: str, *arguments: object) -> tuple[int, str, str]:
    """Run the program above with its streams as `how` says."""
    command = f'"$@" {how}'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, "_", *python(), "-c", RUN, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("how", ["| true", ">/dev/full", ">&-", "2>&-", "2>/dev/full", ">/dev/full 2>&1", "<&- >&- 2>&-"])
def test_words_that_fail_do_not_end_a_command(how: str, tmp_path: Path) -> None:
    code, out, error = shell(how, tmp_path / "file")
    assert (code, (tmp_path / "file").read_text()) == (3, "done")
    assert "Traceback" not in error
    assert "Exception" not in error
    if how == ">/dev/full":
        assert error.count("remark") == 2
        assert error.count(says("some-lines-could-not")) == 1
    if how in ("2>&-", "2>/dev/full"):
        assert (out.count("line"), out.count("score")) == (2, 2)


@pytest.mark.parametrize(("how", "expected"), [("| true", 141), (">/dev/full", 2), (">&-", 3), ("2>&-", 3)])
def test_a_result_that_cannot_be_printed(how: str, expected: int, tmp_path: Path) -> None:
    code, _, error = shell(how, tmp_path / "file", "result")
    assert code == expected
    assert (says("the-result-cannot-be") in error) == (expected == 2)
    assert "Traceback" not in error


@pytest.mark.parametrize(("how", "expected"), [(">/dev/full", 2), (">&-", 0), ("| true", 141)])
def test_help_that_cannot_be_printed(how: str, expected: int) -> None:
    program = [*python(), "-m", "trm_arc.generate", "--help"]
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f'"$@" {how}', "_", *program], cwd=ROOT, check=False)
    assert done.returncode == expected


def test_a_file_does_not_receive_what_a_closed_stream_was_sent(tmp_path: Path) -> None:
    """Without care, the first file that is opened gets the number of the closed stream."""
    code = "import os, sys\nfrom trm_arc.common.streams import guard_streams\nguard_streams()\n"
    code += "file = open(sys.argv[1], 'wb')\nassert file.fileno() > 2\nos.write(1, b'x')\nos.write(2, b'x')\n"
    code += "import subprocess\nsubprocess.run(['bash', '-c', 'echo y; echo y >&2'], check=True)"
    command = '"$0" -c "$1" "$2" <&- >&- 2>&-'
    subprocess.run(["bash", "-c", command, sys.executable, code, tmp_path / "file"], cwd=ROOT, check=True)
    assert (tmp_path / "file").read_bytes() == b""


def test_a_full_pipe_of_others_is_waited_for() -> None:
    """A pipe that somebody has set to return at once, as some programs do to a shared terminal, loses nothing."""
    code = "import os, sys\nfrom trm_arc.common.streams import guard_streams, require_printed\nos.set_blocking(1, False)\n"
    code += "guard_streams()\nprint('x' * 1_000_000)\nrequire_printed()"
    done = subprocess.run([*python(), "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert len(done.stdout) == 1_000_001


def test_streams_of_a_library_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a command, and so without a guard, closed streams are no error either."""
    monkeypatch.setattr(sys, "stderr", None)
    assert not is_terminal(sys.stderr)
    with make_progress_bar(3, "step") as bar:
        bar.update()
    assert require_printed(1) == 1


def test_streams_keep_their_encoding() -> None:
    code = "import sys\nfrom trm_arc.common.streams import guard_streams\nguard_streams()\nprint('\\xe4', '\\u2026')"
    environment = os.environ | {"PYTHONIOENCODING": "latin-1:backslashreplace"}
    done = subprocess.run([*python(), "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert done.stdout == b"\xe4 \\u2026\n"


def test_an_evaluation_is_written_though_nobody_reads_it(base: Path, tmp_path: Path) -> None:
    flags = ["--checkpoint", base, "--views", "2", "--device", "cpu", "--out", tmp_path / "out"]
    command = [*python(), "-m", "trm_arc.evaluate", *map(str, flags)]
    done = subprocess.run(["bash", "-o", "pipefail", "-c", '"$@" 2>&- | head -1', "_", *command], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert {"predictions.json", "metrics.json", "report.html"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_a_notebook_gets_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    class Widget(tqdm):
        """In place of tqdm's, which needs ipywidgets."""

    plain = make_progress_bar(4, "view", shape="{bar:20}|{n}", shown=False)
    assert (type(plain), Widget(disable=True).disable) == (tqdm, True)
    monkeypatch.setattr(streams, "_choose_bar", lambda: Widget)
    with make_progress_bar(4, "view", shape="{bar:20}|{n}") as bar:
        assert (type(bar), bar.bar_format, bar.mininterval) == (Widget, "{bar}|{n}", 0.5)
