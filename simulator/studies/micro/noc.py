"""One network on a die under one pattern: latency, accepted rate, hops, and the rate at which it saturates."""

from __future__ import annotations

import importlib
import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.studies.micro.noc_pattern import PATTERNS, Rows, destinations
from dieshot.simulator.studies.micro.noc_topology import Topology, topology

ROUTINGS = ("wormhole", "circuit", "static")
TREES = ("broadcast", "reduce")
MOST_CYCLES = 100_000_000
MOST_FLITS = 1 << 16
MOST_PACKETS = 200_000_000
SATURATED_LATENCY_CYCLES = 500  # where the reference simulator gives up, too
BACKLOG_SHARE = 0.02
RATE_STEP = 1 / 256


@dataclass(frozen=True)
class Load:
    """Offered traffic: flits a cycle and terminal, flits a packet, pattern, cycles before and during measuring."""

    rate: float
    packet_flits: int
    pattern: str
    n_cycles: int
    warmup_cycles: int
    seed: int


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
) -> dict[str, Any]:
    """Offer `rate` flits a cycle and terminal to a network, Bernoulli arrivals of packets of `packet` flits.

    Packets created in `cycles` cycles after `warmup` are measured, traffic going on until all of them have arrived, for
    at most as long again. Latencies are in cycles, from creation to the arrival of the tail. `pattern` "broadcast" and
    "reduce" time one tree over all terminals instead. With `saturation` the highest stable rate is searched.
    InputError for anything that is no network or load.
    """
    _check(rate, packet, vcs, buffer, cycles, warmup, pattern, routing, seed)
    shape = topology(network)
    built = _build(shape, vcs, buffer)
    load = Load(rate, packet, pattern, cycles, warmup, seed)
    record: dict[str, Any] = {"network": network, "routing": routing, "pattern": pattern}
    record |= {"n_terminals": len(shape.terminals), "n_routers": shape.graph.number_of_nodes(), "packet_flits": packet}
    if pattern in TREES:
        return record | _tree(built, pattern, packet)
    record |= {"offered_rate": rate, "vcs": vcs, "buffer_flits": buffer, "seed": seed}
    record |= measure(shape, built, load, routing)
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
        reserved = importlib.import_module("dieshot.chips.parts.reserved").ReservedNetwork(network)
        entered, arrived = reserved.reserve(routing, sources, packets).T
        end_cycle = int(arrived.max(initial=0))
        ejected = int(packets[(arrived >= start) & (arrived < stop), 2].sum())
        flit_hops = -1
    seconds = time.perf_counter() - clock
    hops = network.hops()[sources, packets[:, 1]]
    if flit_hops < 0:
        flit_hops = int((hops * packets[:, 2]).sum())
    offered = packets[(packets[:, 0] >= start) & (packets[:, 0] < stop), 2].sum()
    # What is on its way at both ends of the window may differ by a few packets a terminal; a growing queue by more.
    keeps_up = ejected >= (1 - BACKLOG_SHARE) * offered - 4 * load.packet_flits * len(shape.terminals)
    figures = _figures(load, packets, entered, arrived, hops)
    return figures | {
        "stable": bool(figures["stable"] and keeps_up),
        "accepted_rate": ejected / load.n_cycles / len(shape.terminals),
        "end_cycle": end_cycle,
        "flit_hops": flit_hops,
        "wall_s": seconds,
        "simulated_cycles_per_s": end_cycle / seconds,
        "flits_per_s": flit_hops / seconds,
    }


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
        "stable": bool(done.sum() == measured.sum() and not mean > SATURATED_LATENCY_CYCLES),
    }


def traffic(shape: Topology, load: Load) -> tuple[Rows, Rows]:
    """Return sources (n) and packets (n, 3: cycle, destination, flits), each terminal a Bernoulli process (PCG64)."""
    n = len(shape.terminals)
    horizon = load.warmup_cycles + 2 * load.n_cycles
    if n * horizon * load.rate / load.packet_flits > MOST_PACKETS:
        raise InputError("too much traffic", key="--cycles", value=load.n_cycles,
                         expected=f"at most {MOST_PACKETS} packets")  # fmt: skip
    random = np.random.Generator(np.random.PCG64(load.seed))
    chance = load.rate / load.packet_flits
    counts = random.binomial(horizon, chance, n)
    created = [np.sort(random.choice(horizon, count, replace=False, shuffle=False)) for count in counts.tolist()]
    sources = np.repeat(np.arange(n), counts)
    packets = np.empty((len(sources), 3), np.int64)
    packets[:, 0] = np.concatenate(created)
    packets[:, 1] = destinations(load.pattern, sources, n, shape.sides, random)
    packets[:, 2] = load.packet_flits
    return sources, packets


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


def _build(shape: Topology, vcs: int, buffer: int) -> Any:
    part = importlib.import_module("dieshot.chips.parts.network")
    speedup = 2 if vcs % 2 == 0 else 1
    parameters = part.RouterParameters(n_vcs=vcs, buffer_flits=buffer, input_speedup=speedup)
    wiring = part.Wiring(shape.terminals, shape.links, shape.next_router, shape.vc_class, shape.takes_any, shape.n_classes)
    if vcs < shape.n_classes:
        expected = f"at least {shape.n_classes}, one a class that keeps the routes free of deadlock"
        raise InputError("too few virtual channels", key="--vcs", value=vcs, expected=expected)
    return part.Network(wiring, parameters)


def _tree(network: Any, pattern: str, flits: int) -> dict[str, Any]:
    reserved = importlib.import_module("dieshot.chips.parts.reserved").ReservedNetwork(network)
    everyone = list(range(network.n_terminals))
    hops = network.hops()[0] if pattern == "broadcast" else network.hops()[:, 0]
    if pattern == "broadcast":
        end_cycle = int(reserved.multicast(0, everyone, flits).max())
    else:
        end_cycle = reserved.reduce(0, everyone, flits)
    return {"end_cycle": end_cycle, "hop_cycles": reserved.hop_cycles, "hops_max": int(hops.max())}


def _check(
    rate: float, packet: int, vcs: int, buffer: int, cycles: int, warmup: int, pattern: str, routing: str, seed: int
) -> None:
    for key, name, names in (("--pattern", pattern, (*PATTERNS, *TREES)), ("--routing", routing, ROUTINGS)):
        if name not in names:
            raise InputError("unknown name", key=key, value=name, expected=listed(names),
                             nearest=nearest_name(name, names))  # fmt: skip
    limits = (
        ("--packet", packet, 1, MOST_FLITS),
        ("--vcs", vcs, 1, 64),
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
