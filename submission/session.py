"""One submission from start to end: a valid file at once, adaptation, rounds of views, and always within the time limit.

    guesses             the file exists from the first moment, and is valid
    probe               one view of every test input by the checkpoint as it is: real answers, and the time that a view takes
    plan                what is left is divided between adaptation and views
    adaptation          trm_arc.adapt in programs of its own, one for each device; when one fails, the rest continue with fewer
    rounds of views     each is twice as large as the last; after each the votes are counted and the file is written again

This program itself uses no accelerator, and does nothing that needs much memory: its workers do that, and they may fail.
In any case, the best answers so far are on disk.
"""

import resource
import shutil
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from submission.adaptation import Adaptation, choose_recipe
from submission.ensemble import EnsembleMember, find_members
from submission.reading import Challenges
from submission.retry_policy import WorkItem
from submission.run_log import RunLog
from submission.settings import Settings
from submission.signals import ignore_signals, stop_or_hang_up
from submission.vote_counter import VoteCounter, is_decided, mix_sizes, rounds
from submission.worker_pool import StoppedError, WorkerPool
from trm_arc.common.deadline import Deadline
from trm_arc.common.durations import format_duration
from trm_arc.common.errors import InputError
from trm_arc.common.files import write_atomic
from trm_arc.common.text import printable
from trm_arc.inference.votes import Predictions, list_views

PUBLISH = 30.0  # seconds after which the file is written again within a round
PROBE_SHARE = 0.06  # of the time, at most, for the probe
VIEWS_LEAST, VIEWS_MOST = 0.1, 0.4  # shares of the time after the probe that views get
SPARE = 1.2  # how much longer the views may take than the probe says: larger canvases run again
SCRATCH = 0.25  # share of the views where there is no checkpoint to measure with
NOTHING = "no submission could be written: name another --out"
STOPPED = "stop requested again: the best answers so far are kept"


class Session:
    """A submission in progress."""

    def __init__(self, challenges: Challenges, settings: Settings, deadline: Deadline, log: RunLog) -> None:
        self.challenges, self.settings, self.deadline, self.log = challenges, settings, deadline, log
        self.test_inputs = challenges.tasks.outputs
        self.counter = VoteCounter(self.test_inputs)
        self.pool: WorkerPool | None = None
        self.ranked: list[list[np.ndarray]] = [[] for _ in range(self.test_inputs)]
        self.earlier = self.ranked
        self.out, self.written = settings.out, 0.0  # where answers were written last, and when
        self.current = False  # whether those are the last that were counted
        self.writing = 0.0  # seconds that counting and writing took last
        self.items = 0
        self.failing: set[str] = set()  # warnings about places that cannot be written
        self.folder: Path | None = None  # for adapted runs
        self.stopping: list[float] = []

    def run(self) -> bool:
        """Run the session; in any case the best answers so far are on disk at the end.

        Returns:
            Whether the last answers are in a valid file.
        """
        with stop_or_hang_up() as self.stopping:
            try:
                self.begin()
            except StoppedError as error:
                self.log.info(str(error))
            except KeyboardInterrupt:  # a second signal, see `stop_signals`
                self.log.info(STOPPED)
            except Exception as error:
                self.report(error)
            finally:
                ignore_signals()  # a repeat must not keep the last answers from the disk
                for last in (self.end, self.publish, self.summarize):
                    try:
                        last()
                    except Exception as error:  # whatever happens in one, the next is done
                        self.report(error)
        return self.current

    def begin(self) -> None:
        """The steps from the guesses to the last round."""
        self.publish()
        if self.current:
            self.log.info(f"wrote {self.out}: guesses for all {len(self.challenges.order)} tasks")
        for note in self.challenges.notes:
            self.log.warn(note)
        if self.test_inputs:
            self.pool = WorkerPool(self.settings, self.challenges.tasks, self.deadline, self.log, self.stopping, self.reserve)
            self.pool.check()  # on a busy machine, a short time may be up before any worker has begun
            self.pool.start()
            self.work()

    def report(self, error: Exception) -> None:
        """Log an unexpected error."""
        self.log.content["traceback"] = "\n".join(map(printable, traceback.format_exc().splitlines()))
        self.log.warn(f"{type(error).__name__}: {error}")

    def end(self) -> None:
        """End the workers, and remove what is not kept."""
        if self.pool is not None:
            self.pool.end()
        if self.folder is not None and self.folder.parent != self.settings.work_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def summarize(self) -> None:
        """Log the result."""
        log, views = self.log, int(self.counter.views.sum())
        silent = sum(not grids for grids in self.ranked) + len(self.challenges.guessed)
        log.content["result"] = {
            "views": views,
            "tests": self.test_inputs,
            "without_answer": silent,
            "seconds": self.deadline.spent,
        }
        # of this program, and of the largest that it started
        memory = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        log.content["result"]["peak_megabytes"] = [round(size) for size in memory]
        log.info(f"{views} views of {self.test_inputs} test inputs" + (f"; {silent} have only guesses" if silent else ""))
        if not self.current:
            older = f"{self.out} holds older answers, written {format_duration(self.written)} after the start"
            log.warn(f"the last answers could not be written: {older}" if self.written else NOTHING)
            return
        if self.out != self.settings.out:
            log.warn(f"{self.settings.out} could not be updated at the end: it holds older answers, or none")
        tasks = f"{self.out} (checked): {len(self.challenges.order)} tasks"
        if self.is_answered:
            log.info(f"wrote {tasks}, two attempts for each test input")
        else:
            log.warn(f"wrote {tasks}, all of them guesses, as the model answered nothing")

    @property
    def is_answered(self) -> bool:
        """Whether the model has answered any test input."""
        return any(map(len, self.ranked))

    def reserve(self) -> float:
        """Seconds that must be left for the last counting and writing."""
        limit = self.deadline.limit or 0.0
        return min(10.0, 1.0 + 0.02 * limit) + 3 * self.writing

    def work(self) -> None:
        """From the checkpoints to the last round."""
        settings = self.settings
        members = find_members(settings.checkpoints, settings.pool_checkpoints)
        if settings.recipe == "auto":
            self.settings = settings = replace(settings, recipe=choose_recipe(settings, self.challenges.tasks, self.deadline))
        if settings.recipe is not None:
            members = self.adapt(members)
        self.vote([member for member in members if self.load(member)])

    def adapt(self, members: list[EnsembleMember]) -> list[EnsembleMember]:
        """Adapt every run in the time that the plan gives; one whose adaptation fails votes as it is."""
        found = [member for member in members if self.load(member)]
        if found:
            self.probe(found)
        seconds = self.plan_adaptation(found)
        bases = [member.candidates[0] for member in found] if members else [None]
        if seconds <= 0 or (members and not found):
            return found
        adapted = []
        self.pool.end()  # its workers would share the memory of the devices with the programs that adapt
        for number, base in enumerate(bases):
            share = None if seconds == float("inf") else seconds / len(bases)
            try:
                folder = self.make_adaptation(base, number).run(Deadline(share))
            except StoppedError:
                raise
            except Exception as error:  # a full disk, for one: the checkpoint can vote as it is
                self.log.warn(f"no adaptation: {type(error).__name__}: {error}")
                folder = None
            if folder is not None:
                adapted += find_members([folder], self.settings.pool_checkpoints)
            elif found:
                adapted.append(found[number])
        if any(member not in found for member in adapted):
            # The probe's votes are of the model before adaptation: they are used until the adapted one has some.
            self.counter, self.earlier = VoteCounter(self.test_inputs), self.ranked
        return adapted

    def make_adaptation(self, base: Path | None, number: int) -> Adaptation:
        """The adaptation of a checkpoint."""
        self.folder = self.folder or self.make_folder()
        folder = self.folder / f"adapted-{number}"
        return Adaptation(self.pool, self.settings, self.log, self.challenges.tasks, base, folder)

    def make_folder(self) -> Path:
        """A folder that no other session writes to: in the work folder, or a temporary one if that cannot be written."""
        wanted = self.settings.work_folder
        if wanted is not None:
            try:
                wanted.mkdir(parents=True, exist_ok=True)
                return Path(tempfile.mkdtemp(prefix="session-", dir=wanted))
            except OSError as error:
                self.log.warn(f"{wanted}: cannot be written ({error.strerror}): no adapted run is kept")
        return Path(tempfile.mkdtemp(prefix="trm_arc-"))

    def load(self, member: EnsembleMember) -> bool:
        """Let a worker read a checkpoint, or the next newest that can be read; whether there is one."""
        while member.candidates and (not len(member.counts) or member.path in self.pool.refused):
            path = member.path
            items = [self.make_item(path, np.zeros(0, np.int64), np.zeros(0, np.int64))]
            if path not in self.pool.refused:
                self.pool.work(lambda size: items.pop() if items else None, lambda item, parts: None)  # noqa: B023 (called now)
            if path in self.pool.known and path not in self.pool.refused:
                member.counts, member.cells = self.pool.known[path]
                if not member.counts.all():
                    number = int((member.counts == 0).sum())
                    self.log.warn(f"{path}: {number} of {self.test_inputs} test inputs do not fit its board")
            else:
                why = self.pool.refused.get(path, "no worker could read it")
                self.log.warn(f"{path}: cannot be used: {why}")
                member.candidates.pop(0)
        return bool(member.candidates)

    def probe(self, members: list[EnsembleMember]) -> None:
        """Predict one view of every test input, as far as a small share of the time allows, in an order that mixes all sizes."""
        order = np.random.default_rng(0).permutation(self.test_inputs)
        seconds = PROBE_SHARE * self.deadline.limit if self.deadline.limit else float("inf")
        self.round(members, order, 0, 1, seconds)
        self.publish()
        done = int(self.counter.views.sum())
        self.log.info(f"probe: {done} views, {1000 * self.pool.seconds_per_view:,.1f} ms each on a device")

    def plan_adaptation(self, members: list[EnsembleMember]) -> float:
        """Divide the time that is left between adaptation and views; seconds for adaptation, infinity without a time limit."""
        if self.deadline.limit is None:
            return float("inf")
        left = self.deadline.left - self.reserve() - self.pool.startup  # of the workers that then read the adapted checkpoint
        share, views = SCRATCH, 0
        if members:
            views = sum(int(np.minimum(member.counts, self.settings.views).sum()) for member in members)
            needed = SPARE * views * self.pool.seconds_per_view / self.pool.num_alive
            share = min(VIEWS_MOST, max(VIEWS_LEAST, needed / max(left, 1e-9)))
        seconds = (1 - share) * left
        if seconds < 3 * self.pool.startup:
            what = f"no adaptation: the {format_duration(max(left, 0))} that are left are too short"
            self.log.plan(what, left=left, startup=self.pool.startup)
            return 0.0
        what = f"{format_duration(seconds)} of adaptation, {format_duration(left - seconds)} for up to {views or 'all'} views"
        self.log.plan(
            what,
            left=left,
            adaptation=seconds,
            views=views,
            seconds_per_view=self.pool.seconds_per_view,
            devices=self.pool.num_alive,
            startup=self.pool.startup,
        )
        return seconds

    def vote(self, members: list[EnsembleMember]) -> None:
        """Rounds of views of all test inputs that are not decided, until there are no more views or no more time."""
        if not members:
            self.log.warn("no model can be used: the submission holds guesses")
            return
        most = self.count_most(members)
        active, saved = np.arange(self.test_inputs), 0
        if self.deadline.limit is not None:
            left = max(0.0, self.deadline.left - self.reserve())
            self.log.plan(f"{format_duration(left)} for up to {most.sum()} views", left=left)
        for begin, end in rounds(int(most.max())):
            asked = members
            while asked:
                self.round(asked, active, begin, end)  # and again, by an older one, what was to be a checkpoint's that is gone
                asked = [member for member in asked if member.path in self.pool.refused and self.load(member)]
            members = [member for member in members if member.candidates]
            votes = self.publish()
            if not members:
                self.log.warn("no model can be used any more: the answers so far are kept")
                return
            most = self.count_most(members)
            done = np.minimum(most, end).sum(axis=0)
            left = most.sum(axis=0) - done
            still = ~is_decided(votes, done, left, self.settings.settle)[active]
            saved += int(left[active[~still]].sum())
            active = active[still]
            self.log.content["views_saved"] = saved
            decided = f"{self.test_inputs - len(active)} of {self.test_inputs} decided"
            self.log.info(f"{end} views of each; {decided}; {1000 * self.pool.seconds_per_view:,.1f} ms a view")
            if not len(active):
                break
        self.log.info(f"all views are done; {saved} of {most.sum()} were not needed")

    def count_most(self, members: list[EnsembleMember]) -> np.ndarray:
        """The views that there are at most; int64 (members, test inputs)."""
        return np.stack([np.minimum(member.counts, self.settings.views) for member in members])

    def round(
        self, members: list[EnsembleMember], indices: np.ndarray, begin: int, end: int, seconds: float = float("inf")
    ) -> None:
        """Predict a range of views of some test inputs by every member, on all devices.

        Args:
            indices: int64, the test inputs.
            end: the view after the last.
            seconds: after which no more work is started.
        """
        work = []
        for member in members:
            if seconds == float("inf"):  # a probe has an order of its own
                indices = mix_sizes(indices, member.cells, begin)
            ends = np.minimum(member.counts[indices], min(end, self.settings.views))
            work.append((member.path, *list_views(indices, np.full(len(indices), begin), ends)))
        self.pool.work(self.split(work), self.count, seconds)

    def split(self, work: list[tuple[str, np.ndarray, np.ndarray]]) -> Callable[[int], WorkItem | None]:
        """A function that hands out the work of a round in items of the size that it is asked for."""
        queue = [list(part) for part in work]

        def next_item(size: int) -> WorkItem | None:
            while queue and not len(queue[0][1]):
                queue.pop(0)
            if not queue:
                return None
            path, indices, views = queue[0]
            queue[0][1:] = indices[size:], views[size:]
            return self.make_item(path, indices[:size], views[:size])

        return next_item

    def make_item(self, path: str, indices: np.ndarray, views: np.ndarray) -> WorkItem:
        """A work item with a number of its own."""
        self.items += 1
        return WorkItem(self.items, path, indices, views)

    def count(self, item: WorkItem, parts: list[Predictions]) -> None:
        """Count the votes of a work item, and write the file again from time to time."""
        self.counter.add(item.number, parts, item.test_indices)
        if self.deadline.spent - self.written > max(PUBLISH, 20 * self.writing):
            self.publish()

    def publish(self) -> np.ndarray:
        """Count and write the submission; the votes of the three best candidates of every test input."""
        began, self.current = self.deadline.spent, False
        ranked, votes = self.counter.rank()
        self.ranked = [now or before for now, before in zip(ranked, self.earlier, strict=True)]
        data = self.challenges.document(self.ranked)
        # Always --out first, and no folder that is removed at the end.  Each is looked up when it is needed: the current
        # folder may have been removed.
        wanted = self.settings.out
        for find in (lambda: wanted, lambda: Path.cwd() / wanted.name, lambda: self.last_resort() / wanted.name):
            try:
                place = find()
                write_atomic(place, data)
            except (OSError, InputError) as error:
                if str(error) not in self.failing:
                    self.log.warn(str(error))
                self.failing.add(str(error))
                continue
            self.out, self.current = place, True
            self.written = self.deadline.spent
            self.writing = self.written - began
            break
        return votes

    def last_resort(self) -> Path:
        """The folder for the file where neither its own nor the current one can be written."""
        return self.settings.work_folder or Path(tempfile.gettempdir())
