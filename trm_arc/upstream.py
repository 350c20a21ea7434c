"""Official checkpoints, those of the original public code: python -m trm_arc.upstream FILE|FOLDER --out DIR

The command writes float32.  From Python, `load_official` and `to_official` are exact: the same numbers under other names.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from augment import Window
from trm_arc.cli import RUNS, Parser, add_data_flag
from trm_arc.common.device import PRECISIONS
from trm_arc.common.errors import InputError
from trm_arc.common.files import exclusive
from trm_arc.common.program import run
from trm_arc.config import Config, TrainingConfig
from trm_arc.data.domains.arc import ARC
from trm_arc.data.leakage import trained_hashes
from trm_arc.data.puzzle_sources import load_puzzles
from trm_arc.data.sources import load_listed, load_tasks
from trm_arc.model.checkpoint import Checkpoint, Metadata, save_checkpoint
from trm_arc.model.locate import ModelName
from trm_arc.model.official import (
    IDENTIFIERS_FILE,
    SETTINGS_FILES,
    TABLE,
    find_checkpoint,
    find_settings,
    read_official,
    read_settings,
)
from trm_arc.model.official_embeddings import domain_of_model, mean_embedding, puzzle_embedding, select_embeddings
from trm_arc.model.official_mapping import build_reasoner, load_official, official_training, to_official
from trm_arc.training.run_folder import list_stale, prepare_folder

__all__ = ["load_official", "main", "to_official"]
_DEFAULT_DATA = {"arc": TrainingConfig().evaluation_data, "sudoku-9x9": "sudoku-extreme", "maze-30x30": "maze-hard"}


def make_parser() -> Parser:
    """The command line."""
    parser = Parser(
        prog="python -m trm_arc.upstream",
        usage="%(prog)s FILE|FOLDER [options]",
        description="Convert a checkpoint of the original TRM or HRM code to one of this kit, for evaluate and submission.",
    )
    what = "the checkpoint (torch.save or safetensors), or a folder or hf://OWNER/NAME with only one; only its tensors are read"
    parser.add_argument("file", type=ModelName, metavar="FILE|FOLDER", help=what)
    beside = f"(YAML or JSON; default: {' or '.join(SETTINGS_FILES)} beside it)"
    flag = parser.group("input")
    flag("--config", type=Path, metavar="FILE", help=f"its architecture settings, or those of its whole run {beside}")
    rows = "keep the rows that --identifiers names, and refuse a table of another size; or keep the mean of all rows"
    flag("--task-embeddings", choices=("refuse", "mean"), default="refuse", help=rows)
    flag("--identifiers", type=Path, metavar="FILE", help="the task of each row (default: that of a FOLDER, if any)")
    defaults = ", ".join(_DEFAULT_DATA.values())
    kept = f"tasks whose embeddings to keep, and to answer by default (default: {defaults}, by the board)"
    flag("--evaluation-data", metavar="SET", help=kept)
    flag("--data", metavar="SETS", help="sets that it was trained on with all outputs; evaluate uses them to find leaks")
    add_data_flag(parser)
    flag = parser.group("output")
    flag("--out", type=Path, default=RUNS / "original", metavar="DIR", help="folder for the converted checkpoint")
    flag("--overwrite", action="store_true", help="replace the checkpoints in --out")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Read, convert, save."""
    values = make_parser().parse(arguments)
    file = find_checkpoint(values.file)
    config_file = values.config or find_settings(file)
    tensors, settings = read_official(file), read_settings(config_file)
    reasoner = build_reasoner(tensors, settings, str(file))
    settings.integer("halt_max_steps")  # how many steps an answer takes
    if (table := tensors.get(TABLE)) is None:
        raise InputError(f"{TABLE} is missing: without task embeddings there is nothing to evaluate", file=file)
    domain = domain_of_model(reasoner.config)
    data, evaluation_data = values.data or "", values.evaluation_data or _DEFAULT_DATA.get(domain.name, domain.name)
    training = official_training(settings, TrainingConfig()) | {"data": data, "evaluation_data": evaluation_data}
    precision = settings.choice("forward_dtype", PRECISIONS, "bfloat16")
    if domain is not ARC:
        if values.identifiers is not None:
            raise InputError(f"{domain.title} has one task embedding for all puzzles; leave the flag out", flag="--identifiers")
        rows, note = puzzle_embedding(table, domain), f"the task embedding of {domain.name}"
        trained = np.unique(load_puzzles(data, "train", values.data_folder).input_hashes()) if data else np.zeros(0, np.int64)
    else:
        tasks = load_tasks(evaluation_data, values.data_folder)
        if values.task_embeddings == "mean" and values.identifiers is not None:
            raise InputError("--task-embeddings mean needs no names; leave one of the flags out", flag="--identifiers")
        if values.task_embeddings == "mean":
            rows = mean_embedding(table)
            note = rows.tasks[0][0]
        else:
            stated = settings.values.get("num_puzzle_identifiers", len(table))
            listed = file.with_name(IDENTIFIERS_FILE)
            identifiers = values.identifiers or (listed if values.file.is_dir() and listed.is_file() else None)
            rows = select_embeddings(table, stated, identifiers, tasks, file)
            note = f"{len(rows.vectors)} task embeddings, of {len(rows.tasks)} of {len(tasks)} tasks of {tasks.name}"
        own = {name for name, _ in rows.tasks}
        trained = trained_hashes(load_listed(data, values.data_folder), [task for task in tasks if task.id in own])
    reasoner.embedding_rows = len(rows.vectors)
    config = Config(model=reasoner.config).override(training)
    parts = {f"model.{name}": t.float() for name, t in reasoner.state_dict().items()}
    parts |= rows.tensors() | {"trained": torch.from_numpy(trained)}
    board = Window(config.model.board_rows, config.model.board_columns)
    metadata = Metadata(windows=[board], precision=precision, domain=domain.name)
    prepare_folder(values.out, overwrite=values.overwrite)
    stale = list_stale(values.out) if values.overwrite else []
    with exclusive(values.out):
        target = save_checkpoint(values.out, Checkpoint(config, 0, rows.tasks, parts, metadata, str(values.out)), 1, stale)
    print(f"{file}, {config_file.name}\n{reasoner}\n  {note}")
    if not data:
        print("its training data is not known (--data), so evaluate cannot detect answers that it was trained on")
    print(f"wrote {target}")
    return 0


if __name__ == "__main__":
    run(main)
