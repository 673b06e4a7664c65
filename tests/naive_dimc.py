"""In-memory cores the slow way: one core cycle by cycle, a server in fractions of cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil


@dataclass
class Core:
    """A core that has to multiply `n_tiles` tiles with all vectors; times in cycles.

    done: when the last tile is through with each vector. selecting, multiplying: cycles in which it did.
    """

    select_cycles: int
    vector_cycles: int
    buffers: int
    n_tiles: int
    arrivals: Sequence[int]
    ready: int = 0
    done: list[int] = field(default_factory=list)
    selecting: list[int] = field(default_factory=list)
    multiplying: list[int] = field(default_factory=list)

    def run(self) -> Core:
        """Step until the last vector of the last tile."""
        begun = selected = over = vector = 0
        select_left = multiply_left = 0
        cycle = 0
        while over < self.n_tiles:
            # what ends at this edge
            if select_left == 0 and begun > selected:
                selected += 1
            if multiply_left == 0 and vector > 0 and self._was_busy:
                if over == self.n_tiles - 1:
                    self.done.append(cycle)
                if vector == len(self.arrivals):
                    over, vector = over + 1, 0
            self._was_busy = False
            # what begins at it
            if begun == selected and begun < self.n_tiles and begun - over < self.buffers and cycle >= self.ready:
                begun, select_left = begun + 1, self.select_cycles
            due = vector < len(self.arrivals) and self.arrivals[vector] <= cycle
            if multiply_left == 0 and selected > over and due:
                vector, multiply_left = vector + 1, self.vector_cycles
            if select_left:
                self.selecting.append(cycle)
                select_left -= 1
            if multiply_left:
                self.multiplying.append(cycle)
                multiply_left -= 1
                self._was_busy = True
            cycle += 1
        return self

    _was_busy: bool = False


def serve(arrivals: Sequence[int], amount: int, scale: int, rate: int, latency: int) -> list[int]:
    """Return when items are through a server that takes amount x scale / rate cycles for each, one after the other."""
    at, done = Fraction(0), []
    for arrival in arrivals:
        if arrival > ceil(at):
            at = Fraction(arrival)
        at += Fraction(amount * scale, rate)
        done.append(ceil(at) + latency)
    return done
