"""Saturation of networks against the loads of their channels and the turnaround of their virtual channels."""

import json
from typing import Any

import numpy as np
import pytest

from dieshot.chips.parts.noc.network import Network, RouterParameters, Wiring
from dieshot.simulator.cli.main import main
from dieshot.simulator.studies.micro.noc import noc
from dieshot.simulator.studies.micro.noc_bound import bounds, channel_loads
from dieshot.simulator.studies.micro.noc_pattern import PATTERNS, destinations, shares
from dieshot.simulator.studies.micro.noc_topology import topology


def built(name: str, **parameters: Any) -> Any:
    shape = topology(name)
    wiring = Wiring(shape.terminals, shape.links, shape.next_router, shape.vc_class, shape.takes_any, shape.n_classes)
    return Network(wiring, RouterParameters(**parameters)), shape.sides


# Dally and Towles, tables 3.1 and 3.2 and section 5.3: rates at which the busiest channel is full, routed by dimension.
IDEAL = [
    ("mesh:8x8", "uniform", 4 / 8),
    ("mesh:8x8", "complement", 2 / 8),
    ("mesh:8x8", "transpose", 1 / 7),
    ("mesh:8x8", "tornado", 1 / 3),
    ("mesh:4x4x4", "uniform", 1),
    ("torus:8x8", "uniform", 1),  # 8 / k, but a terminal sends one flit a cycle
    ("torus:8x8", "tornado", 1 / 3),
    ("torus:8x8", "neighbour", 1),
    ("ring:16", "uniform", 8 / 16),
    ("ring:16", "tornado", 1 / 7),
    ("ring:32", "uniform", 8 / 32),
    ("crossbar:16", "uniform", 1),
    ("crossbar:16", "hotspot", 1 / (0.1 * 16 + 0.9)),
    ("fattree:4,2", "uniform", 1),
    ("dragonfly:4,2,2", "uniform", 1),
]


@pytest.mark.parametrize(("name", "pattern", "rate"), IDEAL)
def test_the_busiest_channel_is_full_at_the_rate_of_the_book(name: str, pattern: str, rate: float) -> None:
    network, sides = built(name)
    found = bounds(network, pattern, 1, sides)["channel_bound_rate"]
    assert found == pytest.approx(rate, rel=0.03 if name.startswith("torus") else 1e-9)


@pytest.mark.parametrize("name", ["mesh:4x4", "torus:4x4", "ring:9", "fattree:2,3", "dragonfly:2,2,1"])
@pytest.mark.parametrize("pattern", ["uniform", "hotspot", "neighbour"])
def test_loads_add_up_to_the_hops(name: str, pattern: str) -> None:
    network, sides = built(name)
    share = shares(pattern, network.n_terminals, sides)
    # A packet passes the channel in and one channel out of every router.
    assert channel_loads(network, pattern, sides).sum() == pytest.approx((share * (network.hops() + 1)).sum())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_destinations_are_drawn_by_their_shares(pattern: str) -> None:
    random = np.random.default_rng(1)
    sources = np.repeat(np.arange(16), 4_000)
    drawn = np.zeros((16, 16))
    np.add.at(drawn, (sources, destinations(pattern, sources, 16, (4, 4), random)), 1 / 4_000)
    assert drawn == pytest.approx(shares(pattern, 16, (4, 4)), abs=0.03)


def test_patterns_have_their_definitions() -> None:
    nodes = np.arange(64)
    random = np.random.default_rng(0)
    assert destinations("complement", nodes, 64, (8, 8), random).tolist() == [node ^ 63 for node in range(64)]
    moved = destinations("tornado", nodes, 64, (8, 8), random)
    assert moved.tolist() == [(x + 3) % 8 + 8 * ((y + 3) % 8) for y in range(8) for x in range(8)]
    assert destinations("tornado", np.arange(7), 7, (7,), random).tolist() == [3, 4, 5, 6, 0, 1, 2]


LOADS = [
    ("mesh:4x4", "uniform"),
    ("mesh:8x8", "transpose"),
    ("torus:4x4", "uniform"),
    ("torus:8x8", "tornado"),
    ("ring:16", "uniform"),
    ("ring:7", "complement"),
    ("crossbar:16", "uniform"),
    ("crossbar:16", "hotspot"),
    ("fattree:4,2", "transpose"),
    ("dragonfly:4,2,2", "complement"),
]


@pytest.mark.parametrize(("name", "pattern"), LOADS)
@pytest.mark.parametrize("early", [False, True])
def test_a_network_carries_most_of_its_bound_and_no_more(name: str, pattern: str, early: bool) -> None:
    bound = bounds(*_arguments(name, pattern, early))["bound_rate"]
    load = {"cycles": 4_000, "warmup": 1_000, "pattern": pattern, "early": early}
    assert noc(name, 0.6 * bound, **load)["stable"]
    if 1.25 * bound <= 1:
        beyond = noc(name, 1.25 * bound, **load)
        assert not beyond["stable"]


def _arguments(name: str, pattern: str, early: bool) -> tuple[Any, str, int, tuple[int, ...]]:
    network, sides = built(name, waits_for_tail_credit=not early)
    return network, pattern, 1, sides


@pytest.mark.parametrize(("name", "least"), [("mesh:8x8", 0.90), ("torus:8x8", 0.78), ("ring:16", 0.85)])
def test_with_channels_reused_early_little_is_lost_to_arbitration(name: str, least: float) -> None:
    bound = bounds(*_arguments(name, "uniform", True))["bound_rate"]
    assert noc(name, least * bound, cycles=4_000, warmup=1_000, early=True)["stable"]


@pytest.mark.parametrize("flits", [1, 4])
@pytest.mark.parametrize("n_vcs", [1, 3])
def test_one_flow_is_as_fast_as_its_virtual_channels_turn_round(flits: int, n_vcs: int) -> None:
    network, _ = built("mesh:4x1", n_vcs=n_vcs)
    n = 200
    packets = np.array([[0, 3, flits]] * n, np.int64)
    ends = network.deliver(np.zeros(n, np.int64), packets, 0, 10**6, 10**6).delivered[:, 1]
    # Won, switched, 3 cycles on the way, two allocations, 4 cycles back: 9 and one for each further flit.
    assert (ends[198] - ends[99]) / 99 == pytest.approx(max(flits, (flits + 8) / n_vcs), rel=0.01)


@pytest.mark.parametrize("vcs", [1, 3, 5, 7, 8])
def test_any_number_of_virtual_channels_has_the_speedup_it_says(vcs: int) -> None:
    record = noc("mesh:4x4", 0.05, cycles=500, vcs=vcs)
    assert record["input_speedup"] == min(2, vcs)
    assert record["stable"]


def test_energy_is_that_of_routers_and_wires_passed() -> None:
    record = noc("mesh:4x4", 0.1, packet=3, cycles=500, flit_bytes=64, link_mm=2.5)
    # configs/networks/on-die.yaml: 0.2 pJ/B a router, 0.08 pJ/bit/mm of wire.
    assert (record["router_energy_fj"], record["link_energy_fj"]) == (200 * 64, 80 * 8 * 64 * 2.5)
    flits = 3 * record["n_packets_arrived"]
    assert record["flits_measured"] == flits
    routers = record["flit_hops_measured"]
    assert routers == pytest.approx(flits * record["hops_mean"])
    assert record["energy_fj"] == routers * 12_800 + (routers - flits) * 102_400
    assert record["assumed"] == ["router"]
    assert noc("mesh:4x4", 0.1, packet=3, cycles=500)["assumed"] == ["router", "link_length"]


def test_the_command_takes_its_further_options(capsys: pytest.CaptureFixture[str]) -> None:
    words = "micro noc mesh:4x4 --cycles 300 --early --speedup 4 --flit-bytes 16 --link-mm 0.5 --pattern tornado --json"
    assert main(words.split()) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["input_speedup"], record["flit_bytes"], record["link_mm"]) == (4, 16, 0.5)
    assert record["energy_fj"] > 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--speedup 9", "--speedup: out of range; expected 1 to 8; got 9"),
        ("--vcs 63", "--vcs: out of range; expected 1 to 62; got 63"),
        ("--link-mm -1", "--link-mm: not a length"),
        ("--link-mm nan", "--link-mm: not a length"),
        ("--flit-bytes 0", "'--flit-bytes'"),
    ],
)
def test_nonsense_is_refused_in_one_line(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["micro", "noc", "mesh:8x8", *words.split()]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert complaint in captured.err
