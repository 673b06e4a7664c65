"""Schema of `architecture: dimc` documents (configs/chips/corsair.yaml says where every number comes from)."""

from __future__ import annotations

from typing import Literal

from dieshot.chips.parts.memory.hbm import chase_latency_fs
from dieshot.simulator.engine.chip import InfeasibleError
from dieshot.simulator.params import (
    BitRate,
    ByteRate,
    Bytes,
    BytesPerCycle,
    Choice,
    Count,
    Cycles,
    Factor,
    FemtojoulesPerBit,
    FemtojoulesPerByte,
    FemtojoulesPerMac,
    FemtojoulesPerOp,
    Femtoseconds,
    Hertz,
    LinkParameters,
    MemoryParameters,
    Milliwatts,
    Schema,
)

MOST_LOADS = 1 << 16  # transfers under way that the model keeps books of


class Organisation(Schema):
    """Chiplets of a card, quads of a chiplet, slices of a quad, cores of a slice."""

    chiplets: Count
    quads: Count
    slices: Count
    cores: Count


class InMemoryArray(Schema):
    """The array of one core. rows: of a tile, along K. tile: bytes of the weights that are selected together, so that
    narrower weights make more columns. select: cycles to select a tile out of the core's SRAM. selected: tiles that a
    core can have selected; with 2 one is selected while the other multiplies. align: cycles to bring the sums of blocks
    to one exponent. accumulator: bytes of a sum. operand_bits: cycles of a vector, a bit each, by the format that a
    trace has it in. weight_bits: of a weight as it lies in a tile, by the format that a trace has it in.
    """

    rows: Count
    tile: Bytes
    select: Cycles
    selected: Count
    align: Cycles
    accumulator: Bytes
    operand_bits: dict[str, Count]
    weight_bits: dict[str, Count]


class SliceLanes(Schema):
    """The SIMD lanes of one slice. overhead: cycles from the first operand of an operator to its first result.
    transcendental_ops, epilogue_ops, quantise_ops: operations of an exponential or a root, of taking a sum out of the
    accumulators, of narrowing an element to a block format."""

    lanes: Count
    overhead: Cycles
    transcendental_ops: Factor
    epilogue_ops: Factor
    quantise_ops: Factor


class ChipletNetwork(Schema):
    """The network on a chiplet. port: of a slice, each way. hop: from slice to slice of a quad; crossing: between
    quads."""

    port: BytesPerCycle
    hop: Cycles
    crossing: Cycles


class ChipletLinks(Schema):
    """From each chiplet of a card to every other. rate: of all links of one chiplet, one direction."""

    rate: ByteRate
    latency: Femtoseconds


class Control(Schema):
    """The control cores. operator: to begin an operator. depth: operators begun and not yet over."""

    operator: Cycles
    depth: Count


class CardLinks(Schema):
    """What joins cards beside the fabric of the system, which joins those of a server. bridge: the cards of a pair.
    nic: servers, through `nics` each. send: from the decision to send to the first byte on a link."""

    bridge: LinkParameters | None = None
    nic: LinkParameters | None = None
    cards_per_bridge: Count
    cards_per_server: Count
    nics: Count
    send: Femtoseconds


class CapacityMemory(Schema):
    """The DRAM of a card, and how its contents are brought into SRAM. channels: of all chiplets. idle_latency: from a
    small request to its data. transfer: bytes that a chiplet asks for at a time; depth: such transfers under way.
    buffers: segments of SRAM in turn, each with room for a tile of every core."""

    capacity: Bytes
    channels: Count
    pin_rate: BitRate
    idle_latency: Femtoseconds
    interleave: Bytes
    queue: Count
    refresh: Choice[Literal["allbank", "perbank"]]
    transfer: Bytes
    depth: Count
    buffers: Count
    memory: MemoryParameters


class Energy(Schema):
    """Event energies. mac8: of a MAC of 8 by 8 bits; others by their pairs of bits. select: of SRAM read into
    an array. reduce: of a byte of a sum into an adder tree; noc: over a slice's port. d2d: between chiplets."""

    mac8: FemtojoulesPerMac
    select: FemtojoulesPerByte
    simd_op: FemtojoulesPerOp
    reduce: FemtojoulesPerByte
    noc: FemtojoulesPerByte
    d2d: FemtojoulesPerBit
    dram: FemtojoulesPerBit


class Power(Schema):
    """Power that flows whatever is done, and the published power of a card."""

    idle: Milliwatts
    card: Milliwatts


class DimcParameters(Schema):
    """A card of chiplets with digital in-memory cores. mode: where weights and cache lie, in the cores' SRAM
    (performance) or in the card's DRAM (capacity). sram: of all cores."""

    name: str
    architecture: str
    mode: Choice[Literal["performance", "capacity"]]
    clock: Hertz
    organisation: Organisation
    array: InMemoryArray
    sram: Bytes
    simd: SliceLanes
    noc: ChipletNetwork
    d2d: ChipletLinks | None = None
    control: Control
    cards: CardLinks
    dram: CapacityMemory
    energy: Energy
    power: Power


def path_fs(p: DimcParameters) -> int:
    """Return what a small transfer takes beyond the DRAM's own timings."""
    return p.dram.idle_latency - chase_latency_fs(p.dram.memory)


def check_feasible(p: DimcParameters) -> None:
    """Refuse parameters that contradict each other: InfeasibleError names the one and the bound that the others set."""
    for name, bits in p.array.weight_bits.items():
        if p.array.tile * 8 < p.array.rows * bits:
            least = -(-p.array.rows * bits // 8)
            raise InfeasibleError("array.tile", p.array.tile, f"at least {least} bytes, a column of {name}")
    if p.array.selected > 2:
        raise InfeasibleError("array.selected", p.array.selected, "1 or 2")
    if p.organisation.chiplets > 1 and p.d2d is None:
        raise InfeasibleError("organisation.chiplets", p.organisation.chiplets, "1 without links between chiplets")
    if path_fs(p) < 1:
        least = chase_latency_fs(p.dram.memory)
        raise InfeasibleError("dram.idle_latency", p.dram.idle_latency, f"more than the DRAM's {least} fs")
    if p.dram.depth > MOST_LOADS:
        raise InfeasibleError("dram.depth", p.dram.depth, f"at most {MOST_LOADS} transfers under way")
    if p.dram.channels % p.organisation.chiplets:
        raise InfeasibleError("dram.channels", p.dram.channels, f"a multiple of {p.organisation.chiplets} chiplets")
    if p.dram.interleave % p.dram.memory.geometry.burst:
        burst = p.dram.memory.geometry.burst
        raise InfeasibleError("dram.interleave", p.dram.interleave, f"a multiple of the burst of {burst} bytes")
