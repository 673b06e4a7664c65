"""Wormhole networks against their plain twin, closed forms and conservation."""

from typing import Any

import naive_noc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.chips.parts.noc.network import LATEST_CYCLE, MOST_FLITS, Network, RouterParameters, Wiring
from dieshot.kernels import noc_table
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.micro.noc_topology import topology

TOPOLOGIES = ("mesh:3x3", "torus:4x3", "ring:5", "crossbar:4", "fattree:2,3", "dragonfly:2,1,1", "torus:2x2", "ring:2")


def wiring_of(name: str) -> Wiring:
    shape = topology(name)
    return Wiring(shape.terminals, shape.links, shape.next_router, shape.vc_class, shape.takes_any, shape.n_classes)


def sorted_packets(rows: Any) -> tuple[Any, Any]:
    """Rows of source, cycle, destination, flits."""
    ordered = np.array(sorted(rows, key=lambda row: row[:2]), np.int64).reshape(-1, 4)
    return np.ascontiguousarray(ordered[:, 0]), np.ascontiguousarray(ordered[:, 1:])


def send(name: str, rows: Any, stop: int = 100_000, **parameters: Any) -> Any:
    sources, packets = sorted_packets(rows)
    return Network(wiring_of(name), RouterParameters(**parameters)).deliver(sources, packets, 0, stop, stop)


@st.composite
def cases(draw: st.DrawFn) -> Any:
    name = draw(st.sampled_from(TOPOLOGIES))
    n = len(topology(name).terminals)
    row = st.tuples(
        st.integers(0, n - 1), st.integers(0, 60), st.integers(0, n - 1), st.one_of(st.integers(1, 6), st.just(20))
    )
    speedup = draw(st.sampled_from([1, 2, 3]))
    parameters = {
        "n_vcs": draw(st.integers(topology(name).n_classes, 9)),
        "buffer_flits": draw(st.integers(1, 5)),
        "input_speedup": speedup,
        "waits_for_tail_credit": draw(st.booleans()),
        "link_cycles": draw(st.integers(1, 4)),
        "credit_cycles": draw(st.integers(0, 3)),
    }
    return name, draw(st.lists(row, max_size=80)), parameters


@settings(max_examples=120)
@given(cases())
def test_network_acts_as_its_plain_twin(case: Any) -> None:
    name, rows, parameters = case
    sources, packets = sorted_packets(rows)
    outcome = send(name, rows, **parameters)
    twin = naive_noc.Network(wiring_of(name), RouterParameters(**parameters))
    twin.run(sources.tolist(), packets.tolist(), 100_000)
    assert len(twin.arrivals) == len(packets)
    assert outcome.delivered[:, 0].tolist() == [twin.injected[i] for i in range(len(packets))]
    assert outcome.delivered[:, 1].tolist() == [twin.arrivals[i] for i in range(len(packets))]
    assert outcome.delivered[:, 2].tolist() == packets[:, 2].tolist()


@pytest.mark.nojit
@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("flits", [1, 5])
@pytest.mark.parametrize("link_cycles", [1, 3])
def test_a_lone_packet_takes_its_stages_once(name: str, flits: int, link_cycles: int) -> None:
    network = Network(wiring_of(name), RouterParameters(link_cycles=link_cycles))
    hops = network.hops()
    for source, destination in np.ndindex(hops.shape):
        one = np.array([[7, destination, flits]], np.int64)
        delivered = network.deliver(np.array([source]), one, 0, 1000, 1000).delivered[0]
        # In and out of every router a link of 1 + link_cycles; in it one cycle each for two allocations and no more.
        expected = (1 + link_cycles) + hops[source, destination] * (2 + 1 + link_cycles) + flits - 1
        assert delivered.tolist() == [7, 7 + expected, flits]


@pytest.mark.nojit
@pytest.mark.parametrize(("extra", "slower"), [(0, False), (1, True)])
def test_a_buffer_that_covers_the_credit_loop_never_stalls(extra: int, slower: bool) -> None:
    # The loop of a credit: crossbar and link 3 cycles, switch at once, back 2 and its own delay 2.
    rows = [(0, 0, 1, 40)]
    full = send("mesh:2x1", rows, n_vcs=2, buffer_flits=64).delivered[0, 1]
    assert (send("mesh:2x1", rows, n_vcs=2, buffer_flits=7 - extra).delivered[0, 1] > full) == slower


@pytest.mark.parametrize("name", ["torus:4x4", "ring:16", "dragonfly:2,2,2", "fattree:2,3", "mesh:4x4", "crossbar:8"])
@pytest.mark.parametrize(("waits", "n_vcs", "buffer_flits"), [(True, 2, 2), (False, 2, 2), (False, 4, 1), (True, 3, 1)])
def test_nothing_is_lost_or_stuck_beyond_saturation(name: str, waits: bool, n_vcs: int, buffer_flits: int) -> None:
    random = np.random.default_rng(5)
    n = len(topology(name).terminals)
    rows = [(s, t, d, f) for s in range(n) for t, d, f in
            zip(range(400), random.integers(0, n, 400), random.choice([1, 2, 4, 8, 20], 400), strict=True)]  # fmt: skip
    outcome = send(name, rows, n_vcs=n_vcs, buffer_flits=buffer_flits, waits_for_tail_credit=waits, stop=10**7)
    assert outcome.status == noc_table.DONE
    assert (outcome.delivered[:, 2] == outcome.packets[:, 2]).all()
    assert outcome.ejected_flits == outcome.packets[:, 2].sum()
    hops = Network(wiring_of(name), RouterParameters()).hops()
    sources = np.repeat(np.arange(n), 400)
    assert outcome.flit_hops == (hops[sources, outcome.packets[:, 1]] * outcome.packets[:, 2]).sum()


@pytest.mark.nojit
def test_a_torus_without_classes_gets_stuck_and_says_so() -> None:
    shape = topology("ring:4")
    rows = [(s, 0, (s + 2) % 4, 64) for s in (0, 2)] + [(s, 0, (s + 2) % 4, 64) for s in (1, 3)]
    next_up = shape.next_router.copy()
    for router in range(4):
        for terminal in range(4):
            if router != terminal:
                next_up[router, terminal] = (router + 1) % 4
    looped = Wiring(shape.terminals, shape.links, next_up, np.full_like(shape.vc_class, -1), shape.takes_any, 1)
    sources, packets = sorted_packets(rows)
    with pytest.raises(RuntimeError, match="deadlock"):
        Network(looped, RouterParameters(1, 2, 1)).deliver(sources, packets, 0, 10**6, 10**6)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("packet", "words"),
    [
        ((LATEST_CYCLE + 1, 0, 1), "cycle of creation: packet 0; expected 0 to"),
        ((-1, 0, 1), "cycle of creation: packet 0; expected 0 to"),
        ((0, 4, 1), "destination: packet 0; expected 0 to 3; got 4"),
        ((0, 0, 0), "flits: packet 0; expected 1 to"),
        ((0, 0, MOST_FLITS + 1), "flits: packet 0; expected 1 to"),
    ],
)
def test_packets_out_of_range_are_refused(packet: Any, words: str) -> None:
    with pytest.raises(InputError) as error:
        send("ring:4", [(0, *packet)])
    assert words in str(error.value)


@pytest.mark.nojit
def test_packets_late_but_in_range_arrive() -> None:
    late = LATEST_CYCLE - 1000
    assert send("mesh:2x1", [(0, late, 1, 1)], stop=LATEST_CYCLE).delivered.tolist() == [[late, late + 10, 1]]


def test_too_few_virtual_channels_are_refused() -> None:
    with pytest.raises(InputError, match="n_vcs: too few virtual channels; expected at least 2"):
        Network(wiring_of("ring:4"), RouterParameters(1, 8, 1))
