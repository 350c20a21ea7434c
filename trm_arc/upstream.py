"""Checkpoints of the original public code, in and out: python -m trm_arc.upstream FILE --config F --out DIR

`load_official` and `to_official` are exact: the same numbers under other names.  The command writes float32.  Only tensors are
read (torch's `weights_only`), never code.
"""

import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from augment import COLOURS, SYMMETRIES, Window
from trm_arc.cli import Parser, add_data_flag, run
from trm_arc.common.device import PRECISIONS
from trm_arc.common.errors import InputError, shorten
from trm_arc.common.files import RESULT_FILES, exclusive, read_json
from trm_arc.config import Config, ModelConfig, TrainingConfig
from trm_arc.data.examples import check_vocabulary, fingerprint
from trm_arc.data.family import ARC, Family
from trm_arc.data.leakage import trained_inputs
from trm_arc.data.puzzle_families import PuzzleFamily, find_family
from trm_arc.data.puzzle_sources import load_puzzles
from trm_arc.data.sources import load_listed, load_tasks
from trm_arc.data.task import TaskSet
from trm_arc.model.checkpoint import Checkpoint, Metadata, list_checkpoints, save_checkpoint
from trm_arc.model.official import TABLE, Settings, official_config, official_training, read_official, read_settings, tell_source
from trm_arc.model.reasoner import Reasoner
from trm_arc.training.run_folder import prepare_folder

_BLOCK_NAMES = {
    "qkv": "self_attn.qkv_proj",
    "out": "self_attn.o_proj",
    "mix_gate_up": "mlp_t.gate_up_proj",
    "mix_down": "mlp_t.down_proj",
    "gate_up": "mlp.gate_up_proj",
    "down": "mlp.down_proj",
}
# Names of task embeddings: a task, and symmetry and palette behind it, as TRM and as HRM separate them.
_ROW_NAME = re.compile(r"(.*?)(?:(?:\|\|\||_)t(\d)(?:\|\|\||_)(\d{10}))?")


class _Part(NamedTuple):
    """Where a tensor of the original lies in ours: a name, and for states which of them."""

    ours: str
    index: tuple[int, ...]
    theirs: str


def load_official(source: Mapping[str, Tensor] | Path | str, config: Mapping[str, Any] | Path | str) -> Reasoner:
    """A reasoner with the weights of a checkpoint of the original code.

    Args:
        source: its state dict, or the file; names may stand behind `_orig_mod.model.inner.`, `model.inner.` or nothing.
        config: the original's architecture settings, or a YAML or JSON file with them (a run's whole settings are fine).

    Returns:
        The reasoner, in float64 if the checkpoint is, else float32.  The task embeddings are not part of it: see `TABLE`.

    Raises:
        InputError: a file that cannot be read or holds more than tensors, a setting that is not known or not supported, or
            tensors that are missing, surplus or of another shape, named.
    """
    return _load(read_official(source), read_settings(config), tell_source(source))


def _load(tensors: Mapping[str, Tensor], settings: Settings, where: str) -> Reasoner:
    model = official_config(settings, tensors)
    reasoner = Reasoner(model, torch.Generator())
    expected = {part.theirs: tuple(reasoner.state_dict()[part.ours][part.index].shape) for part in _parts(model)}
    given = {name: tuple(t.shape) for name, t in tensors.items() if name != TABLE}
    missing, surplus = sorted(expected.keys() - given.keys()), sorted(given.keys() - expected.keys())
    shapes = [f"{n} {given[n]} for {expected[n]}" for n in sorted(expected.keys() & given.keys()) if expected[n] != given[n]]
    found = {"missing": missing, "surplus": surplus, "of another shape": shapes}
    if any(found.values()):
        told = "; ".join(f"{what}: {shorten(names)}" for what, names in found.items() if names)
        raise InputError(f"the tensors do not fit the settings of a {model.variant}: {told}", file=where)
    table = tensors.get(TABLE)
    if table is not None and (table.ndim != 2 or table.shape[1] != model.width or not len(table)):
        raise InputError(f"{TABLE} must have rows of {model.width} numbers, not the shape {tuple(table.shape)}", file=where)
    odd = [n for n, t in tensors.items() if not t.is_floating_point() or not bool(torch.isfinite(t).all())]
    if odd:
        raise InputError(f"not all values are finite real numbers: {shorten(odd)}", file=where)
    reasoner.to(torch.float64 if any(t.dtype == torch.float64 for t in tensors.values()) else torch.float32)
    with torch.no_grad():
        for part in _parts(model):
            reasoner.state_dict()[part.ours][part.index].copy_(tensors[part.theirs])
    reasoner.embedding_rows = len(tensors.get(TABLE, ()))
    return reasoner


def to_official(reasoner: Reasoner, task_embeddings: Tensor | None = None) -> dict[str, Tensor]:
    """The tensors of a reasoner under the original's names, without a prefix.

    Args:
        reasoner: of the published family.
        task_embeddings: their table (rows, D), whose row 0 the original keeps for padding; left out if None.

    Raises:
        InputError: the reasoner uses an option that the original does not have.
    """
    usual, config = ModelConfig(), reasoner.config
    ours = ("gate", "convolution", "latents", "random_start", "damping", "noise", "transform_slots")
    odd = [f"{name} {getattr(config, name)}" for name in ours if getattr(config, name) != getattr(usual, name)]
    odd += ["positions rotary-2d"] * (config.positions == "rotary-2d")
    odd += _unknown_there(config)
    if odd:
        raise InputError(f"the original's code cannot run this model: it has no {', '.join(odd)}")
    if task_embeddings is not None and (task_embeddings.ndim != 2 or task_embeddings.shape[1] != config.width):
        raise InputError(
            f"rows of {config.width} numbers are expected, got {tuple(task_embeddings.shape)}", flag="task_embeddings"
        )
    tensors = {part.theirs: reasoner.state_dict()[part.ours][part.index].clone() for part in _parts(config)}
    return tensors if task_embeddings is None else tensors | {TABLE: task_embeddings.clone()}


def _unknown_there(config: ModelConfig) -> list[str]:
    """Members of our family that the original has no code for."""
    if config.thoughts == 0:
        plain = config.cycles == 1 and config.mixer == "attention"
        return [] if plain else ["loop without thoughts" if config.cycles > 1 else "direct prediction by an MLP"]
    if config.networks == 2:
        return [] if config.states == 1 and config.mixer == "attention" else ["two networks but in HRM"]
    if config.states > 1 and (config.states, config.thoughts) != (6, 6):
        return [f"{config.states} states with {config.thoughts} thoughts, only 6 with 6"]
    return []


def _parts(config: ModelConfig) -> list[_Part]:
    parts = [
        _Part("embed_tokens", (), "embed_tokens.embedding_weight"),
        _Part("head", (), "lm_head.weight"),
        _Part("halt_weight", (), "q_head.weight"),
        _Part("halt_bias", (), "q_head.bias"),
        # single-z calls its only state L, the others call the answer H
        _Part("y_start", (0,), "L_init" if config.variant == "single-z" else "H_init"),
    ]
    z_names = ["L_init"] if config.states == 1 else [f"L{state + 1}_init" for state in range(config.states)]
    parts += [_Part("z_start", (state, 0), name) for state, name in enumerate(z_names)]
    mixing = ("qkv", "out") if config.mixer == "attention" else ("mix_gate_up", "mix_down")
    for network in range(config.networks):
        level = "H" if network == 1 or config.variant == "direct" else "L"
        for layer in range(config.layers):
            for part in (*mixing, "gate_up", "down"):
                theirs = f"{level}_level.layers.{layer}.{_BLOCK_NAMES[part]}.weight"
                parts.append(_Part(f"networks.{network}.{layer}.{part}", (), theirs))
    return parts


class _Rows(NamedTuple):
    """Task embeddings that a checkpoint keeps: tasks, transforms, a vector for each; and the mean of the whole table."""

    tasks: list[tuple[str, str]]
    table: np.ndarray
    starts: np.ndarray
    vectors: Tensor
    mean: Tensor


def mean_row(table: Tensor) -> _Rows:
    """One stand-in for all task embeddings: their mean, which every task gets that the checkpoint does not know.

    Args:
        table: (rows, D); row 0, the original's padding, does not count if there are others.
    """
    identity = np.frombuffer(_IDENTITY, np.uint8)[None].copy()
    mean = _mean(table)
    stand_in = (f"(mean of {max(1, len(table) - 1)} task embeddings)", "")
    return _Rows([stand_in], identity, np.array([0, 1]), mean[None].clone(), mean)


def puzzle_row(table: Tensor, family: PuzzleFamily) -> _Rows:
    """The one task embedding of Sudoku or mazes.

    Args:
        table: (rows, D); of puzzles the original has one row, or unused ones behind a first.
        family: of the puzzles.
    """
    vector = table[:1].float()
    return _Rows([(family.name, "")], family.identity()[None], np.array([0, 1]), vector, vector[0].clone())


def find_kind(model: ModelConfig) -> Family:
    """The family that a model's board and tokens are of; ARC where they fit none.

    Args:
        model: of the checkpoint.
    """
    side = model.board_rows
    for name in (f"sudoku-{side}x{side}", f"maze-{side}x{side}"):
        try:
            family = find_family(name)
        except InputError:
            continue
        if family.vocabulary == model.vocabulary and model.board_columns == side:
            return family
    check_vocabulary(model, ARC)
    return ARC


def _mean(table: Tensor) -> Tensor:
    rows = table[1:] if len(table) > 1 else table
    return rows.double().mean(dim=0).float()


def named_rows(table: Tensor, identifiers: Path, tasks: TaskSet) -> _Rows:
    """The task embeddings of the tasks to answer, told apart by the original's list of names.

    Args:
        table: (rows, D).
        identifiers: JSON list, a name for each row: `task`, or `task|||t3|||0132456789` with symmetry and palette.
        tasks: whose embeddings to keep.

    Raises:
        InputError: not such a list, one of another length, or one without any of the tasks.
    """
    names = read_json(identifiers)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{identifiers}: a list of names is expected, as in the original's identifiers.json")
    if len(names) != len(table):
        raise InputError(
            f"{identifiers}: {len(names)} names for {len(table)} task embeddings; give the list that the checkpoint was trained "
            "with, or --task-embeddings mean"
        )
    rows: dict[str, list[tuple[bytes, int]]] = {task.id: [] for task in tasks}
    for number, name in enumerate(names):
        task_id, symmetry, palette = _ROW_NAME.fullmatch(name.replace("\n", " ")).groups()
        if task_id in rows:
            rows[task_id].append((_transform_row(symmetry, palette, f"{identifiers}, name {number}"), number))
    kept = [task for task in tasks if rows[task.id]]
    if not kept:
        raise InputError(f"{identifiers}: names none of the {len(tasks)} tasks of {tasks.name}; see --evaluation-data")
    order = [entry for task in kept for entry in sorted(rows[task.id], key=lambda entry: entry[0] != _IDENTITY)]
    counts = [len(rows[task.id]) for task in kept]
    return _Rows(
        [(task.id, fingerprint(task)) for task in kept],
        np.frombuffer(b"".join(row for row, _ in order), np.uint8).reshape(len(order), -1).copy(),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        table[torch.tensor([number for _, number in order])].float(),
        _mean(table),
    )


_USUAL_DATA = {"arc": TrainingConfig().evaluation_data, "sudoku-9x9": "sudoku-extreme", "maze-30x30": "maze-hard"}
_IDENTITY = bytes([0, *range(COLOURS)])


def _transform_row(symmetry: str | None, palette: str | None, where: str) -> bytes:
    """A plan's row of the original's `t3` and `0132456789`."""
    if symmetry is None or palette is None:
        return _IDENTITY
    if int(symmetry) >= SYMMETRIES or sorted(palette) != [str(colour) for colour in range(COLOURS)]:
        raise InputError(f"t{symmetry} and {palette} are no symmetry and palette, as t3 and 0132456789", file=where)
    return bytes([int(symmetry), *map(int, palette)])


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.upstream",
        usage="%(prog)s FILE --config F --out DIR [options]",
        description="Turn a checkpoint of the original TRM or HRM code into one of ours, for evaluate and submission.",
    )
    flag = parser.add_argument
    flag("file", type=Path, metavar="FILE", help="the checkpoint (torch.save or safetensors); tensors alone are read")
    flag("--config", type=Path, required=True, metavar="F", help="its architecture settings or all_config.yaml (YAML or JSON)")
    flag("--out", type=Path, required=True, metavar="DIR", help="folder for our checkpoint")
    flag("--overwrite", action="store_true", help="replace the checkpoints in --out")
    flag(
        "--task-embeddings",
        choices=("refuse", "mean"),
        default="refuse",
        help="keep the rows that --identifiers names, and refuse a table of another size; or keep the mean of all rows",
    )
    flag("--identifiers", type=Path, metavar="JSON", help="the identifiers.json it was trained with: which row is whose")
    usual = ", ".join(_USUAL_DATA.values())
    kept = f"tasks whose embeddings to keep, and to answer by default (default: {usual}, by the board)"
    flag("--evaluation-data", metavar="SET", help=kept)
    flag("--data", metavar="SETS", help="sets that it was trained on with all outputs, for evaluate to tell a leak")
    add_data_flag(parser)
    return parser


def _choose_rows(values: Namespace, table: Tensor, settings: Settings, family: Family) -> tuple[_Rows, np.ndarray, str]:
    """The task embeddings to keep, hashes of the inputs that were trained on, and a word on the former."""
    if family is not ARC:
        if values.identifiers is not None:
            raise InputError(f"{family.title} has one task embedding for all puzzles; leave the flag out", flag="--identifiers")
        trained = load_puzzles(values.data, "train", values.data_folder).input_hashes() if values.data else np.zeros(0, np.int64)
        return puzzle_row(table, family), np.unique(trained), f"the task embedding of {family.name}"
    tasks = load_tasks(values.evaluation_data, values.data_folder)
    rows = _choose_task_rows(values, table, settings, tasks)
    kept = f"{len(rows.vectors)} task embeddings, of {len(rows.tasks)} of {len(tasks)} tasks of {tasks.name}"
    trained = trained_inputs(load_listed(values.data or "", values.data_folder))
    return rows, trained, kept if values.identifiers else rows.tasks[0][0]


def _choose_task_rows(values: Namespace, table: Tensor, settings: Settings, tasks: TaskSet) -> _Rows:
    if values.task_embeddings == "mean":
        if values.identifiers is not None:
            raise InputError("--task-embeddings mean keeps no row apart; give one of both", flag="--identifiers")
        return mean_row(table)
    stated = settings.values.get("num_puzzle_identifiers", len(table))
    remedy = "--task-embeddings mean keeps their mean alone"
    if stated != len(table):
        raise InputError(f"{values.file}: {len(table)} task embeddings, but num_puzzle_identifiers is {stated}; {remedy}")
    if values.identifiers is None:
        raise InputError(
            f"{values.file}: nothing says whose the {len(table)} task embeddings are: name the identifiers.json that it was "
            f"trained with by --identifiers; or {remedy}"
        )
    return named_rows(table, values.identifiers, tasks)


def main(arguments: Sequence[str]) -> int:
    """Read, convert, save.

    Args:
        arguments: the command line.
    """
    values = make_parser().parse(arguments)
    tensors, settings = read_official(values.file), read_settings(values.config)
    reasoner = _load(tensors, settings, str(values.file))
    family = find_kind(reasoner.config)
    values.evaluation_data = values.evaluation_data or _USUAL_DATA.get(family.name, family.name)
    training = official_training(settings, TrainingConfig())
    training |= {"data": values.data or "", "evaluation_data": values.evaluation_data}
    precision = settings.choice("forward_dtype", PRECISIONS, "bfloat16")
    if tensors.get(TABLE) is None:
        raise InputError(f"{values.file}: {TABLE} is missing: without task embeddings there is nothing to evaluate")
    rows, trained, note = _choose_rows(values, tensors[TABLE], settings, family)
    reasoner.embedding_rows = len(rows.vectors)
    config = Config(model=reasoner.config).override(training)
    parts = {f"model.{name}": t.float() for name, t in reasoner.state_dict().items()}
    parts |= {
        "embedding.table": rows.vectors,
        "mean": rows.mean,
        "plan.table": torch.from_numpy(rows.table),
        "plan.starts": torch.from_numpy(rows.starts),
        "counts": torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64),
        "trained": torch.from_numpy(trained),
    }
    board = Window(config.model.board_rows, config.model.board_columns)
    metadata = Metadata(windows=[board], precision=precision, domain=family.name)
    prepare_folder(values.out, overwrite=values.overwrite)
    stale = [*list_checkpoints(values.out), *(values.out / name for name in RESULT_FILES)]
    with exclusive(values.out):
        target = save_checkpoint(values.out, Checkpoint(config, 0, rows.tasks, parts, metadata, str(values.out)), 1, stale)
    print(f"{reasoner}\n  {note}")
    if not values.data:
        print("what it was trained on is not known here (--data), so evaluate cannot tell whether an answer was trained on")
    print(f"wrote {target}")
    return 0


if __name__ == "__main__":
    run(main)
