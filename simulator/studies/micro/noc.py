"""One network on a die under one pattern: latency, accepted rate, hops, and the rate at which it saturates."""

from __future__ import annotations

import importlib
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params import find_document, resolve
from dieshot.simulator.studies.micro.noc_bound import bounds
from dieshot.simulator.studies.micro.noc_load import Load, traffic
from dieshot.simulator.studies.micro.noc_pattern import PATTERNS, Rows
from dieshot.simulator.studies.micro.noc_topology import Topology, topology

ROUTINGS = ("wormhole", "circuit", "static")
TREES = ("broadcast", "reduce")
MOST_CYCLES = 100_000_000
MOST_FLITS = 1 << 16
MOST_VCS = 62  # those of a channel are bits of one word
MOST_FLIT_BYTES = 1 << 16
LONGEST_LINK_MM = 1_000
SATURATED_LATENCY_CYCLES = 500  # where the reference simulator gives up, too
BACKLOG_SHARE = 0.02
LOOSE_PACKETS = 4
QUARTERS = 4
RATE_STEP = 1 / 256


def noc(
    network: str,
    rate: float = 0.1,
    packet: int = 1,
    vcs: int = 8,
    buffer: int = 8,
    cycles: int = 10_000,
    warmup: int = 3_000,
    pattern: str = "uniform",
    routing: str = "wormhole",
    seed: int = 0,
    saturation: bool = False,
    speedup: int | None = None,
    early: bool = False,
    flit_bytes: int = 32,
    link_mm: float | None = None,
) -> dict[str, Any]:
    """Offer `rate` flits a cycle and terminal to a network, Bernoulli arrivals of packets of `packet` flits.

    Packets created in `cycles` cycles after `warmup` are measured, traffic going on until all of them have arrived, for
    at most as long again. Latencies are in cycles, from creation to the arrival of the tail. `pattern` "broadcast" and
    "reduce" time one tree over all terminals instead. With `saturation` the highest stable rate is searched.
    speedup: inputs of a switch a port has (None: 2, or 1 with one virtual channel). early: give a virtual channel to
    the next packet once the tail is sent, not once its last credit is back. flit_bytes and link_mm (None: as assumed)
    are for the energy alone.
    InputError for anything that is no network or load.
    """
    speedup = min(2, vcs) if speedup is None else speedup
    _check(rate, packet, vcs, buffer, cycles, warmup, pattern, routing, seed, speedup, flit_bytes, link_mm)
    shape = topology(network)
    built = _build(shape, vcs, buffer, speedup, early)
    load = Load(rate, packet, pattern, cycles, warmup, seed)
    record: dict[str, Any] = {"network": network, "routing": routing, "pattern": pattern}
    record |= {"n_terminals": len(shape.terminals), "n_routers": shape.graph.number_of_nodes(), "packet_flits": packet}
    if pattern in TREES:
        return record | _tree(built, pattern, packet)
    record |= {"offered_rate": rate, "vcs": vcs, "buffer_flits": buffer, "input_speedup": speedup, "seed": seed}
    if routing == "wormhole":
        record |= bounds(built, pattern, packet, shape.sides)
    record |= measure(shape, built, load, routing)
    record |= _energy(record, flit_bytes, link_mm) if routing == "wormhole" else {}
    return record | ({"saturation_rate": saturation_rate(shape, built, load, routing)} if saturation else {})


def measure(shape: Topology, network: Any, load: Load, routing: str = "wormhole") -> dict[str, Any]:
    """Return what a network does under a load; see `noc`."""
    if load.pattern == "hotspot" and len(shape.terminals) < 2:
        raise InputError("no hotspot without a second terminal", key="--pattern", value=load.pattern)
    sources, packets = traffic(shape, load)
    start, stop = load.warmup_cycles, load.warmup_cycles + load.n_cycles
    clock = time.perf_counter()
    if routing == "wormhole":
        outcome = network.deliver(sources, packets, start, stop, stop + load.n_cycles)
        entered, arrived = outcome.delivered[:, 0], outcome.delivered[:, 1]
        end_cycle, ejected, flit_hops = outcome.end_cycle, outcome.ejected_flits, outcome.flit_hops
    else:
        order = np.argsort(packets[:, 0], kind="stable")
        sources, packets = sources[order], np.ascontiguousarray(packets[order])
        reserved = importlib.import_module("dieshot.chips.parts.noc.reserved").ReservedNetwork(network)
        entered, arrived = reserved.reserve(routing, sources, packets).T
        end_cycle = int(arrived.max(initial=0))
        ejected = int(packets[(arrived >= start) & (arrived < stop), 2].sum())
        flit_hops = -1
    seconds = time.perf_counter() - clock
    hops = network.hops()[sources, packets[:, 1]]
    if flit_hops < 0:
        flit_hops = int((hops * packets[:, 2]).sum())
    figures = _figures(load, packets, entered, arrived, hops)
    return figures | {
        "stable": bool(figures["stable"] and _keeps_up(load, sources, packets, arrived)),
        "accepted_rate": ejected / load.n_cycles / len(shape.terminals),
        "end_cycle": end_cycle,
        "flit_hops": flit_hops,
        "wall_s": seconds,
        "simulated_cycles_per_s": end_cycle / seconds,
        "flits_per_s": flit_hops / seconds,
    }


def _keeps_up(load: Load, sources: Rows, packets: Rows, arrived: Rows) -> bool:
    """Return whether as many packets arrive in the window as are created, and no terminal's queue grows throughout.

    What is on its way at both ends of the window differs by a few packets; a queue just below saturation is long for a
    while and shrinks again, so a terminal is overloaded if what it sends, or what is sent to it, lags more and more in
    every quarter.
    """
    edges = load.warmup_cycles + load.n_cycles * np.arange(QUARTERS + 1) // QUARTERS
    quarter = np.searchsorted(edges, packets[:, 0], side="right") - 1
    quarter_came = np.searchsorted(edges, np.where(arrived > 0, arrived, -1), side="right") - 1
    for owners in (sources, packets[:, 1]):
        n = int(owners.max(initial=0)) + 1
        created, came = (
            np.array([np.bincount(owners[at == q], minlength=n) for q in range(QUARTERS)])
            for at in (quarter, quarter_came)
        )
        n_created, n_came = int(created.sum()), int(came.sum())
        slack = BACKLOG_SHARE * created + LOOSE_PACKETS + np.sqrt(created)
        if (created - came > slack).all(axis=0).any():
            return False
    return n_created - n_came <= BACKLOG_SHARE * n_created + LOOSE_PACKETS * len(np.unique(sources))


def _figures(load: Load, packets: Rows, entered: Rows, arrived: Rows, hops: Rows) -> dict[str, Any]:
    created = packets[:, 0]
    stop = load.warmup_cycles + load.n_cycles
    measured = (created >= load.warmup_cycles) & (created < stop)
    done = measured & (arrived > 0) & (arrived <= stop + load.n_cycles)
    latency = (arrived - created)[done]
    inside = (arrived - entered)[done]
    mean = float(latency.mean()) if len(latency) else math.nan
    return {
        "n_packets": int(measured.sum()),
        "n_packets_arrived": int(done.sum()),
        "latency_mean_cycles": mean,
        "latency_p99_cycles": float(np.percentile(latency, 99)) if len(latency) else math.nan,
        "latency_max_cycles": int(latency.max()) if len(latency) else 0,
        "network_latency_mean_cycles": float(inside.mean()) if len(inside) else math.nan,
        "hops_mean": float(hops[done].mean()) if len(inside) else math.nan,
        "flit_hops_measured": int((hops * packets[:, 2])[done].sum()),
        "flits_measured": int(packets[done, 2].sum()),
        "stable": bool(done.sum() == measured.sum() and not mean > SATURATED_LATENCY_CYCLES),
    }


def saturation_rate(shape: Topology, network: Any, load: Load, routing: str = "wormhole") -> float:
    """Return the highest stable rate, to 1/256 flit a cycle and terminal, by bisection: 0 if none is stable."""
    low, high = 0, round(1 / RATE_STEP) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if measure(shape, network, replace(load, rate=middle * RATE_STEP), routing)["stable"]:
            low = middle
        else:
            high = middle
    return low * RATE_STEP


def _energy(record: dict[str, Any], flit_bytes: int, link_mm: float | None) -> dict[str, Any]:
    """Return what the packets measured have cost: every hop is a router, and a link to the next but for the last."""
    energies = importlib.import_module("dieshot.chips.parameters.network")
    document = find_document("networks", "on-die")
    resolved = resolve(document, energies.NetworkEnergy)
    length_mm = resolved.values.link_length if link_mm is None else link_mm
    router_fj = energies.router_fj(resolved.values, flit_bytes)
    link_fj = energies.link_fj(resolved.values, flit_bytes, length_mm)
    n_links = record["flit_hops_measured"] - record["flits_measured"]
    return {
        "flit_bytes": flit_bytes,
        "link_mm": length_mm,
        "router_energy_fj": router_fj,
        "link_energy_fj": link_fj,
        "energy_fj": record["flit_hops_measured"] * router_fj + n_links * link_fj,
        "assumed": [each.path for each in resolved.assumed_read()],
    }


def _build(shape: Topology, vcs: int, buffer: int, speedup: int, early: bool) -> Any:
    part = importlib.import_module("dieshot.chips.parts.noc.network")
    parameters = part.RouterParameters(
        n_vcs=vcs, buffer_flits=buffer, input_speedup=speedup, waits_for_tail_credit=not early
    )
    wiring = part.Wiring(
        shape.terminals, shape.links, shape.next_router, shape.vc_class, shape.takes_any, shape.n_classes
    )
    if vcs < shape.n_classes:
        expected = f"at least {shape.n_classes}, one a class that keeps the routes free of deadlock"
        raise InputError("too few virtual channels", key="--vcs", value=vcs, expected=expected)
    return part.Network(wiring, parameters)


def _tree(network: Any, pattern: str, flits: int) -> dict[str, Any]:
    reserved = importlib.import_module("dieshot.chips.parts.noc.reserved").ReservedNetwork(network)
    everyone = list(range(network.n_terminals))
    hops = network.hops()[0] if pattern == "broadcast" else network.hops()[:, 0]
    if pattern == "broadcast":
        end_cycle = int(reserved.multicast(0, everyone, flits).max())
    else:
        end_cycle = reserved.reduce(0, everyone, flits)
    return {"end_cycle": end_cycle, "hop_cycles": reserved.hop_cycles, "hops_max": int(hops.max())}


def _check(
    rate: float,
    packet: int,
    vcs: int,
    buffer: int,
    cycles: int,
    warmup: int,
    pattern: str,
    routing: str,
    seed: int,
    speedup: int,
    flit_bytes: int,
    link_mm: float | None,
) -> None:
    for key, name, names in (("--pattern", pattern, (*PATTERNS, *TREES)), ("--routing", routing, ROUTINGS)):
        if name not in names:
            raise InputError("unknown name", key=key, value=name, expected=listed(names),
                             nearest=nearest_name(name, names))  # fmt: skip
    limits = (
        ("--packet", packet, 1, MOST_FLITS),
        ("--vcs", vcs, 1, MOST_VCS),
        ("--speedup", speedup, 1, vcs),
        ("--flit-bytes", flit_bytes, 1, MOST_FLIT_BYTES),
        ("--buffer", buffer, 1, 4096),
        ("--cycles", cycles, 1, MOST_CYCLES),
        ("--warmup", warmup, 0, MOST_CYCLES),
        ("--seed", seed, 0, (1 << 63) - 1),
    )
    for key, value, least, most in limits:
        if not least <= value <= most:
            raise InputError("out of range", key=key, value=value, expected=f"{least} to {most}")
    if not 0 < rate <= 1:
        raise InputError("not a rate", key="--rate", value=rate, expected="more than 0, at most 1 (flits a cycle)")
    if link_mm is not None and not 0 <= link_mm <= LONGEST_LINK_MM:
        raise InputError("not a length", key="--link-mm", value=link_mm, expected=f"0 to {LONGEST_LINK_MM}")
