"""A challenges file, read so that no fault in it ends the submission: what can be read is answered, the rest gets guesses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from trm_arc.common.deadline import Deadline
from trm_arc.common.durations import format_duration
from trm_arc.common.errors import InputError, shorten
from trm_arc.common.files import read_json, to_json, write_atomic
from trm_arc.common.paths import user_path
from trm_arc.common.text import printable
from trm_arc.data.guesses import ATTEMPTS, fill_attempts
from trm_arc.data.sources import SOURCE_NAMES, load_tasks
from trm_arc.data.task import Grid, TaskSet, grid_key, parse_grid, parse_task
from trm_arc.data.task_files import list_folder, read_document, split_document
from trm_arc.inference.attempts import find_faults, to_submission

SPEED = 10e6  # bytes a second that a busy machine reads at least
READING = 0.4, 1.0  # share of the time that is left for reading tasks, and the least seconds for it
SAMPLE = "sample_submission.json"  # beside the competition's challenges, with every id


@dataclass(frozen=True)
class Challenges:
    """What there is to answer.

    Attributes:
        tasks: those that can be read, without their solutions.
        guessed: for every other id of the file the answers that it gets.
        order: every id, in the order of the file.
        notes: a sentence on everything that was wrong.
    """

    tasks: TaskSet
    guessed: dict[str, list[dict[str, Grid]]]
    order: list[str]
    notes: list[str]

    @property
    def counts(self) -> dict[str, int]:
        """Every id with its number of test inputs."""
        known = self.tasks.test_counts
        return {task_id: known[task_id] if task_id in known else len(self.guessed[task_id]) for task_id in self.order}

    def document(self, ranked: list[list[Grid]]) -> bytes:
        """The submission as JSON, checked.

        Args:
            ranked: for every test input of `tasks`, in order, its candidates, best first; any number, none too.

        Raises:
            InputError: it would be invalid.
        """
        answered = to_submission(self.tasks, ranked) | self.guessed
        return encode_submission({task_id: answered[task_id] for task_id in self.order}, self.counts, self.tasks.name)


def encode_submission(document: dict[str, list[dict[str, Grid]]], counts: Mapping[str, int], name: str) -> bytes:
    """A submission as JSON, checked.

    Args:
        counts: task ids and their numbers of test inputs.

    Raises:
        InputError: it would be invalid.
    """
    try:
        data = to_json(document)
    except TypeError:  # a lone surrogate in an id, which orjson refuses and Python's json module writes unchanged
        data = json.dumps(document, default=lambda grid: grid.tolist()).encode()
    faults = find_faults(json.loads(data), counts, name)
    if faults:
        raise InputError(f"invalid submission: {faults[0]}")
    return data


def read_challenges(source: str, folder: Path | None = None, deadline: Deadline | None = None) -> Challenges:
    """Read what there is to answer.

    A task that breaks a rule gets guesses, and a note.  Where a file is not JSON at all, or takes longer to read than there is
    time, the ids are taken from the sample submission beside it.

    Args:
        source: a challenges file, or any task set by name or path.
        folder: where to look for named sets first.
        deadline: of the run; tasks that are not read within a share of its time get guesses.

    Raises:
        InputError: there is no such file or set, or not one id can be found, or none within the time.
    """
    path, reading = user_path(source), _reading_time(deadline or Deadline())
    if source not in SOURCE_NAMES and path.is_dir():
        return _read_folder(path, reading)
    if source in SOURCE_NAMES or not path.is_file():
        tasks = load_tasks(source, folder).without_solutions()
        return Challenges(tasks, {}, [task.id for task in tasks], [])
    size = path.stat().st_size
    if size > SPEED * max(READING[1], reading.left):
        large = f"{size / 1e6:,.0f} MB are too large for this time limit"
        try:
            return _read_sample(path, [f"{path}: {large}"])
        except InputError:  # no file within the time, whose end nobody may wait for
            needed = format_duration(size / SPEED / READING[0] + deadline.spent)
            problem = f"{large}: allow {needed}, or put a {SAMPLE} with the ids beside it"
            raise InputError(problem, flag="--challenges", file=path) from None
    notes: list[str] = []
    try:
        return _read_tasks(read_document(path, lambda error: notes.append(f"{error}; left out")), path, notes, reading)
    except InputError as error:
        notes = [str(error)]
    try:
        return _read_tasks(json.loads(path.read_bytes()), path, notes, reading)
    except (OSError, ValueError, RecursionError):  # an InputError is a ValueError
        return _read_sample(path, notes)


def write_guesses(challenges: Path, out: Path) -> int:
    """Write a valid submission of guesses; the number of its tasks."""
    read = read_challenges(str(challenges))
    write_atomic(out, read.document([[] for _ in range(read.tasks.outputs)]))
    return len(read.order)


def _reading_time(deadline: Deadline) -> Deadline:
    """When to have read the challenges."""
    share, least = READING
    return deadline if deadline.limit is None else replace(deadline, limit=deadline.spent + max(least, share * deadline.left))


def _read_tasks(document: object, path: Path, notes: list[str], reading: Deadline) -> Challenges:
    notes = list(notes)
    found = split_document(document, path, lambda error: notes.append(f"{error}; left out"))
    document = dict(found[::-1])  # of two with one id, the first
    if twice := sorted({task_id for task_id, value in found if value is not document[task_id]}):
        notes.append(f"{path}: more than one task has the id {shorten(twice)}; the first is answered")
    document = {task_id: document[task_id] for task_id, _ in found}
    if not document:
        raise InputError(f"no tasks here ({notes[0]})", file=path)
    tasks, guessed = [], {}
    skipped = []
    for task_id, value in document.items():
        if reading.has_passed:
            skipped.append(task_id)
            guessed[task_id] = [_attempts([])] * _count_tests(value)
            continue
        try:
            task = parse_task(task_id, _without_outputs(value), str(path))
            if not _is_encodable(task_id):
                raise InputError(
                    "a lone surrogate in the id, which cannot be sent to workers", file=path, task=printable(task_id)
                )
            tasks.append(task)
        except InputError as error:
            notes.append(f"{error}; its answers are guesses")
            guessed[task_id] = _guess(value)
    if skipped:
        notes.append(f"{path}: too large for this time limit; {len(skipped)} tasks get guesses unread: {shorten(skipped)}")
    return Challenges(TaskSet(tasks, path.name), guessed, list(document), notes)


def _read_folder(path: Path, reading: Deadline) -> Challenges:
    """The tasks of a folder; a file that cannot be read at all counts as a task with one test input."""
    document: dict[str, object] = {}
    notes: list[str] = []
    passed: list[str] = []
    for file, value in list_folder(path, passed):
        if isinstance(value, InputError):
            notes.append(str(value))
        if isinstance(value, list):  # of pairs to train on
            passed.append(file.name)
        elif file.stem in document:
            notes.append(f"{file}: another file has this id, too; this one is not answered")
        else:
            document[file.stem] = None if isinstance(value, InputError) else value
    if passed:
        notes.append(f"{path}: skipped, not a task to answer: {shorten(passed)}")
    return _read_tasks(document, path, notes, reading)


def _without_outputs(value: object) -> object:
    """A task without its test outputs, which are not needed, whatever is wrong with them."""
    if not isinstance(value, dict) or not isinstance(value.get("test"), list):
        return value
    test = [{k: v for k, v in pair.items() if k != "output"} if isinstance(pair, dict) else pair for pair in value["test"]]
    return value | {"test": test}


def _is_encodable(task_id: str) -> bool:
    """Whether UTF-8 can hold an id: JSON may name one half of a pair of surrogates."""
    try:
        task_id.encode()
    except UnicodeEncodeError:
        return False
    return True


def _count_tests(value: object) -> int:
    test = value.get("test") if isinstance(value, dict) else None
    return max(1, len(test)) if isinstance(test, list) else 1


def _guess(value: object) -> list[dict[str, Grid]]:
    """Two attempts for every test input of a broken task, from what can be read of it."""
    pairs = {part: value.get(part) if isinstance(value, dict) else None for part in ("train", "test")}
    train, test = (pairs[part] if isinstance(pairs[part], list) else [] for part in ("train", "test"))
    outputs = _grids(train, "output")[::-1]
    return [_attempts([*outputs, *_grids([pair], "input")]) for pair in test or [None]]


def _grids(pairs: list[object], part: str) -> list[Grid]:
    found = []
    for pair in pairs:
        try:
            found.append(parse_grid(pair.get(part) if isinstance(pair, dict) else None))
        except InputError:
            continue
    return found


def _attempts(grids: list[Grid]) -> dict[str, Grid]:
    distinct = list({grid_key(grid): grid for grid in grids}.values())
    return dict(zip(ATTEMPTS, fill_attempts(None, 0, distinct[:2]), strict=True))


def _read_sample(path: Path, notes: list[str]) -> Challenges:
    try:
        sample = read_json(path.with_name(SAMPLE))
    except InputError:
        sample = None
    if not isinstance(sample, dict) or not sample:
        raise InputError(f"{notes[0]}; nor is there a {SAMPLE} beside it with the ids")
    guessed = {task_id: [_attempts([])] * max(1, len(v) if isinstance(v, list) else 1) for task_id, v in sample.items()}
    notes = [*notes, f"answering all {len(guessed)} ids of {SAMPLE} with guesses: {shorten(list(guessed))}"]
    return Challenges(TaskSet([], path.name), guessed, list(guessed), notes)
