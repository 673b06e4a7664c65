"""SMs against their plain twin: a memory that answers after a fixed time, windows of any length."""

from itertools import pairwise
from typing import Any

import naive
import numpy as np
import pytest
from dice import PERIOD_FS, classes_of_ctas, memory
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.hbm import hbm_design
from dieshot.kernels import sm
from dieshot.kernels.interval import N_OPEN, close_all

SEND_FS = 5 * PERIOD_FS
FOREVER = 2**62


class Multiprocessors:
    """The arrays of some SMs whose CTAs are resident from the start."""

    def __init__(self, n_sms: int, slots_per_sm: int, n_stages: int, n_groups: int, classes: Any, ctas: Any) -> None:
        self.shape = (n_stages, n_groups, slots_per_sm)
        n_slots = n_sms * slots_per_sm
        self.classes, self.ctas, self.stride = classes, ctas, n_slots
        self.slots, self.groups = (
            np.zeros((n_slots, sm.N_SLOT), np.int64),
            np.zeros((n_slots * n_groups, sm.N_GROUP), np.int64),
        )
        self.ring = np.zeros((n_slots * n_stages, sm.N_RING), np.int64)
        self.ring[:, sm.B_ARRIVE] = sm.NEVER
        self.units, self.resident_fs = np.zeros((n_sms, sm.N_SM), np.int64), np.zeros(n_slots, np.int64)
        self.in_bytes, self.counts = np.zeros(len(self.ring), np.int64), np.zeros(6, np.int64)
        self.open = np.zeros((n_sms * sm.N_UNITS, N_OPEN), np.int64)
        first = np.arange(min(n_slots, len(ctas)))  # dealt out SM by SM
        self.slots[:, sm.L_CTA] = -1
        self.slots[(first % n_sms) * slots_per_sm + first // n_sms, sm.L_CTA] = first
        self.slots[:, sm.L_OPEN_GROUPS] = n_groups
        self.groups[:, sm.G_CTA] = np.repeat(self.slots[:, sm.L_CTA], n_groups)
        self.log: list[list[int]] = []
        self.requests: list[list[int]] = []
        self.stores: list[list[int]] = []

    def act(self, until_fs: int, capacity: int) -> list[list[int]]:
        """Act until a time, with outputs so small that they run full; return the requests."""
        requests: list[list[int]] = []
        status = 1
        while status:
            self.counts[:4] = 0
            rows = [np.zeros((capacity, width), np.int64) for width in (5, 3, 2, 5)]
            rows[3] = np.zeros((capacity + 3, 5), np.int64)
            times = (until_fs, PERIOD_FS, *self.shape, self.stride, SEND_FS, 1)
            state = (self.slots, self.groups, self.resident_fs, self.ring, self.units, self.in_bytes, self.open)
            status = sm.advance_sms(*times, self.classes, self.ctas, *state, *rows, self.counts)
            n_requests, n_stores, _, n_log = self.counts[:4].tolist()
            requests += rows[0][:n_requests].tolist()
            self.stores += rows[1][:n_stores].tolist()
            self.log += rows[3][:n_log].tolist()
        self.requests += requests
        return requests

    def deliver(self, responses: list[tuple[int, int]], fs_per_mib: int) -> None:
        rows = np.array(sorted(responses), np.int64).reshape(-1, 2)
        log = np.zeros((4 * len(rows) + 1, 5), np.int64)
        n_stages, _, slots_per_sm = self.shape
        arrays = (rows, len(rows), self.ring, self.units, self.in_bytes, self.open, log)
        n_log = sm.deliver(n_stages, slots_per_sm, 0, fs_per_mib, 1, *arrays)
        self.log += log[:n_log].tolist()

    def run(self, latency_fs: int, window_fs: int, fs_per_mib: int, capacity: int) -> None:
        """Run until all CTAs are done; every request is answered `latency_fs` after it was issued."""
        until_fs, under_way = 0, []
        while self.counts[4] < len(self.ctas) * self.shape[1]:
            until_fs += window_fs
            under_way += [(row[0] - SEND_FS + latency_fs, row[1]) for row in self.act(until_fs, capacity)]
            due = [row for row in under_way if row[0] < until_fs + window_fs]
            under_way = [row for row in under_way if row[0] >= until_fs + window_fs]
            self.deliver(due, fs_per_mib)
        log = np.zeros((len(self.open), 5), np.int64)
        self.log += log[: close_all(FOREVER, self.open, 0, log)].tolist()


class FixedMemoryDie(naive.Die):
    """The plain die with a memory that answers every request after a fixed time; SMs are numbered slot by slot."""

    def __init__(self, timing: Any, kernel: Any, latency_fs: int) -> None:
        self.latency_fs = latency_fs
        self.stored: list[tuple[int, int, int]] = []
        super().__init__(timing, kernel, [0] * timing.hbm.n_pins)

    def post(self, time_fs: int, what: int, key: tuple[int, ...], data: Any) -> None:
        if what == naive.REQUEST:
            super().post(time_fs - SEND_FS + self.latency_fs, naive.DELIVER, key, data[0])
        elif what == naive.STORE:
            self.stored.append((time_fs, *data))
        else:
            super().post(time_fs, what, key, data)


@settings(max_examples=100)
@given(st.data())
def test_sms_act_as_their_plain_twin(data: Any) -> None:
    shape = [data.draw(st.integers(1, most)) for most in (3, 2, 4, 2)]
    classes = data.draw(classes_of_ctas(data.draw(st.integers(1, 3))))
    n_ctas = data.draw(st.integers(1, 10))
    ctas = np.full((n_ctas, sm.N_CTA), -1, np.int64)
    ctas[:, sm.K_CLASS] = data.draw(st.lists(st.integers(0, len(classes) - 1), min_size=n_ctas, max_size=n_ctas))
    ctas[:, sm.K_TILE_OUT] = 2 * np.arange(n_ctas)
    latency_fs = PERIOD_FS * data.draw(st.integers(10, 80))
    fs_per_mib = (1 << 20) * data.draw(st.integers(1, 30))
    fast = Multiprocessors(shape[0], shape[1], shape[2], shape[3], classes, ctas)
    fast.run(latency_fs, data.draw(st.integers(PERIOD_FS // 2, latency_fs)), fs_per_mib, data.draw(st.integers(3, 40)))
    twin = twin_of(shape, classes, ctas, latency_fs, fs_per_mib)
    assert fast.counts[5] == twin.last_fs
    assert sorted(tuple(row) for row in fast.stores) == sorted(twin.stored)
    for index, one in enumerate(twin.sms):
        for unit, expected in ((sm.TENSOR, one.busy["tensor"]), (sm.SIMT, one.busy["simt"]), (sm.COPY, one.copy.busy)):
            rows = [tuple(row[1:]) for row in fast.log if row[0] == index * sm.N_UNITS + unit and row[3] == sm.BUSY]
            assert rows == naive.merged(expected)
    assert_gapless(fast.log)


def twin_of(shape: list[int], classes: Any, ctas: Any, latency_fs: int, fs_per_mib: int) -> FixedMemoryDie:
    hbm = hbm_design(memory(), ControllerPolicy(), 128, 0, 0)  # never asked for anything
    timing = DieTiming(shape[0], PERIOD_FS, SEND_FS, 0, 0, fs_per_mib, 0, 0, hbm, 0, 0, 0, 0)
    empty = np.zeros(0, np.int64)
    kernel = TileKernel("k", "k", classes, ctas, empty, empty, shape[2], shape[3], shape[1], True, {})
    twin = FixedMemoryDie(timing, kernel, latency_fs)
    twin.run()
    return twin


def assert_gapless(log: list[list[int]]) -> None:
    """Up to its last work, a unit is busy or waits for a named reason."""
    for line in {row[0] for row in log}:
        rows = sorted(row[1:] for row in log if row[0] == line)
        assert rows[0][0] == 0
        assert all(one[1] == after[0] for one, after in pairwise(rows))


@pytest.mark.nojit
def test_one_cta_by_hand() -> None:
    """Two steps of 1 us of data and 3 cycles of matrix work, an epilogue of 2 cycles, one ring stage."""
    classes = np.zeros((1, sm.N_CLASS), np.int64)
    columns = [
        sm.C_STEPS,
        sm.C_READ,
        sm.C_READ_LAST,
        sm.C_IN,
        sm.C_IN_LAST,
        sm.C_TENSOR1,
        sm.C_MACS1,
        sm.C_EPILOGUE,
        sm.C_STORE,
    ]
    classes[0, columns] = [2, 10, 10, 10, 10, 3 * PERIOD_FS, 7, 2 * PERIOD_FS, 64]
    fast = Multiprocessors(1, 1, 1, 1, classes, np.array([[0, -1, -1, 4]], np.int64))
    fast.run(20 * PERIOD_FS, 20 * PERIOD_FS, (PERIOD_FS // 10) << 20, 5)
    # issue at 0, data at 20, moved by 21, work until 24; the second load waits for the stage: 24, 44, 45, 48; end 50.
    assert fast.counts[5] == 50 * PERIOD_FS
    assert [row[0] for row in fast.requests] == [SEND_FS, 24 * PERIOD_FS + SEND_FS]
    assert fast.stores == [[50 * PERIOD_FS + SEND_FS, 64, 4]]
    tensor = [row[1:4] for row in fast.log if row[0] == sm.TENSOR]
    cycles = [[start // PERIOD_FS, end // PERIOD_FS, state] for start, end, state in tensor]
    assert cycles == [[0, 21, sm.STALL_MEMORY], [21, 24, sm.BUSY], [24, 45, sm.STALL_MEMORY], [45, 48, sm.BUSY]]
