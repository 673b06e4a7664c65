"""The client of a sweep: every run ends once, whatever becomes of engines, workers and the client's patience."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import sweep_runs
from sweep_runs import Batches

from dieshot.simulator.store.counts import Counts
from dieshot.simulator.store.store import Store
from dieshot.simulator.sweep import drive as client
from dieshot.simulator.sweep.chunking import LARGEST, ChunkSizer
from dieshot.simulator.sweep.drive import drive
from dieshot.simulator.sweep.engines.engine import Chunk, Ended, Engine, EngineLostError, Event, Finished, Lost
from dieshot.simulator.sweep.engines.processes import Processes
from dieshot.simulator.sweep.engines.serial import Serial
from dieshot.simulator.sweep.outcome import Outcome
from dieshot.simulator.sweep.progress import Progress, Rate
from dieshot.simulator.sweep.stop import Stop


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store", create=True) as opened:
        yield opened


def added(store: Store, points: Batches) -> int:
    return store.add_sweep("sweep", str(points.batches), points.keys)


def ends(counts: Counts) -> tuple[int, int, int, int]:
    return counts.open, counts.done, counts.failed, counts.set_aside


class Scripted(Engine):
    """An engine whose worker dies at some runs and does not say which; `unfit` runs kill their worker every time."""

    chunk_s: ClassVar[tuple[float, float]] = (1.0, 1.0)

    def __init__(self, deaths: Callable[[Sequence[int]], bool], n_workers: int = 2) -> None:
        self.chunks: list[tuple[int, ...]] = []
        self.together: list[int] = []  # how many chunks were out when each was submitted
        self.most_events = 10**9
        self._deaths = deaths
        self._n = n_workers
        self._out: list[Chunk] = []

    @property
    def n_workers(self) -> int:
        return self._n

    @property
    def room(self) -> int:
        return self._n - len(self._out)

    def submit(self, chunk: Chunk) -> None:
        self.chunks.append(tuple(task.run for task in chunk.tasks))
        self.together.append(len(self._out))
        self._out.append(chunk)

    def events(self, timeout_s: float) -> Sequence[Event]:
        self.most_events -= 1
        if self.most_events < 0:
            raise EngineLostError("the scheduler is gone")
        if not self._out:
            return []
        chunk = self._out.pop(0)
        runs = [task.run for task in chunk.tasks]
        if self._deaths(runs):
            return [Lost(chunk.number, None, "a worker died")]
        outcomes = [Finished(chunk.number, task.run, _instant(task.request.batch)) for task in chunk.tasks]
        return [*outcomes, *outcomes, Ended(chunk.number)]

    def stop(self) -> None:
        self._out.clear()

    def close(self) -> None:
        self._out.clear()


def _instant(batch: int) -> Outcome:
    return Outcome({"square": batch * batch}, None, 0.02)


@pytest.mark.parametrize("n", [1, 3])
def test_a_sweep_in_processes_keeps_what_the_serial_engine_keeps(tmp_path: Path, n: int) -> None:
    points = Batches([5, sweep_runs.FAILS, *range(40, 700), 5])
    kept = []
    for name, engine in (("serial", Serial(sweep_runs.quick)), ("processes", Processes(n, sweep_runs.quick))):
        with Store.open(tmp_path / name, create=True) as store, engine:
            number = added(store, points)
            drive(store, number, points, engine)
            store.compact()
            assert ends(store.counts(number)) == (0, 661, 1, 0)
            kept.append({file.name: file.read_bytes() for file in (tmp_path / name / "results").iterdir()})
    assert len(kept[0]) == 1
    assert kept[0] == kept[1]


def test_a_finished_sweep_hands_out_nothing(store: Store) -> None:
    points = Batches([1, 2, 3])
    number = added(store, points)
    drive(store, number, points, Serial(sweep_runs.quick))
    engine = Scripted(lambda runs: False)
    drive(store, added(store, points), points, engine)
    assert engine.chunks == []


def test_runs_are_kept_in_one_transaction_within_the_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    finish = store.finish
    monkeypatch.setattr(store, "finish", lambda rows: (sizes.append(len(rows)), finish(rows)))
    points = Batches(list(range(500)))
    drive(store, added(store, points), points, Serial(sweep_runs.quick))
    assert sum(sizes) == 500
    assert len(sizes) < 20


def test_a_long_run_is_kept_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    finish = store.finish
    monkeypatch.setattr(store, "finish", lambda rows: (kept.extend(row.run for row in rows), finish(rows)))
    known_at_start: list[list[int]] = []

    def slow(request: object, log: object) -> Outcome:
        known_at_start.append(list(kept))
        return Outcome({}, None, client.WRITE_S)

    points = Batches([1, 2, 3])
    drive(store, added(store, points), points, Serial(slow))
    assert known_at_start == [[], [0], [0, 1]]


def test_runs_that_kill_their_workers_are_set_aside_and_the_others_end(store: Store) -> None:
    harm = sweep_runs.EXITS
    points = Batches([*range(40, 60), harm, *range(60, 80), sweep_runs.FAILS])
    number = added(store, points)
    told: list[Progress] = []
    with Processes(2, sweep_runs.harmful) as engine:
        drive(store, number, points, engine, told.append)
    assert ends(store.counts(number)) == (0, 40, 1, 1)
    assert store.repeated == 0
    last = told[-1]
    assert (last.total, last.done, last.failed, last.set_aside, last.ended, last.under_way) == (42, 40, 1, 1, 42, ())
    rows = {row["batch"]: row for row in store.rows(number).to_pylist()}
    assert rows[harm]["state"] == "set_aside"
    assert "3 workers died" in rows[harm]["error"]


def test_a_run_that_killed_two_workers_is_tried_alone(store: Store) -> None:
    points = Batches(list(range(100, 140)))
    number = added(store, points)
    engine = Scripted(lambda runs: 7 in runs)
    drive(store, number, points, engine)
    assert ends(store.counts(number)) == (0, 39, 0, 1)
    alone = [index for index, runs in enumerate(engine.chunks) if runs == (7,)][-1]
    assert engine.together[alone] == 0
    assert alone == len(engine.chunks) - 1 or engine.together[alone + 1] == 0


def test_where_nobody_knows_the_run_its_chunk_goes_one_by_one(store: Store) -> None:
    points = Batches(list(range(100, 200)))
    number = added(store, points)
    engine = Scripted(lambda runs: 30 in runs)
    drive(store, number, points, engine)
    lost = next(runs for runs in engine.chunks if 30 in runs)
    assert len(lost) > 2
    assert ends(store.counts(number)) == (0, 99, 0, 1)
    assert {runs for runs in engine.chunks if len(runs) == 1} >= {(run,) for run in lost}


def test_a_worker_that_dies_once_costs_no_run(store: Store) -> None:
    points = Batches(list(range(100, 200)))
    number = added(store, points)
    fates = iter([False] * 10 + [True] + [False] * 1000)
    drive(store, number, points, Scripted(lambda runs: next(fates)))
    assert ends(store.counts(number)) == (0, 100, 0, 0)


def test_a_lost_engine_leaves_the_rest_waiting(store: Store) -> None:
    points = Batches(list(range(100, 200)))
    number = added(store, points)
    engine = Scripted(lambda runs: False)
    engine.most_events = 5
    with pytest.raises(EngineLostError, match="scheduler is gone"):
        drive(store, number, points, engine)
    counts = store.counts(number)
    assert counts.leased == 0
    assert counts.done == sum(len(runs) for runs in engine.chunks[:5])
    drive(store, number, points, Scripted(lambda runs: False))
    assert ends(store.counts(number)) == (0, 100, 0, 0)


@pytest.mark.parametrize("make", [lambda: Serial(sweep_runs.interrupted)])
def test_a_signal_lets_the_run_under_way_end(store: Store, make: Callable[[], Engine]) -> None:
    points = Batches([1, 2, sweep_runs.KILLED, 3, 4])
    number = added(store, points)
    with make() as engine, Stop() as stop:
        drive(store, number, points, engine, stop=stop)
    assert stop.number == signal.SIGTERM
    assert ends(store.counts(number)) == (2, 3, 0, 0)
    assert store.counts(number).leased == 0


def test_a_second_signal_ends_the_run_under_way_too(store: Store) -> None:
    points = Batches([1, 2, sweep_runs.SLEEPS, 3, 4])
    number = added(store, points)
    with Serial(sweep_runs.interrupted) as engine, Stop() as stop:
        drive(store, number, points, engine, stop=stop)
    assert stop.is_over
    assert ends(store.counts(number)) == (3, 2, 0, 0)
    assert store.counts(number).leased == 0


def test_grace_has_an_end(store: Store) -> None:
    def sleepy(request: object, log: object) -> Outcome:
        signal.raise_signal(signal.SIGINT)
        signal.pause()
        return Outcome({}, None, 0.0)

    points = Batches([1, 2])
    number = added(store, points)
    with Serial(sleepy) as engine, Stop(grace_s=0.05) as stop:
        drive(store, number, points, engine, stop=stop)
    assert stop.number == signal.SIGINT
    assert stop.is_over
    assert ends(store.counts(number)) == (2, 0, 0, 0)


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)]
    with Stop():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)] == before


def test_chunks_aim_at_their_time_and_shrink_towards_the_end() -> None:
    sizer = ChunkSizer(5.0, 20.0)
    assert sizer.size(10**6, 2) == 1
    for _ in range(100):
        sizer.note(0.5)
    assert sizer.size(10**6, 2) == 20
    assert [sizer.size(n, 2) for n in (79, 40, 9, 4, 3, 1)] == [19, 10, 2, 1, 1, 1]
    for _ in range(100):
        sizer.note(0.0)
    assert sizer.size(10**6, 2) == LARGEST
    for _ in range(100):
        sizer.note(1000.0)
    assert sizer.size(10**6, 2) == 1


def test_the_rate_is_that_of_late() -> None:
    rate = Rate()
    assert rate.at(0.0, 100) == 0.0
    assert rate.at(10.0, 200) == 10.0
    for second in range(11, 60):
        rate.at(float(second), 200 + 2 * (second - 10))
    assert rate.at(60.0, 300) == pytest.approx(2.0, rel=0.1)
    assert Progress(100, 60, 10, 0, 2.0, 1).left_s == 15.0
    assert Progress(100, 60, 10, 0, 0.0, 1).left_s is None


def test_what_the_client_holds_does_not_grow_with_the_sweep(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "READ_AHEAD", 64)
    limits = []
    pending = store.pending
    monkeypatch.setattr(store, "pending", lambda sweep, limit: (limits.append(limit), pending(sweep, limit))[1])
    points = Batches(list(range(1000, 3000)))
    number = added(store, points)
    drive(store, number, points, Serial(sweep_runs.quick))
    assert ends(store.counts(number)) == (0, 2000, 0, 0)
    assert set(limits) == {64}
    assert 2000 / 64 < len(limits) < 2 * 2000 / 64
