"""Schema of `architecture: systolic` documents (configs/chips/tpu-v6e.yaml says where every number comes from)."""

from __future__ import annotations

from dataclasses import fields
from typing import Literal, cast

from dieshot.chips.parameters.gpu import Hbm, check_hbm
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
    MacsPerCycle,
    MemoryParameters,
    Milliwatts,
    OpsPerCycle,
    Schema,
)

MOST_LOADS = 1 << 16  # transfers under way that the model keeps books of


class MacRates(Schema):
    """Multiply-accumulates of one array in a cycle by format of the operands; none where it does not take a format."""

    bf16: MacsPerCycle | None = None
    fp16: MacsPerCycle | None = None
    fp32: MacsPerCycle | None = None
    fp8: MacsPerCycle | None = None
    int8: MacsPerCycle | None = None


class MacEnergies(Schema):
    """Energy of one multiply-accumulate by format, with the operands' way through the array."""

    bf16: FemtojoulesPerMac | None = None
    fp16: FemtojoulesPerMac | None = None
    fp32: FemtojoulesPerMac | None = None
    fp8: FemtojoulesPerMac | None = None
    int8: FemtojoulesPerMac | None = None


class MatrixUnit(Schema):
    """The weight-stationary arrays of one core. weight_load: bytes of weights that one array takes in a cycle, beside
    its work. least_fold: cycles between two folds at least. depth: cycles from the last PE to where a result can be
    read. sublane_rows: rows come in multiples of this. accumulate_ops: of the lanes, to add a partial sum."""

    count: Count
    rows: Count
    columns: Count
    mac_rate: MacRates
    weight_load: BytesPerCycle
    least_fold: Cycles
    depth: Cycles
    sublane_rows: Count
    accumulate_ops: Factor


class VectorUnit(Schema):
    """The lanes of one core. overhead: of one instruction over a tile. rows_per_cycle: rows of a head that are gathered
    from, or scattered to, a layout in which the heads of a token lie together. row_lanes: rows that lie side by side.
    """

    clock: Hertz
    rate: OpsPerCycle
    transcendental_rate: OpsPerCycle
    overhead: Cycles
    rows_per_cycle: Count
    row_lanes: Count


class Vmem(Schema):
    """The scratchpad of one core. access: from an instruction to its first data."""

    capacity: Bytes
    bandwidth: BytesPerCycle
    access: Cycles


class Dma(Schema):
    """Engines of the whole chip that move data between HBM and scratchpads. transfer: what goes at a time on one
    engine; overhead: of a transfer beyond its bytes; depth: transfers under way on an engine."""

    engines: Count
    engine_bandwidth: ByteRate
    transfer: Bytes
    overhead: Femtoseconds
    depth: Count


class Stacks(Schema):
    """The memory stacks; as of a GPU, but for idle_latency: from a small request of a DMA engine to its data."""

    capacity: Bytes
    stacks: Count
    pin_rate: BitRate
    idle_latency: Femtoseconds
    interleave: Bytes
    queue: Count
    refresh: Choice[Literal["allbank", "perbank"]]
    memory: MemoryParameters


class Cores(Schema):
    """Cores of a chip share its HBM and divide every operator. exchange_latency, exchange_bandwidth: of adding up or
    handing over results among them. ring_hop: from core to core of a chip in a collective's ring through all cores; 0
    where a chip takes part as one."""

    count: Count
    ring_hop: Femtoseconds
    exchange_latency: Femtoseconds
    exchange_bandwidth: ByteRate


class Program(Schema):
    """What a compiled program costs beside its work. region: to begin a stretch after a collective; operator: from one
    operator to the next; attention: to begin the attention kernel."""

    region: Femtoseconds
    operator: Femtoseconds
    attention: Femtoseconds
    drain: Femtoseconds


class AttentionKernel(Schema):
    """How the attention kernel works through queries and cache. cache: `paged`, tokens in pages with their heads side
    by side, one sequence a turn; `dense`, head by head, as many sequences a turn as a tile holds. page: tokens
    of the cache that are read as one. block: control and
    waiting of one turn of a paged cache's loop."""

    cache: Choice[Literal["paged", "dense"]]
    query_block: Count
    kv_block: Count
    page: Count
    block: Femtoseconds


class Software(Schema):
    """What compiled code costs beyond the arithmetic of the operator, in operations of the vector unit."""

    epilogue_ops_per_element: Factor
    softmax_ops_per_score: Factor
    elementwise_ops_factor: Factor
    dequantise_ops_per_weight: Factor
    weight_tile: Bytes
    candidates_simulated: Count


class Energy(Schema):
    """Event energies."""

    mac: MacEnergies
    vector_op: FemtojoulesPerOp
    vmem: FemtojoulesPerByte
    hbm: FemtojoulesPerBit


class Power(Schema):
    """Power that flows whatever is done, and the thermal design power where it is known or estimated."""

    idle: Milliwatts
    clocked: Milliwatts
    tdp: Milliwatts | None = None


class SystolicParameters(Schema):
    """A chip of cores with weight-stationary arrays, vector lanes and a scratchpad, and HBM that they share."""

    name: str
    architecture: str
    core_clock: Hertz
    cores: Cores
    mxu: MatrixUnit
    vector: VectorUnit
    vmem: Vmem
    dma: Dma
    hbm: Stacks
    program: Program
    attention: AttentionKernel
    software: Software
    energy: Energy
    power: Power


def by_format(section: MacRates | MacEnergies) -> dict[str, int]:
    """Return what a section says, by number format, of the formats that the arrays take."""
    values = {field.name: getattr(section, field.name) for field in fields(section)}
    return {name: value for name, value in values.items() if value is not None}


def path_fs(p: SystolicParameters) -> int:
    """Return what a small transfer takes beyond the DRAM's own timings."""
    return p.hbm.idle_latency - chase_latency_fs(p.hbm.memory)


def check_feasible(p: SystolicParameters) -> None:
    """Refuse parameters that contradict each other: InfeasibleError names the one and the bound that the others set."""
    energies = by_format(p.energy.mac)
    for dtype, rate in by_format(p.mxu.mac_rate).items():
        if dtype not in energies:
            raise InfeasibleError(f"mxu.mac_rate.{dtype}", rate, f"none, or energy.mac.{dtype}")
    if path_fs(p) < 1:
        least = chase_latency_fs(p.hbm.memory)
        raise InfeasibleError("hbm.idle_latency", p.hbm.idle_latency, f"more than the DRAM's {least} fs")
    if p.dma.engines * p.dma.depth > MOST_LOADS:
        raise InfeasibleError("dma.depth", p.dma.depth, f"at most {MOST_LOADS} transfers under way on all engines")
    tile = p.software.weight_tile
    if 4 * tile > p.vmem.capacity * p.cores.count:
        raise InfeasibleError("software.weight_tile", tile, "a quarter of the scratchpads' capacity at most")
    check_hbm(cast(Hbm, p.hbm))  # which looks at the interleave and the memory alone
