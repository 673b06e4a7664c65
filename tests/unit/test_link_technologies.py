"""Every link document: inside physical bounds, its latency the sum of its layers, its times those of the transfers."""

from __future__ import annotations

import numpy as np
import pytest

from dieshot import list_names
from dieshot.chips.parts.links.channel import Channel, channel_timing, idle_times
from dieshot.chips.parts.links.fabric import FLAG_BYTES, MIB
from dieshot.chips.parts.links.fabric_choice import choose_fabric
from dieshot.simulator.engine.clock import transfer_fs
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.params import LinkParameters, Resolved, find_document, resolve
from dieshot.simulator.studies.joining import laser_lines
from dieshot.simulator.studies.links import links
from dieshot.simulator.studies.micro.link import link
from dieshot.traces.make import make_operator
from dieshot.traces.work import Formats

LIGHT_NS_PER_METRE = 3.3356
NO_COSTS = LocalCosts(period_fs=1, launch_fs=0, drain_fs=0, local_fs_per_mib=0)
NAMES = list_names("links")


def resolved(name: str) -> Resolved[LinkParameters]:
    return resolve(find_document("links", name), LinkParameters)


LAYERED = [name for name in NAMES if resolved(name).values.layers is not None]
WITH_LIGHT = [name for name in NAMES if resolved(name).values.laser_power]
JOINED = [name for name in NAMES if resolved(name).values.topology != "mesh" or resolved(name).values.shape]
SUMMED = [name for name in LAYERED if resolved(name).record("hop_latency").kind == "derived"]


def test_the_technologies_are_there() -> None:
    wanted = (
        "nvlink3-nvswitch nvlink4-nvswitch nvlink5-nvswitch nvlink5-nvl72 nvlink-c2c pcie4-switch pcie5-switch "
        "pcie6-switch ucie-advanced ucie-standard copper-xsr copper-vsr copper-lr copper-retimed optics-dsp optics-lpo "
        "optics-cpo passage-m1000 passage-l200 passage-l200x passage-l20 teraphy photonic-fabric quantum-x spectrum-x"
    )
    assert set(wanted.split()) <= set(LAYERED)
    assert {name for name in WITH_LIGHT if name in wanted.split()} == {
        *(name for name in wanted.split() if name.startswith(("optics", "passage"))),
        *("teraphy", "photonic-fabric", "quantum-x", "spectrum-x"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_possible_and_have_sources(name: str) -> None:
    link = resolved(name)
    v = link.values
    assert v.rate > 0 and 0 < v.protocol_efficiency <= 1 and v.max_chips >= 2
    assert v.energy >= 0 and (v.laser_power or 0) >= 0
    assert all(record.source for record in link.records if record.kind != "derived")
    if v.layers is None:
        return
    layers = v.layers
    n_wires = 2 if v.topology == "switch" else 1
    flight_fs = n_wires * layers.length * layers.flight_time_per_metre // 1000
    assert layers.flight_time_per_metre >= LIGHT_NS_PER_METRE * 1e6
    assert v.hop_latency >= flight_fs >= n_wires * layers.length * LIGHT_NS_PER_METRE * 1e3
    assert 8 * v.rate <= layers.n_lanes * layers.lane_rate * (1 + 1e-9)
    assert layers.receiver_buffer * 10**15 >= 2 * v.hop_latency * v.rate * 0.95, "the rate could not be had"


@pytest.mark.parametrize("name", SUMMED)
def test_a_hop_is_the_sum_of_its_layers(name: str) -> None:
    v = resolved(name).values
    p = v.layers
    assert p is not None
    codeword_fs = 8e15 * (p.fec_block or 0) / (p.n_lanes * p.lane_rate * p.encoding)
    ends_fs = 2 * (p.dsp_latency or 0) + (p.conversion_latency or 0)
    flight_fs = p.length * p.flight_time_per_metre / 1000
    wire_fs = p.serdes_latency + codeword_fs + p.fec_latency + ends_fs + flight_fs
    if p.latency is not None:
        assert p.latency == pytest.approx(wire_fs, abs=1)
    n_wires = 2 if v.topology == "switch" else 1
    hop_fs = n_wires * wire_fs + (n_wires - 1) * p.switch_latency + (p.endpoint_latency or 0)
    assert v.hop_latency == pytest.approx(hop_fs, abs=n_wires)


@pytest.mark.parametrize("name", LAYERED)
@pytest.mark.kernels
def test_an_item_alone_takes_serialisation_and_layers(name: str) -> None:
    v = resolved(name).values
    timing = channel_timing(v)
    for n_flits in (1, 7, 4096):
        _, finished = Channel(name, timing).carry(*(np.array([x]) for x in (0, 0, n_flits)))
        if n_flits <= timing.n_credits:
            assert int(finished[0]) == sum(idle_times(v, n_flits).values())
    if name in SUMMED:  # flits and bytes agree on what a hop takes, but for codewords of whole flits
        block_fs = timing.block_fs * (2 if v.topology == "switch" else 1)
        hop_fs = sum(idle_times(v, 1).values()) - idle_times(v, 1)["wire"] - idle_times(v, 1)["codeword"] + block_fs
        assert hop_fs == pytest.approx(v.hop_latency, rel=1e-3)


@pytest.mark.parametrize("name", JOINED)
def test_a_message_takes_a_hop_and_its_bytes(name: str) -> None:
    v = resolved(name).values
    n_bytes = 1 << 20
    operator = make_operator("x", "send_recv", {"elements": n_bytes // 2}, Formats("bf16", None, "bf16"), "x")
    fabric = choose_fabric(v, NO_COSTS, 0, 2, 1)
    cell = fabric.carry_out(operator, 1)
    n_ways = len([spec for spec in fabric.components() if spec.kind == "link"])
    if v.topology == "switch":
        fs_per_mib = transfer_fs(MIB, int(v.n_links * v.rate * v.protocol_efficiency))
        assert cell.duration_fs == v.hop_latency + fs_per_mib + FLAG_BYTES * fs_per_mib // MIB
    else:
        links = v.n_links // n_ways
        fs_per_mib = transfer_fs(MIB, int(links * v.rate * v.protocol_efficiency))
        ready_fs = v.hop_latency + FLAG_BYTES * fs_per_mib // MIB
        assert cell.duration_fs == ready_fs + v.hop_latency + fs_per_mib
    assert n_bytes <= int(cell.activity.amount.sum()) <= n_bytes + 2 * n_ways * FLAG_BYTES
    assert cell.fj_per_amount["link"] == round(8 * v.energy)  # of both ends: the other one logs nothing


@pytest.mark.parametrize("name", WITH_LIGHT)
def test_lasers_burn_what_a_bit_at_full_rate_is_told_to_take(name: str) -> None:
    v = resolved(name).values
    p = v.layers
    assert p is not None and p.laser_energy is not None and v.laser_power is not None
    n_wires = 2 if v.topology == "switch" else 1
    assert v.laser_power == pytest.approx(n_wires * p.laser_energy * 8 * v.rate * 1e-12, abs=0.5)
    for parts in (1, 4, 32):
        (line,) = laser_lines(v, parts)
        watts = line.static_fj_per_cycle * line.count / line.clock_period_fs
        assert parts * watts == pytest.approx(v.n_links * v.laser_power / 1000, rel=1e-3)
        assert (line.kind, line.peak_amount_per_cycle) == ("link_laser", 0)
    assert laser_lines(None, 1) == []


def test_links_side_by_side() -> None:
    table = {each["name"]: each for each in links()}
    assert list(table) == NAMES
    nvlink = table["nvlink4-nvswitch"]
    assert (nvlink["rate_bytes_per_s"], nvlink["laser_w"]) == (450e9, 0)
    assert nvlink["energy_j_per_bit"] == pytest.approx(5.5e-12)
    l200 = table["passage-l200"]
    assert 2 * 8 * l200["rate_bytes_per_s"] == pytest.approx(32e12, rel=1e-3), "published for a package, both ways"
    assert 2 * 8 * table["passage-l200x"]["rate_bytes_per_s"] == pytest.approx(64e12, rel=1e-3)
    assert 2 * 8 * table["teraphy"]["rate_bytes_per_s"] == pytest.approx(8e12, rel=1e-3)
    assert 16 * 2 * 8 * table["photonic-fabric"]["rate_bytes_per_s"] / (514 / 544) == pytest.approx(115e12, rel=0.01)
    assert 8 * 144 * table["quantum-x"]["rate_bytes_per_s"] == pytest.approx(115.2e12, rel=1e-3)
    m1000 = table["passage-m1000"]
    assert 8 * m1000["rate_bytes_per_s"] == pytest.approx(57e12, rel=0.03), "published, one way"


@pytest.mark.parametrize(("name", "pj", "told"), [("optics-dsp", 18.75, 2.75), ("optics-cpo", 5.6, 1.35)])
def test_a_module_at_full_rate_takes_its_published_power(name: str, pj: float, told: float) -> None:
    v = resolved(name).values
    assert v.layers is not None and v.layers.laser_energy is not None
    module_pj = (v.energy + v.layers.laser_energy) / 1000 - told  # without the lanes between chip and module
    assert module_pj == pytest.approx(pj, rel=0.01)


def test_a_message_on_one_link_says_where_its_latency_comes_from() -> None:
    record = link("quantum-x", "4KiB", n=1, arrivals="even")
    parts = record["idle_latency_parts"]
    assert sum(parts.values()) == pytest.approx(record["idle_latency_s"], rel=1e-12)
    assert record["average_latency_s"] == pytest.approx(record["idle_latency_s"], rel=0.02)  # codewords go on
    assert parts["switch_s"] == 250e-9
    assert parts["flight_s"] == pytest.approx(2 * 10 * 4.9e-9)


def whole_pj(name: str) -> float:
    """Return what a bit takes at full rate, lasers included."""
    v = resolved(name).values
    laser_fj = v.layers.laser_energy or 0 if v.layers is not None else 0
    return (v.energy + laser_fj) / 1000


def test_energy_follows_reach() -> None:
    names = ["ucie-advanced", "ucie-standard", "nvlink-c2c", "copper-xsr", "copper-vsr", "copper-lr", "copper-retimed"]
    energies = [whole_pj(name) for name in names]
    assert energies == sorted(energies)
    low, high = resolved("copper-retimed").record("layers.energy").range or (0, 0)
    assert (low, high) == (7000, 15000), "what is told of copper as such is of the class with retimers"


def test_light_saves_against_long_copper_what_it_costs_against_short() -> None:
    light = whole_pj("optics-cpo")
    assert whole_pj("copper-xsr") < 0.3 * light < whole_pj("copper-lr") < light < whole_pj("copper-retimed")
    assert light < whole_pj("optics-lpo") < whole_pj("optics-dsp")


def test_a_hundred_terabits_of_light_are_hundreds_of_watts() -> None:
    v = resolved("passage-m1000").values
    both_ways = 2 * 8 * v.n_links * v.rate
    watts = both_ways * whole_pj("passage-m1000") * 1e-12
    assert both_ways == pytest.approx(114e12, rel=0.03)
    assert watts == pytest.approx(114 * 2.3, rel=0.03)
    assert watts > 200
