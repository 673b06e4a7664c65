"""Schema of `architecture: static_dataflow` documents (configs/chips/lpu-v1.yaml says whence every number comes)."""

from __future__ import annotations

from typing import Literal

from dieshot.simulator.engine.chip import InfeasibleError
from dieshot.simulator.params import (
    Bytes,
    Choice,
    Count,
    Cycles,
    FemtojoulesPerBit,
    FemtojoulesPerByte,
    FemtojoulesPerMac,
    FemtojoulesPerOp,
    Hertz,
    MacsPerCycle,
    Milliwatts,
    Schema,
)

INSTALL_STREAM_SLACK = 2
LEAST_PERMUTE_UNITS = 2


class Streams(Schema):
    """Stream registers. per_direction: streams eastward, and as many westward, at every position."""

    per_direction: Count
    lanes: Count
    superlane_skew: Cycles


class Mem(Schema):
    """SRAM slices of one hemisphere. rows: vectors in a slice, in `banks` banks. activation_slices: the slices next to
    the vector unit that the compiler keeps for activations, the others hold weights and KV cache."""

    slices: Count
    rows: Count
    banks: Count
    read_latency: Cycles
    write_latency: Cycles
    activation_slices: Count


class Mxm(Schema):
    """Matrix planes, both hemispheres. mac_rate: of all planes. latency: one vector in to its sums in the accumulators.
    accumulator_rows: sums of how many vectors a plane keeps, twice over."""

    planes: Count
    mac_rate: dict[str, MacsPerCycle]
    latency: Cycles
    accumulator_rows: Count


class Vxm(Schema):
    """Vector unit: ALUs of one lane; every ALU begins one operation a cycle. weight_conversion: where 8-bit weights
    become 16-bit operands, on the way through the vector unit or in the matrix planes."""

    alus: Count
    simple_latency: Cycles
    transcendental_latency: Cycles
    weight_conversion: Choice[Literal["vxm", "mxm"]]


class Sxm(Schema):
    """Permutation units of one hemisphere, each a vector a cycle."""

    units: Count
    latency: Cycles


class C2c(Schema):
    """Chip-to-chip ports. node: chips that all have a local link to each other. stage_links: links over which a chip
    hands on to its like in the next stage, with as many from the stage before; others go to its like in every other
    node of its own stage. receive_rows: vectors that wait at a port for their Receive."""

    local_links: Count
    global_links: Count
    node: Count
    stage_links: Count
    receive_rows: Count


class Energy(Schema):
    """Event energies. mac: by number format. stream_hop: a byte from one register to the next. install: a byte of
    weights into a plane."""

    mac: dict[str, FemtojoulesPerMac]
    vector_op: FemtojoulesPerOp
    sram: FemtojoulesPerByte
    stream_hop: FemtojoulesPerByte
    install: FemtojoulesPerByte
    permute: FemtojoulesPerByte
    c2c: FemtojoulesPerBit


class Power(Schema):
    """Power that flows whatever is done, and what the maker prints."""

    idle: Milliwatts
    tdp: Milliwatts
    average: Milliwatts


class StaticDataflowParameters(Schema):
    """A chip of functional slices that vectors pass on streams, all of it scheduled before the run."""

    name: str
    architecture: str
    clock: Hertz
    memory: Bytes
    instruction_queues: Count
    streams: Streams
    mem: Mem
    mxm: Mxm
    vxm: Vxm
    sxm: Sxm
    c2c: C2c
    energy: Energy
    power: Power


def check_feasible(p: StaticDataflowParameters) -> None:
    """Refuse parameters that contradict each other: InfeasibleError names the one and the bound that the others set."""
    have = 2 * p.mem.slices * p.mem.rows * p.streams.lanes
    if p.memory != have:
        raise InfeasibleError("memory", p.memory, f"{have} bytes (slices x rows x lanes, both hemispheres)")
    if p.mem.rows % p.mem.banks or p.mem.banks < 2:
        raise InfeasibleError("mem.banks", p.mem.banks, "at least 2, and a divisor of the rows")
    if p.mxm.planes != 4:
        raise InfeasibleError("mxm.planes", p.mxm.planes, "4 (two a hemisphere, a pair of which holds 16-bit weights)")
    if p.vxm.alus < 16 or p.vxm.alus % 2:
        raise InfeasibleError("vxm.alus", p.vxm.alus, "an even number of at least 16 (a sum of eight copies)")
    if p.streams.per_direction < 16 or p.streams.per_direction % 2:
        raise InfeasibleError("streams.per_direction", p.streams.per_direction, "an even number of at least 16")
    most = p.mem.slices - (p.streams.per_direction - INSTALL_STREAM_SLACK)
    least = 2 * (p.c2c.node // 2 + 2)
    if not least <= p.mem.activation_slices <= most or p.mem.activation_slices % 2:
        bound = (
            f"an even number from {least} (a pair for every two copies of a sum) to {most} (a slice for every stream)"
        )
        raise InfeasibleError("mem.activation_slices", p.mem.activation_slices, bound)
    if p.sxm.units < LEAST_PERMUTE_UNITS:
        raise InfeasibleError("sxm.units", p.sxm.units, f"at least {LEAST_PERMUTE_UNITS} (a head and its turned copy)")
    need = n_queues(p)
    if p.instruction_queues < need:
        raise InfeasibleError("instruction_queues", p.instruction_queues, f"at least {need} (one a unit)")
    for dtype in ("int8", "fp16"):
        if dtype not in p.mxm.mac_rate:
            raise InfeasibleError("mxm.mac_rate", ", ".join(p.mxm.mac_rate), "rates of int8 and fp16")
        if dtype not in p.energy.mac:
            raise InfeasibleError("energy.mac", ", ".join(p.energy.mac), "energies of int8 and fp16")
    if 2 * p.c2c.stage_links > p.c2c.global_links:
        bound = f"at most half of {p.c2c.global_links} global links (as many come from the stage before)"
        raise InfeasibleError("c2c.stage_links", p.c2c.stage_links, bound)
    if p.c2c.local_links < p.c2c.node - 1:
        raise InfeasibleError("c2c.local_links", p.c2c.local_links, f"at least {p.c2c.node - 1} (a link to each peer)")


def n_queues(p: StaticDataflowParameters) -> int:
    """Return the instruction queues in use: a slice, an ALU, four a plane (load, install, activate, accumulate), a
    permutation unit, a link."""
    return 2 * p.mem.slices + p.vxm.alus + 4 * p.mxm.planes + 2 * p.sxm.units + p.c2c.local_links + p.c2c.global_links
