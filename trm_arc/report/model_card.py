"""The card of a published model: what it is, what it cost, what it scored, and what it cannot do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trm_arc.common.durations import format_duration, format_size
from trm_arc.common.errors import InputError
from trm_arc.common.files import SCORES_FILE, read_json
from trm_arc.common.text import printable
from trm_arc.evaluation.score import format_ends
from trm_arc.model.checkpoint import Checkpoint
from trm_arc.report.logs import format_operations, has_log, read_log, summarise

_USUAL = {"rollouts": 1, "patience": 0}
_HOW = ("views", "steps", "rollouts", "patience")  # of an evaluation, named in the table


def make_card(checkpoint: Checkpoint, run: Path, name: str, *, licence: str = "", machine: str = "", size: int = 0) -> str:
    """The card as Markdown, with the head that the Hugging Face Hub reads.

    Args:
        run: folder of its run, whose log and evaluations (also those in folders of it) are stated.
        licence: as the Hub spells it, such as apache-2.0; empty: none is stated.
        machine: that it was trained on, in words; empty: not stated.
        size: bytes of its tensors.
    """
    training, domain = checkpoint.config.training, checkpoint.domain
    head = ["library_name: trm_arc", f"license: {licence}" if licence else "", "tags: [trm, recursive-reasoning, arc-agi]"]
    structure = [line.split(maxsplit=1)[-1] for line in repr(checkpoint.reasoner()).splitlines()]
    rows = {
        "answers": domain.title,
        "network": structure[0],
        "parameters": structure[1].split()[0],
        "trained on": training.data or f"the demonstrations of {training.evaluation_data}",
        "steps": f"{checkpoint.step:,} of {training.batch_size} samples",
        "cost": _cost(run),
        "machine": machine,
        "supervision steps of an answer": str(training.steps_of_answer),
        "tensors": f"{format_size(size)}, bfloat16",
        "settings": "settings.toml, which `python -m trm_arc.train --preset` takes",
    }
    scores = [f"| {row} |" for row in _list_scores(run)]
    table = ["| data | how | score | 95 % interval |", "|---|---|---|---|", *scores] if scores else ["Not evaluated."]
    lines = [
        *["---", *filter(None, head), "---", "", f"# {name}", ""],
        f"A Tiny Recursive Model for {domain.title}, trained with trm_arc.",
        *["", "```sh", f"python -m trm_arc.evaluate --checkpoint hf://OWNER/{name}", "```", ""],
        *["| | |", "|---|---|", *(f"| {what} | {printable(value)} |" for what, value in rows.items() if value)],
        *["", "## Scores", "", *table, "", "## What it cannot do", "", _limits(checkpoint), ""],
    ]
    return "\n".join(lines)


def _cost(run: Path) -> str:
    """Wall clock and operations of a run; empty without a log."""
    try:
        summary = summarise(read_log(run)) if has_log(run) else None
    except InputError:
        return ""
    return f"{format_duration(summary.seconds)}, {format_operations(summary.operations)}" if summary else ""


def _list_scores(run: Path) -> Iterator[str]:
    """The evaluations in a run's folder, and in the folders of it, each as the cells of a row."""
    for file in sorted([run / SCORES_FILE, *run.glob(f"*/{SCORES_FILE}")]):
        try:
            values = read_json(file)
            told = {key: values[key] for key in _HOW if values.get(key) not in (None, _USUAL.get(key))}
            how = ", ".join(f"{value} {key.removesuffix('s') if value == 1 else key}" for key, value in told.items())
            scores = values.get("per_output", {name: values[name] for name in ("exact", "valid") if name in values})
            for name, rate in scores.items():
                if name in ("pass@1", "pass@2", "exact", "valid"):
                    yield printable(_row(values, how, name, rate))
        except (InputError, AttributeError, KeyError, TypeError, ValueError):  # no scores of this version
            continue


def _row(values: dict[str, Any], how: str, name: str, rate: dict[str, Any]) -> str:
    solved = f"{100 * rate['value']:.1f} % {name} ({rate['solved']:g} of {rate['trials']})"
    interval = format_ends(*(rate["over_tasks"] or (rate["low"], rate["high"])))
    return f"{values['data']}, step {values['step']} | {how} | {solved} | {interval}"


def _limits(checkpoint: Checkpoint) -> str:
    model, domain = checkpoint.config.model, checkpoint.domain
    if domain.scoring == "exact":
        board = f"{model.board_rows} x {model.board_columns}"
        board = f"up to {board}, of whatever size," if model.mixer == "convolution" else board
        return f"It answers boards of {board} of this kind alone, and an answer may break the rules: check it."
    asked = f"It answers the {len(checkpoint.tasks)} tasks that it was trained on"
    return f"{asked}; others need adaptation (`python -m trm_arc.adapt`). Each answer is a guess, of which two count."
