"""Engines on this machine: every chunk comes back once, whatever becomes of the worker that has it."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence

import pytest
import sweep_runs

from dieshot.simulator.sweep.engines import processes
from dieshot.simulator.sweep.engines.engine import Chunk, Ended, Engine, EngineLostError, Event, Finished, Lost, Started
from dieshot.simulator.sweep.engines.engine import Task as RunTask
from dieshot.simulator.sweep.engines.processes import Processes
from dieshot.simulator.sweep.engines.serial import Serial

PATIENCE_S = 20.0


def chunk(number: int, batches: Sequence[int], first: int = 0) -> Chunk:
    return Chunk(number, tuple(RunTask(first + i, sweep_runs.request_of(batch)) for i, batch in enumerate(batches)))


def until_back(engine: Engine, n_chunks: int) -> list[Event]:
    """Return all events until so many chunks are back."""
    told: list[Event] = []
    deadline_s = time.monotonic() + PATIENCE_S
    while sum(isinstance(each, Ended | Lost) for each in told) < n_chunks:
        assert time.monotonic() < deadline_s, told
        told += engine.events(0.1)
    return told


def started_at(engine: Engine, run: int) -> None:
    """Wait until a run has begun."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not any(isinstance(each, Started) and each.run == run for each in engine.events(0.1)):
        assert time.monotonic() < deadline_s


ENGINES: dict[str, Callable[[], Engine]] = {
    "serial": lambda: Serial(sweep_runs.quick),
    "processes": lambda: Processes(2, sweep_runs.quick),
}


@pytest.mark.parametrize("name", ENGINES)
def test_runs_of_a_chunk_come_in_order_each_after_it_has_begun(name: str) -> None:
    with ENGINES[name]() as engine:
        assert engine.events(0.0) == []
        assert engine.room > 0
        engine.submit(chunk(1, [5, sweep_runs.FAILS, 7]))
        told = until_back(engine, 1)
        assert engine.room > 0
    assert [(type(each), getattr(each, "run", None)) for each in told] == [
        (Started, 0),
        (Finished, 0),
        (Started, 1),
        (Finished, 1),
        (Started, 2),
        (Finished, 2),
        (Ended, None),
    ]
    outcomes = [each.outcome for each in told if isinstance(each, Finished)]
    assert [outcome.error for outcome in outcomes] == [None, "refused", None]
    assert [outcome.figures and outcome.figures["square"] for outcome in outcomes] == [25, None, 49]
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("name", ENGINES)
def test_a_stopped_engine_gives_back_what_has_not_begun(name: str) -> None:
    with ENGINES[name]() as engine:
        engine.submit(chunk(1, range(2000)))
        started_at(engine, 0)
        engine.stop()
        told = until_back(engine, 1)
    assert isinstance(told[-1], Ended)
    assert sum(isinstance(each, Finished) for each in told) < 2000


def test_a_death_names_its_run_and_spares_the_others() -> None:
    with Processes(1, sweep_runs.harmful) as engine:
        engine.submit(chunk(1, [1, sweep_runs.KILLED, 2]))
        told = until_back(engine, 1)
        assert [each.run for each in told if isinstance(each, Finished)] == [0]
        lost = told[-1]
        assert isinstance(lost, Lost)
        assert lost.run == 1
        assert lost.reason == "the worker process at this run was lost (killed by SIGKILL, out of memory?)"
        assert engine.room == 1
        engine.submit(chunk(2, [3]))  # to a worker in place of the dead
        assert isinstance(until_back(engine, 1)[-1], Ended)


def test_a_short_chunk_has_a_second_beside_it_and_a_death_gives_that_back_unharmed() -> None:
    with Processes(1, sweep_runs.harmful) as engine:
        assert engine.room == 1
        engine.submit(chunk(1, [1]))
        until_back(engine, 1)
        assert engine.room == 2
        engine.submit(chunk(2, [sweep_runs.SLEEPS, sweep_runs.EXITS]))
        engine.submit(chunk(3, [1, 2], first=10))
        assert engine.room == 0
        told = until_back(engine, 2)
    assert [(type(each), each.chunk) for each in told if isinstance(each, Ended | Lost)] == [(Lost, 2), (Ended, 3)]
    assert [each.run for each in told if isinstance(each, Finished)] == [0]


def test_workers_that_were_started_early_take_the_first_chunks() -> None:
    with Processes(2, sweep_runs.quick) as engine:
        engine.start_early()
        early = {each.pid for each in multiprocessing.active_children()}
        engine.submit(chunk(1, [1]))
        engine.submit(chunk(2, [2]))
        until_back(engine, 2)
        assert len(early) == 2
        assert {each.pid for each in multiprocessing.active_children()} == early


def test_a_worker_that_is_terminated_ends_its_run_and_gives_the_rest_back() -> None:
    with Processes(1, sweep_runs.harmful) as engine:
        engine.submit(chunk(1, [sweep_runs.SLEEPS, 1, 2]))
        started_at(engine, 0)
        worker = multiprocessing.active_children()[0]
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGINT)  # the client's to handle
        os.kill(worker.pid, signal.SIGTERM)
        told = until_back(engine, 1)
        assert [type(each) for each in told] == [Finished, Ended]
        worker.join()
        assert engine.events(1.0) == []
        engine.submit(chunk(2, [3]))
        assert [type(each) for each in until_back(engine, 1)][-2:] == [Finished, Ended]
        assert multiprocessing.active_children()[0].pid != worker.pid


def test_a_worker_that_holds_too_much_memory_is_replaced_between_runs() -> None:
    with Processes(1, sweep_runs.weighed) as engine:
        engine.submit(chunk(1, [1]))
        weight = next(each.outcome.figures for each in until_back(engine, 1) if isinstance(each, Finished))
    assert weight is not None
    bound = int(weight["bytes"] or 0) + sweep_runs.HELD_BYTES // 2
    with Processes(1, sweep_runs.weighed, most_bytes=bound) as engine:
        engine.submit(chunk(1, [1, sweep_runs.HOLDS_MEMORY, 2]))
        told = until_back(engine, 1)
        assert [each.run for each in told if isinstance(each, Finished)] == [0, 1]
        assert isinstance(told[-1], Ended)
        first = {each.pid for each in multiprocessing.active_children()}
        engine.submit(chunk(2, [2]))
        engine.submit(chunk(3, [2]))
        until_back(engine, 2)
        assert {each.pid for each in multiprocessing.active_children()}.isdisjoint(first)


def test_workers_that_cannot_start_are_an_engine_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "MOST_STILLBORN", 1)
    with (
        Processes(1, sweep_runs.Unstartable()) as engine,
        pytest.raises(EngineLostError, match=r"end before their first run \(ended with status 1\)"),
    ):
        for number in (1, 2, 3):
            engine.submit(chunk(number, [1]))
            until_back(engine, 1)


def test_workers_go_with_their_client() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    client = context.Process(target=sweep_runs.hold_workers, args=(theirs,))
    client.start()
    workers = ours.recv()
    assert len(workers) == 2
    client.kill()
    client.join()
    deadline_s = time.monotonic() + 5.0
    while any(_is_alive(pid) for pid in workers):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
