"""Where vectors lie: buffers of activations near the vector unit, weights and KV cache in the slices beyond."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dieshot.chips.mapping.static.machine import StaticMachine
from dieshot.simulator.engine.chip import UnsupportedError

Int64 = NDArray[np.int64]
UNWRITTEN = -1


class NoRoomError(UnsupportedError):
    """A region whose vectors do not fit into the slices; fewer tokens at a time may."""


@dataclass
class Buffer:
    """A tensor of vectors in both hemispheres: row = lane group x tokens + token; byte planes in neighbouring slices.

    groups: of 320 lanes each; `bytes` of an element. ready (rows): first cycle in which the row can be read.
    """

    name: str
    groups: int
    tokens: int
    bytes: int
    pair: int
    base: int
    first_id: int
    hemispheres: tuple[int, ...] = (0, 1)
    lanes: tuple[int, ...] = ()  # in use, of each group
    ready: Int64 = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        self.ready = np.zeros(self.rows, np.int64)

    @property
    def rows(self) -> int:
        """Vectors of one byte plane."""
        return self.groups * self.tokens

    def x(self, byte: int) -> int:
        """Return the distance of the slice of a byte plane."""
        return 1 + 2 * self.pair + byte

    def id(self, row: int) -> int:
        """Return the number of the first byte's vector of a row."""
        return self.first_id + row * self.bytes

    def earliest(self, row: int, stride: int, n: int, d: int) -> int:
        """Return the first cycle at which reading n rows, `stride` apart, d cycles apart, finds all of them."""
        if stride == 0:
            return int(self.ready[row])
        rows = self.ready[row : row + (n - 1) * stride + 1 : stride]
        return int((rows - d * np.arange(len(rows))).max())

    def written(self, row: int, stride: int, n: int, at: int, d: int) -> None:
        """Note that n rows are readable from `at`, then d cycles apart."""
        times = at + d * np.arange(n)
        rows = slice(row, row + (n - 1) * stride + 1, max(1, stride))
        self.ready[rows] = np.maximum(self.ready[rows], times)


@dataclass(frozen=True, slots=True)
class Preload:
    """Vectors that are in a slice before the region begins: n rows from `address` on, ids `stride` apart."""

    slice: int
    address: int
    n: int
    first_id: int
    stride: int


class Sram:
    """Hands out rows of slices and numbers of vectors; NoRoomError where a region does not fit."""

    def __init__(self, machine: StaticMachine) -> None:
        self.machine = machine
        self.next_id = 0
        self.preloads: list[Preload] = []
        self._pair_top = [0] * machine.activation_pairs
        first = machine.parameters.mem.activation_slices + 1
        self.weight_xs = list(range(first, machine.n_slices + 1))
        self._weight_top = {(h, x): 0 for h in (0, 1) for x in self.weight_xs}
        self._turn = [0, 0]

    @property
    def resident(self) -> int:
        """Rows of slices handed out to weights and cache."""
        return sum(self._weight_top.values())

    @property
    def activations(self) -> int:
        """Rows of slices handed out to activations: two byte planes, in both hemispheres."""
        return 4 * sum(self._pair_top)

    def ids(self, n: int) -> int:
        """Return the first of n new vector numbers."""
        first = self.next_id
        self.next_id += n
        return first

    def buffer(
        self, name: str, groups: int, tokens: int, bytes_: int = 2, avoid: tuple[int, ...] = (), pair: int | None = None
    ) -> Buffer:
        """Return a new buffer, in the emptiest pair of slices that is not to be avoided."""
        rows = groups * tokens
        if pair is None:
            pairs = [each for each in range(len(self._pair_top)) if each not in avoid]
            pair = min(pairs, key=lambda each: (self._pair_top[each], each))
        base = self._pair_top[pair]
        if base + rows > self.machine.parameters.mem.rows:
            raise NoRoomError(
                f"{self.machine.parameters.name} has no room for the activations of {name}: {rows} vectors of "
                f"{self.machine.lanes} lanes beside {base} in a slice of {self.machine.parameters.mem.rows}"
            )
        self._pair_top[pair] = base + rows
        return Buffer(name, groups, tokens, bytes_, pair, base, self.ids(rows * bytes_))

    def arrived(self, buffer: Buffer, first: int = 0) -> Buffer:
        """Note that a buffer was filled, from its row `first` on, before the region began."""
        for hemisphere in buffer.hemispheres:
            for byte in range(buffer.bytes):
                at = self.machine.slice(hemisphere, buffer.x(byte))
                n, vector = buffer.rows - first, buffer.id(first) + byte
                self.preloads.append(Preload(at, buffer.base + first, n, vector, buffer.bytes))
        return buffer

    def weight_slices(self, hemisphere: int, n: int) -> list[int]:
        """Return n slices for the streams of a tile, in turns over all that hold weights."""
        xs, turn = self.weight_xs, self._turn[hemisphere]
        self._turn[hemisphere] = (turn + n) % len(xs)
        return [xs[(turn + i) % len(xs)] for i in range(n)]

    def weight_rows(
        self, name: str, hemisphere: int, x: int, n: int, preloaded: int, first_id: int, stride: int
    ) -> int:
        """Return the address of n new rows in a slice, the first of them resident before the region begins."""
        base = self._weight_top[hemisphere, x]
        if base + n > self.machine.parameters.mem.rows:
            raise NoRoomError(
                f"{self.machine.parameters.name} has no room for {name} in a slice of "
                f"{self.machine.parameters.mem.rows} vectors"
            )
        self._weight_top[hemisphere, x] = base + n
        if preloaded:
            self.preloads.append(Preload(self.machine.slice(hemisphere, x), base, preloaded, first_id, stride))
        return base
