"""A network between the parts of a chip: windows of packets in, arrivals out."""

from collections.abc import Generator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from dieshot.chips.parts.noc.network import Network, NetworkState, RouterParameters, Wiring
from dieshot.chips.parts.noc.packet_network import ARRIVED_FS, ARRIVED_TAG, PacketNetwork, Window
from dieshot.kernels import noc_table
from dieshot.simulator.engine.port import Port
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.micro.noc_topology import topology

pytestmark = pytest.mark.kernels

CYCLE_FS = 500_000
END_CYCLE = 4_000


def network(name: str = "torus:4x3", **parameters: Any) -> Network:
    shape = topology(name)
    wiring = Wiring(shape.terminals, shape.links, shape.next_router, shape.vc_class, shape.takes_any, shape.n_classes)
    return Network(wiring, RouterParameters(**parameters))


def sent(rows: Any) -> Any:
    """Rows of cycle, source, destination, flits; tagged by their places."""
    table = np.array([(*row, tag) for tag, row in enumerate(rows)], np.int64).reshape(-1, 5)
    table[:, 0] *= CYCLE_FS
    return table


def in_one_go(built: Network, packets: Any) -> list[list[int]]:
    order = np.lexsort((packets[:, 0], packets[:, 1]))
    rows = np.ascontiguousarray(packets[order][:, [0, 2, 3]])
    rows[:, 0] //= CYCLE_FS
    arrived = built.deliver(packets[order][:, 1].copy(), rows, 0, END_CYCLE, 10**6).delivered[:, 1]
    return sorted([int(cycle) * CYCLE_FS, int(tag)] for cycle, tag in zip(arrived, packets[order][:, 4], strict=True))


packet_rows = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 11), st.integers(0, 11), st.integers(1, 8)), max_size=120
)


@given(packet_rows, st.lists(st.integers(1, 250), max_size=8), st.booleans())
def test_windows_change_nothing(rows: Any, cuts: list[int], waits: bool) -> None:
    built = network(n_vcs=3, buffer_flits=2, waits_for_tail_credit=waits)
    packets = sent(rows)
    env = simpy.Environment()
    part = PacketNetwork(env, "noc", built, CYCLE_FS, Port(env, 0), Port(env, 0))
    ends = [0, *sorted({cut * CYCLE_FS for cut in cuts}), None]
    answers = []
    for start, end in pairwise(ends):
        assert start is not None
        of_window = (packets[:, 0] >= start) & ((packets[:, 0] < end) if end is not None else True)
        answer = part.serve(Window(end, packets[of_window]))
        assert all(start - CYCLE_FS <= at and (end is None or at < end) for at in answer[:, ARRIVED_FS].tolist())
        answers += answer.tolist()
    assert answers == in_one_go(built, packets)


def test_a_chip_puts_it_between_its_parts() -> None:
    built = network("mesh:4x4")
    env = simpy.Environment()
    window_fs, n_windows = 50 * CYCLE_FS, 20
    work, done = Port(env, 0), Port(env, 0)
    part = PacketNetwork(env, "noc", built, CYCLE_FS, work, done)
    random = np.random.default_rng(3)
    received: list[tuple[int, list[int]]] = []
    everything = []

    def core() -> Generator[simpy.Event, Any, None]:
        for i in range(n_windows):
            yield env.timeout((i + 1) * window_fs - int(env.now))
            n = int(random.integers(0, 40))
            rows = np.empty((n, 5), np.int64)
            rows[:, 0] = i * window_fs + random.integers(0, 50, n) * CYCLE_FS
            rows[:, 1], rows[:, 2] = random.integers(0, 16, n), random.integers(0, 16, n)
            rows[:, 3], rows[:, 4] = random.integers(1, 5, n), 1_000 * i + np.arange(n)
            everything.append(rows)
            work.send(Window((i + 1) * window_fs, rows))
        work.send(Window(None, np.zeros((0, 5), np.int64)))

    def memory() -> Generator[simpy.Event, Any, None]:
        for _ in range(n_windows + 1):
            arrivals = yield done.receive()
            received.extend((int(env.now), row) for row in arrivals.tolist())

    env.process(core())
    env.run(env.process(memory()))
    packets = np.concatenate(everything)
    assert [row for _, row in received] == in_one_go(built, packets)
    assert all(row[ARRIVED_FS] <= now for now, row in received[:-1] if now < n_windows * window_fs)
    assert part.flit_hops == (built.hops()[packets[:, 1], packets[:, 2]] * packets[:, 3]).sum()
    assert {row[ARRIVED_TAG] for _, row in received} == set(packets[:, 4].tolist())


@pytest.mark.nojit
def test_packets_of_other_windows_are_refused() -> None:
    env = simpy.Environment()
    part = PacketNetwork(env, "noc", network(), CYCLE_FS, Port(env, 0), Port(env, 0))
    part.serve(Window(10 * CYCLE_FS, sent([(9, 0, 1, 1)])))
    for cycle in (9, 20):
        with pytest.raises(InputError, match="noc: packet 0 is not of this window; expected 5000000 to 9999999 fs"):
            part.serve(Window(20 * CYCLE_FS, sent([(cycle, 0, 1, 1)])))
    with pytest.raises(InputError, match="destination: packet 0"):
        part.serve(Window(20 * CYCLE_FS, sent([(10, 0, 12, 1)])))


@pytest.mark.nojit
def test_a_source_sends_in_order() -> None:
    state = NetworkState(network())
    state.add(np.array([0]), np.array([[50, 1, 1]]))
    with pytest.raises(InputError, match="later than those of their source before"):
        state.add(np.array([0]), np.array([[49, 1, 1]]))
    assert state.advance(40) == noc_table.STOPPED
    state.add(np.array([1]), np.array([[40, 2, 1]]))
    assert state.advance(1_000) == noc_table.DONE
    with pytest.raises(InputError, match="cycle of creation: packet 0"):
        state.add(np.array([1]), np.array([[40, 2, 1]]))
