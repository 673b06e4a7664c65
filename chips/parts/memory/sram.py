"""Banked SRAM: what a stream of accesses costs in cycles and energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dieshot.kernels.sram import CONFLICTS, CYCLES, LIMIT, MERGED, N_COUNTS, OK, WORDS, serve_accesses, serve_vectors
from dieshot.simulator.errors import InputError

Rows = NDArray[np.int64]

MOST_BANKS = 1 << 20


@dataclass(frozen=True)
class SramTiming:
    """Banks of words: `width_bytes` a word, `n_ports` words a bank and cycle.

    n_lanes: accesses of a vector. merge: whether lanes of a vector that want the same word share its access. rotate:
    whether each row of words is rotated by a bank against the row before.
    """

    n_banks: int
    width_bytes: int
    n_ports: int = 1
    n_lanes: int = 32
    access_bytes: int = 4
    latency_cycles: int = 0
    merge: bool = True
    rotate: bool = False

    def __post_init__(self) -> None:
        for name in ("n_banks", "width_bytes", "n_ports", "n_lanes", "access_bytes"):
            if not 1 <= getattr(self, name) <= MOST_BANKS:
                raise InputError("not possible", key=name, value=getattr(self, name), expected=f"1 to {MOST_BANKS}")


@dataclass(frozen=True)
class SramService:
    """What a stream of accesses came to.

    conflict_cycles: beyond the first of every vector, or waited at ports by accesses one by one. finish_cycles: of
    every vector, or access.
    """

    cycles: int
    conflict_cycles: int
    n_words: int
    n_merged: int
    finish_cycles: Rows


def read_vectors(sram: SramTiming, addresses: Rows) -> SramService:
    """Serve byte addresses (n) a vector at a time, each vector after the one before."""
    counts = np.zeros(N_COUNTS, np.int64)
    finish = np.zeros(-(-len(addresses) // sram.n_lanes), np.int64)
    status = serve_vectors(
        sram.width_bytes,
        sram.n_ports,
        sram.n_lanes,
        sram.access_bytes,
        int(sram.merge),
        int(sram.rotate),
        counts,
        addresses,
        len(addresses),
        np.zeros(sram.n_banks, np.int64),
        np.zeros((sram.n_lanes, 2), np.int64),
        finish,
    )
    return _service(status, counts, finish)


def read_one_by_one(sram: SramTiming, port_free_cycles: Rows, arrivals: Rows, addresses: Rows) -> SramService:
    """Serve byte addresses (n) that arrive in cycles `arrivals` (n, not falling); port_free_cycles (banks, ports) is
    state."""
    counts = np.zeros(N_COUNTS, np.int64)
    finish = np.zeros(len(addresses), np.int64)
    status = serve_accesses(
        sram.width_bytes,
        sram.access_bytes,
        sram.latency_cycles,
        int(sram.rotate),
        port_free_cycles,
        counts,
        arrivals,
        addresses,
        len(addresses),
        finish,
    )
    return _service(status, counts, finish)


def _service(status: int, counts: Rows, finish: Rows) -> SramService:
    if status != OK:
        raise InputError(f"access {-1 - status} has an address or cycle out of range", expected=f"0 to {LIMIT}")
    cycles, conflicts = int(counts[CYCLES]), int(counts[CONFLICTS])
    return SramService(cycles, conflicts, int(counts[WORDS]), int(counts[MERGED]), finish)


PATTERNS = ("strided", "random", "transposed")


def pattern_addresses(pattern: str, n: int, stride: int, element_bytes: int, seed: int, span_bytes: int) -> Rows:
    """Return the byte addresses (n) of a pattern.

    strided: every `stride`-th element. transposed: down the columns of a square matrix with rows of `stride` elements.
    random: elements anywhere in `span_bytes`. Addresses wrap at the largest multiple of an element within `span_bytes`.
    """
    elements = max(1, span_bytes // element_bytes)
    index = np.arange(n, dtype=np.int64)
    if pattern == "random":
        index = np.random.default_rng(seed).integers(0, elements, n)
    elif pattern == "strided":
        index = index * stride % elements
    else:
        index = (index % stride * stride + index // stride % stride) % elements
    return np.ascontiguousarray(index * element_bytes)
