"""All commands under one name: what they are called, their help, their flags, completion, and JSON for programs."""

import argparse
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.forked import python
from tests.helpers import ROOT, make_tasks, messages, write_kaggle
from trm_arc.command_line.commands import COMMANDS, GROUPS
from trm_arc.command_line.completion import PLACES, SHELLS, find_parser
from trm_arc.command_line.parser import Parser
from trm_arc.model.locate import list_networks

says = messages(__name__)
SUDOKU = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
# Flags that mean something of its own in these commands, though others have one of the same name.
OWN = {
    "--answer-steps": {"train", "adapt", "pretrain", "sweep"},  # a setting that is kept; several to try
    "--batch-size": {"train", "adapt", "pretrain"},  # of training
    "--canvas": {"train", "adapt", "pretrain"},
    "--challenges": {"adapt", "check", "merge", "kaggle"},  # what is done with them
    "--checkpoint": {"adapt", "report", "bundle"},
    "--compile": {"train", "adapt", "pretrain"},  # a whole step, too
    "--data": {"evaluate", "show", "sweep", "upstream", "bundle"},  # to train on; to answer; of a run that is converted
    "--evaluation-data": {"upstream"},
    "--machine": {"publish", "bundle"},
    "--out": {*COMMANDS},
    "--overwrite": {*COMMANDS},
    "--patience": {"sweep"},
    "--preset": {"adapt", "submit", "kaggle"},  # not without a checkpoint
    "--puzzles": {"train", "adapt", "pretrain", "evaluate", "sweep", "generate"},  # to train on, to answer, to generate
    "--recipe": {"adapt", "submit", "kaggle"},
    "--rollouts": {"sweep"},  # several to try
    "--solutions": {"score"},
    "--submission": {"check", "score"},
    "--time-limit": {"submit", "kaggle"},  # in which to answer, not to train
    "--drop-leaks": {"evaluate"},
    "--views": {"solve", "sweep"},
}


def typed(
    *arguments: object, program: str = "/some/bin/trm-arc", before: str = "", run: Sequence[str] = ()
) -> tuple[int, str, str]:
    """Run the program with all commands in a process; gives exit code, standard output and standard error.

    Args:
        program: as the shell starts it.
        before: code that runs first.
        run: the interpreter.
    """
    code = f"import sys; sys.argv[0] = {program!r}; {before}\nfrom trm_arc.__main__ import main; main()"
    command = [*(run or python()), "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def flags_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if action.option_strings]


# --- the one program


def test_the_help_lists_every_command_once() -> None:
    code, text, error = typed("--help")
    assert (code, error) == (0, "")
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("  ")]
    assert listed == list(COMMANDS) == [name for group in GROUPS.values() for name in group]
    assert text.startswith("usage: trm-arc COMMAND")
    assert len(text.splitlines()) <= 40
    assert typed() == typed("-h") == typed("help") == (0, text, "")
    assert typed("--version")[1].startswith("trm_arc ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], says("did-you-mean-train")),
        (["predict"], says("did-you-mean-submit")),
        (["TRAIN"], says("did-you-mean-lower")),
        (["xyzzy"], says("see-trm-arc-help")),
        (["--preset", "arc1"], says("no-such-flag-before")),
        (["\x1b[2Jtrain"], r"\x1b[2Jtrain is not a command"),
        ([""], says("is-not-a-command")),
        (["check", "--chalenges", "x"], says("did-you-mean-challenges")),
        (["submit"], says("see-trm-arc-submit")),
        (["generate", "sudoku-4x4"], says("see-trm-arc-generate")),
        (["completion", "tcsh"], says("see-trm-arc-completion")),
    ],
)
def test_mistakes_name_what_was_typed(arguments: list[str], words: str) -> None:
    code, text, error = typed(*arguments)
    assert (code, text) == (2, "")
    assert words in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("started", "words"),
    [("/usr/bin/trm-arc", says("train-one-with-trm-arc")), ("/a/trm_arc/__main__.py", says("train-one-with-python-m"))],
)
def test_a_command_advises_others_as_they_are_typed(started: str, words: str, tmp_path: Path) -> None:
    code, _, error = typed("publish", "--out", "shared", program=started, before=f"import os; os.chdir({str(tmp_path)!r})")
    assert (code, words in error) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--help"], "COMMAND"), (["trian"], "train?"), (["evaluate"], says("torch-is-not-installed"))]
)
def test_help_and_mistakes_need_no_torch(arguments: list[str], words: str) -> None:
    """Nor do the parts of `doctor` that come before the devices; of another command, what is not installed is named."""
    absent = "sys.modules |= dict.fromkeys(['torch', 'numba']); import trm_arc.doctor"
    _, text, error = typed(*arguments, before=absent, run=[sys.executable])
    assert words in text + error
    assert "Traceback" not in error


@pytest.mark.parametrize("absent", ["orjson", "psutil"])
@pytest.mark.parametrize(("command", "words"), [("doctor", says("install-again")), ("train", says("doctor-says"))])
def test_what_all_commands_need_is_named(absent: str, command: str, words: str) -> None:
    _, text, error = typed(command, before=f"sys.modules[{absent!r}] = None", run=[sys.executable])
    assert (text, error.splitlines()) == ("", [f"error: {absent} is not installed; {words}"])


# --- help and flags


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_fits_a_screen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "argv", ["trm-arc"])
    parser = find_parser(name)
    assert isinstance(parser, Parser)
    brief = parser.format_help()
    assert brief.startswith(f"usage: trm-arc {name}")
    assert len(brief.splitlines()) <= 40
    assert max(map(len, brief.splitlines())) <= 100
    names = {option for action in flags_of(parser) for option in action.option_strings}
    assert set(parser.brief) <= names | {"--rehearsal"}
    shown = {option for option in names if f"  {option}" in brief or f", {option}" in brief}
    assert not parser.brief or set(parser.brief) & names <= shown
    parser.brief = ()
    whole = parser.format_help()
    for action in flags_of(parser):
        assert action.help == argparse.SUPPRESS or any(option in whole for option in action.option_strings)
        assert action.help
    grouped = {id(action) for group in parser._action_groups if group is not parser._optionals for action in group._group_actions}
    assert [action.dest for action in flags_of(parser) if id(action) not in grouped] == ["help", "help_all"]


def test_one_meaning_has_one_name_and_one_help() -> None:
    """Flags of several commands say the same, but for their defaults; the others are listed with the reason."""
    helps = defaultdict(lambda: defaultdict(set))
    for name in COMMANDS:
        for action in flags_of(find_parser(name)):
            for option in {*action.option_strings} - {"--help-all"}:  # which is hidden where --help shows all
                what = str(action.help).split(" (default")[0].split("; several")[0]
                helps[option][what, str(action.metavar)].add(name)
    for option, texts in helps.items():
        different = [names - OWN.get(option, set()) for names in texts.values()]
        assert len([names for names in different if names]) <= 1, (option, dict(texts))
    assert {option for option in OWN if len(helps[option]) < 2} == set()  # exceptions that are none any more


def test_flags_under_their_old_names(tmp_path: Path, command: Callable) -> None:
    out = tmp_path / "puzzles.csv"
    code, _, error = command("generate", "sudoku-4x4", "--count", 3, "--out", out)
    assert (code, error.splitlines()[0]) == (0, "--count is now --puzzles")
    assert len(out.read_text().splitlines()) == 4
    code, text, error = command("solve", SUDOKU, "--steps", 2, "--json", "--device", "cpu")
    assert says("steps-is-now") in error
    assert json.loads(text)["views"] == 1
    assert command("submission", "predict", "--challenges", "x", "--steps", 2)[2].startswith("--steps is now --answer-steps")


@pytest.mark.parametrize("call", [("publish", "--steps", 2), ("evaluate", "--count", 2), ("sweep", "--count", 2)])
def test_old_flags_of_other_commands_are_refused(call: tuple[object, ...], command: Callable) -> None:
    assert command(*call)[0] == 2
    assert command.refused.flag == call[1]


# --- completion


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_has_every_command_and_flag(shell: str, tmp_path: Path) -> None:
    code, script, error = typed("completion", shell)
    assert (code, error) == (0, "")
    for name in COMMANDS:
        assert name in script
    assert all(flag in script for flag in ("preset", "matrix-optimizer", "no-report", *list_networks()))
    assert set(PLACES) == set(SHELLS)
    if shutil.which(shell):
        file = tmp_path / "script"
        file.write_text(script)
        assert subprocess.run([shell, "-n", file], check=False, capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], {"train"}),
        (["s"], {"solve", "sweep", "show", "submit", "score"}),
        (["train", "--prese"], {"--preset"}),
        (["train", "--preset", "arc1-l"], {"arc1-loop"}),
        (["evaluate", "--canvas", "=", "b"], {"buckets"}),
        (["evaluate", "--canvas", "="], {"trained", "full", "fit", "buckets"}),
        (["completion", ""], set(SHELLS)),
        (["solve", "--checkpoint", "su"], {"sudoku-extreme"}),
        (["report", "some"], set()),  # a file, which the shell completes itself
        (["nonsense", "--pre"], set()),
    ],
)
def test_completion_in_bash(words: list[str], expected: set[str], tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("\n".join(SHELLS["bash"]()))
    ask = 'source "$0"; COMP_WORDS=(trm-arc "$@"); COMP_CWORD=$#; _trm_arc; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", ask, script, *words], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) == expected


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_completion_in_fish(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("\n".join(SHELLS["fish"]()))
    expected = {"trm-arc swe": "sweep", "trm-arc train --preset arc1-l": "arc1-loop", "trm-arc completion z": "zsh"}
    for line, word in expected.items():
        ask = f"source {script}; complete -C '{line}'"
        done = subprocess.run(["fish", "--no-config", "-c", ask], check=True, capture_output=True, text=True)
        assert done.stdout.split()[0] == word


# --- JSON


def test_commands_print_json_and_nothing_else(base: Path, tmp_path: Path, command: Callable) -> None:
    tasks = write_kaggle(tmp_path, make_tasks(2, 9, "new"), "new")
    flags = ["--checkpoint", base, "--data", tasks, "--views", 2, "--device", "cpu", "--no-report", "--show"]
    code, text, error = command("evaluate", *flags, "--out", tmp_path / "out", "--json")
    assert code == 0, error
    document = json.loads(text)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document == {"out": str(tmp_path / "out"), **metrics}
    assert "pass@2" in error

    submission = tmp_path / "out" / "submission.json"
    code, text, _ = command("submission", "check", "--submission", submission, "--challenges", tasks, "--json")
    checked = json.loads(text)
    assert (code, checked["valid"], checked["faults"], checked["tasks"], checked["tests"]) == (0, True, [], 2, 3)
    submission.write_text("{}")
    code, text, _ = command("submission", "check", "--submission", submission, "--challenges", tasks, "--json")
    assert (code, json.loads(text)["valid"], len(json.loads(text)["faults"])) == (1, False, 2)
    code, text, error = command("submission", "check", "--submission", tmp_path / "none", "--challenges", tasks, "--json")
    assert (code, text) == (2, "")


def test_a_solution_as_json(command: Callable) -> None:
    code, text, _ = command("solve", SUDOKU, "--json", "--device", "cpu")
    document = json.loads(text)
    assert (code, document["right"], document["answer"], document["kind"]) == (0, True, SOLVED, "sudoku-9x9")
    code, text, error = command("solve", SUDOKU, "--json", "--show-steps", "--answer-steps", 1, "--device", "cpu")
    assert json.loads(text)["answer"]
    assert "step 1" in error


def test_a_sweep_as_json(tmp_path: Path, command: Callable) -> None:
    table = tmp_path / "p.csv"
    assert command("generate", "sudoku-9x9-easy", "--puzzles", 2, "--seed", 5, "--out", table)[0] == 0
    few = ["--answer-steps", 1, "--rollouts", "--views", "--patience", 0, "--device", "cpu"]
    code, text, error = command("sweep", "--checkpoint", "sudoku-extreme", "--data", table, *few, "--out", tmp_path, "--json")
    assert code == 0, error
    assert json.loads(text) == json.loads((tmp_path / "sweep.json").read_text())
    assert len(json.loads(text)["points"]) == 1
