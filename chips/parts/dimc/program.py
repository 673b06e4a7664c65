"""A stretch of operators as the parts of a card see it: steps in program order, and the timing of the parts."""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.chips.parts.memory.hbm import HbmDesign
from dieshot.simulator.engine.clock import Clock

Interval = tuple[str, int, int, int]  # link, begin and end in fs, bytes


LINKS = ("bridge", "fabric", "nic")
CHIPLET_PARTS = ("select", "array", "reduce", "noc", "simd", "d2d")  # the last where there are several chiplets


@dataclass(frozen=True, slots=True)
class Tiles:
    """What the cores of one chiplet do in a step: tiles one after the other in a core, and of all of them together the
    bytes selected and the MACs, padding included."""

    passes: int
    select_bytes: int
    macs: int

    def part(self, index: int, n: int) -> Tiles:
        """Return one of n parts, by tiles of a core; what a tile has goes with it."""
        if self.passes == 0:
            return self
        before, after = self.passes * index // n, self.passes * (index + 1) // n
        totals = (self.select_bytes, self.macs)
        return Tiles(after - before, *(t * after // self.passes - t * before // self.passes for t in totals))


@dataclass(frozen=True, slots=True)
class Exchange:
    """A collective among cards, as it goes when nothing else is on the links: its time, and a card's own sends."""

    name: str
    duration_fs: int
    sends: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One way of `n_items` vectors through a card: over the links of cards, between chiplets, to the slices, through
    arrays and adder trees, between chiplets once more where they share sums, through the lanes, and to all chiplets.

    Amounts are of one item; those in tuples are per chiplet. gather, share, publish: bytes that come in from the other
    chiplets before the arrays, behind them, behind the lanes. spread, reduce: bytes over the ports of slices before and
    behind the arrays. vector_cycles: of an operand in an array. groups: columns of tiles that the cores multiply one
    after the other; while one is multiplied, trees and lanes work on the sums of the one before. sums: bytes that go
    into adder trees; tree_cycles: their depth, and hops. simd_ops: of the lanes. load_bytes: of weights and cache that
    have to be in SRAM first, where they lie in DRAM; store_bytes: that go back there.
    """

    operator: int
    n_items: int
    exchange: Exchange | None = None
    gather: tuple[int, ...] = ()
    spread: tuple[int, ...] = ()
    tiles: tuple[Tiles, ...] = ()
    vector_cycles: int = 1
    groups: int = 1
    reduce: tuple[int, ...] = ()
    sums: tuple[int, ...] = ()
    tree_cycles: int = 0
    share: tuple[int, ...] = ()
    simd_ops: tuple[int, ...] = ()
    publish: tuple[int, ...] = ()
    load_bytes: int = 0
    store_bytes: int = 0

    def share_of(self, amounts: tuple[int, ...], group: int) -> tuple[int, ...]:
        """Return what one of the groups has of amounts."""
        return tuple(amount * (group + 1) // self.groups - amount * group // self.groups for amount in amounts)

    @property
    def n_passes(self) -> int:
        """Tiles of the busiest core."""
        return max((tiles.passes for tiles in self.tiles), default=0)

    @property
    def macs(self) -> int:
        """MACs of all chiplets, padding included."""
        return sum(tiles.macs for tiles in self.tiles)


@dataclass(frozen=True, slots=True)
class DramTiming:
    """The DRAM of one chiplet; those of all act alike, since weights and cache are shared out evenly.

    slots: transfers under way. room_bytes: SRAM for segments; segment_bytes: of one. n_alike: chiplets.
    """

    design: HbmDesign
    transfer_bytes: int
    slots: int
    room_bytes: int
    segment_bytes: int
    n_alike: int


@dataclass(frozen=True, slots=True)
class DimcTiming:
    """What the parts need to know, in cycles, bytes and operations of one chiplet. links: kinds that join cards.

    tree_bytes: that adder trees take in a cycle. d2d_scale, d2d_rate: bytes x scale / rate are the cycles of a
    chiplet's links. dram: None where nothing lies there.
    """

    clock: Clock
    n_chiplets: int
    links: tuple[str, ...]
    select_cycles: int
    buffers: int
    port_bytes: int
    noc_latency: int
    tree_bytes: int
    lanes: int
    lane_overhead: int
    d2d_scale: int
    d2d_rate: int
    d2d_latency: int
    operator_cycles: int
    depth: int
    dram: DramTiming | None

    @property
    def chiplet_parts(self) -> tuple[str, ...]:
        """Parts of a chiplet that have a line of the log."""
        return CHIPLET_PARTS if self.n_chiplets > 1 else CHIPLET_PARTS[:-1]

    def link_line(self, link: str) -> int:
        """Return the line of a kind of link, behind that of the control cores."""
        return 1 + self.links.index(link)

    def chiplet_lines(self, *parts: str) -> list[int]:
        """Return the lines of some parts, chiplet by chiplet; none of parts that are not there."""
        here = self.chiplet_parts
        first = 1 + len(self.links)
        return [
            first + chiplet * len(here) + here.index(part)
            for chiplet in range(self.n_chiplets)
            for part in parts
            if part in here
        ]

    @property
    def n_lines(self) -> int:
        """Lines of a card without those of its DRAM."""
        return 1 + len(self.links) + self.n_chiplets * len(self.chiplet_parts)
