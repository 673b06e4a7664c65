"""A store: points become runs, runs are handed out and end, and are counted."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from runs_of_a_store import carry_out, finished, key, keys, row

from dieshot.simulator.errors import InputError
from dieshot.simulator.store.outcome import FinishedRun
from dieshot.simulator.store.status import status
from dieshot.simulator.store.store import KILLS, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "a.sweep", create=True) as opened:
        yield opened


def test_points_of_one_key_share_a_run_within_a_sweep_and_across_sweeps(store: Store) -> None:
    first = store.add_sweep("first", "text", keys([5, 6, 5, 7, 6, 8]))
    second = store.add_sweep("second", "other", keys([9, 7, 8, 10, 5]))
    assert store.runs_of(first, 0, 100) == [0, 1, 0, 2, 1, 3]
    assert store.runs_of(second, 0, 100) == [4, 2, 3, 5, 0]
    assert store.runs_of(second, 1, 2) == [2, 3]
    assert store.runs_of(second, 5, 2) == []
    assert (store.n_points(first), store.n_points(second)) == (6, 5)
    assert (store.counts(first).total, store.counts(second).total, store.counts().total) == (4, 5, 6)
    assert store.pending(first, 10) == [(0, 0), (1, 1), (2, 3), (3, 5)]
    assert store.pending(second, 10) == [(0, 4), (2, 1), (3, 2), (4, 0), (5, 3)]


def test_an_equal_sweep_is_the_same_sweep(store: Store) -> None:
    number = store.add_sweep("name", "text", keys(range(10)))
    assert store.add_sweep("name", "text", keys(range(10))) == number
    assert store.add_sweep("name", "text ", keys(range(10))) == number + 1
    assert store.add_sweep("name", "text", keys(range(11))) == number + 2
    assert store.counts().total == 11
    assert store.sweep_of("name") == number + 2
    assert store.sweep_of("1") == 1


def test_a_sweep_that_grows_has_its_old_runs_once(store: Store) -> None:
    other = store.add_sweep("other", "other", keys([3]))
    sweep = store.add_sweep("search", "text", keys([]))
    assert store.counts(sweep).total == 0 and store.pending(sweep, 5) == []
    store.add_points(sweep, [key(1), key(2), key(1)])
    store.add_points(sweep, [key(2), key(3), key(4)])
    assert store.runs_of(sweep, 0, 9) == [1, 2, 1, 2, 0, 3]
    assert store.counts(sweep).total == 4
    assert store.pending(sweep, 9) == [(0, 4), (1, 0), (2, 1), (3, 5)]
    assert store.counts(other).total == 1


def test_keys_that_break_off_leave_nothing_behind(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield key(1)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        store.add_sweep("name", "text", broken())
    with pytest.raises(ValueError, match="key of a run has 3 bytes, expected 16"):
        store.add_sweep("name", "text", [b"abc"])
    assert store.counts().total == 0
    assert store.add_sweep("name", "text", keys([1])) == 1


def test_runs_are_handed_out_once_and_given_back(store: Store) -> None:
    sweep = store.add_sweep("name", "text", keys(range(10)))
    store.lease([0, 1, 2], 1, "here")
    with pytest.raises(ValueError, match="run 2 does not wait"):
        store.lease([3, 2], 2)
    assert [run for run, _ in store.pending(sweep, 3)] == [3, 4, 5]
    store.release([1])
    assert [run for run, _ in store.pending(sweep, 3)] == [1, 3, 4]
    counts = store.counts(sweep)
    assert (counts.waiting, counts.leased, counts.open, counts.final) == (8, 2, 10, 0)


def test_leases_have_an_end(store: Store) -> None:
    store.add_sweep("name", "text", keys(range(4)))
    store.lease([0], 7, "slow", seconds=-1.0)
    store.lease([1], 8, "fast", seconds=60.0)
    assert store.overdue() == [(0, 7, "slow")]


def test_a_run_that_has_ended_stays_as_it_is(store: Store) -> None:
    sweep = store.add_sweep("name", "text", keys(range(3)))
    store.finish([finished(0, 0), finished(1, 10)])
    store.finish([FinishedRun(0, {}, "late", 9.0), FinishedRun(1, row(1), None, 9.0), finished(2, 2)])
    assert store.repeated == 2
    counts = store.counts(sweep)
    assert (counts.done, counts.failed, counts.open) == (2, 1, 0)
    assert store.rows(sweep)["error"].to_pylist() == [None, "batch 10 does not fit", None]
    with pytest.raises(ValueError, match="store has no run 3"):
        store.finish([finished(3, 3)])


def test_a_batch_of_outcomes_is_kept_whole_or_not_at_all(store: Store) -> None:
    sweep = store.add_sweep("name", "text", keys(range(3)))
    with pytest.raises(ValueError, match="column 'state' of a row is the store's own"):
        store.finish([finished(0, 0), FinishedRun(1, {"state": 1}, None, 1.0)])
    assert store.counts(sweep).open == 3
    store.finish([finished(0, 0)])
    assert store.rows(sweep).num_rows == 1


def test_seconds_and_times_are_the_sweeps(store: Store) -> None:
    first = store.add_sweep("first", "text", keys(range(4)))
    second = store.add_sweep("second", "text", keys(range(2, 6)))
    carry_out(store, first)
    assert store.counts(first).seconds == 2.0
    assert store.counts(second).seconds == 0.0 and store.counts(second).first_finish_s is None
    assert carry_out(store, second) == 2
    counts = store.counts()
    assert counts.seconds == 3.0
    assert counts.first_finish_s is not None and counts.last_finish_s is not None
    assert 1.7e9 < counts.first_finish_s <= counts.last_finish_s


def test_a_run_that_kills_three_workers_is_set_aside(store: Store) -> None:
    sweep = store.add_sweep("name", "text", keys(range(2)))
    for attempt, is_last in ((1, False), (2, False), (3, True)):
        assert store.pending(sweep, 1) == [(0, 0)]
        store.lease([0], attempt)
        assert store.died(0, f"worker {attempt} was killed", {"batch": 0}) is is_last
    assert store.pending(sweep, 2) == [(1, 1)]
    assert store.counts(sweep).set_aside == 1
    assert status(store.folder)["deaths"] == [{"run": 0, "deaths": 3, "reason": "worker 3 was killed"}]
    assert store.rows(sweep).to_pylist()[0] | {"key": ""} == {
        "point": 0, "run": 0, "state": "set_aside", "batch": 0, "error": KILLS, "key": ""
    }  # fmt: skip


def test_runs_that_failed_can_be_tried_again(store: Store) -> None:
    sweep = store.add_sweep("name", "text", keys(range(30)))
    carry_out(store, sweep)
    store.compact()
    assert store.counts(sweep).failed == 2
    assert store.retry(["failed"]) == 2
    assert store.pending(sweep, 9) == [(10, 10), (21, 21)]
    assert store.rows(sweep)["point"].to_pylist() == [n for n in range(30) if n not in (10, 21)]
    store.finish([FinishedRun(run, row(run), None, 1.0) for run in (10, 21)])
    store.compact()
    assert store.rows(sweep)["batch"].to_pylist() == list(range(30))
    assert len(list((store.folder / "results").iterdir())) == 1
    with pytest.raises(ValueError, match="only failed and set_aside runs can be tried again, not done"):
        store.retry(["done"])


def test_a_status_tells_who_is_at_what(store: Store) -> None:
    sweep = store.add_sweep("name", "text", keys(range(30)))
    carry_out(store, sweep, most=20)
    store.lease([20, 21], 5, "w1", seconds=-1)
    found = status(store.folder)
    import os

    assert found["client"] == os.getpid()
    assert (found["done"], found["failed"], found["leased"], found["waiting"]) == (19, 1, 2, 8)
    assert found["sweeps"][0]["name"] == "name" and found["sweeps"][0]["points"] == 30
    lease = found["leases"][0]
    assert (lease["chunk"], lease["worker"], lease["runs"], lease["first_run"]) == (5, "w1", 2, 20)
    assert lease["overdue"] is True


def test_who_comes_next_takes_up_what_was_handed_out(tmp_path: Path) -> None:
    folder = tmp_path / "a.sweep"
    with Store.open(folder, create=True) as store:
        sweep = store.add_sweep("name", "text", keys(range(10)))
        store.finish([finished(0, 0)])
        store.lease([1, 2], 1)
    with Store.open(folder) as store:
        assert store.counts(sweep).waiting == 9
        assert [run for run, _ in store.pending(sweep, 20)] == list(range(1, 10))
    assert status(folder)["client"] is None
    assert sorted(path.name for path in folder.iterdir()) == ["ledger.sqlite", "lock"]  # the log is worked off


def test_unknown_sweeps_are_named(store: Store) -> None:
    store.add_sweep("batches", "text", keys(range(3)))
    with pytest.raises(ValueError, match="store has no sweep 4"):
        store.n_points(4)
    with pytest.raises(InputError, match=r"no such sweep in the store; expected one of batches; .*'batches'\?"):
        store.sweep_of("batch")
