"""The store does what a few dictionaries would, whatever is done to it in whatever order."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from runs_of_a_store import carry_out, contents, finished, key, keys

from dieshot.simulator.store import schema, shard
from dieshot.simulator.store.outcome import FinishedRun
from dieshot.simulator.store.store import KILLS, Store

NUMBERS = st.lists(st.integers(0, 30), max_size=12)
SOME = st.integers(1, 6)
OPEN, FINAL = ("waiting", "leased"), ("done", "failed", "set_aside")


class Life(RuleBasedStateMachine):
    """Beside the store: the number behind each run, its state and deaths, and the numbers of each sweep's points."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp()) / "store"
        self.store = Store.open(self.folder, create=True)
        self.numbers: list[int] = []
        self.states: list[str] = []
        self.deaths: dict[int, int] = {}
        self.sweeps: dict[int, list[int]] = {}
        self.texts: dict[tuple[str, tuple[int, ...]], int] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder.parent)

    def take(self, numbers: list[int]) -> None:
        for number in numbers:
            if number not in self.numbers:
                self.numbers.append(number)
                self.states.append("waiting")

    def waiting(self, sweep: int) -> list[int]:
        runs = {self.numbers.index(number) for number in self.sweeps[sweep]}
        return sorted(run for run in runs if self.states[run] == "waiting")

    def runs(self, state: str) -> list[int]:
        return [run for run, each in enumerate(self.states) if each == state]

    @initialize(numbers=st.lists(st.integers(0, 30), min_size=5, max_size=20))
    def begin(self, numbers: list[int]) -> None:
        self.add_sweep(numbers, "a")

    @rule(numbers=NUMBERS, text=st.sampled_from("ab"))
    def add_sweep(self, numbers: list[int], text: str) -> None:
        number = self.store.add_sweep("name", text, keys(numbers))
        assert number == self.texts.setdefault((text, tuple(numbers)), len(self.sweeps) + 1)
        if number not in self.sweeps:
            self.sweeps[number] = list(numbers)
            self.take(numbers)

    @precondition(lambda self: self.sweeps)
    @rule(numbers=NUMBERS, data=st.data())
    def add_points(self, numbers: list[int], data: st.DataObject) -> None:
        sweep = data.draw(st.sampled_from(sorted(self.sweeps)))
        self.store.add_points(sweep, [key(number) for number in numbers])
        self.sweeps[sweep] += numbers
        self.take(numbers)

    @precondition(lambda self: self.sweeps)
    @rule(n=SOME, data=st.data())
    def lease(self, n: int, data: st.DataObject) -> None:
        sweep = data.draw(st.sampled_from(sorted(self.sweeps)))
        found = self.store.pending(sweep, n)
        points = [self.sweeps[sweep].index(self.numbers[run]) for run, _ in found]
        assert found == list(zip(self.waiting(sweep)[:n], points, strict=True))
        self.store.lease([run for run, _ in found], 1, "w")
        for run, _ in found:
            self.states[run] = "leased"

    @precondition(lambda self: "leased" in self.states)
    @rule(n=SOME)
    def release(self, n: int) -> None:
        runs = self.runs("leased")[:n]
        self.store.release(runs)
        for run in runs:
            self.states[run] = "waiting"

    @rule(n=SOME, data=st.data())
    def finish(self, n: int, data: st.DataObject) -> None:
        runs = data.draw(st.permutations(range(len(self.states))))[:n]  # also such that wait or have ended
        self.store.finish([finished(run, self.numbers[run]) for run in runs])
        for run in runs:
            if self.states[run] in OPEN:
                self.states[run] = "failed" if finished(run, self.numbers[run]).error else "done"

    @rule()
    def finish_all(self) -> None:
        runs = range(len(self.states))
        self.store.finish([finished(run, self.numbers[run]) for run in runs])
        for run in runs:
            if self.states[run] in OPEN:
                self.states[run] = "failed" if finished(run, self.numbers[run]).error else "done"

    @precondition(lambda self: "waiting" in self.states)
    @rule(times=st.integers(1, schema.DEATHS_MOST))
    def die(self, times: int) -> None:
        run = self.runs("waiting")[-1]
        for _ in range(times):
            if self.states[run] == "waiting":
                self.store.lease([run], 2, "w")
                self.deaths[run] = self.deaths.get(run, 0) + 1
                is_last = self.deaths[run] >= schema.DEATHS_MOST
                asked = {"system": "dgx-h100", "batch": self.numbers[run]}
                assert self.store.died(run, "killed", asked) is is_last
                self.states[run] = "set_aside" if is_last else "waiting"

    @precondition(lambda self: {"failed", "set_aside"} & set(self.states))
    @rule(states=st.sampled_from([["failed"], ["set_aside"], ["failed", "set_aside"]]))
    def retry(self, states: list[str]) -> None:
        runs = [run for run, state in enumerate(self.states) if state in states]
        assert self.store.retry(states) == len(runs)
        for run in runs:
            self.states[run] = "waiting"
            self.deaths.pop(run, None)

    @precondition(lambda self: set(FINAL) & set(self.states))
    @rule()
    def compact(self) -> None:
        self.store.compact()

    @rule(killed=st.booleans())
    def open_again(self, killed: bool) -> None:
        if killed:  # the kernel lets go of the lock, nothing else happens
            self.store._lock.release()
        else:
            self.store.close()
        self.store = Store.open(self.folder)
        self.states = ["waiting" if state == "leased" else state for state in self.states]

    @invariant()
    def counts_agree(self) -> None:
        for sweep in (None, *self.sweeps):
            of = set(self.numbers) if sweep is None else set(self.sweeps[sweep])
            states = [state for number, state in zip(self.numbers, self.states, strict=True) if number in of]
            counts = self.store.counts(sweep)
            assert {each: getattr(counts, each) for each in OPEN + FINAL} == {e: states.count(e) for e in OPEN + FINAL}
            assert counts.total == len(states)

    @precondition(lambda self: self.sweeps)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        sweep = data.draw(st.sampled_from(sorted(self.sweeps)))
        runs = [self.numbers.index(number) for number in self.sweeps[sweep]]
        assert self.store.runs_of(sweep, 0, len(runs) + 1) == runs
        expected = [(point, run, self.states[run]) for point, run in enumerate(runs) if self.states[run] in FINAL]
        found = self.store.rows(sweep).to_pylist()
        assert [(row["point"], row["run"], row["state"]) for row in found] == expected
        for row in found:
            outcome = finished(row["run"], self.numbers[row["run"]])
            set_aside = row["state"] == "set_aside"
            assert row["batch"] == self.numbers[row["run"]] and row["key"] == key(row["batch"]).hex()
            assert row["error"] == (KILLS if set_aside else outcome.error)


TestLife = pytest.mark.filterwarnings("ignore::ResourceWarning")(Life.TestCase)
TestLife.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(shard, "ROWS_AT_ONCE", 4096)
    yield


def test_more_runs_than_one_file_holds(tmp_path: Path, small_batches: None) -> None:
    n, other = schema.RANGE + 900, tmp_path / "other"
    with Store.open(tmp_path / "store", create=True) as store:
        first = store.add_sweep("first", "text", keys(range(500)))
        assert carry_out(store, first, chunk=500) == 500
        sweep = store.add_sweep("name", "text", keys([*range(n), *range(400, 600)]))
        assert store.runs_of(sweep, n - 2, 4) == [n - 2, n - 1, 400, 401]
        runs = [run for run, _ in store.pending(sweep, n)]
        assert runs == list(range(500, n))
        store.finish([FinishedRun(run, {"batch": run}, None, 1.0) for run in runs if run < schema.RANGE + 100])
        store.compact()  # the second range is still open
        (name,) = contents(store.folder)
        assert name.startswith("00000-")
        assert (store.counts(sweep).done, store.counts(sweep).waiting) == (schema.RANGE + 100 - 45, 800)
        store.finish([FinishedRun(run, {"batch": run}, None, 1.0) for run in runs[-800:]])
        store.compact()
        assert [name[:6] for name in sorted(contents(store.folder))] == ["00000-", "00001-"]
        table = store.rows(sweep, ["point", "run", "batch"])
        assert table["run"].to_pylist() == table["batch"].to_pylist() == [*range(n), *range(400, 600)]
        assert table["point"].to_pylist() == list(range(n + 200))
        assert store.rows(columns=["run"])["run"].to_pylist() == list(range(n))
    with Store.open(other, create=True) as again:
        sweep = again.add_sweep("name", "text", keys(range(n)))
        for start in range(0, n, 10_000):
            runs = list(range(start, min(n, start + 10_000)))[::-1]
            again.finish([finished(r, r) if r < 500 else FinishedRun(r, {"batch": r}, None, 2.0) for r in runs])
            again.compact()
    assert contents(other) == contents(tmp_path / "store")
