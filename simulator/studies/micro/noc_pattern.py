"""Where packets go: the synthetic patterns of the field."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.errors import InputError

Rows = NDArray[np.int64]
PATTERNS = ("uniform", "transpose", "complement", "tornado", "neighbour", "hotspot")
HOTSPOT_SHARE = 0.1


def destinations(pattern: str, sources: Rows, n: int, sides: tuple[int, ...], random: np.random.Generator) -> Rows:
    """Return a destination for each source among `n` terminals.

    uniform: any, oneself included. transpose: x and y exchanged (a square number of terminals). complement: the one as
    far from the last as the source is from the first. neighbour: one place on in every dimension that `sides` has (in a
    ring if these are not the terminals'); tornado: just less than half way round. hotspot: a tenth goes to terminal 0
    on top of uniform traffic.
    """
    if pattern == "uniform":
        return random.integers(0, n, len(sources))
    if pattern == "hotspot":
        return np.where(random.random(len(sources)) < HOTSPOT_SHARE, 0, random.integers(0, n, len(sources)))
    return _fixed(pattern, sources, n, sides)


def shares(pattern: str, n: int, sides: tuple[int, ...]) -> NDArray[np.float64]:
    """Return (n, n): the share of a source's packets that goes to each destination, as `destinations` draws them."""
    if pattern in ("uniform", "hotspot"):
        table = np.full((n, n), 1 / n)
        if pattern == "hotspot":
            table *= 1 - HOTSPOT_SHARE
            table[:, 0] += HOTSPOT_SHARE
        return table
    table = np.zeros((n, n))
    table[np.arange(n), _fixed(pattern, np.arange(n), n, sides)] = 1
    return table


def _fixed(pattern: str, sources: Rows, n: int, sides: tuple[int, ...]) -> Rows:
    if pattern == "complement":
        return n - 1 - sources
    if pattern == "transpose":
        side = math.isqrt(n)
        if side * side != n:
            raise InputError("no square to transpose", key="--pattern", value=pattern,
                             expected=f"a square number of terminals, not {n}")  # fmt: skip
        return sources % side * side + sources // side
    return _moved(pattern, sources, sides if math.prod(sides) == n else (n,))


def _moved(pattern: str, sources: Rows, sides: tuple[int, ...]) -> Rows:
    step, out = 1, np.zeros_like(sources)
    for side in sides:
        by = 1 if pattern == "neighbour" else -(-side // 2) - 1
        out += (sources // step + by) % side * step
        step *= side
    return out
