"""Where packets go: the synthetic patterns of the field."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dieshot.simulator.errors import InputError

Rows = NDArray[np.int64]
PATTERNS = ("uniform", "transpose", "neighbour", "hotspot")
HOTSPOT_SHARE = 0.1


def destinations(pattern: str, sources: Rows, n: int, sides: tuple[int, ...], random: np.random.Generator) -> Rows:
    """Return a destination for each source among `n` terminals.

    uniform: any, oneself included. transpose: x and y exchanged (a square number of terminals). neighbour: one place
    on in every dimension that `sides` has (in a ring if these are not the terminals'). hotspot: a tenth goes to
    terminal 0 on top of uniform traffic.
    """
    if pattern == "uniform":
        return random.integers(0, n, len(sources))
    if pattern == "hotspot":
        return np.where(random.random(len(sources)) < HOTSPOT_SHARE, 0, random.integers(0, n, len(sources)))
    if pattern == "transpose":
        side = math.isqrt(n)
        if side * side != n:
            raise InputError("no square to transpose", key="--pattern", value=pattern,
                             expected=f"a square number of terminals, not {n}")  # fmt: skip
        return sources % side * side + sources // side
    return _neighbours(sources, sides if math.prod(sides) == n else (n,))


def _neighbours(sources: Rows, sides: tuple[int, ...]) -> Rows:
    step, out = 1, np.zeros_like(sources)
    for side in sides:
        out += (sources // step + 1) % side * step
        step *= side
    return out
