"""The submission's run: whatever goes wrong, a valid submission.json with the best answers so far, within the time."""

import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from submission.adaptation import Adaptation
from submission.messages import pack_predictions, unpack_predictions
from submission.page import render_page
from submission.predict import ONLY_GUESSES
from submission.reading import read_challenges
from submission.run_log import RunLog
from submission.session import Session
from submission.settings import ADAPTER as ADAPTATION
from submission.settings import Settings, find_deadline
from submission.vote_counter import VoteCounter, is_decided, mix_sizes
from submission.worker_pool import WorkerProcess
from tests.forked import python
from tests.helpers import ONCE, ROOT, SETTINGS, WORKER, make_tasks, messages, patched, to_document, told, write_kaggle
from trm_arc.common.deadline import Deadline
from trm_arc.common.errors import InputError
from trm_arc.common.files import write_atomic
from trm_arc.evaluation.result_files import read_results
from trm_arc.inference.attempts import find_faults
from trm_arc.inference.votes import Predictions
from trm_arc.model.checkpoint_files import list_checkpoints

says = messages(__name__)

ADAPTER = """
import os, sys, pathlib
from functools import partial
import trm_arc.adapt as adapt
from trm_arc.common.deadline import program_start
from trm_arc.common.program import run
{}
run(partial(adapt.main, started=program_start()))
"""


# --- reading


def test_a_broken_task_gets_guesses_and_the_rest_is_read(tmp_path: Path) -> None:
    document = to_document(make_tasks(4, 3, "eval"))
    document["eval01"]["train"][0]["input"][0][0] = "red"
    document["eval02"]["test"] = 7
    document["eval03"] = None
    path = tmp_path / "challenges.json"
    path.write_text(json.dumps(document))
    found = read_challenges(str(path))
    assert [task.id for task in found.tasks] == ["eval00"]
    assert found.counts == {"eval00": 1, "eval01": 2, "eval02": 1, "eval03": 1}
    assert len(found.notes) == 3
    assert says("got-red-its-answers") in found.notes[0]
    written = json.loads(found.document([[]]))
    assert list(written) == ["eval00", "eval01", "eval02", "eval03"]
    assert not find_faults(written, found.counts, "these")
    readable = document["eval01"]["train"][-1]["output"]
    assert written["eval01"][0]["attempt_1"] == readable


def test_a_broken_file_is_stood_in_for_by_the_sample_submission(tmp_path: Path) -> None:
    path = tmp_path / "arc-agi_test_challenges.json"
    path.write_text('{"00576224": {"train": [')
    with pytest.raises(InputError, match=says("not-valid-json-nor")):
        read_challenges(str(path))
    attempt = {"attempt_1": [[0]], "attempt_2": [[0]]}
    (tmp_path / "sample_submission.json").write_text(json.dumps({"00576224": [attempt, attempt], "12997ef3": [attempt]}))
    found = read_challenges(str(path))
    assert found.counts == {"00576224": 2, "12997ef3": 1}
    assert not find_faults(json.loads(found.document([])), found.counts, "these")


def test_a_byte_order_mark_and_a_duplicate_id_do_no_harm(tmp_path: Path) -> None:
    text = json.dumps(to_document(make_tasks(2, 3, "eval")))
    path = tmp_path / "challenges.json"
    path.write_bytes(b"\xef\xbb\xbf" + text[:-1].encode() + b"," + text[1:].encode())
    found = read_challenges(str(path))
    assert (len(found.tasks), len(found.notes)) == (2, 1)
    for encoding in ("utf-16", "utf-16-be", "utf-32"):
        path.write_bytes(text.encode(encoding))
        found = read_challenges(str(path))
        assert (len(found.tasks), len(found.notes)) == (2, 1)


def test_a_file_nested_too_deeply_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "arc-agi_test_challenges.json"
    path.write_text('{"00576224": ' + "[" * 100_000 + "]" * 100_000 + "}")
    assert says("not-valid-json") in render_page(tmp_path / "none.json", path, 3)
    (tmp_path / "sample_submission.json").write_text('{"00576224": [0, 0], "12997ef3": [0]}')
    found = read_challenges(str(path))
    assert found.counts == {"00576224": 2, "12997ef3": 1}


def test_half_a_character_in_an_id_costs_no_other_task(tmp_path: Path) -> None:
    document = to_document(make_tasks(2, 3, "eval"))
    document["ev\ud800"] = document.pop("eval01")
    path = tmp_path / "challenges.json"
    path.write_text(json.dumps(document))
    found = read_challenges(str(path))
    assert [task.id for task in found.tasks] == ["eval00"]
    written = json.loads(found.document([[]]))
    assert list(written) == ["eval00", "ev\ud800"]
    assert not find_faults(written, found.counts, "these")
    assert "lone surrogate" in found.notes[-1]


# --- deadlines and votes


def test_limits_and_deadlines() -> None:
    start = time.monotonic()
    assert find_deadline("5m", None, start) == Deadline(300, start)
    assert find_deadline(None, None, start) == Deadline(None, start)
    assert 0 < find_deadline(None, time.strftime("%H:%M", time.localtime(time.time() + 7200)), start).left <= 7200
    for wrong in (("5m", "17:00"), (None, "soon"), (None, "2020-01-01T00:00"), ("never", None)):
        with pytest.raises(InputError) as refused:
            find_deadline(*wrong, start)
        assert refused.value.flag == ("--deadline" if wrong[1] else "--time-limit")


def test_decided_means_that_no_outcome_changes_the_two_best() -> None:
    """Against every way in which the views that are left can fall."""
    generator = np.random.default_rng(0)
    for _ in range(300):
        votes = -np.sort(-generator.integers(0, 6, 3))
        left = int(generator.integers(0, 5))
        changes = left > 0 and votes[2] + left >= votes[1]  # all for the third: a tie may fall either way
        assert is_decided(votes[None], np.array([20]), np.array([left]))[0] == (not changes)


def test_chance_decides_what_is_unlikely_to_change() -> None:
    """More deviations decide less; a rule of many deviations is all but sure: simulated against draws of one rate."""
    generator = np.random.default_rng(0)
    shares, wrong, counts = np.array([0.5, 0.3, 0.2]), [], []
    for deviations in (1.0, 3.0):
        decided_now = changed = 0
        for _ in range(400):
            draws = generator.choice(3, 200, p=shares)
            votes = np.bincount(draws[:100], minlength=3)
            order = np.argsort(-votes)
            if is_decided(votes[order][None], np.array([100]), np.array([100]), deviations)[0]:
                decided_now += 1
                changed += set(np.argsort(-np.bincount(draws, minlength=3))[:2]) != set(order[:2])
        counts.append(decided_now)
        wrong.append(changed / max(decided_now, 1))
    assert counts[0] > counts[1] > 0
    assert wrong[1] <= 0.01


def test_predictions_travel_unchanged() -> None:
    """Strided arrays too."""
    slots = np.arange(6).reshape(3, 2)[:, 1]
    canvases = np.arange(48, dtype=np.uint8).reshape(4, 4, 3).T
    part = Predictions(canvases, np.zeros((3, 11), np.uint8), slots, np.zeros(3, np.float32), np.arange(3, dtype=np.int32))
    back = unpack_predictions(pack_predictions([part, part]))
    assert len(back) == 2
    for name in ("canvases", "table", "test_index", "halting", "steps"):
        assert np.array_equal(getattr(back[1], name), getattr(part, name))


def test_the_order_of_arrival_plays_no_part() -> None:
    generator = np.random.default_rng(1)
    table = np.tile(np.array([0, *range(10)], np.uint8), (4, 1))
    slots = np.zeros(4, np.int64)
    rest = table, slots, np.zeros(4, np.float32), np.ones(4, np.int32)
    parts = [Predictions(generator.integers(2, 4, (4, 1, 2)).astype(np.uint8), *rest) for _ in range(3)]
    first, second = VoteCounter(1), VoteCounter(1)
    for unit in (0, 1, 2):
        first.add(unit, [parts[unit]], slots)
    for unit in (2, 0, 1):
        second.add(unit, [parts[unit]], slots)
    for a, b in zip(first.rank()[0][0], second.rank()[0][0], strict=True):
        assert np.array_equal(a, b)


COUNT = """
import sys
sys.modules |= dict.fromkeys(["numba", "torch"])  # cannot be imported
import numpy as np
from submission.vote_counter import VoteCounter
from trm_arc.inference.votes import Predictions
canvases, table = np.full((3, 2, 2), 5, np.uint8), np.tile(np.array([1, *range(10)], np.uint8), (3, 1))
canvases[0, 0, 0] = 6
counter, tests = VoteCounter(1), np.zeros(3, np.int64)
counter.add(0, [Predictions(canvases, table, tests, np.zeros(3, np.float32), np.ones(3, np.int32))], tests)
ranked, votes = counter.rank()
print([grid.tolist() for grid in ranked[0]], votes.tolist())
"""


def test_votes_are_counted_without_anything_that_has_to_be_compiled() -> None:
    """The compiler takes longer than a short time limit on a new and busy machine, and nobody can stop it."""
    done = subprocess.run([sys.executable, "-c", COUNT], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[[[3, 3], [3, 3]], [[3, 4], [3, 3]]] [[2, 1, 0]]\n"


# Ends the worker if a view needed what was not compiled when its device was said to be ready.
COMPILED = """
from augment import kernels
def compiled():
    there = [kernel for kernel in vars(kernels).values() if "compiled" in getattr(kernel, "__dict__", ())]
    return {kernel.__name__: len(getattr(kernel.compiled, "signatures", ())) for kernel in there}
send = worker.Worker.send
def check(self, answer, data=b""):
    if isinstance(answer, worker.Ready):
        self.before = compiled()
    elif isinstance(answer, worker.Predicted) and compiled() != self.before:
        sys.exit(f"compiled later: {self.before} {compiled()}")
    send(self, answer, data)
worker.Worker.send = check
"""


def test_a_worker_compiles_what_views_need_before_it_is_ready(base: Path, challenges: Path, answer: Callable) -> None:
    """From then on it may not be silent for long."""
    _, log = answer(challenges, checkpoints=(base,), views=2, worker=patched(WORKER, COMPILED))
    assert log["result"]["views"] == 8, told(log)


def test_no_size_waits_for_the_end_of_a_round() -> None:
    """Every test input once; in any half of the order small and large canvases, neighbours mostly equal."""
    cells = np.repeat([100, 400, 900], 40)
    order = mix_sizes(np.arange(5, 120), cells, 3)
    assert sorted(order) == list(range(5, 120))
    for half in (order[:57], order[57:]):
        assert set(cells[half]) == {100, 400, 900}
    assert np.mean(np.diff(cells[order]) == 0) > 0.8
    assert len(mix_sizes(np.arange(0), cells, 0)) == 0


def test_reading_takes_a_share_of_the_time(challenges: Path) -> None:
    seconds = itertools.count(0.0, 10.0)
    read = read_challenges(str(challenges), None, Deadline(30.0, 0.0, lambda: next(seconds)))
    assert len(read.tasks) == 0
    assert read.counts == {"eval00": 1, "eval01": 2, "eval02": 1}
    assert says("too-large-for-this") in read.notes[-1]
    assert not find_faults(json.loads(read.document([])), read.counts, "these")
    late = Deadline(10.0, 0.0, lambda: 12.0)  # as on a machine where imports take that long: reading takes no time
    assert len(read_challenges(str(challenges), None, late).tasks) == 3


# --- whole runs


def test_all_views_give_what_evaluate_gives(base: Path, challenges: Path, answer: Callable, command: Callable) -> None:
    document, log = answer(challenges, checkpoints=(base,), precision="float64")  # other batches round otherwise
    out = base.parent / "evaluated"
    machine = ("--device", "cpu", "--precision", "float64")
    code, _, error = command("evaluate", "--checkpoint", base, "--data", challenges, "--out", out, *machine, "--no-report")
    assert code == 0, error
    assert document == json.loads((out / "submission.json").read_text())
    assert log["result"]["views"] == 4 * 5


def test_adaptation_reads_no_hidden_output(base: Path, challenges: Path, tmp_path: Path, command: Callable) -> None:
    """The same weights and answers whether the file has the solutions inside, beside it, or not at all."""
    tasks = make_tasks(3, 5, "eval")
    inside, without = tmp_path / "inside.json", tmp_path / "without.json"
    inside.write_text(json.dumps(to_document(tasks, outputs=True)))
    without.write_text(json.dumps(to_document(tasks)))
    tensors = []
    for source in (challenges, inside, without):
        flags = ("--challenges", source, "--steps", 4, "--out", tmp_path / source.stem)
        code, _, error = command("adapt", "--checkpoint", base, *flags, "--device", "cpu")
        assert code == 0, error
        tensors.append((tmp_path / source.stem / "checkpoint-00000004" / "tensors.safetensors").read_bytes())
    assert tensors[0] == tensors[1] == tensors[2]


def test_a_run_with_a_limit_adapts_and_votes(base: Path, challenges: Path, answer: Callable, clock: Callable) -> None:
    _, log = answer(challenges, 600.0, clock, checkpoints=(base,), recipe="own", adaptation_flags=FEW_STEPS)
    text = told(log)
    assert says("probe-4-views") in text
    assert "of adaptation" in text
    assert "adapted: checkpoint-" in text
    assert log["plans"][0]["seconds_per_view"] > 0
    assert log["result"]["views"] >= 4


def test_from_scratch_and_ensembles(base: Path, challenges: Path, answer: Callable) -> None:
    flags = ("--steps", "2", "--width", "16", "--batch-size", "8", "--augmentations", "4")
    _, log = answer(challenges, preset="demo", recipe="own", adaptation_flags=flags, pool_checkpoints=2, views=3)
    assert "adapted: checkpoint-00000002" in told(log)
    _, alone = answer(challenges, checkpoints=(base,), views=3)
    _, pooled = answer(challenges, checkpoints=(base,), views=3, pool_checkpoints=3)
    _, together = answer(challenges, checkpoints=(base, base / "checkpoint-00000002"), views=3)
    views = [log["result"]["views"] for log in (alone, pooled, together)]
    assert views == [12, 36, 24]


def test_a_slow_model_never_runs_over(base: Path, challenges: Path, answer: Callable, clock: Callable) -> None:
    slow = clock.sleep
    slow += "def do(self, order):\n    sleep(1.5 * len(order.test_indices))\n    Do(self, order)\nworker.Worker.do = do"
    program = [sys.executable, "-c", patched(WORKER, slow)[-1]]  # a forked one may sleep on for a moment when it is killed
    document, log = answer(challenges, 12.0, clock, checkpoints=(base,), worker=program)
    assert says("the-time-is-up") in told(log)
    assert len(document) == 3


@pytest.mark.slow
@pytest.mark.parametrize("limit", [30, 60, 300])
def test_longer_limits_hold_too(limit: int, base: Path, challenges: Path, answer: Callable) -> None:
    slow = "def do(self, order):\n    time.sleep(5 * len(order.test_indices))\n    Do(self, order)\nworker.Worker.do = do"
    _, log = answer(challenges, limit=limit, checkpoints=(base,), recipe="own", worker=patched(WORKER, slow))
    assert log["result"]["seconds"] < limit


# --- faults


def test_a_session_without_an_answer_says_so(base: Path, challenges: Path, tmp_path: Path, command: Callable) -> None:
    """By its exit code and its last line; an odd header of a checkpoint is no reason to write no guesses."""
    run = shutil.copytree(base, tmp_path / "run")
    for folder in list_checkpoints(run):
        header = json.loads((folder / "checkpoint.json").read_text())
        header["tasks"][0][0] = ["no", "id"]
        (folder / "checkpoint.json").write_text(json.dumps(header))
    out = tmp_path / "submission.json"
    flags = ("--checkpoint", run, "--out", out, "--device", "cpu", "--time-limit", "1h")
    code, _, error = command("submission", "predict", "--challenges", challenges, *flags)
    assert code == ONLY_GUESSES
    assert says("all-of-them-guesses") in error.splitlines()[-1]
    assert not find_faults(json.loads(out.read_text()), {"eval00": 1, "eval01": 2, "eval02": 1}, "these")


def test_a_checkpoint_that_is_deleted_in_mid_run_is_stood_in_for(
    base: Path, challenges: Path, answer: Callable, tmp_path: Path
) -> None:
    run = shutil.copytree(base, tmp_path / "run")
    deletes = f"import shutil\n{ONCE}def do(self, order):\n    if len(order.views) and order.views.max() > 0 and "
    deletes += f"once({str(tmp_path / 'deleted')!r}):\n        shutil.rmtree({str(run / 'checkpoint-00000006')!r})\n"
    deletes += "        os._exit(9)\n    Do(self, order)\nworker.Worker.do = do"
    _, log = answer(challenges, checkpoints=(run,), views=4, worker=patched(WORKER, deletes))
    assert says("checkpoint-00000006-cannot-be") in told(log)
    assert log["result"]["views"] == 16


def test_the_end_of_the_interpreter_is_not_waited_for(tmp_path: Path) -> None:
    """All is written by then, and on a busy machine it can take seconds."""
    code = "import atexit, runpy, time\natexit.register(time.sleep, 600)\nrunpy.run_module('submission', run_name='__main__')"
    command = [sys.executable, "-c", code, "check", "--challenges", tmp_path, "--submission", tmp_path]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False).returncode == 2


def test_a_worker_that_dies_is_replaced(base: Path, challenges: Path, answer: Callable, tmp_path: Path) -> None:
    dies = (
        f"{ONCE}def do(self, order):\n    if len(order.test_indices) and once({str(tmp_path / 'died')!r}):\n        os._exit(9)\n"
    )
    dies += "    Do(self, order)\nworker.Worker.do = do"
    _, log = answer(challenges, checkpoints=(base,), views=2, worker=patched(WORKER, dies))
    assert says("the-worker-on-cpu") in told(log)
    assert log["result"]["views"] == 8


def test_a_view_that_kills_is_given_up(base: Path, challenges: Path, answer: Callable) -> None:
    dies = "def do(self, order):\n    if 2 in order.test_indices:\n        os._exit(9)\n"
    dies += "    Do(self, order)\nworker.Worker.do = do"
    _, log = answer(challenges, checkpoints=(base,), views=1, worker=patched(WORKER, dies))
    assert says("gave-up-view-0") in told(log)
    assert log["result"]["views"] == 3


def test_a_device_that_is_gone_is_done_without(base: Path, challenges: Path, answer: Callable) -> None:
    _, log = answer(challenges, checkpoints=(base,), views=1, device="cuda:7")
    text = told(log)
    assert says("device-cuda-7-is") in text
    assert says("none-of-cuda-7") in text
    assert log["result"]["views"] == 4


def test_no_worker_at_all_leaves_the_guesses(base: Path, challenges: Path, answer: Callable) -> None:
    _, log = answer(challenges, checkpoints=(base,), worker=[sys.executable, "-c", "raise SystemExit('broken')"])
    assert says("no-worker-is-left") in told(log)
    assert log["result"]["without_answer"] == 4


def test_no_worker_is_started_when_the_time_is_up(challenges: Path, tmp_path: Path) -> None:
    """As on a machine so busy that the guesses themselves are late."""
    late = Deadline(10.0, 0.0, lambda: 12.0)
    settings = Settings(out=tmp_path / "submission.json", device="cpu", checkpoints=(tmp_path,))
    session = Session(read_challenges(str(challenges)), settings, late, RunLog(tmp_path / "run.json", late))
    assert session.run()
    assert not session.pool.workers
    assert not session.is_answered


def test_too_little_memory_halves_the_views_at_a_time(base: Path, challenges: Path, answer: Callable) -> None:
    short = "import torch, trm_arc.inference.predictor as p\nrefine = p.refine\n"
    short += "def scarce(r, tokens, *rest):\n    if len(tokens) > 1:\n        raise torch.OutOfMemoryError('out of memory')\n"
    short += "    return refine(r, tokens, *rest)\np.refine = scarce"
    _, log = answer(challenges, checkpoints=(base,), views=2, worker=patched(WORKER, short))
    assert log["result"]["views"] == 8


def test_a_corrupt_checkpoint_is_stood_in_for_by_the_next(base: Path, challenges: Path, answer: Callable, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(base, run)
    newest = run / "checkpoint-00000006" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    _, log = answer(challenges, checkpoints=(run,), views=1)
    assert says("checkpoint-00000006-cannot-be") in told(log)
    assert log["result"]["views"] == 4


def test_weights_that_are_not_finite_give_no_votes(base: Path, challenges: Path, answer: Callable) -> None:
    poison = "import trm_arc.inference.predictor as p\nrefine = p.refine\n"
    poison += "def nan(*a):\n    refined = refine(*a)\n    return refined._replace(halting=refined.halting * float('nan'))\n"
    poison += "p.refine = nan"
    _, log = answer(challenges, checkpoints=(base,), views=1, worker=patched(WORKER, poison))
    assert log["result"]["without_answer"] == 4


def test_an_adaptation_that_is_killed_goes_on(base: Path, challenges: Path, answer: Callable, tmp_path: Path) -> None:
    dies = f"import trm_arc.training.loop as loop\n{ONCE}write = loop._Log.write\n"
    dies += f"def log(self):\n    if self.trainer.step > 5 and once({str(tmp_path / 'died')!r}):\n        os._exit(137)\n"
    dies += "    write(self)\nloop._Log.write = log"
    flags = ("--steps", "20", "--save-every", "5")
    _, log = answer(
        challenges, checkpoints=(base,), recipe="own", views=1, adaptation_flags=flags, adapter=patched(ADAPTER, dies)
    )
    text = told(log)
    assert says("adaptation-on-cpu-ended") in text
    assert "adapted: checkpoint-00000020" in text


def test_the_workers_have_let_go_of_the_devices_before_an_adaptation_begins(
    base: Path, challenges: Path, answer: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, events = [], []
    start, attempt = WorkerProcess.start, Adaptation._attempt

    def started(worker: WorkerProcess, *arguments: object) -> WorkerProcess:
        events.append("worker")
        workers.append(start(worker, *arguments))
        return worker

    def adapted(adaptation: Adaptation, *arguments: object) -> tuple[int, str]:
        events.append("adaptation")
        assert all(worker.process.poll() is not None for worker in workers), "one still runs"
        return attempt(adaptation, *arguments)

    monkeypatch.setattr(WorkerProcess, "start", started)
    monkeypatch.setattr(Adaptation, "_attempt", adapted)
    _, log = answer(challenges, checkpoints=(base,), recipe="own", views=1, adaptation_flags=FEW_STEPS)
    assert events == ["worker", "adaptation", "worker"]
    assert log["result"]["views"] == 4


def test_an_adaptation_without_a_finite_loss_leaves_the_checkpoint_as_it_is(
    base: Path, challenges: Path, answer: Callable
) -> None:
    poison = "import trm_arc.training.trainer as trainer\ncompiled_step = trainer.compiled_step\n"
    poison += "def spoiled(*a):\n    step = compiled_step(*a)\n    def nan(*b):\n        loss, *rest = step(*b)\n"
    poison += "        return loss * float('nan'), *rest\n    return nan\ntrainer.compiled_step = spoiled"
    _, log = answer(
        challenges,
        checkpoints=(base,),
        recipe="own",
        views=1,
        adapter=patched(ADAPTER, poison),
        adaptation_flags=("--max-skips", "3"),
    )
    text = told(log)
    assert says("ended-with-code-2") in text
    assert "not finite" in text
    assert log["result"]["views"] >= 4


def test_two_devices_share_the_work(base: Path, challenges: Path, answer: Callable) -> None:
    document, _ = answer(challenges, checkpoints=(base,), precision="float64")
    shared, _ = answer(challenges, checkpoints=(base,), precision="float64", device="cpu,cpu")
    assert shared == document
    _, log = answer(challenges, checkpoints=(base,), device="cpu,cpu", recipe="own", views=1, adaptation_flags=("--steps", "3"))
    assert "adapted: checkpoint-00000003" in told(log), told(log)


def test_places_that_cannot_be_written(base: Path, challenges: Path, answer: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    document, log = answer(challenges, checkpoints=(base,), views=1, out=tmp_path / "file" / "submission.json")
    assert says("cannot-be-written") in told(log)
    assert (tmp_path / "submission.json").exists()
    assert len(document) == 3


def test_a_signal_leaves_the_best_answers_so_far(base: Path, challenges: Path, tmp_path: Path) -> None:
    out = tmp_path / "submission.json"
    flags = ["--challenges", str(challenges), "--checkpoint", str(base), "--out", str(out), "--device", "cpu"]
    program = subprocess.Popen(
        [sys.executable, "-m", "submission", "predict", *flags, "--time-limit", "1h"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    for line in program.stdout:
        if "of adaptation" in line:
            break
    program.send_signal(signal.SIGTERM)
    text, _ = program.communicate(timeout=300)
    assert program.returncode == 0
    assert says("asked-to-stop") in text
    assert not find_faults(json.loads(out.read_text()), {"eval00": 1, "eval01": 2, "eval02": 1}, "these")
    left = subprocess.run(["pgrep", "-f", str(challenges)], capture_output=True, text=True, check=False).stdout
    assert not left, os.popen("ps aux").read()


def test_a_task_too_large_for_an_mlp_gets_guesses_alone(
    challenges: Path, answer: Callable, tmp_path: Path, command: Callable
) -> None:
    """The others are answered; `evaluate` refuses such a task, as it would count as wrong."""
    mlp = [*SETTINGS, "--mixer", "mlp", "--positions", "none", "--canvas", "full", "--board-rows", 5, "--board-columns", 5]
    code, _, error = command("train", *mlp, "--data", "", "--evaluation-data", challenges, "--out", tmp_path / "mlp")
    assert code == 0, error
    document = json.loads(challenges.read_text())
    document["large"] = to_document(make_tasks(1, 11, "x", largest=30))["x00"]
    document["large"]["test"] = [{"input": [[1] * 20] * 20}]
    path = tmp_path / "mixed.json"
    path.write_text(json.dumps(document))
    _, log = answer(path, checkpoints=(tmp_path / "mlp",), views=2)
    assert says("1-of-5-test") in told(log)
    assert log["result"]["views"] == 8
    code, _, error = command("evaluate", "--checkpoint", tmp_path / "mlp", "--data", path)
    assert (code, says("does-not-hold-large") in error) == (2, True)


# --- places, screens and signals that fail


@pytest.fixture
def session(challenges: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session whose workers are broken, so that it answers by guesses."""
    monkeypatch.chdir(tmp_path)
    deadline, broken = Deadline(), (sys.executable, "-c", "raise SystemExit('broken')")
    settings = Settings(out=tmp_path / "out" / "submission.json", device="cpu", worker=broken)
    return Session(read_challenges(str(challenges)), settings, deadline, RunLog(tmp_path / "out" / "run.json", deadline))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Let the writes of submissions whose place has some word in it fail; a call without one ends that."""

    def call(word: str | None = None, after: int = 0) -> None:
        written = []

        def write(path: Path, data: bytes) -> None:
            written.append(path)
            if word is not None and word in str(path) and len(written) > after:
                raise InputError(f"{path}: cannot be written (No space left on device)")
            write_atomic(path, data)

        monkeypatch.setattr("submission.session.write_atomic", write)

    return call


def test_a_disk_that_is_full_for_a_moment(session: Session, full: Callable, tmp_path: Path) -> None:
    """The place that was asked for is tried first every time; what is written elsewhere meanwhile stays."""
    full("/out/")
    session.publish()
    session.publish()
    assert session.out == tmp_path / "submission.json"
    assert told(session.log.content).count("No space left") == 1
    full()
    session.publish()
    assert session.out == tmp_path / "out" / "submission.json"
    full("/out/")
    assert session.run()
    assert f"wrote {tmp_path / 'submission.json'} (checked)" in told(session.log.content)
    assert f"{tmp_path / 'out' / 'submission.json'} could not be updated" in told(session.log.content)


def test_answers_that_are_not_written_last_are_told(session: Session, full: Callable, tmp_path: Path) -> None:
    full("submission.json", after=1)
    assert not session.run()
    text = told(session.log.content)
    assert says("holds-older-answers") in text
    assert "(checked)" not in text
    assert not find_faults(json.loads((tmp_path / "out" / "submission.json").read_text()), session.challenges.counts, "these")


def test_nothing_written_at_all_is_told(session: Session, full: Callable) -> None:
    full("submission.json")
    assert not session.run()
    assert says("no-submission-could-be") in told(session.log.content)


def test_a_folder_that_is_gone_matters_only_where_it_is_needed(session: Session, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    os.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    session.publish()
    assert (tmp_path / "out" / "submission.json").is_file()
    os.chdir(tmp_path)


def test_the_log_is_tried_again(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "folder" / "run.json", Deadline())
    (tmp_path / "folder").write_text("")
    log.info("one")
    log.info("two")
    assert told(log.content).count("is only printed for now") == 1
    (tmp_path / "folder").unlink()
    log.info("three, of ev\ud800")
    assert says("three-of-ev-d800") in told(json.loads(log.path.read_text()))


def test_screens_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing guards the streams, as in a program of a user's own."""
    closed, log = io.StringIO(), RunLog(tmp_path / "run.json", Deadline())
    closed.close()
    for screen in (closed, None):
        monkeypatch.setattr(sys, "stdout", screen)
        log.info("räume")
    assert [event["what"] for event in log.content["events"]] == ["räume", "räume"]


def test_a_whole_run_without_a_screen(base: Path, tmp_path: Path) -> None:
    challenges = write_kaggle(tmp_path / "räume", make_tasks(3, 5, "eval"), "eval")
    flags = ["--challenges", challenges, "--checkpoint", base, "--out", tmp_path / "submission.json", "--device", "cpu"]
    with open("/dev/full", "w") as screen:
        done = subprocess.run(
            [sys.executable, "-m", "submission", "predict", *flags, "--views", "2"],
            cwd=ROOT,
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            stdout=screen,
            stderr=screen,
            check=False,
        )
    assert done.returncode == 0
    assert json.loads((tmp_path / "submission-run.json").read_text())["result"]["views"] == 8


def test_repeated_signals_do_not_keep_the_answers_from_the_disk(base: Path, challenges: Path, tmp_path: Path) -> None:
    """A terminal that closes, then repeats, also while the last answers are written."""
    code = "import functools, os, signal, sys, time\nimport submission.session as session\nimport submission.signals as signals\n"
    code += "signals.stop_signals = functools.partial(signals.stop_signals, repeats=0.0)\n"
    code += "from submission.__main__ import main\npublish = session.Session.publish\n"
    code += "def hit(self):\n    if self.counter.views.any():\n        for number in (1, 15, 2, 1):\n"
    code += "            os.kill(os.getpid(), number)\n            time.sleep(0.05)\n"
    code += "    return publish(self)\nsession.Session.publish = hit\ncode = main(sys.argv[1:])\n"
    code += "os.kill(os.getpid(), 15)\nsys.exit(code)"
    flags = ["--challenges", challenges, "--checkpoint", base, "--out", tmp_path / "submission.json", "--device", "cpu"]
    program = [*python(), "-c", code, "predict", *flags, "--views", "2"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert says("asked-to-stop") in done.stdout
    assert says("4-views-of-4") in done.stdout
    assert "(checked)" in done.stdout


# --- where adapted runs lie

FEW_STEPS = ("--steps", "2")


def test_a_work_folder_that_cannot_be_written(base: Path, challenges: Path, answer: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    flags = {"checkpoints": (base,), "recipe": "own", "views": 1, "adaptation_flags": FEW_STEPS}
    _, log = answer(challenges, work_folder=tmp_path / "file" / "work", **flags)
    assert says("cannot-be-written") in told(log)
    assert "adapted: checkpoint-00000002" in told(log)
    assert log["result"]["views"] == 4


def test_an_adaptation_that_cannot_begin_leaves_the_checkpoint_as_it_is(
    base: Path, challenges: Path, answer: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, data: bytes) -> None:
        raise InputError(f"{path}: cannot be written (No space left on device)")

    monkeypatch.setattr("submission.adaptation.write_atomic", fail)
    _, log = answer(challenges, checkpoints=(base,), recipe="own", views=2)
    assert "no adaptation: " in told(log)
    assert log["result"]["views"] == 4 + 8  # the probe's, too


def test_every_session_has_a_folder_of_its_own(base: Path, challenges: Path, answer: Callable, tmp_path: Path) -> None:
    another = tmp_path / "work" / "session-another"
    (another / "adapted-0").mkdir(parents=True)
    answer(challenges, checkpoints=(base,), recipe="own", views=1, adaptation_flags=FEW_STEPS)
    (ours,) = set((tmp_path / "work").iterdir()) - {another}
    assert (ours / "adapted-0" / "checkpoint-00000002").is_dir()
    assert list(another.iterdir()) == [another / "adapted-0"]


def test_an_adaptation_ends_with_its_session(base: Path, challenges: Path, tmp_path: Path) -> None:
    flags = ["--challenges", challenges, "--checkpoint", base, "--out", tmp_path / "run", "--steps", "1000000", "--device", "cpu"]
    program = subprocess.Popen([*python(), *ADAPTATION[1:], *flags, "--save-every", "5"], cwd=ROOT, stdin=subprocess.PIPE)
    try:
        while not list_checkpoints(tmp_path / "run"):
            assert program.poll() is None
            time.sleep(0.1)
        program.stdin.close()  # as the system does for one that is killed
        assert program.wait(120) == 1  # its steps would take hours
    finally:
        program.kill()


def test_evaluate_pools_the_votes_of_checkpoints(base: Path, challenges: Path, tmp_path: Path, command: Callable) -> None:
    machine = ("--device", "cpu", "--precision", "float32", "--views", 2, "--data", challenges, "--no-report")
    totals = []
    for flags in (("--checkpoint", base), ("--checkpoint", base, "--pool-checkpoints", 3), ("--checkpoint", base, base)):
        out = tmp_path / str(len(totals))
        code, _, error = command("evaluate", *flags, *machine, "--out", out, "--no-report")
        assert code == 0, error
        answers = read_results(out / "predictions.json").answers
        totals.append(sum(c.votes for answered in answers for c in answered.candidates))
    assert totals[2] == 2 * totals[0]
    assert totals[1] > totals[0]
    assert json.loads((tmp_path / "1" / "metrics.json").read_text())["checkpoints"] == 3


@pytest.mark.parametrize("device", ["", "cpu,", "cuda:", "cuda:x", "/dev/null", "cpu;cuda:0"])
def test_names_of_devices_that_cannot_be_are_refused_before_any_work(device: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        Settings(out=tmp_path / "submission.json", device=device)
    assert refused.value.flag == "--device"
