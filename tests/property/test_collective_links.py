"""Collectives on uneven links, several at once, against the plain twin; conservation; what is too large is refused."""

from typing import Any

import naive_collective
import networkx as nx
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.chips.parts.links.collective import Collective, EndpointCosts, LinkNetwork
from dieshot.chips.parts.links.schedule import ALGORITHMS, Plan, Transfer, schedule
from dieshot.simulator.errors import InputError
from dieshot.simulator.studies.micro.topology import chip_graph

MIB = 1 << 20
N = 5
LINKS = [(a, b) for a in range(N) for b in range(N) if a != b]


def run(
    graph: Any, plans: list[Plan], costs: EndpointCosts | None = None, starts: Any = None
) -> tuple[LinkNetwork, list[Collective]]:
    env = simpy.Environment()
    network = LinkNetwork(env, graph)
    starts = starts or [0] * len(plans)
    running = [
        Collective(env, f"{i}", network, plan, costs or EndpointCosts(), start)
        for i, (plan, start) in enumerate(zip(plans, starts, strict=True))
    ]
    env.run(env.all_of([each.process for each in running]))
    return network, running


def end_fs(collective: Collective) -> int:
    return max(collective.finish_fs)


@st.composite
def graphs(draw: st.DrawFn) -> Any:
    """Return a graph in which a ring joins all, with more links of any rate and latency."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    ring = [(a, (a + 1) % N) for a in range(N)]
    for a, b in ring + draw(st.lists(st.sampled_from(LINKS), max_size=8)):
        graph.add_edge(
            a, b, fs_per_mib=draw(st.integers(1, 9)) * MIB, latency_fs=draw(st.sampled_from([0, 1, 700, 5000]))
        )
    return graph


@st.composite
def plans(draw: st.DrawFn) -> list[Plan]:
    """Return up to three plans whose transfers wait for any of those before them, some for the same several."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        plan = Plan(N, (0,), range(N))
        gate: tuple[int, ...] = ()
        for i in range(draw(st.integers(1, 14))):
            if i and draw(st.booleans()):
                gate = tuple(draw(st.sets(st.integers(0, i - 1), max_size=4)))
            source, step, size, reduces = draw(
                st.tuples(st.integers(0, N - 1), st.integers(1, N - 1), st.integers(1, 4000), st.booleans())
            )
            plan.transfers.append(Transfer(source, (source + step) % N, 0, size, reduces, False, gate))
        found.append(plan)
    return found


@settings(max_examples=150)
@given(
    graphs(),
    plans(),
    st.lists(st.integers(0, 30_000), min_size=3, max_size=3).map(sorted),
    st.tuples(st.sampled_from([0, 1, 300]), st.sampled_from([0, 2 * MIB]), st.booleans()),
)
def test_several_at_once_on_uneven_links_act_as_their_plain_twin(
    graph: Any, several: list[Plan], starts: list[int], costs: tuple[int, int, bool]
) -> None:
    send, add, stored = costs
    starts = starts[: len(several)]
    network, running = run(graph, several, EndpointCosts(*costs), starts)
    transfers: list[Transfer] = []
    adders: dict[int, tuple[Any, int]] = {}
    begins: list[int] = []
    for i, plan in enumerate(several):
        first = len(transfers)
        for t in plan.transfers:
            if t.reduces and add:
                adders[len(transfers)] = (("adder", i, t.destination), add)
            begins.append(starts[i])
            transfers.append(
                Transfer(t.source, t.destination, 0, t.bytes, False, False, tuple(first + before for before in t.after))
            )
    routes = {(t.source, t.destination): list(network.links(t.source, t.destination)) for t in transfers}
    rates = {link: (lane.fs_per_mib, lane.latency_fs) for link, lane in network.lanes.items()}
    twin = naive_collective.finish_times(transfers, routes, rates, begins, stored, send, adders)
    assert [time for each in running for time in each.finish_fs] == twin
    for link, lane in network.lanes.items():
        crossing = [t.bytes for t in transfers if link in routes[t.source, t.destination]]
        assert lane.bytes == sum(crossing)
        assert lane.busy_fs == sum(size * lane.fs_per_mib // MIB for size in crossing)


@pytest.mark.parametrize("first", ["all-reduce", "all-to-all"])
@pytest.mark.parametrize("shape", ["ring:6", "torus:3x2", "full:6", "switch:6", "fat-tree:2x3"])
def test_together_none_is_faster_than_alone_and_no_byte_is_lost(first: str, shape: str) -> None:
    graph = chip_graph(shape, 20_000 * MIB, 100_000)
    both = [schedule(first, "ring", 6, 1 << 20, 2), schedule("all-gather", "direct", 6, 3 << 19, 2)]
    alone = [run(graph, [plan]) for plan in both]
    network, together = run(graph, both)
    for (_, (one,)), other in zip(alone, together, strict=True):
        assert end_fs(other) >= end_fs(one)
    assert max(map(end_fs, together)) <= sum(end_fs(one) for _, (one,) in alone)
    for link, lane in network.lanes.items():
        assert lane.bytes == sum(single.lanes[link].bytes for single, _ in alone)


@pytest.mark.parametrize("n", [3, 4, 7, 8])
def test_one_slow_link_sets_the_pace_of_a_ring(n: int) -> None:
    size, fs_per_mib, factor = 1 << 26, 20_000 * MIB, 3
    graph = chip_graph(f"ring:{n}", fs_per_mib, 100)
    graph.edges[1, 2]["fs_per_mib"] *= factor
    _, (collective,) = run(graph, [schedule("all-reduce", "ring", n, size, 32)])
    assert end_fs(collective) == pytest.approx(2 * (n - 1) / n * size * factor * fs_per_mib / MIB, rel=0.03)
    back, (other,) = run(graph, [schedule("all-reduce", "ring", n, size, 32, order=(0, *range(n - 1, 0, -1)))])
    assert back.lanes[1, 2].bytes == 0  # the other way round the slow direction is not used
    assert end_fs(other) == pytest.approx(2 * (n - 1) / n * size * fs_per_mib / MIB, rel=0.01)


def test_a_fast_link_serves_two_slow_ones_between_their_bytes() -> None:
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from([(0, -1), (1, -1)], fs_per_mib=200, latency_fs=10)
    graph.add_edge(-1, 2, fs_per_mib=100, latency_fs=10)
    sends = [Plan(3, (0,), range(3), [Transfer(s, 2, 0, 100 * MIB, False, False, ())]) for s in (0, 1)]
    network, running = run(graph, sends)
    assert [end_fs(each) for each in running] == [200 * 100 + 20] * 2
    assert network.lanes[-1, 2].busy_fs == 2 * 100 * 100
    graph.edges[-1, 2]["fs_per_mib"] = 400
    _, running = run(graph, sends)
    assert [end_fs(each) for each in running] == [400 * 100 + 20, 2 * 400 * 100 + 20]


def test_the_faster_direction_does_not_help_the_slower() -> None:
    graph = chip_graph("ring:2", 1000, 5)
    graph.edges[1, 0]["fs_per_mib"] = 10
    _, (collective,) = run(graph, [schedule("all-to-all", "direct", 2, 64 * MIB)])
    assert sorted(collective.finish_fs) == [32 * 10 + 5, 32 * 1000 + 5]


@pytest.mark.parametrize(("fs_per_mib", "latency_fs"), [(0, 1), ((1 << 42) + 1, 1), (1, -1), (1, 1 << 63)])
def test_links_beyond_what_can_be_counted_are_refused(fs_per_mib: int, latency_fs: int) -> None:
    with pytest.raises(InputError, match="link 0 to 1 is too slow or too long"):
        run(chip_graph("ring:2", fs_per_mib, latency_fs), [])


@pytest.mark.parametrize(
    ("bytes_", "fs_per_mib", "latency_fs"),
    [((1 << 62) + MIB, 1 << 20, 0), (1 << 50, 1 << 42, 0), (1 << 62, 2 << 20, 0), (1, 1, (1 << 62) - 1)],
)
def test_times_beyond_what_can_be_counted_are_refused(bytes_: int, fs_per_mib: int, latency_fs: int) -> None:
    plan = Plan(
        2, (0,), range(2), [Transfer(0, 1, 0, bytes_, False, False, ()), Transfer(1, 0, 0, 1, False, False, (0,))]
    )
    with pytest.raises(InputError, match=r"2\*\*62 fs"):
        run(chip_graph("ring:2", fs_per_mib, latency_fs), [plan])


def test_the_largest_times_are_exact() -> None:
    plan = Plan(2, (0,), range(2), [Transfer(0, 1, 0, (1 << 60) + 3, False, False, ())])
    _, (collective,) = run(chip_graph("ring:2", 3 << 20, 7), [plan])
    assert collective.finish_fs == [3 * ((1 << 60) + 3) + 7]


@pytest.mark.parametrize("kind", list(ALGORITHMS))
def test_repeating_gives_the_same(kind: str) -> None:
    plan = schedule(kind, "ring", 6, 100_003, 3)
    graph = chip_graph("torus:3x2", 7 * MIB, 1000)
    first, second = (run(graph, [plan, plan], EndpointCosts(3, MIB), [0, 500]) for _ in range(2))
    assert first[0].lanes == second[0].lanes
    assert [each.finish_fs for each in first[1]] == [each.finish_fs for each in second[1]]
