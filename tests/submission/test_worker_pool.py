"""The pool of a submission: what fails is told apart (a device, a checkpoint, a view), and the rest of the work is done."""

import itertools
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from submission.messages import Failed, InitMessage
from submission.programs import list_devices, stderr_tail
from submission.retry_policy import DeviceSlot, WorkItem
from submission.run_log import RunLog
from submission.settings import Settings
from submission.worker_pool import StoppedError, WorkerPool, WorkerProcess
from tests.helpers import WORKER, make_tasks, messages, patched, told
from trm_arc.common.deadline import Deadline
from trm_arc.inference.config import InferenceConfig

says = messages(__name__)

NO_ANSWER = "import time\ntime.sleep(3600)"
# A worker without torch, which begins at once; what it does on the way is put in for the names in braces.
STAND_IN = """
import json, os, sys, time
from multiprocessing.connection import Connection
connection = Connection(os.dup(0))
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
def say(**line):
    connection.send_bytes(json.dumps(line).encode())
def hear():
    try:
        return json.loads(connection.recv_bytes())
    except (EOFError, OSError):
        sys.exit()
def refuse(why, checkpoint=False):
    say(item=order["item"], error=why, is_unusable_checkpoint=checkpoint)
def once(path):
    try:
        open(path, "x").close()  # of two at the same time, one
        return True
    except FileExistsError:
        return False
say()
device = hear()["device"]
loaded = ""
{start}
say(device=device)
while True:
    order = hear()
    path, slots, views = order["checkpoint"], order["test_indices"], order["views"]
    if path != loaded:
        {load}
        loaded = path
        say(checkpoint=path, counts=[8] * 12, cells=[9] * 12)
    {work}
    say(item=order["item"], seconds=0.01)
"""


def indent(code: str, depth: int) -> str:
    return code.strip().replace("\n", "\n" + " " * depth)


@pytest.fixture
def pool(tmp_path: Path, clock: Callable[[], float]) -> Iterator[Callable[..., WorkerPool]]:
    """A pool of stand-in workers, whose time is that of the clock: a failure that it must see in no time is seen, or never."""
    made, hangs = [], []
    guard = threading.Timer(300, hangs.append, [0.0])  # a test that waits for what never happens ends by an error
    guard.start()

    def call(
        start: str = "pass",
        load: str = "pass",
        work: str = "pass",
        device: str = "cpu",
        limit: float | None = None,
        find_devices: Callable[..., list[str]] = list_devices,
    ) -> WorkerPool:
        code = clock.sleep + STAND_IN.format(start=indent(start, 0), load=indent(load, 8), work=indent(work, 4))
        inference, worker = InferenceConfig(batch_size=16), [sys.executable, "-c", code]
        settings = Settings(out=tmp_path / "out.json", device=device, precision="float32", inference=inference, worker=worker)
        deadline = Deadline(limit, 0.0, clock)
        log = RunLog(tmp_path / "run.json", deadline)
        made.append(WorkerPool(settings, make_tasks(1, 5), deadline, log, hangs, lambda: 0.0))
        made[-1].start(find_devices)
        return made[-1]

    yield call
    guard.cancel()
    for one in made:
        one.end()


def do(pool: WorkerPool, *items: WorkItem) -> list[tuple[int, int]]:
    """Have items done; the views that were, sorted."""
    order, found = list(items)[::-1], []
    pool.work(
        lambda size: order.pop() if order else None,
        lambda item, parts: found.extend(zip(item.test_indices.tolist(), item.views.tolist(), strict=True)),
    )
    return sorted(found)


def loading(path: str = "a") -> WorkItem:
    return WorkItem(0, path, np.zeros(0, np.int64), np.zeros(0, np.int64))


def views(count: int, size: int = 4) -> list[WorkItem]:
    """Work items of `size` views of one checkpoint, the first views of `count` test inputs."""
    slots = np.arange(count, dtype=np.int64)
    return [WorkItem(1 + begin, "a", slots[begin : begin + size], np.zeros(size, np.int64)) for begin in range(0, count, size)]


def whole(count: int) -> list[tuple[int, int]]:
    return [(slot, 0) for slot in range(count)]


# --- a device, or a checkpoint


@pytest.mark.parametrize(
    ("flag", "limit", "sent"),
    [("auto", 1199.0, "none"), ("auto", 1200.0, "auto"), ("auto", None, "auto"), ("block", 60.0, "block")],
)
def test_a_short_session_compiles_nothing_unasked(flag: str, limit: float | None, sent: str, tmp_path: Path) -> None:
    settings, deadline = Settings(out=tmp_path / "out.json", inference=InferenceConfig(compile=flag)), Deadline(limit)
    made = WorkerPool(settings, make_tasks(1, 5), deadline, RunLog(tmp_path / "run.json", deadline), [], lambda: 0.0)
    assert made.init_message.inference.compile == sent


def test_a_device_that_does_not_work_costs_no_checkpoint(base: Path, challenges: Path, answer: Callable) -> None:
    """Nor does it leave guesses alone where there is one checkpoint."""
    _, log = answer(challenges, checkpoints=(base / "checkpoint-00000006",), views=1, device="cuda:7")
    text = told(log)
    assert says("device-cuda-7-not") in text
    assert says("going-on-with-the") in text
    assert says("cannot-be-used") not in text
    assert log["result"]["views"] == 4


def test_an_accelerator_that_dies_of_its_first_checkpoint_is_done_without(pool: Callable) -> None:
    """As with too little memory on it: the CPU decides whether the checkpoint is at fault."""
    made = pool(load="if device != 'cpu': sys.exit('out of memory')", device="cuda:0")
    assert do(made, loading()) == []
    assert "a" in made.known
    assert not made.refused
    assert do(made, *views(8)) == whole(8)
    assert made.devices == ["cpu"]


@pytest.mark.parametrize("device", ["cpu", "cpu,cpu", "cuda:0,cuda:1"])
def test_checkpoints_that_kill_on_load_leave_the_device_to_the_others(pool: Callable, device: str) -> None:
    made = pool(load="if path != 'a': os.kill(os.getpid(), 9)", device=device)
    if device.startswith("cuda"):
        do(made, loading("a"))  # these devices are known to work
    for path in "fedcb":
        do(made, loading(path))
    assert set(made.refused) == set("fedcb")
    do(made, loading("a"))
    assert "a" in made.known
    assert do(made, *views(8)) == whole(8)
    assert made.devices == device.split(",")


# --- one bad worker of several

# The second worker to begin is bad, and those that take its place; the first waits until three times nothing came of it.
SECOND = """
bad, file = not once({0!r} + "/first"), open({0!r} + "/failures", "ab", 0)
def fail():
    file.write(b".")
def wait():
    while os.path.getsize(file.name) < 3:
        time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("load", "work"),
    [
        ("if bad:\n    fail()\n    refuse('too many open files', checkpoint=True)\n    continue", "if slots: wait()"),
        ("pass", "if bad and slots:\n    fail()\n    refuse('not enough memory')\n    continue\nif slots: wait()"),
        ("pass", "if bad and slots:\n    fail()\n    os._exit(9)\nif slots: wait()"),
    ],
    ids=["load", "views", "death"],
)
def test_what_one_worker_cannot_do_another_does(pool: Callable, tmp_path: Path, load: str, work: str) -> None:
    made = pool(start=SECOND.format(str(tmp_path)), load=load, work=work, device="cpu,cpu")
    do(made, loading())
    assert do(made, *views(12, 1), *views(12, 1)) == sorted(2 * whole(12))
    assert not made.refused
    text = told(made.log.content)
    assert "gave up" not in text
    assert text.count("too many open files") + text.count("not enough memory") <= 1
    assert len([worker for worker in made.workers if worker.alive]) == 1


def test_a_checkpoint_that_no_worker_can_read_is_told_once(pool: Callable, tmp_path: Path) -> None:
    gone = f"if os.path.exists({str(tmp_path / 'gone')!r}):\n    refuse('gone', checkpoint=True)\n    continue"
    made = pool(load=gone, work=f"if slots: open({str(tmp_path / 'gone')!r}, 'w'); loaded = ''", device="cpu,cpu")
    do(made, loading())
    assert len(do(made, *views(12, 1))) <= 3
    assert told(made.log.content).count("a: gone") == 1


def test_an_accelerator_that_can_do_no_view_gives_way_to_the_cpu(pool: Callable) -> None:
    made = pool(work="if slots and device != 'cpu':\n    refuse('not enough memory')\n    continue", device="cuda:0")
    do(made, loading())
    assert len(do(made, *views(12))) >= 9  # three views were taken to be at fault
    assert made.devices == ["cpu"]


@pytest.mark.parametrize("bad", ["os._exit(9)", "refuse('no')\n    continue"], ids=["death", "answer"])
@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
def test_views_that_cannot_be_done_are_given_up_alone(pool: Callable, bad: str, device: str) -> None:
    """However many follow one another."""
    made = pool(work=f"if set(slots) & {{8, 9, 10, 11}}:\n    {bad}", device=device)
    do(made, loading())
    assert do(made, *views(12, 12)) == whole(8)
    assert told(made.log.content).count("gave up") == 4
    assert do(made, *views(8)) == whole(8)


# --- deaths in a row


def test_work_done_forgives_deaths(pool: Callable, tmp_path: Path) -> None:
    deaths = f"if slots and slots[0] % 2 and once({str(tmp_path)!r} + '/' + str(slots[0])): os.kill(os.getpid(), 9)"
    made = pool(work=deaths)
    do(made, loading())
    assert do(made, *views(12, 1)) == whole(12)
    assert told(made.log.content).count("ended with code -9") == 6


def test_deaths_in_a_row_end_the_work(pool: Callable) -> None:
    made = pool(start="sys.exit('broken')")
    with pytest.raises(StoppedError, match=says("no-worker-is-left")):
        do(made, loading())
    assert told(made.log.content).count("broken") == 3


# --- connections


FAULTS = {
    "garbage": ("connection.send_bytes(b'not JSON')", "sent an answer that cannot be read"),
    "field": ("say(item=order['item'], second=0.01)", "sent an answer that cannot be read"),
    "tensors": (
        "connection.send_bytes(json.dumps(dict(item=1, seconds=1)).encode() + b'\\n none')",
        "sent an answer that cannot be read",
    ),
    "size": (r"os.write(connection.fileno(), b'\x7f\xff\xff\xff')", "ended with code"),
    "half": ("half()\ntime.sleep(3600)", "stopped in the middle"),
    "half-and-exit": ("half()\nsys.exit('nothing left')", "nothing left"),
    "half-and-stop": ("half()\nos.kill(os.getpid(), 19)", "stopped in the middle"),
    "closed": ("connection.close()\ntime.sleep(3600)", "ended with code -9"),
    "held-open": ("os.set_inheritable(connection.fileno(), True)\nos.system('sleep 6 &')\nos._exit(7)", "ended with code 7"),
}


@pytest.mark.parametrize(("work", "words"), FAULTS.values(), ids=FAULTS)
def test_a_worker_whose_answer_cannot_be_read_is_replaced(pool: Callable, tmp_path: Path, work: str, words: str) -> None:
    """At once, as no time passes here; and the work is done by the next one."""
    half = r"def half(): os.write(connection.fileno(), b'\0\0\1\0 half')"
    made = pool(start=half, work=f"if slots and once({str(tmp_path / 'once')!r}):\n    {indent(work, 4)}\n    continue")
    do(made, loading())
    assert do(made, *views(4)) == whole(4)
    assert words in told(made.log.content)


def test_what_a_worker_prints_is_no_answer(pool: Callable) -> None:
    made = pool(work="print(1, flush=True)\nos.system('echo 2')")
    do(made, loading())
    assert do(made, *views(8)) == whole(8)
    assert "ended" not in told(made.log.content)


def test_a_stopped_worker_holds_up_nobody(pool: Callable, tmp_path: Path) -> None:
    """It is seen to be stopped, whatever the patience with those that work; a second worker does all of the work."""
    stop = "fall_asleep(3600); os.kill(os.getpid(), 19)"
    made = pool(device="cpu,cpu", work=f"if slots and once({str(tmp_path / 'once')!r}): {stop}")
    made.policy.patience = math.inf
    do(made, loading())
    assert do(made, *views(12, 1)) == whole(12)
    assert says("is-stopped") in told(made.log.content)


def test_a_silent_worker_costs_half_of_the_time_at_most(pool: Callable, tmp_path: Path) -> None:
    made = pool(work=f"if slots and once({str(tmp_path / 'once')!r}): sleep(3600)", limit=8.0)
    do(made, loading())
    assert do(made, *views(4)) == whole(4)
    assert 3 < made.deadline.left < 4
    assert says("has-been-silent-for") in told(made.log.content)


def test_items_begin_with_one_view_and_grow(pool: Callable) -> None:
    """One may take longer than the run has; and a small item says little about the time of a view in a large one."""
    made, sizes, left = pool(), [], views(12, 1) * 40
    do(made, loading())

    def source(size: int) -> WorkItem | None:
        sizes.append(size)
        parts, left[:] = left[:size], left[size:]
        if not parts:
            return None
        indices = np.concatenate([part.test_indices for part in parts])
        return WorkItem(len(sizes), "a", indices, np.zeros_like(indices))

    made.work(source, lambda item, parts: None)
    assert sizes[:4] == [1, 4, 16, 64]


def test_a_constructor_starts_no_process(tmp_path: Path) -> None:
    settings, deadline = Settings(out=tmp_path / "out.json", device="cpu", worker=["/no/such/program"]), Deadline()
    made = WorkerPool(settings, make_tasks(1, 5), deadline, RunLog(tmp_path / "run.json", deadline), [], lambda: 0.0)
    assert made.workers == []


@pytest.mark.parametrize("work", ["time.sleep(3600)", "while True: pass"])
def test_a_worker_ends_with_its_connection(work: str) -> None:
    """As when the leader is killed: also in the middle of its work."""
    code = f"def do(self, order):\n    self.send(worker.Failed(1, 'begun'))\n    {work}\nworker.Worker.do = do"
    process = WorkerProcess(DeviceSlot("cpu"), InitMessage({}, "", "float32", InferenceConfig()))
    process.start(patched(WORKER, code), dict(os.environ))
    process.order(loading())
    while True:
        assert process.connection.poll(120), "hangs"
        received = process.receive()
        assert received is not None, stderr_tail(process.log)
        if isinstance(received[0], Failed):
            break
        process.is_listening = True
        process.send()
    process.connection.close()
    assert process.process.wait(120) == 1  # it would work for ever
    process.end()


# --- waiting


def test_the_devices_are_waited_for_within_reason(tmp_path: Path) -> None:
    """What has answered by then is taken; a signal ends the wait; no program is left behind."""
    said: list[str] = []
    before = set(psutil.Process().children())
    first = (
        f"import pathlib, time\nprint('cuda:0', flush=True)\npathlib.Path({str(tmp_path / 'said')!r}).touch()\ntime.sleep(3600)"
    )
    wait = partial(list_devices, "auto", 60.0, warn=said.append)
    assert wait(script=first, clock=lambda: 60.0 * (tmp_path / "said").exists()) == ["cuda:0"]
    assert len(said) == 1
    assert wait(script=NO_ANSWER, clock=itertools.count().__next__) == ["cpu"]
    assert wait(stopping=[signal.SIGTERM], script=NO_ANSWER, clock=lambda: 0.0) == ["cpu"]
    stopping: list[float] = []
    looks = iter(range(3))

    def clock() -> float:
        if next(looks, None) is None:
            stopping.append(0.0)
        return 0.0

    assert wait(stopping=stopping, script=NO_ANSWER, clock=clock) == ["cpu"]
    assert len(said) == 2
    assert set(psutil.Process().children()) <= before


def test_a_run_with_little_time_waits_little_for_its_devices(pool: Callable) -> None:
    asked = []

    def find(wanted: str, seconds: float, *rest: object) -> list[str]:
        asked.append(seconds)
        return list_devices(wanted, seconds, *rest, script=NO_ANSWER, clock=itertools.count().__next__)

    made = pool(device="auto", limit=8.0, find_devices=find)
    assert asked == [2.0]
    assert says("did-not-answer") in told(made.log.content)
    do(made, loading())
    assert do(made, *views(4)) == whole(4)


def test_a_large_checkpoint_gets_time_to_be_read(pool: Callable, tmp_path: Path) -> None:
    """By its size; a worker that is silent for longer is ended."""
    for name, size in (("large", 80_000_000), ("small", 0)):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "tensors.safetensors").open("wb") as file:
            file.truncate(size)
    made = pool(load="sleep(3.0)")
    made.policy.patience = 0.5
    do(made, loading(str(tmp_path / "large")))
    assert not made.refused
    do(made, loading(str(tmp_path / "small")))
    assert "silent" in told(made.log.content)
    assert set(made.refused) == {str(tmp_path / "small")}


def test_a_real_worker_says_that_its_device_works_before_it_reads(base: Path, challenges: Path, answer: Callable) -> None:
    """A device that fails in its first sum is at fault, not the checkpoint."""
    fails = "import torch\ntorch.ones = lambda *a, **b: (_ for _ in ()).throw(RuntimeError('the first sum fails'))"
    _, log = answer(challenges, checkpoints=(base,), worker=patched(WORKER, fails))
    text = told(log)
    assert text.count("the first sum fails") == 3
    assert says("no-worker-is-left") in text
    assert says("cannot-be-used") not in text
