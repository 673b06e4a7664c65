"""DRAM channels against their plain twin; batches of any length give the same."""

from itertools import pairwise
from typing import Any

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.kernels.hbm import MIB, READ, WRITE, advance_hbm
from dieshot.kernels.interval import N_OPEN, close_all

LATENCY_FS, GRANULE_BYTES = 700, 64
REQUESTS = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(1, 500), st.sampled_from([READ, WRITE]), st.integers(0, 9)), max_size=30
)
CHANNELS = st.lists(st.integers(0, 900), min_size=1, max_size=4)


def served(requests: list[Any], free_fs: list[int], fs_per_mib: int, cuts: list[int]) -> tuple[Any, Any, Any, Any]:
    """Return fills, state of the channels, registers and log of requests handed over in batches."""
    free, regs = np.array(free_fs, np.int64), np.zeros(3, np.int64)
    open_ = np.zeros((len(free), N_OPEN), np.int64)
    fills: list[list[int]] = []
    rows: list[list[int]] = []
    edges = [0, *sorted(cuts), len(requests)]
    for first, stop in pairwise(edges):
        batch = np.array(requests[first:stop], np.int64).reshape(-1, 4)
        out, log = np.zeros((len(batch), 2), np.int64), np.zeros((9 * len(batch) + 1, 5), np.int64)
        counts = advance_hbm(LATENCY_FS, GRANULE_BYTES, fs_per_mib, 1, batch, len(batch), free, regs, open_, out, log)
        fills += out[: counts >> 32].tolist()
        rows += log[: counts & 0xFFFFFFFF].tolist()
    log = np.zeros((len(free), 5), np.int64)
    rows += log[: close_all(2**62, open_, 0, log)].tolist()
    return fills, free.tolist(), regs.tolist(), sorted(rows)


@given(REQUESTS, CHANNELS, st.integers(1, 50), st.data())
def test_channels_act_as_their_plain_twin(requests: Any, free: list[int], fs_per_byte: int, data: Any) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(requests)), max_size=3))
    fills, ends, regs, log = served(requests, free, fs_per_byte * MIB, cuts)
    twin = naive.Dram(LATENCY_FS, GRANULE_BYTES, fs_per_byte * MIB, free)
    back = [[twin.serve(time, size, kind == WRITE), tile] for time, size, kind, tile in requests]
    assert fills == [row for row, request in zip(back, requests, strict=True) if request[2] == READ]
    assert ends == [channel.free_fs for channel in twin.channels]
    assert regs[1:] == [twin.read_bytes, twin.write_bytes]
    expected = [[i, *row] for i, pipe in enumerate(twin.channels) for row in naive.merged(pipe.busy)]
    assert log == sorted(expected)


@pytest.mark.nojit
def test_a_tile_is_spread_over_the_channels_in_turn() -> None:
    fills, free, _, log = served([(1000, 160, READ, 5)], [0, 0, 0], 10 * MIB, [])
    assert free == [1640, 1640, 1320]
    assert fills == [[1640 + LATENCY_FS, 5]]
    assert [row[4] for row in log] == [64, 64, 32]


@pytest.mark.nojit
def test_a_busy_channel_delays_only_its_own_granules() -> None:
    fills, free, _, _ = served([(0, 64, READ, 1), (0, 64, READ, 2)], [5000, 0], 10 * MIB, [])
    assert free == [5640, 640]
    assert fills == [[5640 + LATENCY_FS, 1], [640 + LATENCY_FS, 2]]
