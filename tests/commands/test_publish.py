"""A folder for the Hub: it answers as the run does, says what it is, and replaces nothing of others."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.helpers import make_tasks, messages
from trm_arc.common.device import find_device
from trm_arc.config import load_preset
from trm_arc.evaluation.trained_on import check_not_trained_on
from trm_arc.inference.answer import predict_tasks
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.votes import tally
from trm_arc.model.checkpoint import load_checkpoint, save_checkpoint
from trm_arc.model.sharing import round_for_answers

says = messages(__name__)
TASKS = make_tasks(4, 1, "train")  # those of `base`


def test_a_published_model_answers_as_its_run(base: Path, tmp_path: Path, command: Callable) -> None:
    out = tmp_path / "small"
    code, text, _ = command("publish", "--checkpoint", base, "--out", out, "--licence", "mit", "--machine", "two cores")
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "checkpoint.json", "settings.toml", "tensors.safetensors"]
    whole, small = load_checkpoint(base), load_checkpoint(out)
    assert {name.split(".")[0] for name in small.tensors} == {"model", "embedding", "plan", "counts", "trained"}
    assert {t.dtype for name, t in small.tensors.items() if name.startswith(("model.", "embedding."))} == {torch.bfloat16}
    half = find_device("cpu", "bfloat16")
    for canvas in ("trained", "full"):
        config = InferenceConfig(canvas=canvas)
        here, there = (
            tally(predict_tasks(one, TASKS, half, config, views=8, quiet=True), TASKS.outputs, 8) for one in (whole, small)
        )
        for first, second in zip(here, there, strict=True):
            assert [c.votes for c in first] == [c.votes for c in second]
            assert all(np.array_equal(a.grid, b.grid) for a, b in zip(first, second, strict=True))
    assert load_preset(out / "settings.toml") == small.config
    assert load_preset(out / "settings.toml").training.steps == whole.metadata.length > 0  # also where a time limit chose it
    assert f"{(out / 'tensors.safetensors').stat().st_size / 1e6:.1f} MB" in text


def test_the_card_says_what_is_known(base: Path, tmp_path: Path, command: Callable) -> None:
    scored = tmp_path / "run"
    save_checkpoint(scored, load_checkpoint(base), 1)
    (scored / "metrics.jsonl").write_bytes((base / "metrics.jsonl").read_bytes())
    rate = {"value": 0.25, "solved": 1, "trials": 4, "low": 0.05, "high": 0.7, "over_tasks": None}
    score = {"data": "made", "step": 6, "views": 3, "steps": 2, "rollouts": 1, "per_output": {"pass@2": rate, "pass@10": rate}}
    (scored / "metrics.json").write_text(json.dumps(score))
    (scored / "other").mkdir()
    (scored / "other" / "metrics.json").write_text('{"per_output": 3}')
    assert command("publish", "--checkpoint", scored, "--out", tmp_path / "out", "--name", "mine", "--licence", "mit")[0] == 0
    head, card = (tmp_path / "out" / "README.md").read_text().split("---\n")[1:]
    assert yaml.safe_load(head) == {
        "library_name": "trm_arc",
        "license": "mit",
        "tags": ["trm", "recursive-reasoning", "arc-agi"],
    }
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line.startswith("|")]
    facts = {row[0]: row[1] for row in rows if len(row) == 2}
    assert facts["parameters"] == f"{sum(t.numel() for t in load_checkpoint(base).reasoner().parameters()):,}"
    assert facts["cost"].endswith("FLOP")
    assert "machine" not in facts
    assert [row for row in rows if len(row) == 4][2:] == [
        ["made, step 6", "3 views, 2 steps", "25.0 % pass@2 (1 of 4)", "5.0 to 70.0"]
    ]


def test_a_published_model_remembers_what_it_was_trained_on(base: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(base)
    kept = round_for_answers(checkpoint)
    assert torch.equal(kept.tensors["trained"], checkpoint.tensors["trained"])
    assert check_not_trained_on(kept, TASKS, drop=False) is TASKS  # its own tasks: their outputs were hidden


@pytest.mark.parametrize("there", ["thesis.txt", "README.md", "checkpoint.json"])
def test_what_others_wrote_is_not_replaced(there: str, base: Path, tmp_path: Path, command: Callable) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / there).write_text("{}")
    code, _, error = command("publish", "--checkpoint", base, "--out", out, "--overwrite")
    assert (code, says("not-made") in error, command.refused.file) == (2, True, out)
    assert (out / there).read_text() == "{}"


def test_an_earlier_one_is_replaced_if_asked(base: Path, tmp_path: Path, command: Callable) -> None:
    out = tmp_path / "out"
    out.mkdir()  # empty
    flags = "publish", "--checkpoint", base, "--out", out
    assert command(*flags, "--overwrite")[0] == 0
    code, _, error = command(*flags)
    assert (code, says("exists") in error) == (2, True)
    assert command(*flags, "--overwrite", "--name", "second", "--answer-steps", 5)[0] == 0
    assert load_checkpoint(out).config.training.steps_of_answer == 5
    assert "# second" in (out / "README.md").read_text()
    (tmp_path / "link").symlink_to(out)
    assert command("publish", "--checkpoint", base, "--out", tmp_path / "link", "--overwrite")[0] == 2
    assert command(*flags, "--overwrite", "--answer-steps", -1)[0] == 2
    assert load_checkpoint(out).config.training.steps_of_answer == 5
    assert command("publish", "--checkpoint", tmp_path / "none", "--out", tmp_path / "new")[0] == 2
    assert not (tmp_path / "new").exists()
