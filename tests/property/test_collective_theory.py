"""Collectives against pencil and paper: latencies, bytes a link, and what a ring or tree of chips can reach."""

from typing import Any

import pytest
import simpy

from dieshot.chips.parts.links.collective import Collective, EndpointCosts, LinkNetwork
from dieshot.chips.parts.links.schedule import Plan, schedule
from dieshot.simulator.studies.micro.topology import chip_graph, ring_order

MIB = 1 << 20
NS = 10**6


def run(graph: Any, plans: list[Plan], costs: EndpointCosts) -> tuple[LinkNetwork, list[Collective]]:
    env = simpy.Environment()
    network = LinkNetwork(env, graph)
    running = [Collective(env, f"{i}", network, plan, costs) for i, plan in enumerate(plans)]
    env.run(env.all_of([each.process for each in running]))
    return network, running


def theory(algorithm: str, n: int, size: int, beta: float, alpha: float) -> float:
    """Return the alpha-beta time of an all-reduce (fs): alpha a message, beta a byte of one direction of a chip."""
    share = size / n
    return {
        "ring": 2 * (n - 1) * (alpha + share * beta),
        "direct": 2 * (alpha + (n - 1) * share * beta),
        "recursive": 2 * (n.bit_length() - 1) * alpha + 2 * (n - 1) * share * beta,
        "one-shot": alpha + (n - 1) * size * beta,
        "tree": 2 * size * beta,
        "in-switch": 2 * alpha + size * (1 + 1 / n) * beta,
    }[algorithm]


@pytest.mark.parametrize(
    ("algorithm", "error", "n_chunks", "depth", "n"),
    [
        *(
            (algorithm, 0.001, 1, 0, n)
            for algorithm in ("ring", "direct", "one-shot")
            for n in (2, 3, 4, 5, 6, 7, 8, 16)
        ),
        *(("recursive", 0.01, 1, 0, n) for n in (2, 4, 8, 16)),
        *(("tree", 0.03, 128, 8, n) for n in (4, 5, 6, 7, 8)),  # of three ranks or fewer, both trees are lines
        *(("in-switch", 0.04, 256, 12, n) for n in (2, 3, 5, 8)),
    ],
)
def test_all_reduces_through_a_switch_take_their_closed_forms(
    algorithm: str, error: float, n_chunks: int, depth: int, n: int
) -> None:
    size, fs_per_mib, latency_fs = 1 << 30, 2_500_000_000, 350_000_000
    plan = schedule("all-reduce", algorithm, n, size, n_chunks, depth)
    _, (collective,) = run(chip_graph(f"switch:{n}", fs_per_mib, latency_fs), [plan], EndpointCosts())
    expected_fs = theory(algorithm, n, size, fs_per_mib / MIB, 2 * latency_fs)
    assert max(collective.finish_fs) == pytest.approx(expected_fs, rel=error)


@pytest.mark.parametrize("n", [3, 5, 6, 7])
def test_ranks_beyond_a_power_of_two_hand_over_first_and_get_back_last(n: int) -> None:
    size, fs_per_mib, latency_fs = 1 << 28, 2_500_000_000, 350_000_000
    active = 1 << n.bit_length() - 1
    plan = schedule("all-reduce", "recursive", n, size)
    _, (collective,) = run(chip_graph(f"switch:{n}", fs_per_mib, latency_fs), [plan], EndpointCosts())
    moving_fs = size * fs_per_mib / MIB
    most_fs = 2 * moving_fs + theory("recursive", active, size, fs_per_mib / MIB, 2 * latency_fs) + 4 * latency_fs
    assert 2 * moving_fs < max(collective.finish_fs) <= most_fs
    tiny = schedule("all-reduce", "recursive", n, n)
    _, (collective,) = run(chip_graph(f"switch:{n}", fs_per_mib, latency_fs), [tiny], EndpointCosts())
    assert max(collective.finish_fs) == pytest.approx((2 * (active.bit_length() - 1) + 2) * 2 * latency_fs, rel=0.01)


def test_ring_all_reduce_moves_two_shares_of_n_minus_one() -> None:
    n, size, fs_per_mib = 8, 1 << 30, 20_000 * NS
    plan = schedule("all-reduce", "ring", n, size, 4)
    network, (collective,) = run(chip_graph("ring:8", fs_per_mib, 700 * NS), [plan], EndpointCosts())
    assert max(collective.finish_fs) == pytest.approx(2 * (n - 1) / n * size * fs_per_mib / MIB, rel=0.01)
    assert {lane.bytes for (a, b), lane in network.lanes.items() if b == (a + 1) % n} == {2 * (n - 1) * size // n}


@pytest.mark.parametrize("topology", ["ring:5", "ring:8", "torus:4x4", "torus:3x5", "torus:3x3x3", "mesh:4x2"])
def test_a_ring_through_a_grid_uses_every_link_of_it_once(topology: str) -> None:
    order = ring_order(topology)
    n, size, fs_per_mib = len(order), 1 << 28, 20_000 * NS
    graph = chip_graph(topology, fs_per_mib, 700 * NS)
    plan = schedule("all-reduce", "ring", n, size, 4, order=order)
    _, (collective,) = run(graph, [plan], EndpointCosts())
    assert max(collective.finish_fs) == pytest.approx(2 * (n - 1) / n * size * fs_per_mib / MIB, rel=0.01)
    if not topology.startswith("mesh"):  # there the way back to the first shares links with the other ring
        both = schedule("all-reduce", "double-ring", n, size, 8, order=order)
        _, (collective,) = run(graph, [both], EndpointCosts())
        assert max(collective.finish_fs) == pytest.approx((n - 1) / n * size * fs_per_mib / MIB, rel=0.02)


@pytest.mark.parametrize(
    ("algorithm", "topology", "steps"),
    [
        ("ring", "ring:8", 14),
        ("recursive", "full:8", 6),
        ("direct", "full:8", 2),
        ("one-shot", "full:8", 1),
        ("direct", "switch:8", 4),
        ("in-switch", "switch:8", 4),
    ],
)
def test_small_all_reduces_cost_their_latencies(algorithm: str, topology: str, steps: int) -> None:
    plan = schedule("all-reduce", algorithm, 8, 8)
    _, (collective,) = run(chip_graph(topology, 20_000 * NS, 700 * NS), [plan], EndpointCosts())
    assert max(collective.finish_fs) == pytest.approx(steps * 700 * NS, rel=0.01)


def test_direct_exchange_beats_the_ring_by_every_link_of_a_full_graph() -> None:
    n, size, fs_per_mib = 8, 1 << 28, 20_000 * NS
    plan = schedule("all-reduce", "direct", n, size)
    _, (collective,) = run(chip_graph("full:8", fs_per_mib, 0), [plan], EndpointCosts())
    assert max(collective.finish_fs) == pytest.approx(2 * size / n * fs_per_mib / MIB, rel=0.01)


@pytest.mark.parametrize("topology", ["ring:8", "torus:4x4", "torus:2x4", "torus:4x4x4", "torus:8x8"])
def test_an_all_to_all_loads_the_links_of_an_even_torus_alike(topology: str) -> None:
    n = len(ring_order(topology))
    plan = schedule("all-to-all", "direct", n, n * 1000)
    network, _ = run(chip_graph(topology, MIB, 1), [plan], EndpointCosts())
    loads: dict[int, set[int]] = {}
    stride = 1
    for side in (int(side) for side in reversed(topology.partition(":")[2].split("x"))):
        for (a, b), lane in network.lanes.items():
            if abs(a - b) in (stride, stride * (side - 1)):
                loads.setdefault(stride, set()).add(lane.bytes)
        stride *= side
    assert all(len(each) == 1 for each in loads.values())
