"""Networks on a die: topologies and their routes, reserved channels, patterns, and what the command refuses."""

import json
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dieshot.chips.parts.noc.network import Network, RouterParameters, Wiring
from dieshot.chips.parts.noc.reserved import ReservedNetwork
from dieshot.kernels import noc_path
from dieshot.simulator.cli.main import main
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.micro.noc import noc
from dieshot.simulator.studies.micro.noc_pattern import destinations
from dieshot.simulator.studies.micro.noc_topology import topology

SHAPES = {
    "mesh:4x3": (12, 12, 34),
    "mesh:3x3x3": (27, 27, 108),
    "torus:4x4": (16, 16, 64),
    "ring:7": (7, 7, 14),
    "crossbar:5": (5, 1, 0),
    "fattree:2,3": (8, 12, 32),
    "fattree:4,2": (16, 8, 32),
    "dragonfly:4,2,2": (72, 36, 36 * 3 + 36 * 2),
}


def built(name: str) -> Network:
    shape = topology(name)
    wiring = Wiring(shape.terminals, shape.links, shape.next_router, shape.vc_class, shape.takes_any, shape.n_classes)
    return Network(wiring, RouterParameters())


@pytest.mark.parametrize("name", SHAPES)
def test_a_topology_has_its_terminals_routers_and_links(name: str) -> None:
    shape = topology(name)
    counts = len(shape.terminals), shape.graph.number_of_nodes(), shape.graph.number_of_edges()
    assert counts == SHAPES[name]


@pytest.mark.parametrize("name", [*SHAPES, "torus:5x4", "ring:8"])
def test_routes_follow_links_and_are_the_shortest(name: str) -> None:
    shape = topology(name)
    shortest = dict(nx.all_pairs_shortest_path_length(shape.graph))
    n = len(shape.terminals)
    for source, destination in np.ndindex(n, n):
        path = shape.routers_visited(source, destination)
        assert all(shape.graph.has_edge(a, b) for a, b in pairwise(path))
        assert path[-1] == shape.terminals[destination]
        least = shortest[path[0]][path[-1]]
        # A dragonfly takes its one global link between two groups, at most one local hop before and after it.
        assert len(path) - 1 == least or (name.startswith("dragonfly") and least <= len(path) - 1 <= 3)
        assert len(path) == built_hops(name)[source, destination]


def built_hops(name: str, known: dict[str, Any] = {}) -> Any:  # noqa: B006
    if name not in known:
        known[name] = built(name).hops()
    return known[name]


CLASSED = ["torus:5x4", "ring:2", "ring:8", "ring:7", "torus:3x3x3", "dragonfly:4,2,2", "fattree:3,3", "mesh:3x3"]


def hops_and_classes(shape: Any, source: int, destination: int) -> list[tuple[tuple[int, int], int, bool]]:
    """Return for every link on a way: the link, its class, and whether others will do."""
    path = shape.routers_visited(source, destination)
    return [
        (link, int(shape.vc_class[link[0], destination]), bool(shape.takes_any[link[0], destination]))
        for link in pairwise(path)
    ]


def classes_of(shape: Any, vc_class: int) -> list[int]:
    return list(range(shape.n_classes)) if vc_class < 0 else [vc_class]


@pytest.mark.parametrize("name", CLASSED)
def test_no_cycle_of_packets_can_wait_within_their_classes(name: str) -> None:
    shape = topology(name)
    waits: nx.DiGraph[Any] = nx.DiGraph()
    for source, destination in np.ndindex(len(shape.terminals), len(shape.terminals)):
        for (link, held, _), (onward, wanted, _) in pairwise(hops_and_classes(shape, source, destination)):
            waits.add_edges_from(
                ((link, a), (onward, b)) for a in classes_of(shape, held) for b in classes_of(shape, wanted)
            )
    assert nx.is_directed_acyclic_graph(waits)


@pytest.mark.parametrize("name", CLASSED)
def test_no_cycle_of_packets_can_wait_for_their_ways_out(name: str) -> None:
    # A packet may hold whatever it takes; it waits in the end for the class that is its way out, here or further on.
    shape = topology(name)
    last = shape.n_classes - 1
    waits: nx.DiGraph[Any] = nx.DiGraph()
    for source, destination in np.ndindex(len(shape.terminals), len(shape.terminals)):
        way = hops_and_classes(shape, source, destination)
        for i, (link, held, takes_any) in enumerate(way):
            may_hold = range(shape.n_classes) if takes_any else classes_of(shape, held)
            outs = [(onward, last if any_ else wanted) for onward, wanted, any_ in way[i + 1 :]]
            waits.add_edges_from(((link, a), out) for a in may_hold for out in outs)
    assert nx.is_directed_acyclic_graph(waits)


@st.composite
def messages(draw: st.DrawFn) -> Any:
    row = st.tuples(st.integers(0, 8), st.integers(0, 40), st.integers(0, 8), st.integers(1, 5))
    return sorted(draw(st.lists(row, min_size=1, max_size=30)), key=lambda each: each[1])


@given(messages())
def test_slots_are_the_first_free_ones(rows: Any) -> None:
    reserved = ReservedNetwork(built("mesh:3x3"))
    table = np.array(rows, np.int64)
    given_slots = reserved.reserve("static", table[:, 0].copy(), np.ascontiguousarray(table[:, 1:]))
    taken: set[tuple[int, int]] = set()
    for (source, created, destination, flits), (start, end) in zip(rows, given_slots.tolist(), strict=True):
        path = reserved.path(source, destination)

        def slots(at: int, path: list[int] = path, flits: int = flits) -> set[tuple[int, int]]:
            return {(c, at + 2 * k + f) for k, c in enumerate(path) for f in range(flits)}

        first = next(at for at in range(created, created + 4000) if not slots(at) & taken)
        assert (start, end) == (first, first + 2 * len(path) + flits - 1)
        taken |= slots(first)


@given(messages())
def test_circuits_hold_their_path_alone(rows: Any) -> None:
    reserved = ReservedNetwork(built("mesh:3x3"))
    table = np.array(rows, np.int64)
    entered = reserved.reserve("circuit", table[:, 0].copy(), np.ascontiguousarray(table[:, 1:]))
    free: dict[int, int] = {}
    for (source, created, destination, flits), (start, end) in zip(rows, entered.tolist(), strict=True):
        path = reserved.path(source, destination)
        granted = max([created, *(free.get(channel, 0) for channel in path)])
        assert start == granted + 2 * 2 * len(path)
        assert end == start + 2 * len(path) + flits - 1
        free |= dict.fromkeys(path, end + 1)


def test_a_full_window_gives_no_slot() -> None:
    reserved = ReservedNetwork(built("mesh:2x1"))
    rows = np.array([[0, 1, 4080], [0, 1, 20]], np.int64)
    assert reserved.reserve("static", np.zeros(2, np.int64), rows).tolist() == [[0, 4085], [-1, -1]]


@pytest.mark.parametrize("routing", ["circuit", "static"])
def test_reservations_near_the_end_of_time_are_refused(routing: str) -> None:
    reserved = ReservedNetwork(built("mesh:2x1"))
    late = np.array([[noc_path.LIMIT + 1, 1, 1]], np.int64)
    with pytest.raises(InputError, match="cycle of creation: packet 0; expected 0 to"):
        reserved.reserve(routing, np.zeros(1, np.int64), late)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("flits", [1, 9])
def test_a_broadcast_reaches_everyone_after_its_hops(name: str, flits: int) -> None:
    network = built(name)
    n = network.n_terminals
    arrivals = ReservedNetwork(network).multicast(0, list(range(1, n)), flits)
    assert arrivals.tolist() == [2 * (int(hops) + 1) + flits - 1 for hops in network.hops()[0, 1:]]


def test_a_reduction_combines_at_every_join_of_the_longest_way() -> None:
    reserved = ReservedNetwork(built("ring:4"))
    # From terminal 2 by router 2 to router 1 or 3 (joins its terminal), router 0 (joins) and terminal 0 (joins).
    assert reserved.reduce(0, [0, 1, 2, 3], 5, combine_cycles=1) == 4 * 2 + 3 + 4
    alone = ReservedNetwork(built("ring:4"))
    assert alone.reduce(0, [2], 5, combine_cycles=1) == 4 * 2 + 4


def test_trees_on_a_taken_channel_wait() -> None:
    reserved = ReservedNetwork(built("mesh:2x1"))
    first = reserved.multicast(0, [1], 10)
    assert reserved.multicast(0, [1], 10).tolist() == (first + 10).tolist()


def test_patterns_go_where_they_say() -> None:
    random = np.random.default_rng(0)
    everyone = np.arange(16)
    assert destinations("transpose", everyone, 16, (4, 4), random).tolist()[:5] == [0, 4, 8, 12, 1]
    assert destinations("neighbour", everyone, 16, (4, 4), random).tolist()[:4] == [5, 6, 7, 4]
    many = np.zeros(100_000, np.int64)
    assert np.mean(destinations("hotspot", many, 16, (16,), random) == 0) == pytest.approx(0.1 + 0.9 / 16, rel=0.03)
    assert np.bincount(destinations("uniform", many, 16, (16,), random)).min() > 5_800


@pytest.mark.parametrize("name", ["torus:4x4", "ring:8", "crossbar:8", "fattree:2,3", "dragonfly:2,1,1"])
@pytest.mark.parametrize("routing", ["wormhole", "static"])
def test_a_light_load_is_accepted_whole(name: str, routing: str) -> None:
    record = noc(name, rate=0.05, packet=3, cycles=2_000, warmup=200, routing=routing)
    assert record["stable"]
    assert record["accepted_rate"] == pytest.approx(0.05, rel=0.2)
    assert record["n_packets"] == record["n_packets_arrived"]


def test_one_seed_gives_one_answer() -> None:
    first, again, other = (noc("mesh:4x4", 0.3, cycles=500, seed=seed) for seed in (3, 3, 4))
    timed = ("wall_s", "simulated_cycles_per_s", "flits_per_s")
    assert {k: v for k, v in first.items() if k not in timed} == {k: v for k, v in again.items() if k not in timed}
    assert first["n_packets"] != other["n_packets"]


def test_the_command_prints_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    words = "micro noc mesh:4x4 --rate 0.1 --packet 2 --cycles 500 --warmup 100 --json"
    assert main(words.split()) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["latency_mean_cycles"] >= 4 * 2 + 2
    assert {"latency_p99_cycles", "accepted_rate", "hops_mean", "stable", "flits_per_s"} <= set(record)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("mehs:8x8", "unknown topology; expected one of mesh:8x8, torus:8x8, ring:16"),
        ("mehs:8x8", "did you mean 'mesh'?"),
        ("mesh:0x8", "not the size of a network"),
        ("mesh:8", "not the size of a network"),
        ("crossbar:-3", "not the size of a network"),
        ("fattree:4", "not the size of a network"),
        ("mesh:8x8 --rate 0", "--rate: not a rate"),
        ("mesh:8x8 --rate nan", "--rate: not a rate"),
        ("mesh:8x8 --rate -1", "--rate: not a rate"),
        ("mesh:8x8 --pattern unifrom", "did you mean 'uniform'?"),
        ("mesh:8x8 --routing wormwhole", "did you mean 'wormhole'?"),
        ("mesh:4x2 --pattern transpose", "no square to transpose"),
        ("mesh:8x8 --packet 0", "'--packet'"),
        ("torus:8x8 --vcs 1", "--vcs: too few virtual channels; expected at least 2"),
        ("mesh:8x8 --cycles 99999999 --rate 1", "too much traffic"),
    ],
)
def test_nonsense_is_refused_in_one_line(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["micro", "noc", *words.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert complaint in captured.err
