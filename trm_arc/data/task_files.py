"""Files of ARC tasks: one task, several by their ids, a list or JSON lines of them, lists of generated pairs; and folders."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import orjson

from trm_arc.common.errors import InputError, shorten
from trm_arc.common.file_kinds import describe_kind
from trm_arc.common.files import parse_json, read_json
from trm_arc.common.folders import walk_files
from trm_arc.data.domains import LoadOptions
from trm_arc.data.task import Grid, Task, TaskSet, add_solutions, grid_key, parse_pairs, parse_task

LINES = (".jsonl", ".ndjson")  # of files with a JSON document on each line
GENERATED = "arc-gen"  # key of a task's generated pairs in files of ARC-GEN
_ID_KEYS = ("id", "task_id", "name")  # of a task in a list
_BROKEN = object()  # in the place of a line that cannot be read
_CHALLENGES, _SOLUTIONS = "_challenges.json", "_solutions.json"


def _make_reader(options: LoadOptions | None) -> "_Reader":
    """A reader; only a command that was given options has the flag that its errors name."""
    return _Reader(options or LoadOptions(), "" if options is None else "; correct it, or leave such tasks out with --skip-bad")


@dataclass
class _Reader:
    """What is read so far, and what was wrong."""

    options: LoadOptions
    advice: str
    tasks: dict[str, Task] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    generated: int = 0
    bad: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)

    def meet(self, error: InputError) -> None:
        """Refuse what is wrong, or count it.

        Raises:
            InputError: bad tasks are not to be left out.
        """
        if not self.options.skip_bad:
            raise InputError(error.problem + self.advice, file=error.file, task=error.task, place=error.place)
        self.bad.append(str(error))

    def add(self, task_id: str, value: object, file: Path) -> None:
        """Check and keep a task, or a list of pairs; one that is there already is kept once."""
        try:
            task = self._parse(task_id, value, file)
            twin = self.tasks.get(task_id)
            if twin is not None and twin.test and task.test:
                if not same_task(twin, task):
                    raise InputError(f"duplicate id {task_id}; another task has it in {self.files[task_id]}", file=file)
                self.twice.append(task_id)
            self.tasks[task_id] = task if twin is None else merge_tasks(twin, task)
            self.files.setdefault(task_id, file)
        except InputError as error:
            self.meet(error)

    def _parse(self, task_id: str, value: object, file: Path) -> Task:
        if _is_pair_list(value):
            return Task(task_id, parse_pairs(self._sample(task_id, value), file, task_id, "generated"), ())
        task = parse_task(task_id, value, file)
        if not self.options.arc_gen or not value.get(GENERATED):
            return task
        return replace(task, generated=parse_pairs(self._sample(task_id, value[GENERATED]), file, task_id, GENERATED))

    def _sample(self, task_id: str, pairs: object) -> object:
        """As many of a list of generated pairs as are asked for, by seed and id."""
        count = self.options.generated_pairs
        if not isinstance(pairs, list):
            return pairs
        self.generated += 1
        if not 0 < count < len(pairs):
            return pairs
        generator = np.random.default_rng([self.options.seed, int.from_bytes(task_id.encode("utf-8", "replace"), "little")])
        return [pairs[number] for number in np.sort(generator.permutation(len(pairs))[:count]).tolist()]

    def finish(self, name: str, where: Path) -> TaskSet:
        """The set, with a note on what was left out.

        Raises:
            InputError: nothing is left.
        """
        if not self.tasks:
            why = f" ({len(self.bad)} are bad, the first: {self.bad[0]})" if self.bad else ""
            raise InputError(f"no tasks here{why}", file=where)
        left_out = f"left out {_count(len(self.bad), 'bad task')}, the first: {self.bad[0]}" if self.bad else ""
        twice = f"{_count(len(self.twice), 'duplicate task')}, kept once: {shorten(self.twice)}" if self.twice else ""
        passed = f"skipped, not a task: {shorten(self.passed)}" if self.passed else ""
        count = sum(len(task.generated) + len(task.train) * (not task.test) for task in self.tasks.values())
        most = f", at most {self.options.generated_pairs} of each" if self.options.generated_pairs else ""
        generated = f"{_count(count, 'generated pair')} of {_count(self.generated, 'list')}{most}" if count else ""
        notes = "; ".join(filter(None, (left_out, twice, passed, generated)))
        return TaskSet(self.tasks.values(), name, f"{name}: {notes}" if notes else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def read_file(path: Path, name: str, options: LoadOptions | None = None, solutions: Path | None = None) -> TaskSet:
    """Read tasks from one file.

    Args:
        solutions: a Kaggle solutions file; None: the one beside a file called `*_challenges.json`.

    Raises:
        InputError: it cannot be read, or a task in it is broken and such tasks are not to be left out.
    """
    reader = _make_reader(options)
    return _parse(reader, read_document(path, reader.meet), path, name, solutions)


def parse_document(value: object, path: Path, name: str) -> TaskSet:
    """Tasks out of what a file holds; see `read_file`."""
    return _parse(_make_reader(None), value, path, name)


def _parse(reader: _Reader, value: object, path: Path, name: str, solutions: Path | None = None) -> TaskSet:
    for task_id, task in split_document(value, path, reader.meet):
        reader.add(task_id, task, path)
    if solutions is None and path.name.endswith(_CHALLENGES):
        beside = path.with_name(path.name.replace(_CHALLENGES, _SOLUTIONS))
        solutions = beside if beside.exists() else None
    if solutions is not None:
        _add_solutions(reader, solutions, name)
    return reader.finish(name, path)


def refuse(error: InputError) -> None:
    """Raise an error: what is done about a broken line or entry of a list, unless such are left out."""
    raise error


def read_document(path: Path, meet: Callable[[InputError], None] = refuse) -> object:
    """The value of a JSON file, or the list of those on the lines of a file of JSON lines.

    Args:
        meet: called with the error of each line that cannot be read; it raises, or the line is left out.

    Raises:
        InputError: it cannot be read.
    """
    if path.suffix.lower() not in LINES or not path.is_file():
        return read_json(path)
    values = []
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from None
    for number, line in enumerate(lines, 1):
        try:
            values += [parse_json(line, path)] if line.strip() else []
        except (orjson.JSONDecodeError, InputError) as error:
            if number == 1 and describe_kind(line):
                raise InputError(f"is {describe_kind(line)}", file=path) from None
            problem = f": {error.problem}" if isinstance(error, InputError) else f" is not JSON ({error.msg})"
            meet(InputError(f"line {number}{problem}", file=path))
            values.append(_BROKEN)
    if len(values) == 1 and isinstance(values[0], dict) and not _is_task(values[0]):
        return values[0]
    return values


def split_document(value: object, path: Path, meet: Callable[[InputError], None] = refuse) -> list[tuple[str, object]]:
    """The tasks in the value of a file, unchecked, with their ids: one task or list of pairs, which has the file's name, an
    object of tasks by their ids, or a list of tasks that hold their ids.

    Args:
        meet: called with the error of each entry of a list that is no task with an id; it raises, or the entry is left out.

    Raises:
        InputError: it is none of those.
    """
    if _is_task(value) or _is_pair_list(value):
        return [(_id_of_file(path), value)]
    if isinstance(value, list) and any(task is _BROKEN or _is_task(task) for task in value):
        return list(_split_list(value, path, meet))
    if not isinstance(value, dict) or not value:
        kinds = {dict: "one without any", list: 'a list without any, which have "train", "test" and an "id"'}
        got = kinds.get(type(value), type(value).__name__)
        raise InputError(f"an object of tasks by their ids is needed, got {got}", file=path)
    sets = [key for key, inside in value.items() if _holds_tasks(inside)]
    if sets and not any(map(_is_task, value.values())):
        raise InputError(f"holds whole sets of tasks ({shorten(sets)}); write each into a file of its own", file=path)
    return list(value.items())


def _split_list(values: list[object], path: Path, meet: Callable[[InputError], None]) -> Iterator[tuple[str, object]]:
    for number, task in enumerate(values, 1):
        given = [task[key] for key in _ID_KEYS if type(task.get(key)) in (str, int)] if _is_task(task) else []
        if given:
            yield str(given[0]), task
        elif task is not _BROKEN:
            what = 'has no id; add an "id" to each' if _is_task(task) else "is no task"
            meet(InputError(f"a list of tasks, but number {number} {what}", file=path))


def read_folder(path: Path, name: str, options: LoadOptions | None = None) -> TaskSet:
    """Read a folder with one JSON a task, subfolders included, also those that are links.

    What is not a task is skipped and named in the set's note, a duplicate task is kept once.

    Raises:
        InputError: there are none, or one is broken and such tasks are not to be left out.
    """
    reader = _make_reader(options)
    for file, value in list_folder(path, reader.passed):
        if isinstance(value, InputError):
            reader.meet(value)
        else:
            reader.add(_id_of_file(file), value, file)
    return reader.finish(name, path)


def list_folder(path: Path, passed: list[str]) -> Iterator[tuple[Path, object]]:
    """What may be tasks in a folder, unchecked: every JSON file, in order, with its value, or with the error of reading it.

    Args:
        passed: the names of files that are no tasks are added to it.

    Raises:
        InputError: there are none, one below cannot be listed, or the folder holds Kaggle's files, one of which is to be named.
    """
    files, found = [file for file in walk_files(path) if file.suffix.lower() == ".json"], False
    kaggle = [file.name for file in files if file.name.endswith((_CHALLENGES, _SOLUTIONS))]
    if kaggle:
        raise InputError(f"holds Kaggle's files ({shorten(kaggle)}); name one challenges file, not the folder", file=path)
    for file in files:
        value = None if _is_hidden(file.relative_to(path)) else _read_in_folder(file)
        if value is None:
            passed.append(str(file.relative_to(path)))
        else:
            found = True
            yield file, value
    if not found:
        raise InputError("no tasks here; a folder of tasks holds one .json file for each" + _name_others(path), file=path)


def _read_in_folder(file: Path) -> object:
    """The value of a file, or the error of reading it; None if it is no task."""
    try:
        value = read_json(file)
    except InputError as error:
        return error
    if _holds_tasks(value):
        return InputError("holds several tasks; name it by its path, or keep one task in a file", file=file)
    return value if _is_task(value) or _is_pair_list(value) else None


def _is_hidden(path: Path) -> bool:
    """Whether a file is one of those that a Mac, a notebook or Git leaves."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def _id_of_file(path: Path) -> str:
    return path.stem


def _is_task(value: object) -> bool:
    """Whether a value is meant as a task, however broken."""
    if not isinstance(value, dict):
        return False
    parts = [value[part] for part in ("train", "test") if isinstance(value.get(part), list)]
    return any(not part or isinstance(part[0], dict | list) for part in parts)  # lists of ids are no pairs


def _is_pair_list(value: object) -> bool:
    """Whether a value is meant as a list of generated pairs, as RE-ARC has them."""
    return isinstance(value, list) and bool(value) and all(isinstance(p, dict) and {"input", "output"} <= p.keys() for p in value)


def _holds_tasks(value: object) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inside) and all(map(_is_task, inside))


def _name_others(path: Path) -> str:
    """Files of a folder without tasks that may hold some."""
    suffixes = (*LINES, ".parquet", ".zip", ".csv", ".txt", ".gz", ".arrow", ".tar")
    files = [file for file in walk_files(path) if file.suffix.lower() in suffixes]
    others = [file.name for file in files if not _is_hidden(file.relative_to(path))]
    return f"; a file of many tasks, as {shorten(others, 3)} may be, is named by its path" if others else ""


def _add_solutions(reader: _Reader, path: Path, name: str) -> None:
    tasks, value = TaskSet(reader.tasks.values(), name), read_json(path)
    if not reader.options.skip_bad or not isinstance(value, dict):
        reader.tasks = {task.id: task for task in add_solutions(tasks, value, path)}
        return
    for task in tasks:
        try:
            known = {task.id: value[task.id]} if task.id in value else {}
            reader.tasks[task.id] = add_solutions(TaskSet([task], name), known, path)[0]
        except InputError as error:
            del reader.tasks[task.id]
            reader.meet(error)


def tasks_to_json(tasks: TaskSet) -> dict[str, dict[str, list[dict[str, Grid]]]]:
    """Tasks as a challenges file has them, without solutions."""
    return {
        task.id: {
            "train": [{"input": pair.input, "output": pair.output} for pair in task.train],
            "test": [{"input": pair.input} for pair in task.test],
        }
        for task in tasks
    }


def same_task(first: Task, second: Task) -> bool:
    """Whether two tasks have the same pairs, whatever their order; generated ones do not count."""

    def pairs(task: Task) -> list[tuple[bytes, ...]]:
        grids = [(p.input, p.output) for p in task.train + task.test]
        return sorted(tuple(b"" if g is None else grid_key(g) for g in pair) for pair in grids)

    return pairs(first) == pairs(second)


def merge_tasks(first: Task, second: Task) -> Task:
    """One task of two with the same id: the demonstrations and tests of the one that has tests, the generated pairs of both."""
    real, other = (second, first) if second.test and not first.test else (first, second)
    more = other.generated if other.test else other.train
    if not more:
        return real
    own = {(grid_key(pair.input), grid_key(pair.output)) for pair in real.known_pairs}
    more = tuple(pair for pair in more if (grid_key(pair.input), grid_key(pair.output)) not in own)
    return replace(real, generated=real.generated + more) if real.test else replace(real, train=real.train + more)


def join_tasks(sets: Sequence[TaskSet]) -> TaskSet:
    """Put several sets into one, in order.

    A task that is in two of them unchanged is kept once; one that shares its id with a different task is renamed to `set:id`,
    so that no task is lost.  A list of generated pairs joins the task of its id, whose demonstrations stay as they are; without
    one it is a task of its own.
    """
    joined: dict[str, Task] = {}
    for tasks in sets:
        for task in tasks:
            twin = joined.get(task.id)
            if twin is None:
                joined[task.id] = task
            elif not (twin.test and task.test) or same_task(twin, task):
                joined[task.id] = merge_tasks(twin, task)
            else:
                name = f"{tasks.name}:{task.id}"
                while name in joined:
                    name += "'"
                joined[name] = replace(task, id=name)
    note = "; ".join(tasks.note for tasks in sets if tasks.note)
    return TaskSet(joined.values(), "+".join(tasks.name for tasks in sets), note)
