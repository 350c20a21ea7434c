"""One submission from start to end: a valid file at once, adaptation, rounds of views, and never a second over the limit.

    fallback answers        the file is there from the first moment, and valid
    first look              one view of every test input by the checkpoint as it is: real answers, and the time that a view takes
    plan                    what is left is divided between adaptation and views
    adaptation              trm_arc.adapt in programs of its own, one for each device; a failed one goes on with fewer
    rounds of views         each doubles the last; after each the votes are counted and the file is written anew

This program itself holds no accelerator and does no work that could fail for want of memory; what does runs in workers, which may
die.  Whatever happens, the best answers so far are on disk.
"""

import resource
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from submission.adaptation import Adaptation
from submission.journal import Clock, Journal
from submission.reading import Challenges
from submission.retry_policy import WorkItem
from submission.vote_counter import VoteCounter, is_decided, rounds, warm_up
from submission.worker_pool import WORKER, StoppedError, WorkerConfig, WorkerPool
from trm_arc.common.durations import show_duration
from trm_arc.common.errors import InputError
from trm_arc.common.files import write_atomic
from trm_arc.common.text import printable
from trm_arc.inference.config import InferenceConfig
from trm_arc.inference.predictor import list_views
from trm_arc.model.checkpoint import list_checkpoints, pool_checkpoints
from trm_arc.training.loop import stop_signals

PUBLISH = 30.0  # seconds after which the file is written anew within a round
LOOK_SHARE = 0.06  # of the time, at most, for the first look
VIEWS_LEAST, VIEWS_MOST = 0.1, 0.4  # shares of what is left after the first look that views get
SPARE = 1.2  # how much longer the views may take than the first look says: larger canvases run again
SCRATCH = 0.25  # share of the views where there is no checkpoint to measure with
NOTHING = "no submission could be written: name another --out"
STOPPED = "asked to stop again: the answers so far stand"


@dataclass(frozen=True)
class Settings:
    """What a user asks of a submission.

    Attributes:
        out: the file.
        checkpoints: runs or checkpoints whose votes are counted together; none to train from scratch.
        recipe: how to adapt; None not to.
        preset: settings to train by from scratch.
        adaptation_flags: further flags of `trm_arc.adapt`.
        views: of a test input at most, by each checkpoint.
        pool: checkpoints of each run that vote, newest first.
        device: "auto", or names by commas.
        precision: "auto", or a name.
        batch_size: views at a time.
        steps: supervision steps; None for as many as in training.
        window: see `trm_arc.inference.answer.choose_windows`.
        settle: see `submission.vote_counter.is_decided`; None to stop by count alone.
        work_folder: where adapted runs are kept, in a folder of its own for each session; None to keep none.
        worker: the program of a worker.
        adapter: the program that adapts, without its flags.
    """

    out: Path
    checkpoints: tuple[Path, ...] = ()
    recipe: str | None = None
    preset: str | None = None
    adaptation_flags: tuple[str, ...] = ()
    views: int = 1000
    pool: int = 1
    device: str = "auto"
    precision: str = "auto"
    batch_size: int = 256
    steps: int | None = None
    window: str = "trained"
    settle: float | None = None
    work_folder: Path | None = None
    worker: Sequence[str] = WORKER
    adapter: Sequence[str] = ()


@dataclass
class Member:
    """A checkpoint that votes.

    Attributes:
        candidates: its checkpoints, best first; the first that can be read is used.
        counts: int64, the views that there are of every test input; empty until a worker has said so.
        cells: int64, the canvas of every test input.
    """

    candidates: list[Path]
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    cells: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def find_members(paths: Sequence[Path], pool: int) -> list[Member]:
    """The checkpoints that vote.

    Args:
        paths: runs, or single checkpoints.
        pool: how many of each run's newest.
    """
    members = []
    for path in pool_checkpoints(paths, pool):  # should one be broken, the older ones beside it can stand in
        older = [other for other in list_checkpoints(path.parent)[::-1] if other.name < path.name]
        members.append(Member([path, *older]))
    return members


@contextmanager
def stop_or_hang_up() -> Iterator[list[float]]:
    """`stop_signals`, and the closing of the terminal as one more of them, unless `nohup` has that ignored."""
    with stop_signals() as stopping:
        before = signal.getsignal(signal.SIGHUP)
        if before is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
        try:
            yield stopping
        finally:
            signal.signal(signal.SIGHUP, before)


def ignore_signals() -> None:
    """Be deaf to all that `stop_or_hang_up` hears."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


class Session:
    """A submission in progress.

    Args:
        challenges: what there is to answer.
        settings: how.
        clock: of the run.
        journal: where it is told.
    """

    def __init__(self, challenges: Challenges, settings: Settings, clock: Clock, journal: Journal) -> None:
        self.challenges, self.settings, self.clock, self.journal = challenges, settings, clock, journal
        self.slots = challenges.tasks.outputs
        self.ballot = VoteCounter(self.slots)
        self.crew: WorkerPool | None = None
        self.ranked: list[list[np.ndarray]] = [[] for _ in range(self.slots)]
        self.earlier = self.ranked
        self.out, self.written = settings.out, 0.0  # where answers were written last, and when
        self.current = False  # whether those are the last that were counted
        self.writing = 0.0  # seconds that counting and writing took last
        self.units = 0
        self.failing: set[str] = set()  # what was told of places that cannot be written
        self.folder: Path | None = None  # for adapted runs
        self.stopping: list[float] = []

    def run(self) -> bool:
        """Do all of it; whatever happens, the best answers so far are on disk at the end.

        Returns:
            Whether the last answers are in a valid file.
        """
        with stop_or_hang_up() as self.stopping:
            try:
                self.begin()
            except StoppedError as error:
                self.journal.tell(str(error))
            except KeyboardInterrupt:  # a second signal, see `stop_signals`
                self.journal.tell(STOPPED)
            except Exception as error:
                self.note(error)
            finally:
                ignore_signals()  # a repeat must not keep the last answers from the disk
                for last in (self.end, self.publish, self.conclude):
                    try:
                        last()
                    except Exception as error:  # whatever becomes of one, the next is done
                        self.note(error)
        return self.current

    def begin(self) -> None:
        """Everything from the guesses to the last round."""
        self.publish()
        if self.current:
            self.journal.tell(f"wrote {self.out}: guesses for all {len(self.challenges.order)} tasks, to begin with")
        for note in self.challenges.notes:
            self.journal.tell(note, loudly=True)
        if self.slots:
            inference = InferenceConfig(
                steps=self.settings.steps, batch_size=self.settings.batch_size, canvas=self.settings.window
            )
            config = WorkerConfig(self.settings.device, self.settings.precision, inference, self.settings.worker)
            self.crew = WorkerPool(self.challenges.tasks, config, self.clock, self.journal, self.stopping, self.reserve)
            self.crew.start()
            warm_up()  # while the workers begin
            self.work()

    def note(self, error: Exception) -> None:
        """Tell of an error that was not foreseen."""
        self.journal.content["traceback"] = "\n".join(map(printable, traceback.format_exc().splitlines()))
        self.journal.tell(f"{type(error).__name__}: {error}", loudly=True)

    def end(self) -> None:
        """End the workers, and remove what is not kept."""
        if self.crew is not None:
            self.crew.end()
        if self.folder is not None and self.folder.parent != self.settings.work_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def conclude(self) -> None:
        """Say what came of it."""
        journal, views = self.journal, int(self.ballot.views.sum())
        silent = sum(not grids for grids in self.ranked) + len(self.challenges.guessed)
        journal.content["result"] = {"views": views, "tests": self.slots, "without_answer": silent, "seconds": self.clock.spent}
        # of this program, and of the largest that it started
        memory = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        journal.content["result"]["peak_megabytes"] = [round(size) for size in memory]
        journal.tell(f"{views} views of {self.slots} test inputs" + (f"; {silent} got guesses alone" if silent else ""))
        if not self.current:
            older = f"{self.out} holds older answers, of {show_duration(self.written)} after the start"
            journal.tell(f"the last answers could not be written: {older}" if self.written else NOTHING, loudly=True)
            return
        if self.out != self.settings.out:
            journal.tell(f"{self.settings.out} could not be written last: what it holds, if anything, is older", loudly=True)
        journal.tell(f"wrote {self.out} (checked): {len(self.challenges.order)} tasks, two attempts for each test input")

    def reserve(self) -> float:
        """Seconds that must be left for the last counting and writing."""
        limit = self.clock.limit or 0.0
        return min(10.0, 1.0 + 0.02 * limit) + 3 * self.writing

    def work(self) -> None:
        """From the checkpoints to the last round."""
        settings = self.settings
        members = find_members(settings.checkpoints, settings.pool)
        if settings.recipe is not None:
            members = self.adapt(members)
        self.vote([member for member in members if self.load(member)])

    def adapt(self, members: list[Member]) -> list[Member]:
        """Adapt every run, in what the plan gives; those that could not be stay as they are."""
        found = [member for member in members if self.load(member)]
        if found:
            self.look(found)
        seconds = self.plan(found)
        bases = [member.candidates[0] for member in found] if members else [None]
        if seconds <= 0 or (members and not found):
            return found
        adapted = []
        for number, base in enumerate(bases):
            share = seconds / len(bases)
            try:
                folder = self.adaptation(base, number).run(share)
            except StoppedError:
                raise
            except Exception as error:  # a full disk, for one: the checkpoint can vote as it is
                self.journal.tell(f"no adaptation: {type(error).__name__}: {error}", loudly=True)
                folder = None
            if folder is not None:
                adapted += find_members([folder], self.settings.pool)
            elif found:
                adapted.append(found[number])
        if any(member not in found for member in adapted):
            # The first look's votes were another model's; its answers stand until the adapted one has some.
            self.ballot, self.earlier = VoteCounter(self.slots), self.ranked
        return adapted

    def adaptation(self, base: Path | None, number: int) -> Adaptation:
        """The adaptation of a checkpoint."""
        self.folder = self.folder or self.make_folder()
        folder = self.folder / f"adapted-{number}"
        return Adaptation(self.crew, self.settings, self.journal, self.challenges.tasks, base, folder)

    def make_folder(self) -> Path:
        """A folder that no other session writes to, in the one that was asked for or, if there can be none, a temporary one."""
        wanted = self.settings.work_folder
        if wanted is not None:
            try:
                wanted.mkdir(parents=True, exist_ok=True)
                return Path(tempfile.mkdtemp(prefix="session-", dir=wanted))
            except OSError as error:
                self.journal.tell(f"{wanted}: cannot be written ({error.strerror}): no adapted run is kept", loudly=True)
        return Path(tempfile.mkdtemp(prefix="trm_arc-"))

    def load(self, member: Member) -> bool:
        """Let a worker read a checkpoint, or the next newest that can be read; whether there is one."""
        while member.candidates and not len(member.counts):
            path = str(member.candidates[0])
            order = [self.unit(path, np.zeros(0, np.int64), np.zeros(0, np.int64))]
            self.crew.work(lambda size: order.pop() if order else None, lambda unit, parts: None)  # noqa: B023 (called at once)
            if path in self.crew.known:
                member.counts, member.cells = self.crew.known[path]
                if not member.counts.all():
                    number = int((member.counts == 0).sum())
                    self.journal.tell(f"{path}: {number} of {self.slots} test inputs do not fit its board", loudly=True)
            else:
                why = self.crew.refused.get(path, "no worker could read it")
                self.journal.tell(f"{path}: cannot be used: {why}", loudly=True)
                member.candidates.pop(0)
        return bool(member.candidates)

    def look(self, members: list[Member]) -> None:
        """Predict one view of every test input, as far as a small share of the time allows, in an order that tells no sizes."""
        order = np.random.default_rng(0).permutation(self.slots)
        seconds = LOOK_SHARE * self.clock.limit if self.clock.limit else float("inf")
        self.round(members, order, 0, 1, seconds)
        self.publish()
        done = int(self.ballot.views.sum())
        self.journal.tell(f"first look: {done} views, {1000 * self.crew.seconds_per_view:,.1f} ms each on a device")

    def plan(self, members: list[Member]) -> float:
        """Divide what is left between adaptation and views; the seconds of adaptation, 0 for none, infinity without a limit."""
        if self.clock.limit is None:
            return float("inf")
        left = self.clock.left - self.reserve()
        share, views = SCRATCH, 0
        if members:
            views = sum(int(np.minimum(member.counts, self.settings.views).sum()) for member in members)
            needed = SPARE * views * self.crew.seconds_per_view / self.crew.num_alive
            share = min(VIEWS_MOST, max(VIEWS_LEAST, needed / max(left, 1e-9)))
        seconds = (1 - share) * left
        if seconds < 3 * self.crew.startup:
            what = f"no adaptation: {show_duration(max(left, 0))} are left, and starting it takes a good part of them"
            self.journal.plan(what, left=left, startup=self.crew.startup)
            return 0.0
        what = f"{show_duration(seconds)} of adaptation, {show_duration(left - seconds)} for up to {views or 'all'} views"
        self.journal.plan(
            what,
            left=left,
            adaptation=seconds,
            views=views,
            seconds_per_view=self.crew.seconds_per_view,
            devices=self.crew.num_alive,
            startup=self.crew.startup,
        )
        return seconds

    def vote(self, members: list[Member]) -> None:
        """Rounds of views of all test inputs that are not settled, until there are no more views or no more time."""
        if not members:
            self.journal.tell("there is no model to answer with: the guesses stay", loudly=True)
            return
        most = np.stack([np.minimum(member.counts, self.settings.views) for member in members])
        active, saved = np.arange(self.slots), 0
        if self.clock.limit is not None:
            left = max(0.0, self.clock.left - self.reserve())
            self.journal.plan(f"{show_duration(left)} for up to {most.sum()} views", left=left)
        for begin, end in rounds(int(most.max())):
            self.round(members, active, begin, end)
            votes = self.publish()
            done = np.minimum(most, end).sum(axis=0)
            left = most.sum(axis=0) - done
            still = ~is_decided(votes, done, left, self.settings.settle)[active]
            saved += int(left[active[~still]].sum())
            active = active[still]
            self.journal.content["views_saved"] = saved
            rate = 1000 * self.crew.seconds_per_view
            self.journal.tell(f"{end} views of each; {self.slots - len(active)} of {self.slots} settled; {rate:,.1f} ms a view")
            if not len(active):
                break
        self.journal.tell(f"all views are done; {saved} of {most.sum()} were not needed")

    def round(self, members: list[Member], slots: np.ndarray, begin: int, end: int, seconds: float = float("inf")) -> None:
        """Predict a range of views of some test inputs by every member, on all devices.

        Args:
            members: who votes.
            slots: the test inputs, int64.
            begin: first view.
            end: the view after the last.
            seconds: after which no more work is begun.
        """
        units = []
        for member in members:
            if seconds == float("inf"):  # equal canvases together; a first look samples all sizes instead
                slots = slots[np.argsort(member.cells[slots], kind="stable")]
            ends = np.minimum(member.counts[slots], min(end, self.settings.views))
            units.append((str(member.candidates[0]), *list_views(slots, np.full(len(slots), begin), ends)))
        self.crew.work(self.cut(units), self.take, seconds)

    def cut(self, work: list[tuple[str, np.ndarray, np.ndarray]]) -> "Callable[[int], WorkItem | None]":
        """What hands out the work of a round in units of a size that is asked for when it is needed."""
        queue = [list(part) for part in work]

        def next_unit(size: int) -> WorkItem | None:
            while queue and not len(queue[0][1]):
                queue.pop(0)
            if not queue:
                return None
            path, slots, views = queue[0]
            queue[0][1:] = slots[size:], views[size:]
            return self.unit(path, slots[:size], views[:size])

        return next_unit

    def unit(self, path: str, slots: np.ndarray, views: np.ndarray) -> WorkItem:
        """A unit of work with a number of its own."""
        self.units += 1
        return WorkItem(self.units, path, slots, views)

    def take(self, unit: WorkItem, parts: list) -> None:
        """Count the votes of a unit, and write the file anew from time to time."""
        self.ballot.add(unit.number, parts, unit.test_indices)
        if self.clock.spent - self.written > max(PUBLISH, 20 * self.writing):
            self.publish()

    def publish(self) -> np.ndarray:
        """Count and write the submission; the votes of the three best candidates of every test input."""
        began, self.current = self.clock.spent, False
        ranked, votes = self.ballot.rank()
        self.ranked = [now or before for now, before in zip(ranked, self.earlier, strict=True)]
        data = self.challenges.document(self.ranked)
        # The place that was asked for first, every time; none that is removed at the end.  Each is looked up when it is needed:
        # the folder that we are in may be gone.
        wanted = self.settings.out
        for find in (lambda: wanted, lambda: Path.cwd() / wanted.name, lambda: self.last_resort() / wanted.name):
            try:
                place = find()
                write_atomic(place, data)
            except (OSError, InputError) as error:
                if str(error) not in self.failing:
                    self.journal.tell(str(error), loudly=True)
                self.failing.add(str(error))
                continue
            self.out, self.current = place, True
            self.written = self.clock.spent
            self.writing = self.written - began
            break
        return votes

    def last_resort(self) -> Path:
        """The folder for the file where neither its own nor the one that we are in can be written."""
        return self.settings.work_folder or Path(tempfile.gettempdir())
