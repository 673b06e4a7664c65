"""Collectives: everybody ends with everybody's contribution, no byte is lost, times as the plain twin and as theory."""

from collections import Counter
from typing import Any

import naive_collective
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from dieshot.chips.parts.links.collective import Collective, EndpointCosts, LinkNetwork
from dieshot.chips.parts.links.schedule import (
    ALGORITHMS,
    POWER_OF_TWO,
    SWITCH,
    Plan,
    Transfer,
    double_tree,
    n_transfers,
    schedule,
)
from dieshot.simulator.studies.micro.topology import chip_graph, ring_order

MIB = 1 << 20
NS = 10**6
KINDS = [(kind, algorithm) for kind, algorithms in ALGORITHMS.items() for algorithm in algorithms]
SHAPES = ("ring", "torus", "full", "switch", "fat-tree")


def run(
    graph: Any, plans: list[Plan], costs: EndpointCosts, starts: Any = None
) -> tuple[LinkNetwork, list[Collective]]:
    env = simpy.Environment()
    network = LinkNetwork(env, graph)
    starts = starts or [0] * len(plans)
    running = [
        Collective(env, f"{i}", network, plan, costs, start)
        for i, (plan, start) in enumerate(zip(plans, starts, strict=True))
    ]
    env.run(env.all_of([each.process for each in running]))
    return network, running


def topology(shape: str, n: int) -> str:
    if shape == "fat-tree":
        return f"fat-tree:{n // 2}x2" if n % 2 == 0 else f"tree:1x{n}"
    return f"torus:{n // 2}x2" if shape == "torus" and n % 2 == 0 else f"{'ring' if shape == 'torus' else shape}:{n}"


def initial(kind: str, plan: Plan) -> dict[tuple[int, int], set[int]]:
    """Return what every rank holds before: its own contribution to a block, or the blocks that it owns."""
    n = plan.n_ranks
    blocks = range(len(plan.block_bytes))
    if kind in ("all-reduce", "reduce-scatter"):
        return {(rank, block): {rank} for rank in range(n) for block in blocks}
    owner = {"all-gather": lambda block: block % n, "broadcast": lambda _: 0}.get(kind, lambda block: block // n % n)
    return {(owner(block), block): {owner(block)} for block in blocks}


def expected(kind: str, plan: Plan) -> dict[tuple[int, int], set[int]]:
    n, every = plan.n_ranks, set(range(plan.n_ranks))
    blocks = range(len(plan.block_bytes))
    if kind == "all-reduce":
        return {(rank, block): every for rank in range(n) for block in blocks}
    if kind == "reduce-scatter":
        return {(block % n, block): every for block in blocks}
    if kind == "all-to-all":
        return {(block % n, block): {block // n % n} for block in blocks}
    return {(rank, block): {0 if kind == "broadcast" else block % n} for rank in range(n) for block in blocks}


@pytest.mark.parametrize(("kind", "algorithm"), KINDS)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8])
def test_every_rank_ends_with_every_contribution_once(kind: str, algorithm: str, n: int) -> None:
    if (kind, algorithm) in POWER_OF_TWO and n & (n - 1):
        with pytest.raises(ValueError, match="power of two"):
            schedule(kind, algorithm, n, 999)
        return
    for shape in ("switch",) if algorithm == "in-switch" else SHAPES:
        for depth in (0, 1, 2):
            plan = schedule(kind, algorithm, n, 100_003, 3, depth, ring_order(topology(shape, n)))
            graph = chip_graph(topology(shape, n), 7 * MIB, 1000)
            _, (collective,) = run(graph, [plan], EndpointCosts(3, 2 * MIB, False))
            start = initial(kind, plan)
            held = naive_collective.contributions(plan.transfers, collective.begin_fs, collective.finish_fs, start)
            want = expected(kind, plan)
            assert {key: held.get(key, set()) for key in want} == want


@pytest.mark.parametrize(("kind", "algorithm"), [pair for pair in KINDS if pair[1] != "in-switch"])
@pytest.mark.parametrize("shape", SHAPES)
def test_bytes_sent_are_bytes_received(kind: str, algorithm: str, shape: str) -> None:
    plan = schedule(kind, algorithm, 8, 80_001, 2)
    network, _ = run(chip_graph(topology(shape, 8), 3 * MIB, 500), [plan], EndpointCosts())
    hops = sum(t.bytes * len(network.route(t.source, t.destination)) for t in plan.transfers)
    assert sum(lane.bytes for lane in network.lanes.values()) == hops
    for node in range(8):
        arrived = sum(lane.bytes for (_, b), lane in network.lanes.items() if b == node)
        left = sum(lane.bytes for (a, _), lane in network.lanes.items() if a == node)
        own = sum(t.bytes * ((t.source == node) - (t.destination == node)) for t in plan.transfers)
        assert left - arrived == own


@pytest.mark.parametrize(("kind", "algorithm"), KINDS)
@pytest.mark.parametrize("n", [16, 17])
def test_many_ranks_end_with_every_contribution_once(kind: str, algorithm: str, n: int) -> None:
    if (kind, algorithm) in POWER_OF_TWO and n == 17:
        return
    plan = schedule(kind, algorithm, n, 5 * n + 3, 2)
    _, (collective,) = run(chip_graph(f"switch:{n}", 7 * MIB, 1000), [plan], EndpointCosts(3, 2 * MIB, False))
    start = initial(kind, plan)
    held = naive_collective.contributions(plan.transfers, collective.begin_fs, collective.finish_fs, start)
    want = expected(kind, plan)
    assert {key: held.get(key, set()) for key in want} == want


@pytest.mark.parametrize(("kind", "algorithm"), KINDS)
def test_transfers_are_as_many_as_told(kind: str, algorithm: str) -> None:
    for n in (2, 4, 8) if (kind, algorithm) in POWER_OF_TWO else (2, 3, 5, 6, 7, 8):
        assert len(schedule(kind, algorithm, n, 100_003, 3).transfers) == n_transfers(kind, algorithm, n, 3)


@pytest.mark.parametrize(("kind", "algorithm"), [pair for pair in KINDS if pair[1] != "in-switch"])
def test_nothing_is_sent_of_empty_blocks(kind: str, algorithm: str) -> None:
    plan = schedule(kind, algorithm, 8, 1, 4)
    assert all(t.bytes == 1 for t in plan.transfers)
    # The only byte is in one block: of one rank, or (all-to-all) in that of all ranks for one.
    assert len(plan.transfers) <= 56


@pytest.mark.parametrize("n", range(2, 65))
def test_the_leaves_of_one_tree_carry_the_other(n: int) -> None:
    inner = []
    for tree in double_tree(range(n)):
        assert sorted(child for _, child in tree) == list(range(n))
        depth = {SWITCH: -1}
        for parent, child in tree:
            depth[child] = depth[parent] + 1
        children = Counter(parent for parent, _ in tree)
        del children[SWITCH]
        assert max(children.values()) <= 2
        assert max(depth.values()) == n.bit_length() - 1
        inner.append(set(children))
    assert not inner[0] & inner[1]
    assert len(inner[0] | inner[1]) == n - n % 2


def test_two_collectives_share_the_links() -> None:
    plan = schedule("all-reduce", "ring", 8, 1 << 26, 4)
    graph = chip_graph("ring:8", 20_000 * NS, 100 * NS)
    _, (alone,) = run(graph, [plan], EndpointCosts())
    _, both = run(graph, [plan, schedule("all-reduce", "ring", 8, 1 << 26, 4)], EndpointCosts())
    assert max(both[1].finish_fs) == pytest.approx(2 * max(alone.finish_fs), rel=0.02)
    _, later = run(graph, [plan, plan], EndpointCosts(), [0, 2 * max(alone.finish_fs)])
    assert max(later[0].finish_fs) == max(alone.finish_fs)
    assert max(later[1].finish_fs) == 3 * max(alone.finish_fs)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5), st.integers(1, 5000)), min_size=1, max_size=20),
    st.lists(st.integers(0, 10**9), min_size=20, max_size=20, unique=True),
    st.sampled_from(["ring:6", "torus:3x2", "full:6", "switch:6"]),
    st.booleans(),
)
def test_messages_on_any_graph_act_as_their_plain_twin(
    messages: Any, starts: list[int], topology: str, stored: bool
) -> None:
    transfers = [Transfer(s, (s + d) % 6, 0, size * 1009, False, False, ()) for s, d, size in messages]
    plans = [Plan(6, (0,), range(6), [transfer]) for transfer in transfers]
    graph = chip_graph(topology, 101 * MIB, 10_007)
    network, running = run(graph, plans, EndpointCosts(0, 0, stored), starts[: len(plans)])
    routes = {(t.source, t.destination): list(network.links(t.source, t.destination)) for t in transfers}
    rates = {link: (lane.fs_per_mib, lane.latency_fs) for link, lane in network.lanes.items()}
    twin = naive_collective.finish_times(transfers, routes, rates, starts, stored)
    assert [each.finish_fs[0] for each in running] == twin


@given(st.integers(2, 7), st.integers(1, 10**6), st.integers(1, 4), st.integers(0, 2), st.booleans())
def test_a_ring_acts_as_its_plain_twin(n: int, size: int, n_chunks: int, depth: int, stored: bool) -> None:
    plan = schedule("all-reduce", "ring", n, size, n_chunks, depth)
    network, (collective,) = run(chip_graph(f"ring:{n}", 997 * MIB, 12_345), [plan], EndpointCosts(0, 0, stored))
    routes = {(r, (r + 1) % n): [(r, (r + 1) % n)] for r in range(n)}
    rates = {link: (lane.fs_per_mib, lane.latency_fs) for link, lane in network.lanes.items()}
    twin = naive_collective.finish_times(plan.transfers, routes, rates, [0] * len(plan.transfers), stored)
    assert collective.finish_fs == twin


def test_routes_are_shortest_and_ties_go_both_ways() -> None:
    network = LinkNetwork(simpy.Environment(), chip_graph("ring:8", MIB, 1))
    assert all(len(network.route(a, b)) == min((a - b) % 8, (b - a) % 8) for a in range(8) for b in range(8) if a != b)
    firsts = {next(iter(network.links(a, (a + 4) % 8))) == (a, (a + 1) % 8) for a in range(8)}
    assert firsts == {True, False}
    assert len(LinkNetwork(simpy.Environment(), chip_graph("switch:8", MIB, 1)).route(0, SWITCH)) == 1


def test_a_chip_out_of_reach_is_an_error() -> None:
    with pytest.raises(ValueError, match="no link leads from chip 0 to chip 9"):
        LinkNetwork(simpy.Environment(), chip_graph("ring:4", MIB, 1)).route(0, 9)
