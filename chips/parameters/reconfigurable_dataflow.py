"""Schema of `architecture: reconfigurable_dataflow` documents (configs/chips/sn40l.yaml has the sources)."""

from __future__ import annotations

from typing import Literal, cast

from dieshot.chips.parameters.gpu import Hbm, check_hbm
from dieshot.chips.parameters.systolic import Stacks
from dieshot.chips.parts.memory.hbm import chase_latency_fs
from dieshot.simulator.engine.chip import InfeasibleError
from dieshot.simulator.params import (
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
    Ratio,
    Schema,
)


class Mesh(Schema):
    """The tiles: rows x columns of pairs of a compute and a memory unit on `dies` that lie side by side, and the vector
    network between them. width: of one link, one way. hop: from switch to switch; die_crossing: from die to die."""

    rows: Count
    columns: Count
    dies: Count
    width: BytesPerCycle
    hop: Cycles
    die_crossing: Cycles


class ComputeUnit(Schema):
    """One PCU: lanes x stages of ALUs, as a systolic array or as a SIMD pipeline with a tail. mac_rate: by format.
    tail_rate: transcendental functions. reduction: of a sum across the lanes."""

    count: Count
    lanes: Count
    stages: Count
    mac_rate: dict[str, MacsPerCycle]
    tail_rate: OpsPerCycle
    reduction: Cycles


class MemoryUnit(Schema):
    """One PMU. access: from an address to its data. stream_share: of all memory units, what buffers of weights and
    cached keys and values take; the rest holds activations."""

    count: Count
    capacity: Bytes
    read: BytesPerCycle
    write: BytesPerCycle
    access: Cycles
    stream_share: Ratio


class AddressUnits(Schema):
    """The AGCUs of a chip. transfer: what one of them asks for at a time; window: bytes that all of them may have asked
    for and not got yet. credit: from a buffer's emptying to the next transfer into it."""

    transfer: Bytes
    window: Bytes
    credit: Cycles


class Ddr(Schema):
    """The second tier. model_switch: whether a run begins with the model there, and its weights are first copied to the
    HBM. transfer, window: as of AddressUnits, of that copy. chunk: of a copy, what is asked for before all of it
    must be there. set_up: of a copy, before its first byte."""

    capacity: Bytes
    modules: Count
    idle_latency: Femtoseconds
    interleave: Bytes
    queue: Count
    refresh: Choice[Literal["allbank", "perbank"]]
    transfer: Bytes
    window: Bytes
    chunk: Bytes
    set_up: Femtoseconds
    memory: MemoryParameters
    model_switch: bool = False


class Program(Schema):
    """What compiled programs do. start: from the host's call to the first work of a forward pass. token_tile: tokens
    that go through the pipeline together; kv_tile: keys of the cache that are read as one. stream_tile: bytes of a
    stage's weights that it waits for. softmax_ops_per_score: of the SIMD pipelines, beside what an operator counts."""

    start: Femtoseconds
    token_tile: Count
    kv_tile: Count
    stream_tile: Bytes
    softmax_ops_per_score: Factor


class DataflowEnergy(Schema):
    """Event energies. hop: a byte through one switch and over the wire to the next."""

    mac: dict[str, FemtojoulesPerMac]
    simd_op: FemtojoulesPerOp
    sram: FemtojoulesPerByte
    hop: FemtojoulesPerByte
    hbm: FemtojoulesPerBit
    ddr: FemtojoulesPerBit


class DataflowPower(Schema):
    """idle: flows whatever is done; average: of a socket with its share of the host, as published of racks."""

    idle: Milliwatts
    average: Milliwatts


class ReconfigurableDataflowParameters(Schema):
    """A socket of compute and memory tiles, HBM and DDR."""

    name: str
    architecture: str
    clock: Hertz
    mesh: Mesh
    pcu: ComputeUnit
    pmu: MemoryUnit
    agcu: AddressUnits
    hbm: Stacks
    ddr: Ddr
    program: Program
    energy: DataflowEnergy
    power: DataflowPower


def path_fs(memory: Stacks | Ddr) -> int:
    """Return what a small transfer takes beyond the DRAM's own timings."""
    return memory.idle_latency - chase_latency_fs(memory.memory)


def stream_room(p: ReconfigurableDataflowParameters) -> int:
    """Return the bytes of memory units that streams may fill, in whole transfers."""
    room = int(p.pmu.count * p.pmu.capacity * p.pmu.stream_share)
    return room // p.agcu.transfer * p.agcu.transfer


def check_feasible(p: ReconfigurableDataflowParameters) -> None:
    """Refuse parameters that contradict each other: InfeasibleError names the one and the bound that the others set."""
    pairs = p.mesh.rows * p.mesh.columns
    for key, count in (("pcu.count", p.pcu.count), ("pmu.count", p.pmu.count)):
        if count != pairs:
            raise InfeasibleError(key, count, f"{pairs}, the mesh's {p.mesh.rows} x {p.mesh.columns}")
    if p.mesh.columns % p.mesh.dies:
        raise InfeasibleError("mesh.dies", p.mesh.dies, f"a divisor of the {p.mesh.columns} columns")
    for dtype in p.pcu.mac_rate:
        if dtype not in p.energy.mac:
            raise InfeasibleError(f"pcu.mac_rate.{dtype}", p.pcu.mac_rate[dtype], f"none, or energy.mac.{dtype}")
    for key, idle_fs, memory in (
        ("hbm.idle_latency", p.hbm.idle_latency, p.hbm.memory),
        ("ddr.idle_latency", p.ddr.idle_latency, p.ddr.memory),
    ):
        least = chase_latency_fs(memory)
        if idle_fs <= least:
            raise InfeasibleError(key, idle_fs, f"more than the DRAM's {least} fs")
    for key, window, transfer in (
        ("agcu.window", p.agcu.window, p.agcu.transfer),
        ("ddr.window", p.ddr.window, p.ddr.transfer),
    ):
        if window < transfer:
            raise InfeasibleError(key, window, f"a transfer's {transfer} bytes at least")
    if stream_room(p) < 4 * max(p.program.stream_tile, p.agcu.transfer):
        least = 4 * max(p.program.stream_tile, p.agcu.transfer)
        raise InfeasibleError("pmu.stream_share", p.pmu.stream_share, f"room for {least} bytes at least")
    check_hbm(cast(Hbm, p.hbm))  # which looks at the interleave and the memory alone
