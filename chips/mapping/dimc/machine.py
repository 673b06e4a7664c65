"""A card of in-memory cores as its compiler sees it: cores, tiles, and what follows from the formats."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from math import ceil, gcd

from dieshot.chips.parameters.dimc import DimcParameters, path_fs
from dieshot.chips.parts.dimc.program import LINKS, DimcTiming, DramTiming
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.hbm import HbmDesign, hbm_design
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.simulator.engine.clock import Clock
from dieshot.simulator.params import LinkParameters
from dieshot.traces.dtype import BLOCKS, DTYPE_BITS

CAPACITY = "capacity"


@dataclass(frozen=True)
class DimcMachine:
    """Parameters of a card and what follows from them, and what is known of a model: used, MACs in a cycle of a card by
    the format of its operators; rows, the fewest of every GEMM, by name, for which its weights are laid out."""

    p: DimcParameters
    used: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    @property
    def n_chiplets(self) -> int:
        """Chiplets of a card."""
        return self.p.organisation.chiplets

    @property
    def n_slices(self) -> int:
        """Slices of a chiplet."""
        return self.p.organisation.quads * self.p.organisation.slices

    @property
    def slice_cores(self) -> int:
        """Cores of a slice."""
        return self.p.organisation.cores

    @property
    def chiplet_cores(self) -> int:
        """Cores of a chiplet."""
        return self.n_slices * self.slice_cores

    @property
    def n_cores(self) -> int:
        """Cores of a card."""
        return self.n_chiplets * self.chiplet_cores

    @property
    def streams(self) -> bool:
        """Whether weights and cache lie in DRAM and are brought in segment by segment."""
        return self.p.mode == CAPACITY

    @functools.cached_property
    def clock(self) -> Clock:
        """The clock of the cores."""
        return Clock.from_hz(self.p.clock)

    def operand_bits(self, dtype: str, name: str) -> int:
        """Return the cycles of a vector; UnsupportedError for a format that the arrays do not take."""
        return self._bits(self.p.array.operand_bits, dtype, "multiplies", name)

    def weight_bits(self, dtype: str, name: str) -> int:
        """Return the bits of a weight in a tile; UnsupportedError for a format that the arrays do not take."""
        return self._bits(self.p.array.weight_bits, dtype, "keeps weights and cache in", name)

    def _bits(self, known: dict[str, int], dtype: str, what: str, name: str) -> int:
        if dtype not in known:
            raise UnsupportedError(
                f"{self.p.name} has no in-memory array for {dtype} (operator {name}); it {what} {', '.join(known)}"
            )
        return known[dtype]

    def columns(self, weight_bits: int) -> int:
        """Return the columns of a tile of weights of so many bits."""
        return self.p.array.tile * 8 // (self.p.array.rows * weight_bits)

    def core_macs(self, operand_bits: int, weight_bits: int) -> float:
        """Return the MACs of one core in a cycle."""
        return self.p.array.rows * self.columns(weight_bits) / operand_bits

    @property
    def tree_bytes(self) -> int:
        """Bytes of sums that leave a core in a cycle at most; adder trees take as many."""
        p = self.p.array
        rates = (self.columns(p.weight_bits.get(dtype, bits)) / bits for dtype, bits in p.operand_bits.items())
        return ceil(max(rates) * p.accumulator)

    def tree_cycles(self, n_cores: int) -> int:
        """Return the depth of the adder trees in an array and over so many cores along K, and of the alignment."""
        rows = (self.p.array.rows - 1).bit_length()
        within = min(n_cores, self.slice_cores)
        return rows + self.p.array.align + (within - 1).bit_length() + self._hops(-(-n_cores // self.slice_cores))

    def _hops(self, n_slices: int) -> int:
        """Return the cycles in which sums of so many slices come together."""
        quads = -(-n_slices // self.p.organisation.slices)
        within = min(n_slices, self.p.organisation.slices)
        return (within - 1).bit_length() * self.p.noc.hop + (quads - 1).bit_length() * self.p.noc.crossing

    def quantise_ops(self, dtype: str) -> float:
        """Return the operations for an element of a result that is narrowed to blocks, or to integers, of a format."""
        narrowed = dtype in BLOCKS or dtype in ("int8", "int4")
        return self.p.simd.quantise_ops if narrowed else 0.0

    def spread(self, total: int) -> tuple[int, ...]:
        """Return even shares of the chiplets, the first ones larger."""
        return spread(total, self.n_chiplets)

    def from_others(self, n_bytes: int) -> int:
        """Return what of an evenly spread tensor comes from other chiplets where one needs all of it."""
        return n_bytes * (self.n_chiplets - 1) // self.n_chiplets


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


def spread(total: int, n: int) -> tuple[int, ...]:
    """Return n even shares, the first ones larger by one."""
    each, rest = divmod(total, n)
    return tuple(each + (i < rest) for i in range(n))


def tile_row_bytes(machine: DimcMachine) -> float:
    """Return the most bytes of weights, exponents of blocks included, that a core selects in a cycle."""
    most = max(_with_exponents(dtype, bits) for dtype, bits in machine.p.array.weight_bits.items())
    return machine.p.array.tile * most / max(1, machine.p.array.select)


def _with_exponents(dtype: str, bits: int) -> float:
    scale = BLOCKS.get(dtype)
    return DTYPE_BITS[dtype] / bits * (1 + scale.bits / scale.elements / DTYPE_BITS[dtype] if scale else 1)


def links_of(machine: DimcMachine, fabric: LinkParameters | None) -> dict[str, LinkParameters]:
    """Return what joins cards, by kind; those of a server or more by the fabric of the system."""
    cards = machine.p.cards
    found = dict(zip(LINKS, (cards.bridge, fabric, cards.nic), strict=True))
    return {kind: link for kind, link in found.items() if link is not None and fabric is not None}


def timing_of(machine: DimcMachine, fabric: LinkParameters | None = None) -> DimcTiming:
    """Return the timing of the parts."""
    p, clock = machine.p, machine.clock
    rate = p.d2d.rate if p.d2d else 1
    shared = gcd(p.clock, rate)
    return DimcTiming(
        clock=clock,
        n_chiplets=machine.n_chiplets,
        links=tuple(links_of(machine, fabric)),
        select_cycles=p.array.select,
        buffers=p.array.selected,
        port_bytes=p.noc.port * machine.n_slices,
        noc_latency=p.noc.crossing + p.noc.hop,
        tree_bytes=machine.chiplet_cores * machine.tree_bytes,
        lanes=p.simd.lanes * machine.n_slices,
        lane_overhead=p.simd.overhead,
        d2d_scale=p.clock // shared,
        d2d_rate=rate // shared,
        d2d_latency=clock.ceil_cycles(p.d2d.latency) if p.d2d else 0,
        operator_cycles=p.control.operator,
        depth=p.control.depth,
        dram=_dram(machine) if machine.streams else None,
    )


def segment_bytes(machine: DimcMachine) -> int:
    """Return the room of one segment on a chiplet: a tile of every core, with the exponents of its blocks."""
    return int(machine.chiplet_cores * tile_row_bytes(machine) * machine.p.array.select)


def dram_design(machine: DimcMachine) -> HbmDesign:
    """Return the DRAM channels of one chiplet."""
    dram = machine.p.dram
    policy = ControllerPolicy(queue=dram.queue, refresh=dram.refresh, n_channels=dram.channels // machine.n_chiplets)
    return hbm_design(dram.memory, policy, dram.interleave, path_fs(machine.p), 0)


def _dram(machine: DimcMachine) -> DramTiming:
    dram, design, segment = machine.p.dram, dram_design(machine), segment_bytes(machine)
    return DramTiming(design, dram.transfer, dram.depth, dram.buffers * segment, segment, machine.n_chiplets)
