"""The chip as the static compiler and the replay see it: positions, stream codes, unit numbers, latencies, all whole
cycles of one clock."""

from __future__ import annotations

from dataclasses import dataclass

from dieshot.chips.parameters.static_dataflow import StaticDataflowParameters
from dieshot.simulator.engine.clock import Clock
from dieshot.simulator.params import LinkParameters

WEST, EAST = 0, 1  # hemispheres, and the two directions of streams in the same order reversed: see `outward`
PLANES_A_HEMISPHERE = 2


@dataclass(frozen=True, slots=True)
class LinkTiming:
    """A chip-to-chip link: cycles that a vector holds it, cycles from its end to the receiver's port, and the ranks."""

    interval: int
    flight: int
    group: int


@dataclass(frozen=True, slots=True)
class StaticMachine:
    """Geometry and timings. A place is its distance from the vector unit: slices 1 .. n_slices, then the permutation
    units with the links beside them, then the matrix planes."""

    parameters: StaticDataflowParameters
    period_fs: int
    link: LinkTiming | None

    @property
    def n_slices(self) -> int:
        """SRAM slices of a hemisphere."""
        return self.parameters.mem.slices

    @property
    def edge(self) -> int:
        """Distance of the permutation units and links from the vector unit."""
        return self.n_slices + 1

    @property
    def planes_at(self) -> int:
        """Distance of the matrix planes from the vector unit."""
        return self.n_slices + 2

    @property
    def lanes(self) -> int:
        """Bytes of a vector."""
        return self.parameters.streams.lanes

    @property
    def n_streams(self) -> int:
        """Streams of one direction."""
        return self.parameters.streams.per_direction

    @property
    def weight_streams(self) -> int:
        """Streams that weights may take at once; two are left to activations."""
        return self.n_streams - 2

    @property
    def activation_pairs(self) -> int:
        """Pairs of slices for activations: the low and the high byte of 16-bit vectors."""
        return self.parameters.mem.activation_slices // 2

    def position(self, hemisphere: int, x: int) -> int:
        """Return the position, counted from the west, of a distance from the vector unit."""
        return self.planes_at + (x if hemisphere == EAST else -x)

    def code(self, outward: bool, hemisphere: int, stream: int) -> int:
        """Return the stream code of a stream that leaves the vector unit into a hemisphere, or comes from it."""
        eastward = outward == (hemisphere == EAST)
        return stream if eastward else self.n_streams + stream

    def bus(self, alu: int) -> int:
        """Return the code of the wire behind an ALU."""
        return 2 * self.n_streams + alu

    @property
    def n_codes(self) -> int:
        """Streams and buses."""
        return 2 * self.n_streams + self.parameters.vxm.alus

    def slice(self, hemisphere: int, x: int) -> int:
        """Return the number of a slice at distance x >= 1."""
        return hemisphere * self.n_slices + x - 1

    def plane(self, hemisphere: int, index: int) -> int:
        """Return the number of a matrix plane."""
        return hemisphere * PLANES_A_HEMISPHERE + index

    @property
    def first_queue(self) -> dict[str, int]:
        """First instruction queue of each kind of unit: a queue a slice, ALU, permutation unit and link, four a
        plane."""
        p = self.parameters
        counts = {
            "mem": 2 * p.mem.slices,
            "vxm": p.vxm.alus,
            "mxm": 4 * p.mxm.planes,
            "sxm": 2 * p.sxm.units,
            "c2c": p.c2c.local_links + p.c2c.global_links,
        }
        out, total = {}, 0
        for kind, count in counts.items():
            out[kind] = total
            total += count
        return out

    def link_hemisphere(self, link: int) -> int:
        """Return the hemisphere at whose edge a link's port is: in turns."""
        return link % 2

    def activate_interval(self, dtype: str) -> int:
        """Return the cycles between two vectors into one plane, or pair of planes with 16-bit weights."""
        p = self.parameters.mxm
        planes = 1 if dtype == "int8" else 2
        macs = self.lanes * self.lanes * p.planes // planes
        return max(1, -(-macs // p.mac_rate[dtype]))

    @property
    def permute_trips(self) -> int:
        """Ways to the permutation units and back for a maximum over all lanes: each brings `units` shifted copies."""
        radix = self.parameters.sxm.units + 1
        trips, reached = 0, 1
        while reached < self.lanes:
            reached *= radix
            trips += 1
        return trips

    @property
    def permute_latency(self) -> int:
        """Cycles in a permutation unit; lanes that cross superlanes wait for the skew between them."""
        return self.parameters.sxm.latency + self.parameters.streams.superlane_skew


def machine_of(p: StaticDataflowParameters, link: LinkParameters | None, group: int) -> StaticMachine:
    """Return the machine; `link` and `group` where it is joined to others."""
    clock = Clock.from_hz(p.clock)
    timing = None
    if link is not None:
        # the wire's rate is no whole number of cycles a vector; ports even that out over a run of vectors
        interval = max(1, round(p.streams.lanes * p.clock / link.rate / link.protocol_efficiency))
        timing = LinkTiming(interval, round(link.hop_latency / clock.period_fs), group)
    return StaticMachine(p, clock.period_fs, timing)
