"""Reserved channels at the edges of what 63 bits can count."""

import numpy as np
import pytest

from dieshot.chips.parts.noc.network import Network, RouterParameters, Wiring
from dieshot.chips.parts.noc.reserved import ReservedNetwork
from dieshot.kernels import noc_path
from dieshot.kernels.noc_path import IN_ORDER, LIMIT
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.micro.noc_topology import topology

CHAIN = np.array([[0, 1, 0], [1, 2, 1]], np.int64)
FAR = (1 << 63) - 1


def reserved(name: str = "mesh:2x1") -> ReservedNetwork:
    shape = topology(name)
    wiring = Wiring(shape.terminals, shape.links, shape.next_router, shape.vc_class, shape.takes_any, shape.n_classes)
    return ReservedNetwork(Network(wiring, RouterParameters()))


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("start", "flits", "hop", "taken", "edge"),
    [
        (LIMIT - 10, 1, 10, 0, IN_ORDER),
        (LIMIT - 9, 1, 10, 0, 1),
        (LIMIT + 1, 1, 10, 0, 0),
        (-1, 1, 10, 0, 0),
        (FAR, 1, 10, 0, 0),
        (0, LIMIT, 10, 0, IN_ORDER),
        (0, LIMIT + 1, 10, 0, 0),
        (0, 0, 10, 0, 0),
        (0, FAR, 10, 0, 0),
        (0, 1, LIMIT, 0, IN_ORDER),
        (0, 1, LIMIT + 1, 0, 0),
        (1, 1, LIMIT, 0, 1),
        (0, 1, FAR, 0, 0),
        (0, 1, -1, 0, 0),
        (0, 1, 10, LIMIT + 1, 0),
        (0, 1, 10, FAR, 0),
        (0, 1, 10, -1, 0),
    ],
)
def test_a_multicast_is_timed_or_refused_at_the_limit(start: int, flits: int, hop: int, taken: int, edge: int) -> None:
    arrival = np.zeros(3, np.int64)
    free = np.full(2, taken, np.int64)
    assert noc_path.multicast(start, flits, hop, 0, free, CHAIN, arrival) == edge
    if edge == IN_ORDER:
        assert arrival.tolist() == [start, start + hop, start + 2 * hop]
        assert free.tolist() == [start + flits, start + hop + flits]


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("ready", "flits", "hop", "combine", "taken", "edge"),
    [
        (LIMIT - 15, 1, 10, 5, 0, IN_ORDER),
        (LIMIT - 9, 1, 10, 5, 0, 1),
        (LIMIT + 1, 1, 10, 5, 0, 0),
        (-1, 1, 10, 5, 0, 0),
        (FAR, 1, 10, 5, 0, 0),
        (0, LIMIT, 10, 5, 0, IN_ORDER),
        (0, FAR, 10, 5, 0, 0),
        (0, 0, 10, 5, 0, 0),
        (0, 1, LIMIT, 0, 0, IN_ORDER),
        (0, 1, FAR, 5, 0, 0),
        (0, 1, 10, LIMIT, 0, IN_ORDER),
        (0, 1, 10, FAR, 0, 0),
        (0, 1, 10, 5, LIMIT + 1, 0),
        (0, 1, 10, 5, FAR, 0),
    ],
)
def test_a_reduction_is_timed_or_refused_at_the_limit(
    ready: int, flits: int, hop: int, combine: int, taken: int, edge: int
) -> None:
    first = np.array([ready, 0, 0], np.int64)
    inputs = np.ones(3, np.int64)
    up = np.array([[1, 0, 0], [2, 1, 1]], np.int64)
    found = noc_path.reduce_tree(flits, hop, combine, np.full(2, taken, np.int64), up, inputs, first)
    assert found == edge
    if edge == IN_ORDER:
        # The middle combines its own flits with those of the leaf.
        assert first.tolist() == [ready, ready + hop, ready + 2 * hop + combine]


@pytest.mark.parametrize(("start", "flits"), [(LIMIT + 1, 1), (0, LIMIT + 1), (-1, 1), (0, 0)])
def test_trees_out_of_range_are_refused_by_name(start: int, flits: int) -> None:
    with pytest.raises(InputError, match="edge 0 of a tree"):
        reserved().multicast(0, [1], flits, start)
    with pytest.raises(InputError, match="edge 0 of a tree"):
        reserved().reduce(0, [1], flits, 1, start)


@pytest.mark.nojit
def test_circuits_and_slots_that_would_overflow_are_refused() -> None:
    path, bounds = np.array([0, 1], np.int64), np.array([0, 2], np.int64)
    for start, flits, hop in ((LIMIT, 1, 1), (0, LIMIT, 1), (0, 1, LIMIT), (FAR, 1, 1), (0, FAR, 1), (0, 1, FAR)):
        message, out = np.array([[start, flits]], np.int64), np.zeros((1, 2), np.int64)
        assert noc_path.reserve_circuits(hop, np.zeros(2, np.int64), message, bounds, path, out) == 0
    for start, flits, hop in ((FAR, 1, 1), (0, FAR, 1), (0, 1, FAR), (-1, 1, 1), (0, 0, 1)):
        message, out = np.array([[start, flits]], np.int64), np.zeros((1, 2), np.int64)
        taken = np.full((2, 16), -1, np.int64)
        assert noc_path.schedule_slots(hop, taken, message, bounds, path, out) == 0
