"""DRAM channels: the pair at the edge of every rule, idle latencies, the plain twin, and other simulators' figures."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import naive_dram
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.chips.parts.memory.dram_channel import ControllerPolicy, DramChannels
from dieshot.kernels import dram_timing as timing
from dieshot.kernels.dram import FAR, LATEST
from dieshot.kernels.dram_advance import REPEATED
from dieshot.kernels.dram_timing import ACT, PRE, PREA, RD, REFAB, REFPB, WR
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import list_names
from dieshot.simulator.studies.micro.dram import memory_parameters, micro_dram

pytestmark = pytest.mark.kernels
REFERENCE = Path(__file__).parents[1] / "data" / "dram_reference.csv"
HBM2_X128 = REFERENCE.parent / "memories" / "hbm2-8gb-x128.yaml"
STANDARDS = ("ddr5", "gddr6", "hbm2", "hbm2e", "hbm3", "hbm3e", "hbm4", "lpddr5x")

# Banks of HBM3 (pseudo-channel, stack id, group, bank: 2 x 2 x 4 x 4): one, and what shares less and less with it.
SAME, GROUP, STACK, OTHER_STACK, OTHER_PSEUDO = 0, 1, 4, 16, 32

# JEDEC name, earlier command, later command, bank of the later one, cycles between them for HBM3 at 6.4 Gbit/s.
EDGES = [
    ("nRC", ACT, ACT, SAME, 72), ("nRAS", ACT, PRE, SAME, 45), ("nRCDRD", ACT, RD, SAME, 31),
    ("nRCDWR", ACT, WR, SAME, 15), ("nRP", PRE, ACT, SAME, 26), ("nRTP", RD, PRE, SAME, 9),
    ("nWR", WR, PRE, SAME, 10 + 2 + 33), ("nCCDS", RD, RD, STACK, 2), ("nCCDL", RD, RD, GROUP, 4),
    ("nCCDR", RD, RD, OTHER_STACK, 3), ("nCCDS", WR, WR, STACK, 2), ("nCCDL", WR, WR, GROUP, 4),
    ("nCCDR", WR, WR, OTHER_STACK, 3), ("nRRDS", ACT, ACT, STACK, 4), ("nRRDL", ACT, ACT, GROUP, 5),
    ("nWTRS", WR, RD, STACK, 10 + 2 + 7), ("nWTRL", WR, RD, GROUP, 10 + 2 + 10), ("nRTW", RD, WR, STACK, 20),
    ("nPPD", PRE, PRE, STACK, 2), ("nRFCpb", REFPB, ACT, SAME, 320), ("nRREFD", REFPB, ACT, STACK, 8),
    ("nRREFD", REFPB, REFPB, STACK, 8), ("nRC", ACT, REFPB, SAME, 72), ("nRP", PRE, REFPB, SAME, 26),
    ("none", RD, RD, OTHER_PSEUDO, 0), ("none", ACT, ACT, OTHER_PSEUDO, 0),
]  # fmt: skip
WHOLE = [
    ("nRFC", REFAB, ACT, 560), ("nRFC", REFAB, REFAB, 560), ("nRP", PREA, REFAB, 26), ("nRP", PREA, ACT, 26),
    ("nRAS", ACT, PREA, 45), ("nRTP", RD, PREA, 9), ("nWR", WR, PREA, 45), ("nRC", ACT, REFAB, 72),
    ("nRP", PRE, REFAB, 26), ("nRFCpb", REFPB, REFAB, 320),
]  # fmt: skip


def channels(**policy: Any) -> DramChannels:
    return DramChannels(memory_parameters("hbm3"), ControllerPolicy(**policy))


def issue(dram: DramChannels, command: int, bank: int, tick: int) -> None:
    if command in (PREA, REFAB):
        timing.push_back(0, 0, timing.PSEUDO_CHANNEL, command, tick, dram.delay, dram.next_ok)
    else:
        faw = 2 * dram.timings["nFAW"]
        timing.note_command(0, bank, command, tick, faw, 2, dram.nodes, dram.delay, dram.next_ok, dram.acts)


def allowed(dram: DramChannels, command: int, bank: int, tick: int) -> bool:
    if command in (PREA, REFAB):
        return bool(dram.next_ok[0, 0, command] <= tick)
    return bool(timing.ready_at(0, bank, command, dram.nodes, dram.next_ok) <= tick)


@pytest.mark.nojit
@pytest.mark.parametrize(("name", "earlier", "later", "bank", "cycles"), EDGES)
def test_refused_a_tick_before_and_allowed_at_the_edge(
    name: str, earlier: int, later: int, bank: int, cycles: int
) -> None:
    dram = channels()
    issue(dram, earlier, SAME, 1000)
    assert allowed(dram, later, bank, 1000 + 2 * cycles)
    if name != "none":
        assert not allowed(dram, later, bank, 1000 + 2 * cycles - 1)


@pytest.mark.nojit
@pytest.mark.parametrize(("name", "earlier", "later", "cycles"), WHOLE)
def test_edges_of_commands_to_all_banks(name: str, earlier: int, later: int, cycles: int) -> None:
    dram = channels()
    issue(dram, earlier, SAME, 1000)
    assert (allowed(dram, later, SAME, 1000 + 2 * cycles - 1), allowed(dram, later, SAME, 1000 + 2 * cycles)) == (
        False,
        True,
    )


@pytest.mark.nojit
def test_a_fifth_activation_waits_for_the_window_nFAW() -> None:  # noqa: N802
    dram = channels()
    for k, bank in enumerate((0, 4, 8, 12)):
        issue(dram, ACT, bank, 1000 + 8 * k)
    assert not allowed(dram, ACT, 16, 1000 + 48 - 1)
    assert allowed(dram, ACT, 16, 1000 + 48)
    assert allowed(dram, ACT, OTHER_PSEUDO, 1032)


def served(dram: DramChannels, banks: list[int], rows: list[int], arrival: list[int]) -> Any:
    zeros = np.zeros(len(banks), np.int64)
    service = dram.serve_decoded(zeros, *(np.array(x, np.int64) for x in (banks, rows, arrival)), zeros)
    return service.finished - np.array(arrival)


@pytest.mark.nojit
@pytest.mark.parametrize("standard", STANDARDS)
def test_idle_latency_is_the_sum_of_its_timings(standard: str) -> None:
    dram = DramChannels(memory_parameters(standard), ControllerPolicy(refresh="none"))
    t, scale, sync = dram.timings, dram.ticks_per_cycle, dram.parameters.bus.sync or 0
    closed, hit, conflict = served(dram, [0, 0, 0], [5, 5, 6], [0, 5000, 10000]).tolist()
    assert hit == sync + scale * (t["nCL"] + t["nBL"])
    assert closed == scale * t["nRCDRD"] + hit
    assert conflict == scale * t["nRP"] + closed


@pytest.mark.nojit
@pytest.mark.parametrize(("since_data", "clocks"), [(0, 1), (1, 2)])
def test_the_data_clock_stops_with_the_last_data(since_data: int, clocks: int) -> None:
    """A read in the tick of the last data finds WCK running; one a tick later needs another CAS."""
    dram = DramChannels(memory_parameters("lpddr5x"), ControllerPolicy(refresh="none"))
    first = int(served(dram, [0], [5], [0])[0])
    again = served(dram, [0], [5], [first + since_data])[0]
    assert dram.counters()["n_CAS"] == clocks
    assert again == dram.timings["nCL"] + dram.timings["nBL"] + clocks - 1


@pytest.mark.nojit
@pytest.mark.parametrize(("shared", "spared"), [(True, 0), (False, 1)])
def test_one_bus_takes_one_command_a_tick(shared: bool, spared: int) -> None:
    """A read that hits and an activation that are due in one tick: on one bus the activation comes a tick later."""
    parameters = memory_parameters("gddr6")
    bus = dataclasses.replace(parameters.bus, shared=shared)
    dram = DramChannels(dataclasses.replace(parameters, bus=bus), ControllerPolicy(refresh="none"))
    served(dram, [0], [5], [0])
    _, other = served(dram, [0, 4], [5, 1], [5000, 5000]).tolist()
    t = dram.timings
    assert other == 1 - spared + t["nRCDRD"] + t["nCL"] + t["nBL"]


@pytest.mark.nojit
def test_a_read_is_answered_by_the_write_that_waits_for_its_burst() -> None:
    for forward, answered in ((True, 1), (False, 0)):
        dram = channels(refresh="none", forward=forward)
        place = np.array([[0, 0, 0], [0, 0, 0], [5, 5, 5], [0, 0, 0], [1, 0, 0], [7, 7, 8]], np.int64)
        service = dram.serve_decoded(*place)
        assert dram.counters()["forwarded"] == answered
        assert (service.finished[1] == 1) == forward
        assert service.finished[2] > 1


@pytest.mark.nojit
def test_banks_beyond_a_word_act_as_those_within() -> None:
    """128 banks: the second pseudo-channel's are beyond 64, and do what the first one's do."""
    parameters = memory_parameters("hbm3", ("geometry.n_stack_ids=4",))
    generator = np.random.default_rng(3)
    banks, rows, arrival = generator.integers(0, 5, 60), generator.integers(0, 3, 60), np.arange(60) * 3
    within, beyond = (
        served(DramChannels(parameters, ControllerPolicy(refresh="none")), banks + first, rows, arrival).tolist()
        for first in (0, 64)
    )
    assert within == beyond


SPREAD = (0, 1, 4, 16, 17, 32, 36, 63)
SHORT = ("timings.nREFI=257cycle", "timings.nRFC=60cycle", "timings.nREFIpb=40cycle", "timings.nRFCpb=30cycle")
# Gap to the one before, channel, bank, row, write, column.
ITEM = st.tuples(
    st.integers(0, 12), st.integers(0, 1), st.integers(0, 7), st.integers(0, 2), st.booleans(), st.integers(0, 1)
)


def assert_as_twin(rows: list[Any], policy: ControllerPolicy, shared: bool = False, sync: int = 0) -> None:
    parameters = memory_parameters("hbm3", SHORT)
    bus = dataclasses.replace(parameters.bus, shared=shared, sync=sync or None)
    dram = DramChannels(dataclasses.replace(parameters, bus=bus), policy)
    arrival = np.cumsum([gap for gap, *_ in rows])
    items = [
        (int(a), ch, SPREAD[b], row, write, column)
        for a, (_, ch, b, row, write, column) in zip(arrival, rows, strict=True)
    ]
    columns = [np.array(column, np.int64) for column in zip(*items, strict=True)]
    service = dram.serve_decoded(columns[1], columns[2], columns[3], columns[0], columns[4], columns[5])
    kind = naive_dram.TurnChannel if policy.bank_queue else naive_dram.Channel
    twins = [kind(dram.timings, 2, (2, 2, 4, 4), dram.hold.tolist(), policy, shared, sync) for _ in range(2)]
    accepted, finished = naive_dram.serve(twins, items)
    assert service.accepted.tolist() == accepted
    assert service.finished.tolist() == finished
    found = dram.counters()
    assert {k: found[k] for k in twins[0].count} == {k: sum(t.count[k] for t in twins) for k in twins[0].count}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ITEM, min_size=1, max_size=40), st.sampled_from(["frfcfs", "rowhit", "bankturn"]),
    st.sampled_from([1, 2, 5, 8]), st.sampled_from(["none", "allbank", "perbank"]), st.sampled_from(["open", "closed"]),
    st.integers(1, 4), st.booleans(), st.booleans(), st.sampled_from([0, 3])
)  # fmt: skip
def test_the_loop_acts_as_its_plain_twin(
    rows: list[Any], scheduler: str, queue: int, refresh: str, page: str, offers: int, forward: bool, shared: bool,
    sync: int
) -> None:  # fmt: skip
    bank_queue = 1 + queue % 3 if scheduler == "bankturn" else 0
    policy = ControllerPolicy(scheduler, queue, refresh, page, n_channels=2, offers_per_tick=offers,
                              bank_queue=bank_queue, forward=forward)  # fmt: skip
    assert_as_twin(rows, policy, shared, sync)


@pytest.mark.nojit
@pytest.mark.parametrize("queue", [1, 4])
def test_a_hit_that_waits_for_the_other_direction_does_not_hold_a_row(queue: int) -> None:
    """A read of the open row waits while writes are served; the write that conflicts must be able to close it."""
    reads = [(0, 0, 0, 0, False, k) for k in range(queue)]
    writes = [(0, 0, 0, 1, True, k) for k in range(queue)]
    later = [(6, 0, 0, 0, False, k) for k in range(2 * queue)]
    assert_as_twin(reads + writes + later + writes + later, ControllerPolicy("rowhit", queue, "none", n_channels=2))


def reference_rows() -> list[dict[str, str]]:
    with REFERENCE.open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@pytest.mark.parametrize("row", reference_rows(), ids=lambda row: "-".join(list(row.values())[:6]))
def test_other_simulators_figures(row: dict[str, str]) -> None:
    record = micro_dram(
        "hbm3", pattern=row["pattern"], n=int(row["n"]), mapping=row["mapping"], scheduler=row["scheduler"],
        queue=int(row["queue"]), refresh=row["refresh"], channels=int(row["channels"]),
    )  # fmt: skip
    assert record["percent_of_peak"] == pytest.approx(float(row["percent_of_peak"]), abs=2)
    assert record["average_latency_ns"] == pytest.approx(float(row["latency_ns"]), rel=0.1)


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"refresh": "none"},
        {"refresh": "perbank"},
        {"page": "closed", "refresh": "none"},
        {"scheduler": "bankturn", "bank_queue": 4, "refresh": "perbank"},
    ],
)
def test_repetition_changes_nothing(policy: dict[str, Any]) -> None:
    outcomes = []
    for search in (True, False):
        dram = channels(**policy)
        states, noted = dram.search_space
        dram.search_space = (states if search else states[:0], noted)
        zeros = np.zeros(1 << 19, np.int64)
        service = dram.serve(np.arange(1 << 19, dtype=np.int64) * 32, zeros, zeros)
        repeated = int(dram.regs[REPEATED])
        assert (repeated > 0) == search
        state = [dram.open_row.tolist(), dram.tally.tolist(), dram.counters()]
        outcomes.append((service.accepted.tobytes(), service.finished.tobytes(), state))
    assert outcomes[0] == outcomes[1]


# DRAMsim3 (commit 2981759), HBM2_8Gb_x128, 64-B reads, queues of 8 a bank: pattern, channels, n, percent of peak.
DRAMSIM3 = [("seq", 1, 1 << 20, 91.91, 145.6), ("rand", 1, 1 << 20, 24.56, 776.9), ("stride", 1, 1 << 16, 3.88, 2080.5),
            ("seq", 8, 1 << 20, 92.13, 85.0), ("rand", 8, 1 << 20, 24.14, 468.6)]  # fmt: skip


@pytest.mark.parametrize(("pattern", "n_channels", "n", "percent", "latency_ns"), DRAMSIM3)
def test_dramsim3(pattern: str, n_channels: int, n: int, percent: float, latency_ns: float) -> None:
    record = micro_dram(str(HBM2_X128), pattern=pattern, n=n, mapping="rorabgbachco", scheduler="bankturn",
                        channels=n_channels, bank_queue=8)  # fmt: skip
    assert record["percent_of_peak"] == pytest.approx(percent, abs=2)
    assert record["average_latency_ns"] == pytest.approx(latency_ns, rel=0.1)


def test_every_request_is_counted_once_and_every_row_is_opened_once() -> None:
    record = micro_dram("hbm4", pattern="rand", n=20000, read_fraction=0.6, requesters=3)
    assert record["hits"] + record["misses"] + record["conflicts"] == 20000 == record["n_RD"] + record["n_WR"]
    assert record["n_ACT"] >= record["misses"] + record["conflicts"]


@pytest.mark.parametrize("arrival", [[0, FAR], [5, 4], [-1, 0], [0, LATEST + 1]])
def test_times_that_would_overflow_are_an_error(arrival: list[int]) -> None:
    with pytest.raises(InputError, match="hbm3: arrival of item"):
        served(channels(), [0, 0], [0, 0], arrival)


def test_times_near_the_limit_are_exact() -> None:
    near = LATEST - 5000
    assert served(channels(refresh="none"), [0], [1], [near]).tolist() == [106]


def test_hits_do_not_put_off_the_refresh_of_their_bank() -> None:
    """Rows of one bank after the other keep up with refreshes that go through the banks in the same order."""
    record = micro_dram("gddr6", n=1 << 14, mapping="robgbaracoch", queue=2, refresh="perbank")
    t = memory_parameters("gddr6").timings
    assert record["n_REFpb"] == pytest.approx(record["cycles"] / t.nREFIpb, abs=2)


def test_refreshes_that_leave_no_time_are_an_error() -> None:
    refreshes = ("timings.nREFI=97cycle", "timings.nRFC=60cycle")
    with pytest.raises(InputError, match=r"nothing is served any more; .*leave requests time between refreshes"):
        micro_dram("hbm3", n=100, scheduler="bankturn", bank_queue=2, overrides=refreshes)


def test_every_standard_of_the_catalog_serves() -> None:
    assert set(STANDARDS) <= set(list_names("memories"))
    for standard in STANDARDS:
        for refresh in ("allbank", "perbank"):
            record = micro_dram(standard, n=4000, refresh=refresh, read_fraction=0.5, page="closed")
            assert 5 < record["percent_of_peak"] <= 100
            assert sum(record["energy_pj"].values()) / (8 * 4000) > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pattern": "sqe"}, "pattern: unknown pattern; .*did you mean 'seq'"),
        ({"mapping": "mop4clxr"}, "mapping: unknown mapping; .*did you mean 'mop4clxor'"),
        ({"mapping": "ro-ba-co"}, "mapping: a field is missing"),
        ({"scheduler": "frfcf"}, "scheduler: unknown scheduler; .*did you mean 'frfcfs'"),
        ({"refresh": "all"}, "refresh: unknown refresh"),
        ({"page": "opne"}, "page: unknown page; .*did you mean 'open'"),
        ({"queue": 0}, "queue: too small"),
        ({"n": -1}, "n: out of range"),
        ({"channels": 3}, "channels: not a power of two"),
        ({"read_fraction": 1.5}, "read_fraction: out of range"),
        ({"overrides": ("timings.nRC=3cycle",)}, "timings.nRC: too small; expected at least nRAS"),
        ({"overrides": ("timings.nRCC=3cycle",)}, "did you mean 'chip.timings.nRC'"),
        ({"overrides": ("timings.nRP=-3cycle",)}, "too small"),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        micro_dram("hbm3", **({"n": 10} | options))
