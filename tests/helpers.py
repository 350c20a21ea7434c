"""What tests share: made tasks and puzzles, small runs, the original's arrays, damaged values."""

import copy
import json
import math
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import augment
from augment import Window, pack_grids
from tests import ROOT, naive
from tests.forked import python
from trm_arc.common.device import Device
from trm_arc.common.errors import InputError
from trm_arc.common.files import to_json
from trm_arc.config import Config
from trm_arc.data.batch import IGNORE_INDEX
from trm_arc.data.examples import prepare_examples
from trm_arc.data.puzzle_set import PuzzleSet
from trm_arc.data.puzzle_sources import generator_of_set
from trm_arc.data.task import Pair, Task, TaskSet
from trm_arc.evaluation.results import Results, ResultsMetadata, make_results
from trm_arc.inference.votes import Candidate, Predictions, count_views, tally
from trm_arc.model.checkpoint import load_checkpoint
from trm_arc.model.official import TABLE
from trm_arc.model.reasoner import Reasoner
from trm_arc.training.options import Options
from trm_arc.training.state import save_state
from trm_arc.training.trainer import Trainer
from trm_arc.upstream import load_official, to_official

SETTINGS = (
    "--width 16 --heads 2 --prefix 2 --cycles 1 --latent-steps 1 --canvas fit --augmentations 4 --batch-size 8 --halt-steps 2 "
    "--warmup-steps 2 --steps 6 --log-every 2 --precision float32 --device cpu"
).split()
SMALL_MODEL = {"width": 16, "heads": 2, "prefix": 2, "cycles": 2, "latent_steps": 2}
SMALL_TRAINING = {
    "canvas": "fit",
    "augmentations": 6,
    "batch_size": 8,
    "warmup_steps": 3,
    "halt_steps": 3,
    "halt_exploration": 0.5,
    "learning_rate": 1e-2,
    "ema": 0.9,
}
SMALL = Config().override({**SMALL_MODEL, **SMALL_TRAINING})
CPU = Device(torch.device("cpu"), torch.float32, "a test")
Undone = list[tuple[np.ndarray, float, int]]  # of one test input: grid, halting probability and symmetry of each view
FAMILY = ("trm", "trm_mlp", "single_z", "multi_z", "hrm")
SEEDS = st.integers(0, 2**32 - 1)
HOSTILE = [None, True, False, -1, 0, 1, 3, 2**63, 2**64 - 1, 10**30, 0.5, 1.5, -0.5, 1e308, float("nan"), float("inf")]
MARKUP = "<script>alert(1)</script>$x_` & ]]> \"' \x1b[31m \udcff_"  # as a name of a run
WORKER = "import os, sys, time, pathlib\nimport submission.worker as worker\nDo = worker.Worker.do\n{}\nworker.main()\n"
ONCE = "def once(path):\n    there = os.path.exists(path)\n    open(path, 'a').close()\n    return not there\n"


def examples(count: int) -> settings:
    """As many examples of a property, which may take fixtures of a function; `make quick` tries a share of them."""
    share = settings.default.max_examples / 100
    return settings(max_examples=max(5, round(share * count)), suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_grid(generator: np.random.Generator, largest: int = 5) -> np.ndarray:
    """A random grid of up to `largest` rows and columns."""
    return generator.integers(0, 10, generator.integers(1, largest + 1, 2)).astype(np.uint8)


def make_tasks(count: int, seed: int, name: str = "made", largest: int = 5) -> TaskSet:
    """Random tasks whose rule is to mirror the input left to right; some have two test inputs."""
    generator = np.random.default_rng(seed)

    def pair() -> Pair:
        grid = random_grid(generator, largest)
        return Pair(grid, np.ascontiguousarray(grid[:, ::-1]))

    return TaskSet(
        (
            Task(f"{name}{number:02d}", tuple(pair() for _ in range(3)), tuple(pair() for _ in range(1 + number % 2)))
            for number in range(count)
        ),
        name,
    )


def to_document(tasks: TaskSet, *, outputs: bool = False) -> dict:
    """A challenges document as Kaggle's; with the test outputs inside, a combined one."""

    def pair(p: Pair, output: bool) -> dict:
        return {"input": p.input.tolist()} | ({"output": p.output.tolist()} if output else {})

    return {
        task.id: {"train": [pair(p, True) for p in task.train], "test": [pair(p, outputs) for p in task.test]} for task in tasks
    }


def write_kaggle(folder: Path, tasks: TaskSet, stem: str) -> Path:
    """Write `stem_challenges.json` and `stem_solutions.json`; returns the challenges file."""
    folder.mkdir(parents=True, exist_ok=True)
    challenges = folder / f"{stem}_challenges.json"
    challenges.write_bytes(orjson.dumps(to_document(tasks)))
    solutions = {task.id: [pair.output.tolist() for pair in task.test] for task in tasks}
    (folder / f"{stem}_solutions.json").write_bytes(orjson.dumps(solutions))
    return challenges


def make_puzzles(name: str, count: int, seed: int) -> PuzzleSet:
    """New puzzles of a kind that is made here, as `sudoku-4x4-easy`."""
    domain, make = generator_of_set(name)
    made = make(count, seed, None, lambda _done: None)
    return PuzzleSet(name, domain, *made, np.arange(1, count + 1))


def small_trainer(
    config: Config = SMALL, steps: int = 12, dtype: torch.dtype = torch.float32, options: Options | None = None
) -> Trainer:
    examples, _ = prepare_examples(make_tasks(5, 1, "train"), make_tasks(3, 2, "eval"), config)
    return Trainer(config, examples, Device(torch.device("cpu"), dtype, "a test"), steps, options=options)


def everything(trainer: Trainer, folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a run, as its checkpoint has them."""
    return load_checkpoint(save_state(trainer, folder, keep=9)).tensors


def edit_header(checkpoint: Path, **changes: object) -> dict[str, Any]:
    """Change a checkpoint's header, and take its checksums away, as earlier versions wrote it."""
    file = checkpoint / "checkpoint.json"
    header = json.loads(file.read_text()) | changes
    kept = {name: value for name, value in header.items() if name not in ("sha256", "tensors_crc32")}
    file.write_text(json.dumps(kept))
    return kept


def assert_identical(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def load_original(arrays: dict[str, np.ndarray], **changes: int) -> Reasoner:
    """The original's weights in ours, in float64; `changes` to its settings."""
    tensors = {name.removeprefix("param/"): torch.from_numpy(a) for name, a in arrays.items() if name.startswith("param/")}
    return load_official(tensors, json.loads(str(arrays["config"])) | changes)


def by_their_names(reasoner: Reasoner, values: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """A tensor for every parameter (its gradient, its average) under the original's names."""
    twin = copy.deepcopy(reasoner)
    with torch.no_grad():
        for parameter, value in zip(twin.parameters(), values, strict=True):
            parameter.copy_(value)
    return {name: t for name, t in to_official(twin).items() if not name.endswith("_init") and name != TABLE}


def relative(ours: torch.Tensor, theirs: np.ndarray) -> float:
    theirs = torch.from_numpy(np.asarray(theirs)).double()
    return float((ours.detach().double() - theirs).abs().max() / theirs.abs().max())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def labels_of(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.where(array < 0, IGNORE_INDEX, array))


def random_arc(seed: int, known: float = 1.0, count: int = 6) -> tuple[Results, list[list[Candidate]], list[list[tuple]]]:
    """Random answers to random tasks: as they are kept, all candidates, and all candidates by the naive twin."""
    generator = np.random.default_rng(seed)
    tasks = make_tasks(count, seed, "", largest=3)
    if generator.random() < known:
        whole = tasks
    else:
        whole = TaskSet((task.without_solutions() if generator.random() < 0.5 else task for task in tasks), "half")
    pools = []
    for task, number in whole.tests:
        pair = tasks[task.id].test[number]
        others = [random_grid(generator, 3) for _ in range(generator.choice([0, 1, 3, 40]))]
        if others and generator.random() < 0.3:
            others += [pair.output] * int(generator.integers(1, 12))
        elif others and generator.random() < 0.3:  # of the right size
            others += [((pair.output + 1) % 10).astype(np.uint8)] * 9
        elif generator.random() < 0.1:
            others = [pair.output]
        pools.append(others)
    parts, undone = random_predictions(seed, whole.outputs, 500, pools)
    ranked = tally(parts, whole.outputs, 10**6)
    made = ResultsMetadata(data=whole.name, views=500, supervision_steps=1.5, checkpoint="a: b")
    return make_results(made, whole, ranked, count_views(parts, whole.outputs)), ranked, [naive.vote(u, 8) for u in undone]


def random_puzzles(name: str, seed: int, count: int = 6) -> Results:
    """Random answers to puzzles, the expected one now and then among them, at ranks beyond ten too; none to some."""
    puzzles, generator = make_puzzles(name, count, 5), np.random.default_rng(seed)
    ranked = []
    for question, answer in puzzles:
        boards = generator.integers(0, puzzles.domain.values, (int(generator.choice([0, 1, 4, 15])), *puzzles.domain.shape))
        boards = [*(np.where(question > 0, question, boards) if generator.random() < 0.5 else boards).astype(np.uint8)]
        if generator.random() < 0.7:
            boards.insert(int(generator.integers(len(boards) + 1)), answer)
        if boards:
            boards[0] = np.where(generator.random(boards[0].shape) < 0.02, 255, boards[0]).astype(np.uint8)
        boards = list({board.tobytes(): board for board in boards}.values())
        ranked.append([Candidate(board, 40 - n, round(float(generator.random()), 4)) for n, board in enumerate(boards)])
    return make_results(ResultsMetadata(data=name), puzzles, ranked, np.full((count, 1), 999))


def mutate(value: object, data: st.DataObject) -> object:
    """A JSON value with something broken at a random place."""
    if isinstance(value, dict | list) and value and data.draw(st.integers(0, 7)):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key, changed = data.draw(st.sampled_from(keys)), value.copy()
        if data.draw(st.integers(0, 9)) == 0:
            del changed[key]
        else:
            changed[key] = mutate(value[key], data)
        return changed
    return data.draw(st.sampled_from(HOSTILE))


def read_unless_refused(read: Callable[[Path], Any], path: Path) -> Any:
    """What is read from a file; None where it is refused, by its name."""
    try:
        return read(path)
    except InputError as error:
        message = str(error)
    assert path.name in message
    return None


def grid(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.uint8)


def random_predictions(
    seed: int, test_inputs: int, views: int, pools: list[list[np.ndarray]] | None = None
) -> tuple[list[Predictions], list[Undone]]:
    """Predictions in two pieces of different windows, and the same as undone grids in order of the views."""
    generator = np.random.default_rng(seed)
    default = [
        [generator.integers(0, 3, generator.integers(1, 3, 2)).astype(np.uint8) for _ in range(4)] for _ in range(test_inputs)
    ]
    pools = pools or default
    parts, undone = [], [[] for _ in range(test_inputs)]
    for window in (Window(4, 4), Window(6, 5)):
        slot = generator.integers(0, test_inputs, views)
        table = augment.sample_transforms(views, generator)
        chosen = [pools[s][generator.integers(len(pools[s]))] if pools[s] else np.zeros((1, 1), np.uint8) for s in slot]
        canvases = augment.paint(pack_grids(chosen), np.arange(views), table, window)
        silent = (generator.random(views) < 0.1) | [not pools[s] for s in slot]
        canvases[silent] = 0
        halting = generator.choice([0.25, 0.5, 0.75], views).astype(np.float32)
        parts.append(Predictions(canvases, table, slot, halting, np.ones(views, np.int32)))
        for s, g, h, quiet, way in zip(slot, chosen, halting, silent, table[:, 0], strict=True):
            undone[s].append((np.empty((0, 0), np.uint8) if quiet else g, float(h), int(way)))
    return parts, undone


def patched(template: str, code: str) -> list[str]:
    """A program with some of its functions replaced."""
    return [*python(), "-c", template.format(code)]


def log_line(step: object, **values: object) -> dict:
    """A training line."""
    default = {"loss": 2.0, "exact": 0.25, "halting_steps": 4.0, "learning_rate": 1e-4, "operations": 3e9}
    return {"step": step, "seconds": 2.0 * step if isinstance(step, int) else 1.0} | default | values


def write_log(folder: Path, lines: list) -> Path:
    """A run's folder with these lines; bytes are written as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    data = b"".join(value + b"\n" if isinstance(value, bytes) else to_json(value) for value in lines)
    (folder / "metrics.jsonl").write_bytes(data)
    return folder


def write_run(folder: Path, count: int = 12, slope: float = 0.1) -> Path:
    """A sound run, evaluated every fourth line."""
    lines = []
    for number in range(1, count + 1):
        lines.append(log_line(10 * number, loss=math.exp(-slope * number), seconds=20.0 * number))
        if number % 4 == 0:
            scores = {"exact answers": number / (2 * count), "right cells": 0.5}
            lines.append({"step": 10 * number, "seconds": 20.0 * number, **scores})
    return write_log(folder, lines)


def told(log: dict) -> str:
    return "\n".join(event["what"] for event in log["events"])


def messages(module: str) -> Callable[[str], str]:
    """The expected sentences of a test module, by their keys in messages.toml."""
    return _read_messages()[module.removeprefix("tests.")].__getitem__


@cache
def _read_messages() -> dict[str, dict[str, str]]:
    return tomllib.loads((ROOT / "tests" / "messages.toml").read_text(encoding="utf-8"))
