"""Which worker has which chunk, whatever comes and goes in whatever order."""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from dieshot.simulator.studies.point import PointRequest
from dieshot.simulator.sweep.engines.assignment import MOST_DEATHS, WINDOW, Assignment
from dieshot.simulator.sweep.engines.engine import Chunk, Ended, Event, Finished, Lost, Started, Task
from dieshot.simulator.sweep.outcome import Outcome

OUTCOME = Outcome({}, None, 0.1)


def chunk(number: int, *runs: int) -> Chunk:
    return Chunk(number, tuple(Task(run, PointRequest("none", "none")) for run in runs))


def placed(assignment: Assignment) -> dict[int, str]:
    """Return where chunks were put since the last time."""
    return {each.chunk.number: each.worker for each in assignment.orders().placed}


def test_lines_are_filled_evenly_and_no_further_than_the_window() -> None:
    assignment = Assignment()
    assert assignment.room == 0
    assignment.worker_came("a")
    assignment.worker_came("b")
    assert assignment.room == 2 * WINDOW
    for number in range(6):
        assignment.take(chunk(number, number))
    assert Counter(placed(assignment).values()) == {"a": WINDOW, "b": WINDOW}
    assert assignment.room == 0


def test_a_worker_without_anything_to_do_takes_what_waits_behind_another() -> None:
    assignment = Assignment()
    assignment.worker_came("a")
    assignment.take(chunk(0, 0))
    assignment.take(chunk(1, 1))
    assert placed(assignment) == {0: "a", 1: "a"}
    assignment.started((0, 0), 0)
    assignment.worker_came("b")
    orders = assignment.orders()
    assert [(each.chunk.number, each.worker, each.attempt) for each in orders.placed] == [(1, "b", 1)]
    assert orders.withdrawn == [(1, 0)]
    assert assignment.started((1, 0), 1) == []  # too late: it is somebody else's
    assert assignment.finished((1, 0), 1, OUTCOME) == [Finished(1, 1, OUTCOME)]  # but done is done
    assert assignment.finished((1, 1), 1, OUTCOME) == []


def test_a_death_is_held_against_the_run_under_way_only() -> None:
    assignment = Assignment()
    assignment.worker_came("a")
    assignment.take(chunk(0, 0, 1, 2))
    assignment.take(chunk(1, 3))
    assignment.orders()
    assert assignment.started((0, 0), 0) == [Started(0, 0)]
    assert assignment.finished((0, 0), 0, OUTCOME) == [Finished(0, 0, OUTCOME)]
    assert assignment.started((0, 0), 1) == [Started(0, 1)]
    assert assignment.worker_gone("a", "died") == [Lost(0, 1, "died")]
    assignment.worker_came("b")
    assert placed(assignment) == {1: "b"}


def test_nothing_is_held_against_a_run_whose_worker_was_told_to_leave() -> None:
    assignment = Assignment()
    assignment.worker_came("a")
    assignment.take(chunk(0, 0, 1))
    assignment.take(chunk(1, 2))
    assignment.orders()
    assignment.started((0, 0), 0)
    assignment.worker_leaves("a")
    assignment.worker_came("a")  # a roll call before it has gone
    assert assignment.workers == []
    assert assignment.worker_gone("a", "died") == [Ended(0)]


def test_deaths_before_a_word_are_held_against_the_first_chunk_in_the_end() -> None:
    assignment = Assignment()
    assignment.take(chunk(0, 0, 1))
    assignment.take(chunk(1, 2))
    told: list[Event] = []
    for number in range(MOST_DEATHS):
        assert told == []
        assignment.worker_came(f"w{number}")
        assert placed(assignment) == {0: f"w{number}", 1: f"w{number}"}
        told = assignment.worker_gone(f"w{number}", "died")
    assert told == [Lost(0, None, "died")]


def test_stopping_gives_back_what_has_not_begun_and_waits_for_the_rest() -> None:
    assignment = Assignment()
    assignment.worker_came("a")
    for number in range(3):
        assignment.take(chunk(number, number))
    assignment.orders()
    assignment.started((0, 0), 0)
    assert assignment.give_back() == [Ended(1), Ended(2)]
    assert set(assignment.orders().withdrawn) == {(0, 0), (1, 0), (2, 0)}
    assert assignment.returned((0, 0)) == [Ended(0)]


@dataclass
class World:
    """Workers that carry out what they have been given, one step at a time, as a cluster would."""

    assignment: Assignment = field(default_factory=Assignment)
    lines: dict[str, list[tuple[tuple[int, int], list[int]]]] = field(default_factory=dict)
    told: list[Event] = field(default_factory=list)
    n_workers: int = 0

    def give_orders(self) -> None:
        orders = self.assignment.orders()
        for line in self.lines.values():
            line[1:] = [each for each in line[1:] if each[0] not in orders.withdrawn]
        for each in orders.placed:
            runs = [task.run for task in each.chunk.tasks if task.run in each.open]
            self.lines[each.worker].append((each.name, runs))

    def work(self, worker: str) -> None:
        if not self.lines.get(worker):
            return
        name, runs = self.lines[worker][0]
        if runs:
            self.told += self.assignment.started(name, runs[0])
            self.told += self.assignment.finished(name, runs.pop(0), OUTCOME)
        else:
            self.lines[worker].pop(0)
            self.told += self.assignment.returned(name)

    def come(self) -> None:
        self.n_workers += 1
        self.lines[f"w{self.n_workers}"] = []
        self.assignment.worker_came(f"w{self.n_workers}")

    def die(self, worker: str) -> None:
        if self.lines.pop(worker, None) is not None:
            self.told += self.assignment.worker_gone(worker, "died")


STEPS = st.lists(st.tuples(st.sampled_from(["work", "work", "work", "come", "die", "leave"]), st.integers(1, 6)))


@given(sizes=st.lists(st.integers(1, 4), max_size=8), steps=STEPS)
def test_every_chunk_ends_once_and_every_run_finishes_at_most_once(
    sizes: list[int], steps: list[tuple[str, int]]
) -> None:
    world = World()
    first = 0
    for number, size in enumerate(sizes):
        world.assignment.take(chunk(number, *range(first, first + size)))
        first += size
    for what, number in steps:
        worker = f"w{number}"
        if what == "work":
            world.work(worker)
        elif what == "come":
            world.come()
        elif what == "die":
            world.die(worker)
        elif worker in world.lines:
            world.assignment.worker_leaves(worker)
        world.give_orders()
    for worker in list(world.lines):
        world.die(worker)
    world.come()
    world.give_orders()
    for _ in range(4 * (first + len(sizes)) + 1):
        world.work(f"w{world.n_workers}")
        world.give_orders()
    ends = Counter(event.chunk for event in world.told if isinstance(event, Ended | Lost))
    assert ends == Counter(range(len(sizes)))
    finished = Counter(event.run for event in world.told if isinstance(event, Finished))
    assert set(finished.values()) <= {1}
    lost = {event.chunk for event in world.told if isinstance(event, Lost)}
    if not lost and all(what != "leave" for what, _ in steps):
        assert sum(finished.values()) == first
