"""Collectives in grids: everybody's part arrives once, bytes are conserved, times as the twin and closed forms say."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import naive_collective
import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from dieshot.chips.parts.links.clique import FullyLinked
from dieshot.chips.parts.links.collective import Collective, EndpointCosts, LinkNetwork
from dieshot.chips.parts.links.direct_fabric import LinkTimes, Way
from dieshot.chips.parts.links.fabric import FLAG_BYTES, SwitchedFabric
from dieshot.chips.parts.links.fabric_choice import choose_fabric
from dieshot.chips.parts.links.grid import Grid
from dieshot.chips.parts.links.grid_schedule import Line, Stage, copies_plan, grid_plan, stages_along
from dieshot.chips.parts.links.schedule import Plan, Transfer
from dieshot.chips.parts.links.torus import Torus
from dieshot.simulator.engine.cell import BUSY, Cell
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.fabric import Fabric, LocalCosts
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import LinkParameters, find_document, resolve
from dieshot.traces.make import make_operator
from dieshot.traces.operator import Operator
from dieshot.traces.work import Formats

MIB = 1 << 20
US = 10**9
FREE = LocalCosts(1, 0, 0, 0)  # a chip whose own part of a collective takes no time
SIDES = st.lists(st.integers(1, 4), min_size=1, max_size=3).filter(lambda sides: 2 <= math.prod(sides) <= 24)
RING_12 = "neuronlink-v2"


def link(name: str, **changes: object) -> LinkParameters:
    return replace(resolve(find_document("links", name), LinkParameters).values, **changes)  # type: ignore[arg-type]


def operator(kind: str, n_bytes: int, group: int) -> Operator:
    return make_operator("x", kind, {"elements": n_bytes, "group": group}, Formats("int8", None, "int8"), "x")


def carried_out(fabric: Fabric, kind: str, n_bytes: int, group: int) -> Cell:
    return fabric.carry_out(operator(kind, n_bytes, group), group)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    sides = tuple(draw(SIDES))
    return Grid(sides, tuple(side > 2 and draw(st.booleans()) for side in sides))


def routes(grid: Grid, algorithm: str) -> list[list[Stage]]:
    axes = grid.active
    if algorithm == "cycle":
        return [[[Line(grid.cycle() or (), True)]]]
    turns = range(len(axes)) if algorithm == "split" else range(1)
    return [stages_along(grid, axes[i:] + axes[:i]) for i in turns]


def simulated(grid: Grid, plan: Plan, fs_per_mib: int, latency_fs: int, add: int) -> tuple[LinkNetwork, Collective]:
    env = simpy.Environment()
    network = LinkNetwork(env, LinkTimes(grid, fs_per_mib, latency_fs))
    running = Collective(env, "x", network, plan, EndpointCosts(0, add))
    env.run(running.process)
    return network, running


def contributions(plan: Plan, running: Collective, initial: dict[tuple[int, int], set[int]]) -> Any:
    """Return who has whose part of every block, each transfer taken apart into its blocks."""
    blocks = [(i, block) for i, t in enumerate(plan.transfers) for block in range(t.block, t.block + t.n_blocks)]  # type: ignore[attr-defined]
    apart = [replace(plan.transfers[i], block=block) for i, block in blocks]
    begin, finish = ([times[i] for i, _ in blocks] for times in (running.begin_fs, running.finish_fs))
    return naive_collective.contributions(apart, begin, finish, initial)


@settings(max_examples=60, deadline=None)
@given(grids(), st.sampled_from(["axes", "split", "cycle"]), st.sampled_from([0, 3 * MIB]), st.booleans())
def test_everybody_ends_with_all_contributions_and_no_byte_more_is_moved(
    grid: Grid, algorithm: str, add: int, reduces: bool
) -> None:
    if algorithm == "cycle" and grid.cycle() is None:
        algorithm = "axes"
    n, ways = grid.n_chips, routes(grid, algorithm)
    n_blocks = 2 * n * len(ways)
    n_bytes = n_blocks * 1000 + 7
    plan = grid_plan(n, ways, n_bytes, reduces)
    network, running = simulated(grid, plan, 5 * MIB, 1000, add)
    # Every byte crosses a tree of n - 1 links on its way to one chip, and another on its way to all.
    assert sum(lane.bytes for lane in network.lanes.values()) == (1 + reduces) * (n - 1) * n_bytes
    if reduces:
        initial = {(chip, block): {chip} for chip in range(n) for block in range(n_blocks)}
        held = contributions(plan, running, initial)
        assert all(held[chip, block] == set(range(n)) for chip in range(n) for block in range(n_blocks))
        return
    received = {(t.destination, b) for t in plan.transfers for b in range(t.block, t.block + t.n_blocks)}  # type: ignore[attr-defined]
    owned = [[b for b in range(n_blocks) if (chip, b) not in received] for chip in range(n)]
    assert [len(each) for each in owned] == [n_blocks // n] * n
    held = contributions(plan, running, {(chip, b): {chip} for chip in range(n) for b in owned[chip]})
    for chip, blocks in enumerate(owned):
        assert all(held[other, block] == {chip} for other in range(n) for block in blocks)


@settings(max_examples=40, deadline=None)
@given(
    grids(), st.sampled_from(["axes", "split"]), st.integers(1, 50_000), st.integers(0, 9000), st.sampled_from([0, 2])
)
def test_times_and_lines_are_those_of_the_plain_twin(
    grid: Grid, algorithm: str, n_bytes: int, latency_fs: int, add: int
) -> None:
    plan = grid_plan(grid.n_chips, routes(grid, algorithm), n_bytes, True)
    fs_per_mib, add_fs_per_mib = 7 * MIB, add * MIB
    _, running = simulated(grid, plan, fs_per_mib, latency_fs, add_fs_per_mib)
    adders = {i: (("add", t.destination), add_fs_per_mib) for i, t in enumerate(plan.transfers) if t.reduces and add}
    ways = {(t.source, t.destination): [(t.source, t.destination)] for t in plan.transfers}
    rates = dict.fromkeys(ways, (fs_per_mib, latency_fs))
    plain = [Transfer(t.source, t.destination, 0, t.bytes, False, False, t.after) for t in plan.transfers]
    assert running.finish_fs == naive_collective.finish_times(plain, ways, rates, [0] * len(plain), False, 0, adders)


def test_every_chip_of_a_line_gets_a_copy_of_all() -> None:
    grid = Grid((3, 4), (False, True))
    for (stage,) in (stages_along(grid, [axis]) for axis in grid.active):
        plan = copies_plan(grid.n_chips, stage, 999)
        _, running = simulated(grid, plan, 5 * MIB, 1000, 0)
        blocks = range(2 * grid.n_chips)
        held = contributions(plan, running, {(block // 2, block): {block} for block in blocks})
        for line in stage:
            for chip in line.chips:
                assert {b for b in blocks if held.get((chip, b))} == {b for c in line.chips for b in (2 * c, 2 * c + 1)}


def closed_form_us(n: int, closed: bool, n_bytes: int, rate: float, hop_us: float) -> float:
    """All-gather along a line, both ways at once: steps of a hop and a piece; half a piece last in an even ring."""
    piece_us = n_bytes / n / rate * 1e6
    if not closed:
        return (n - 1) * (hop_us + piece_us)
    return n // 2 * hop_us + (n - 1) / 2 * piece_us


@pytest.mark.parametrize("n_bytes", [24_000, 240_000, 480_000])
@pytest.mark.parametrize(("n_chips", "closed"), [(12, True), (6, False), (2, False)])
def test_a_line_takes_hops_and_pieces(n_chips: int, closed: bool, n_bytes: int) -> None:
    link_ = link(RING_12, protocol_efficiency=1.0)
    fabric = Torus(link_, FREE, 0, n_chips)
    ready_us = link_.hop_latency / US + FLAG_BYTES / link_.rate * 1e6
    once_us = closed_form_us(n_chips, closed, n_bytes, link_.rate, link_.hop_latency / US)
    gathered = carried_out(fabric, "all_gather", n_bytes, n_chips)
    assert gathered.duration_fs / US == pytest.approx(ready_us + once_us, rel=1e-6)
    summed = fabric.try_out(operator("all_reduce", n_bytes, n_chips), fabric.grid, Way("axes", fabric.fs_per_mib))
    assert summed.end_fs / US == pytest.approx(ready_us + 2 * once_us, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "n_chips", "share"),
    [
        # Bytes of a busiest link per byte of the result. A corner of a mesh has two (2D) or three (3D) links.
        ("ici-v5e", 8, 7 / 8 / 2),
        ("ici-v5e", 16, 15 / 16 / 2),
        ("ici-v5p", 8, 7 / 8 / 3),
        ("neuronlink-v2", 12, 11 / 12 / 2),
        ("neuronlink-v3", 16, 15 / 16 / 4),
    ],
)
def test_long_messages_fill_the_links_and_short_ones_take_hops(name: str, n_chips: int, share: float) -> None:
    parameters = link(name)
    fabric = Torus(parameters, FREE, 0, n_chips)
    rate = parameters.rate * parameters.protocol_efficiency
    longest = 1 << 30
    for kind, times in (("all_gather", 1), ("all_reduce", 2)):
        time_s = carried_out(fabric, kind, longest, n_chips).duration_fs / 1e15
        least_s = times * (n_chips - 1) * longest / (len(fabric.grid.lanes) * rate)  # all links always busy
        # Adding up fills the links out of a corner, gathering those into it: chunks do both at once.
        assert least_s <= time_s < 1.04 * times * share * longest / rate
        assert kind == "all_reduce" or time_s >= share * longest / rate
    short = carried_out(fabric, "all_reduce", 64, n_chips).duration_fs
    sides = zip(fabric.grid.sides, fabric.grid.closed, strict=True)
    diameter = sum(side // 2 if closed else side - 1 for side, closed in sides)
    assert 1 <= short / ((1 + diameter) * parameters.hop_latency) < 1.02  # neighbours ready, then all over the grid


def test_the_algorithm_follows_the_size() -> None:
    fabric = Torus(link("ici-v5e"), FREE, 0, 8)
    names = [carried_out(fabric, "all_reduce", n_bytes, 8).name.split()[1] for n_bytes in (1 << 10, 1 << 14, 1 << 26)]
    assert names == ["copies", "copies", "cycle"]
    assert carried_out(Torus(link("neuronlink-v3"), FREE, 0, 16), "all_reduce", 1 << 26, 16).name.split()[1] == "split"


@pytest.mark.parametrize(("name", "n_chips", "group"), [("ici-v5e", 8, 8), ("ici-v7", 8, 4), ("neuronlink-v3", 16, 16)])
@pytest.mark.parametrize("kind", ["all_reduce", "all_gather"])
@pytest.mark.parametrize("n_bytes", [3, 16_384, 5_000_001])
def test_the_lines_of_a_chip_times_the_chips_are_all_that_the_links_carried(
    name: str, n_chips: int, group: int, kind: str, n_bytes: int
) -> None:
    local = LocalCosts(700_000, 2 * US, US, 10**9)
    fabric = Torus(link(name), local, 7, n_chips)
    cell = carried_out(fabric, kind, n_bytes, group)
    activity = cell.activity
    n_lines = len(fabric.components())
    part = fabric.grid.part(group)
    assert part is not None
    flags = len(part.lanes) * FLAG_BYTES
    algorithm = cell.name.split()[1]
    sent = flags + (1 + (kind == "all_reduce")) * (group - 1) * n_bytes
    if algorithm == "copies":
        sent = flags + group * n_bytes * sum(side - 1 for side in part.sides)
    assert 0 <= cell.counters["link_bytes"] * group - sent < group * n_lines
    assert activity.amount.sum() == cell.counters["link_bytes"]
    assert activity.component.min() >= 7 and activity.component.max() < 7 + n_lines
    assert cell.fj_per_amount == {"link": round(fabric.parameters.energy * 8)}
    for component in np.unique(activity.component):
        own = activity.component == component
        start, end = activity.start_fs[own], activity.end_fs[own]
        assert start[0] == 0 and (start[1:] == end[:-1]).all() and end[-1] <= cell.duration_fs
        busy = activity.state[own] == BUSY
        assert activity.amount[own][~busy].sum() == 0
        # No line carries more than its links can.
        assert activity.amount[own].sum() <= int((end - start)[busy].sum()) * fabric.bytes_per_s / 1e15 + busy.sum()


@pytest.mark.parametrize(
    ("name", "n_chips", "stage", "hops", "lane"),
    [("ici-v6e", 8, 1, 1, "y+"), ("ici-v6e", 8, 4, 2, "y+"), ("ici-v5p", 8, 4, 1, "x+"), (RING_12, 12, 4, 4, "x+")],
)
def test_a_stage_sends_to_the_next_box(name: str, n_chips: int, stage: int, hops: int, lane: str) -> None:
    parameters = link(name)
    fabric = choose_fabric(parameters, FREE, 0, n_chips, stage)
    assert isinstance(fabric, Torus)
    for n_bytes in (9_000, 90_000_000):
        cell = carried_out(fabric, "send_recv", n_bytes, 1)
        # A chip's own message and those that pass it; flags to both sides, also of the peer.
        names = [each.path for each in fabric.components()]
        own = cell.activity.amount[cell.activity.component == names.index(f"link/{lane}")].sum()
        assert 0 <= own - hops * n_bytes <= 2 * FLAG_BYTES
        serial_us = n_bytes / fabric.bytes_per_s * 1e6
        hop_us = parameters.hop_latency / US
        # The link between the boxes carries the messages of the whole line.
        least_us = 2 * hop_us + hops * serial_us
        most_us = (1 + hops) * hop_us + (2 * hops - 1) * serial_us + 0.01
        assert least_us <= cell.duration_fs / US <= most_us
    assert cell.duration_fs / US < 1.3 * hops * serial_us  # in chunks


def test_a_stage_of_all_chips_has_no_next() -> None:
    with pytest.raises(UnsupportedError, match="two stages are no part of the 2x4 of ici-v6e"):
        carried_out(Torus(link("ici-v6e"), FREE, 0, 8, 8), "send_recv", 10, 1)


@pytest.mark.parametrize("change", [{"rate": 10**11}, {"hop_latency": US // 2}, {"energy": 1.0}])
def test_better_links_never_take_longer(change: dict[str, Any]) -> None:
    for n_bytes in (100, 10_000, 1_000_000):
        before, after = (
            carried_out(Torus(parameters, FREE, 0, 8), "all_reduce", n_bytes, 8).duration_fs
            for parameters in (link("ici-v5e"), link("ici-v5e", **change))
        )
        assert after <= before and (after < before or "energy" in change)


def test_the_same_twice_and_from_memory() -> None:
    first, second = (Torus(link("ici-v5p"), LocalCosts(7, 10, 10, 10**9), 3, 8) for _ in range(2))
    one, other = (carried_out(each, "all_reduce", 123_457, 8) for each in (first, second))
    for column in ("component", "start_fs", "end_fs", "state", "amount", "repeat", "period_fs"):
        assert getattr(one.activity, column).tobytes() == getattr(other.activity, column).tobytes()
    assert (one.key, one.duration_fs, one.counters) == (other.key, other.duration_fs, other.counters)
    assert carried_out(first, "all_reduce", 123_457, 8) is one


def test_what_it_cannot_join_or_time_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        Torus(link("ici-v5e"), FREE, 0, 8, 7)
    said = "so many chips are no part of the 2x4 of ici-v5e; expected as many as a box of it has; got 7"
    assert str(refused.value) == f"--tp: {said}"
    with pytest.raises(InputError, match="expected at most all of them; got 5"):
        choose_fabric(link("ici-8i"), FREE, 0, 4, 5)
    fabric = Torus(link("ici-v5e"), FREE, 0, 8)
    with pytest.raises(UnsupportedError, match="7 chips are no part of the 2x4 of ici-v5e"):
        carried_out(fabric, "all_reduce", 10, 7)
    with pytest.raises(UnsupportedError, match="takes longer than"):
        carried_out(fabric, "all_reduce", 1 << 60, 8)


@pytest.mark.parametrize("group", [2, 5, 8])
def test_a_clique_takes_a_hop_and_a_share_each_way(group: int) -> None:
    parameters = link("ici-8i")
    fabric = choose_fabric(parameters, FREE, 0, 8)
    assert isinstance(fabric, FullyLinked)
    rate = parameters.rate * parameters.protocol_efficiency
    n_bytes = 40_000 * group
    hop_us, share_us = parameters.hop_latency / US, 40_000 / rate * 1e6
    ready_us = hop_us + FLAG_BYTES / rate * 1e6
    gathered = carried_out(fabric, "all_gather", n_bytes, group)
    assert gathered.duration_fs / US == pytest.approx(ready_us + hop_us + share_us, rel=1e-6)
    part = fabric.part(group)
    assert part is not None
    summed = fabric.try_out(operator("all_reduce", n_bytes, group), part, Way("direct", fabric.fs_per_mib))
    assert summed.end_fs / US == pytest.approx(ready_us + 2 * (hop_us + share_us), rel=1e-6)
    copied = fabric.try_out(operator("all_reduce", n_bytes, group), part, Way("copies", fabric.fs_per_mib))
    assert copied.end_fs / US == pytest.approx(ready_us + hop_us + group * share_us, rel=1e-6)
    sent = (group - 1) * (40_000 + FLAG_BYTES)
    assert gathered.counters["link_bytes"] == sent == gathered.activity.amount.sum()


def test_a_clique_has_a_line_for_each_peer_and_an_end() -> None:
    fabric = choose_fabric(link("ici-8i"), FREE, 0, 4)
    assert [each.path for each in fabric.components()] == [f"link/peer{i}" for i in range(1, 8)]
    with pytest.raises(UnsupportedError, match="5 chips are no part of the 4 all to all of ici-8i"):
        fabric.carry_out(operator("all_reduce", 10, 5), 5)
    with pytest.raises(InputError, match="at most 8 chips; got 9"):
        choose_fabric(link("ici-8i"), FREE, 0, 9)
    with pytest.raises(InputError, match="a multiple of 7, the peers of a chip; got 8"):
        choose_fabric(link("ici-8i", n_links=8), FREE, 0, 8)


def test_switches_and_neighbours_are_told_apart() -> None:
    assert isinstance(choose_fabric(link("nvlink4-nvswitch"), FREE, 0, 8), SwitchedFabric)
    torus = choose_fabric(link("ici-v7"), FREE, 0, 8)
    assert [each.path for each in torus.components()] == [f"link/{axis}{way}" for axis in "xyz" for way in "+-"]
    assert [each.path for each in choose_fabric(link(RING_12), FREE, 0, 12).components()] == ["link/x+", "link/x-"]


def pipelines(grid: Grid, n_bytes: int, counts: Sequence[int]) -> list[int]:
    ends = []
    for n_chunks in counts:
        plan = grid_plan(grid.n_chips, routes(grid, "split") * n_chunks, n_bytes, True)
        ends.append(max(simulated(grid, plan, 5 * MIB, 1000, 2 * MIB)[1].finish_fs))
    return ends


def test_chunks_hide_the_adding() -> None:
    one, four = pipelines(Grid((2, 4), (False, False)), 1 << 22, (1, 4))
    assert four < 0.9 * one
