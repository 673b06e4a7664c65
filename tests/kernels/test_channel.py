"""One serial link: its plain twin, closed forms, queue theory, and what it refuses."""

from typing import Any

import naive_channel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.kernels import channel

ITEMS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2), st.integers(1, 5)), max_size=25)
N_SENDERS = 3


def carry(timing: tuple[int, ...], n_credits: int, whole: bool, items: Any, cuts: tuple[int, ...] = ()) -> Any:
    """Return status, starts, finishes, state and flits a sender of items carried in one call or several."""
    rows = np.array(items, np.int64).reshape(-1, channel.N_ITEM)
    state, sent = np.zeros(channel.N_STATE, np.int64), np.zeros(N_SENDERS, np.int64)
    returned = np.zeros(n_credits, np.int64)
    starts, finishes, status = [], [], channel.DONE
    for part in np.split(rows, cuts):
        started, finished = np.zeros(len(part), np.int64), np.zeros(len(part), np.int64)
        status = channel.carry(*timing, int(whole), state, returned, sent, part.copy(), started, finished)
        starts += started.tolist()
        finishes += finished.tolist()
    return status, starts, finishes, state, sent


@given(
    ITEMS,
    st.tuples(*(st.integers(low, high) for low, high in ((1, 9), (0, 30), (0, 40), (0, 15), (0, 40)))),
    st.integers(5, 12),
    st.booleans(),
    st.integers(0, 25),
)
def test_a_link_acts_as_its_plain_twin(
    gaps: Any, timing: tuple[int, ...], n_credits: int, whole: bool, cut: int
) -> None:
    arrivals = np.cumsum([gap for gap, _, _ in gaps], dtype=np.int64).tolist()
    items = [(arrival, sender, n) for arrival, (_, sender, n) in zip(arrivals, gaps, strict=True)]
    status, starts, finishes, state, sent = carry(timing, n_credits, whole, items, (min(cut, len(items)),))
    twin = naive_channel.NaiveChannel(*timing, n_credits, whole)
    expected = naive_channel.carry(twin, [(arrival, n) for arrival, _, n in items])
    assert status == channel.DONE
    assert list(zip(starts, finishes, strict=True)) == expected
    assert state[channel.S_BUSY] == timing[0] * len(twin.flits)
    assert sent.tolist() == [sum(n for _, who, n in items if who == sender) for sender in range(N_SENDERS)]


@pytest.mark.nojit
def test_a_lone_flit_takes_the_sum_of_its_layers() -> None:
    # 10 on the wire, codeword of 25 ends at 25, 100 on the way, 3 to be taken
    assert carry((10, 25, 100, 3, 7), 4, False, [(0, 0, 1)])[2] == [25 + 100 + 3]
    assert carry((10, 0, 100, 3, 7), 4, False, [(0, 0, 1)])[2] == [10 + 100 + 3]


@pytest.mark.nojit
@pytest.mark.parametrize(("n_credits", "blocked"), [(11, True), (12, False)])
def test_credits_for_the_way_there_and_back_keep_the_wire_busy(n_credits: int, blocked: bool) -> None:
    # a credit is back 10 + 60 + 0 + 50 after its flit began: 12 flit times
    _, _, finishes, state, _ = carry((10, 0, 60, 0, 50), n_credits, False, [(0, 0, 120)])
    assert (state[channel.S_BLOCKED] > 0) == blocked
    assert (finishes[0] == 120 * 10 + 60) == (not blocked)


@pytest.mark.nojit
def test_too_few_credits_bound_the_rate_by_buffer_over_round_trip() -> None:
    n_flits, n_credits, round_trip = 4000, 5, 120
    _, _, finishes, _, _ = carry((10, 0, 60, 0, 50), n_credits, False, [(0, 0, n_flits)])
    assert finishes[0] == pytest.approx(n_flits * round_trip / n_credits, rel=0.01)


@pytest.mark.nojit
def test_a_slow_receiver_holds_back_the_sender() -> None:
    _, starts, finishes, state, _ = carry((10, 0, 60, 25, 50), 8, False, [(0, 0, 400), (1, 1, 1)])
    assert finishes[0] == pytest.approx(400 * 25, rel=0.01)
    assert starts[1] > 390 * 25
    assert state[channel.S_BLOCKED] > 0.5 * finishes[0]


@given(
    st.integers(1, 50), st.integers(0, 400), st.integers(0, 50), st.integers(0, 400), st.integers(1, 40),
    st.integers(1, 200),
)  # fmt: skip
def test_a_window_of_credits_sends_so_many_a_round_trip(
    flit: int, latency: int, drain: int, credit: int, n_credits: int, n: int
) -> None:
    drain = min(drain, flit)  # the receiver keeps up
    _, _, finishes, state, _ = carry((flit, 0, latency, drain, credit), n_credits, False, [(0, 0, n)])
    period = max(n_credits * flit, flit + latency + drain + credit)
    windows, rest = divmod(n - 1, n_credits)
    assert finishes[0] == windows * period + rest * flit + flit + latency + drain
    assert state[channel.S_BLOCKED] == windows * (period - n_credits * flit)


@given(
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(0, 7),
    st.integers(0, 400),
    st.integers(0, 400),
    st.integers(1, 40),
)
def test_whole_packets_wait_for_the_credits_that_they_lack(
    packet: int, n_packets: int, spare: int, latency: int, credit: int, n: int
) -> None:
    flit, spare = 10, spare % packet
    _, starts, _, _, _ = carry((flit, 0, latency, 0, credit), packet * n_packets + spare, True, [(0, 0, packet)] * n)
    period = max(n_packets * packet * flit, (packet - spare) * flit + latency + credit)
    assert starts == [i // n_packets * period + i % n_packets * packet * flit for i in range(n)]


@pytest.mark.parametrize("block", [10, 40, 170])
def test_codewords_cost_half_of_their_length_on_average(block: int) -> None:
    flit, latency = 10, 100
    items = [(i * (20 * block + 1), 0, 1) for i in range(block)]  # every place in a codeword once
    _, starts, finishes, _, _ = carry((flit, block, latency, 0, 0), 64, False, items)
    waits = [finish - start - flit - latency for start, finish in zip(starts, finishes, strict=True)]
    assert sorted(waits) == list(range(block))
    whole = carry((flit, block, latency, 0, 0), 64, False, [(0, 0, 20 * block)])[2]
    assert whole == [20 * block * flit + latency]  # a stream of whole codewords waits for none of them


def mean_wait(load: float, flits: Any, flit_time: int = 100) -> tuple[float, float, float]:
    """Return the mean wait of random arrivals, what Pollaczek and Khinchine say, and how busy the wire was."""
    n = len(flits)
    service = flits * flit_time
    gaps = np.random.default_rng(7).exponential(float(service.mean()) / load, n)
    items = np.zeros((n, channel.N_ITEM), np.int64)
    items[:, channel.I_ARRIVAL] = np.cumsum(gaps).astype(np.int64)
    items[:, channel.I_FLITS] = flits
    _, starts, _, state, _ = carry((flit_time, 0, 5000, 0, 0), 4096, False, items)
    wait = float(np.mean(np.array(starts) - items[:, channel.I_ARRIVAL]))
    second_moment = float((service.astype(float) ** 2).mean())
    expected = load / float(service.mean()) * second_moment / (2 * (1 - load))
    return wait, expected, float(state[channel.S_BUSY] / state[channel.S_WIRE])


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("mix", ["alike", "short and long", "geometric"])
def test_random_arrivals_wait_as_queue_theory_says(mix: str, load: float) -> None:
    random = np.random.default_rng(11)
    n = 1_500_000 if load > 0.8 else 500_000
    flits = {
        "alike": lambda: np.full(n, 4),
        "short and long": lambda: random.choice([1, 9], n),
        "geometric": lambda: random.geometric(0.1, n),
    }[mix]()
    wait, expected, busy = mean_wait(load, flits)
    assert wait == pytest.approx(expected, rel=0.03)
    assert busy == pytest.approx(load, rel=0.01)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("items", "whole", "status", "item"),
    [
        ([(5, 0, 1), (4, 0, 1)], False, channel.NOT_IN_ORDER, 1),
        ([(5, 0, 1), (5, 0, 0)], False, channel.NO_FLITS, 1),
        ([(5, 3, 1)], False, channel.NO_SUCH_SENDER, 0),
        ([(5, -1, 1)], False, channel.NO_SUCH_SENDER, 0),
        ([(5, 0, 4), (6, 0, 5)], True, channel.LARGER_THAN_BUFFER, 1),
        ([(5, 0, 1), (2**62 + 1, 0, 1)], False, channel.TIME_TOO_LARGE, 1),
        ([(2**62, 0, 1)], False, channel.TIME_TOO_LARGE, 0),
        ([(-(2**63), 0, 1)], False, channel.NOT_IN_ORDER, 0),
    ],
)
def test_what_cannot_be_carried_is_an_error(items: Any, whole: bool, status: int, item: int) -> None:
    found, _, _, state, _ = carry((10, 0, 60, 0, 50), 4, whole, items)
    assert (found, state[channel.S_ITEM]) == (status, item)


@pytest.mark.nojit
def test_times_near_the_largest_integer_are_refused() -> None:
    assert carry((2**53 + 1, 0, 0, 0, 0), 4, False, [(0, 0, 1)])[0] == channel.TIME_TOO_LARGE
    assert carry((2**53, 0, 0, 0, 0), 4, False, [(0, 0, 1)])[0] == channel.DONE
    assert carry((2**53, 0, 0, 0, 0), 4, False, [(0, 0, 2**62)])[0] == channel.TIME_TOO_LARGE
