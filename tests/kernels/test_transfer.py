"""Transfers through a network into DRAM channels, against every channel simulated by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_memory import NaiveDram

from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.memory import DramMemory, NetworkTiming
from dieshot.kernels.transfer import LIMIT, N_TRANSFER
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.micro.dram import memory_parameters

TRANSFER = st.tuples(
    st.integers(0, 3000),  # ns after the batch before
    st.integers(0, 1 << 22),
    st.integers(1, 700),
    st.integers(1, 4),
    st.integers(0, 1 << 14),
    st.integers(0, 1),
    st.integers(0, 2),
)
BATCHES = st.lists(st.lists(TRANSFER, min_size=1, max_size=4), min_size=1, max_size=4)


def memory(
    mapping: str = "mop4clxor", n_channels: int = 4, name: str = "hbm2", latency_fs: int = 7_300_000
) -> DramMemory:
    policy = ControllerPolicy(mapping=mapping, n_channels=n_channels, offers_per_tick=4 * n_channels)
    return DramMemory(memory_parameters(name), policy, NetworkTiming(latency_fs, 64 * 10**9), 3)


@pytest.mark.parametrize(("mapping", "name"), [("mop4clxor", "hbm2"), ("robaracoch", "hbm3")])
@settings(max_examples=25)
@given(BATCHES)
def test_channels_act_as_each_by_itself(mapping: str, name: str, batches: list[list[tuple[int, ...]]]) -> None:
    folded = memory(mapping, name=name)
    apart, now_fs = NaiveDram(folded), 0
    for batch in batches:
        now_fs += batch[0][0] * 10**6
        transfers = np.array([(now_fs, *each[1:]) for each in batch], np.int64)
        assert folded.serve(transfers).tolist() == apart.serve(transfers).tolist()
    moved = [(each[2] * each[3], each[5]) for batch in batches for each in batch]
    assert folded.read_bytes == sum(n for n, write in moved if not write)
    assert folded.written_bytes == sum(n for n, write in moved if write)
    counted = folded.counters()
    by_channel = [each.counters() for each in apart.channels]
    assert counted == {name: sum(each[name] for each in by_channel) for name in counted}
    assert counted["n_RD"] + counted["n_WR"] == folded.n_bursts


@pytest.mark.nojit
def test_channels_asked_for_the_same_are_one_until_they_are_not() -> None:
    folded = memory(n_channels=8)
    folded.serve(np.array([[0, 0, 1 << 16, 1, 0, 0, 0]], np.int64))
    assert folded.n_states == 1
    folded.serve(np.array([[0, 1 << 16, 128, 1, 0, 0, 0]], np.int64))  # four columns of one channel
    assert folded.n_states == 2
    folded.serve(np.array([[0, 1 << 17, 1 << 16, 1, 0, 0, 0]], np.int64))
    assert folded.n_states == 2


@pytest.mark.nojit
def test_one_burst_takes_the_idle_latency_and_the_way_there_and_back() -> None:
    done = memory().serve(np.array([[0, 64, 1, 1, 0, 0, 0]], np.int64))
    ticks = -(-7_300_000 // 833_000) + 17 + 17 + 2  # tRCD, tCL, the burst
    assert done.tolist() == [ticks * 833_000 + 7_300_000]


def test_a_link_takes_one_burst_after_the_other() -> None:
    narrow = DramMemory(memory_parameters("hbm2"), ControllerPolicy(), NetworkTiming(0, 10**9))
    done = narrow.serve(np.array([[0, 0, 3200, 1, 0, 0, 0]], np.int64))
    assert 99 * 32_000_000 <= done[0] <= 100 * 32_000_000 + 60_000_000  # 32 B at 1 GB/s


@pytest.mark.parametrize(
    "bad",
    [
        (-1, 0, 1, 1, 0), (0, -1, 1, 1, 0), (0, 0, 0, 1, 0), (0, 0, 1, 0, 0), (0, 0, 1, 2, -1),
        (0, 0, 1, 3, LIMIT // 2), (0, LIMIT + 1, 1, 1, 0), (LIMIT + 1, 0, 1, 1, 0), (0, 0, 2**63 - 1, 1, 0),
        (0, 0, 1, 2**63 - 1, 0),
    ],
)  # fmt: skip
def test_what_is_no_transfer_is_refused_by_number(bad: tuple[int, ...]) -> None:
    transfers = np.zeros((2, N_TRANSFER), np.int64)
    transfers[0] = (0, 0, 1, 1, 0, 0, 0)
    transfers[1, :5] = bad
    with pytest.raises(InputError, match="transfer 1 is out of range"):
        memory().serve(transfers)
