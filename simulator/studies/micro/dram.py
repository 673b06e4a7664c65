"""One memory under one pattern of requests: cycles, share of the peak, latency, energy by command."""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.errors import InputError, listed, nearest_name
from dieshot.simulator.params import find_document, resolve
from dieshot.simulator.params.memory import MemoryParameters
from dieshot.simulator.params.override import parse_overrides

Int64s = NDArray[np.int64]

PATTERNS = ("seq", "rand", "stride")
STRIDE_BYTES = 64 << 10
SPAN_BYTES = 1 << 30  # random and strided addresses lie within
MOST_ITEMS = 1 << 27


def memory_parameters(name: str, overrides: tuple[str, ...] = ()) -> MemoryParameters:
    """Return a memory of the catalog, or of a file, with its parameters overridden by 'path=value'."""
    document = find_document("memories", name)
    return resolve(document, MemoryParameters, parse_overrides(overrides)).values


def pattern_addresses(pattern: str, n: int, burst_bytes: int, span_bytes: int, seed: int) -> Int64s:
    """Return byte addresses: seq goes up by a burst, stride by 64 KiB (a burst further per wrap), rand is uniform."""
    if pattern == "seq":
        return np.arange(n, dtype=np.int64) * burst_bytes
    if pattern == "stride":
        unwrapped = np.arange(n, dtype=np.int64) * STRIDE_BYTES
        return unwrapped % span_bytes + unwrapped // span_bytes * burst_bytes
    generator = np.random.default_rng(seed)
    return generator.integers(0, span_bytes // burst_bytes, n) * burst_bytes


def micro_dram(
    memory: str,
    *,
    pattern: str = "seq",
    n: int = 1 << 20,
    mapping: str = "mop4clxor",
    scheduler: str = "frfcfs",
    queue: int = 32,
    refresh: str = "allbank",
    page: str = "open",
    read_fraction: float = 1.0,
    channels: int = 1,
    requesters: int = 1,
    load: float | None = None,
    seed: int = 0,
    bank_queue: int = 0,
    forward: bool = True,
    overrides: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Serve `n` requests of one burst each and return what happened.

    read_fraction: reads among them, chosen by `seed`. requesters: streams of the same pattern in their own parts of
    the memory, in turn. load: share of the peak at which requests arrive; None: as fast as they are accepted (four
    a tick and channel). bank_queue: of scheduler bankturn alone. forward: reads are answered from waiting writes.
    cycles: command-bus ticks until the last request was accepted. InputError on nonsense.
    """
    _check(pattern, n, read_fraction, requesters, load, seed)
    channel_module = importlib.import_module("dieshot.chips.parts.memory.dram_channel")
    policy = channel_module.ControllerPolicy(
        scheduler, queue, refresh, page, mapping, channels, 4 * channels, bank_queue, forward
    )
    dram = channel_module.DramChannels(memory_parameters(memory, overrides), policy)
    geometry, bits = dram.parameters.geometry, dram.map.n_bits
    peak_ticks = dram.timings["nBL"] * dram.ticks_per_cycle / (geometry.n_pseudo_channels * channels)
    addresses = _streams(pattern, n, geometry.burst, 1 << bits, requesters, seed)
    arrival = np.zeros(n, np.int64) if load is None else (np.arange(n) * (peak_ticks / load)).astype(np.int64)
    is_write = (np.random.default_rng(seed + 1).random(n) >= read_fraction).astype(np.int64)
    begun_s = time.perf_counter()
    service = dram.serve(addresses, arrival, is_write)
    wall_s = time.perf_counter() - begun_s
    return _record(dram, service, arrival, peak_ticks, requesters, wall_s)


def _check(pattern: str, n: int, read_fraction: float, requesters: int, load: float | None, seed: int) -> None:
    if pattern not in PATTERNS:
        nearest = nearest_name(pattern, PATTERNS)
        raise InputError("unknown pattern", key="pattern", value=pattern, expected=listed(PATTERNS), nearest=nearest)
    if not 1 <= n <= MOST_ITEMS:
        raise InputError("out of range", key="n", value=n, expected=f"1 to {MOST_ITEMS}")
    if not 0 <= read_fraction <= 1:
        raise InputError("out of range", key="read_fraction", value=read_fraction, expected="0 to 1")
    if not 1 <= requesters <= n:
        raise InputError("out of range", key="requesters", value=requesters, expected=f"1 to {n}")
    if load is not None and not 1e-6 <= load <= 10:
        raise InputError("out of range", key="load", value=load, expected="a share of the peak, 1e-6 to 10")
    if seed < 0:
        raise InputError("out of range", key="seed", value=seed, expected="at least 0")


def _streams(pattern: str, n: int, burst_bytes: int, capacity_bytes: int, requesters: int, seed: int) -> Int64s:
    part_bytes = capacity_bytes // requesters // burst_bytes * burst_bytes
    span_bytes = min(SPAN_BYTES, part_bytes)
    each = -(-n // requesters)
    streams = [
        r * part_bytes + pattern_addresses(pattern, each, burst_bytes, span_bytes, seed + r) for r in range(requesters)
    ]
    return np.ascontiguousarray(np.stack(streams, axis=1).reshape(-1)[:n])


def _record(
    dram: Any, service: Any, arrival: Int64s, peak_ticks: float, requesters: int, wall_s: float
) -> dict[str, Any]:
    n = len(arrival)
    tick_ns = dram.parameters.timings.tCK / dram.ticks_per_cycle / 1e6
    cycles = int(service.accepted[-1]) + 1
    end_fs = int(service.finished.max()) * dram.parameters.timings.tCK // dram.ticks_per_cycle
    waits = service.finished - service.accepted
    energy = dram.energy_fj(end_fs)
    bits = 8 * dram.parameters.geometry.burst * n
    total_fj = sum(energy.values())
    return {
        "memory": dram.parameters.name,
        "n": n,
        "cycles": cycles,
        "ticks_per_cycle": dram.ticks_per_cycle,
        "tick_ns": tick_ns,
        "percent_of_peak": 100 * n * peak_ticks / cycles,
        "bandwidth_gb_per_s": n * dram.parameters.geometry.burst / (cycles * tick_ns),
        "average_latency_ns": float(waits.mean()) * tick_ns,
        "average_latency_from_arrival_ns": float((service.finished - arrival).mean()) * tick_ns,
        "latency_by_requester_ns": [float(waits[r::requesters].mean()) * tick_ns for r in range(requesters)],
        **dram.counters(),
        "energy_pj": {name: fj / 1000 for name, fj in energy.items()},
        "energy_pj_per_bit": total_fj / 1000 / bits,
        "requests_per_s": n / wall_s,
        "wall_s": wall_s,
    }
