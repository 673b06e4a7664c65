"""Schema of `architecture: model_rom` documents (configs/chips/hc1.yaml says where every number comes from)."""

from __future__ import annotations

from dieshot.simulator.engine.chip import InfeasibleError
from dieshot.simulator.params import (
    Bytes,
    BytesPerCycle,
    Count,
    Cycles,
    Factor,
    FemtojoulesPerBit,
    FemtojoulesPerByte,
    FemtojoulesPerMac,
    FemtojoulesPerOp,
    Hertz,
    MacsPerCycle,
    Milliwatts,
    OpsPerCycle,
    Ratio,
    Schema,
    Text,
)

# Time is counted in 64 bits, of vector lanes in parts of a cycle.
LONGEST_CYCLES = 1 << 20
FINEST_PARTS = 1 << 32


class Rom(Schema):
    """The model in the masks, and how it is read. layers: blocks of silicon, one more has the head. rows, columns: of a
    block, read and summed in one cycle. codes: values that a weight can have, whose products are formed. adder_levels:
    of the tree over the rows that pass in a cycle. product, broadcast, read: cycles to form the products, to bring
    them to all columns, and from a selected cell to the tree."""

    model: Text
    layers: Count
    weights: Count
    bits_per_weight: Factor
    codes: Count
    rows: Count
    columns: Count
    adder_levels: Count
    product: Cycles
    broadcast: Cycles
    read: Cycles
    table_row: BytesPerCycle
    table_latency: Cycles


class VectorLanes(Schema):
    """The vector lanes of a block. reduce: from the last element to a sum or maximum over all."""

    rate: OpsPerCycle
    transcendental_rate: OpsPerCycle
    latency: Cycles
    transcendental_latency: Cycles
    reduce: Cycles


class AttentionLanes(Schema):
    """The multipliers beside the cache of a block. buffer: beats of the banks that wait for them,
    beside those that are being read."""

    mac_rate: MacsPerCycle
    latency: Cycles
    buffer: Count


class CacheSram(Schema):
    """SRAM of the whole chip, an equal share at every layer: banks of one port, which serves a word a cycle."""

    capacity: Bytes
    bank: Bytes
    port: BytesPerCycle
    latency: Cycles


class Lora(Schema):
    """Low-rank side paths, read from the SRAM. rank: of every projection, 0 for none. element: of their weights."""

    rank: Factor
    element: Bytes


class Bus(Schema):
    """Wires from block to block. loop: cycles from the last block back to the first."""

    width: BytesPerCycle
    latency: Cycles
    loop: Cycles


class Transistors(Schema):
    """What the die has room for. elsewhere: share of what SRAM and ROM leave that is not lanes."""

    die: Count
    per_sram_bit: Count
    per_weight: Factor
    per_lane: Count
    elsewhere: Ratio


class ModelRomEnergy(Schema):
    """Energy by event. accumulate: of one lane and cycle, beside the bits. product: of one formed and broadcast."""

    rom_bit: FemtojoulesPerBit
    accumulate: FemtojoulesPerMac
    product: FemtojoulesPerOp
    mac: FemtojoulesPerMac
    vector_op: FemtojoulesPerOp
    sram: FemtojoulesPerByte
    bus: FemtojoulesPerByte


class ModelRomPower(Schema):
    """idle: flows whatever is done. card: published."""

    idle: Milliwatts
    card: Milliwatts


class ModelRomParameters(Schema):
    """A chip with one model in read-only memory, every layer a block of its own."""

    name: str
    architecture: str
    clock: Hertz
    rom: Rom
    vector: VectorLanes
    attention: AttentionLanes
    sram: CacheSram
    lora: Lora
    bus: Bus
    transistors: Transistors
    energy: ModelRomEnergy
    power: ModelRomPower


def lanes_allowed(p: ModelRomParameters) -> int:
    """Return the lanes that each block has transistors for."""
    have = p.transistors
    left = have.die - 8 * p.sram.capacity * have.per_sram_bit - p.rom.weights * have.per_weight
    return max(0, int(left * (1 - have.elsewhere) / have.per_lane / (p.rom.layers + 1)))


def _latencies(p: ModelRomParameters) -> dict[str, int]:
    """Return the latencies by key."""
    return {
        "rom.product": p.rom.product,
        "rom.broadcast": p.rom.broadcast,
        "rom.read": p.rom.read,
        "rom.table_latency": p.rom.table_latency,
        "vector.latency": p.vector.latency,
        "vector.transcendental_latency": p.vector.transcendental_latency,
        "vector.reduce": p.vector.reduce,
        "attention.latency": p.attention.latency,
        "sram.latency": p.sram.latency,
        "bus.latency": p.bus.latency,
        "bus.loop": p.bus.loop,
    }


def check_feasible(p: ModelRomParameters) -> None:
    """Refuse parameters that contradict each other: InfeasibleError names the one and the bound that the others set."""
    most = lanes_allowed(p) // p.rom.columns
    if p.rom.rows > most:
        expected = f"at most {most}, as the die has transistors for {lanes_allowed(p)} lanes a block"
        raise InfeasibleError("rom.rows", p.rom.rows, expected)
    for key, latency in _latencies(p).items():
        if latency > LONGEST_CYCLES:
            raise InfeasibleError(key, latency, f"at most {LONGEST_CYCLES} cycles")
    if p.vector.rate * p.vector.transcendental_rate > FINEST_PARTS:
        raise InfeasibleError(
            "vector.rate", p.vector.rate, f"with transcendental_rate a product of {FINEST_PARTS} at most"
        )
    if p.sram.capacity % (p.rom.layers * p.sram.bank):
        raise InfeasibleError("sram.bank", p.sram.bank, f"whole banks for {p.rom.layers} layers")
    if p.sram.bank % p.sram.port:
        raise InfeasibleError("sram.port", p.sram.port, f"a divisor of the bank's {p.sram.bank} bytes")
    if p.lora.rank != int(p.lora.rank):
        raise InfeasibleError("lora.rank", p.lora.rank, "a whole number")
