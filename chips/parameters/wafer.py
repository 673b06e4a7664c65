"""Schema of `architecture: wafer` documents (configs/chips/wse-3.yaml says where every number comes from)."""

from __future__ import annotations

from typing import Literal

from dieshot.simulator.engine.chip import InfeasibleError
from dieshot.simulator.params import (
    Bytes,
    BytesPerCycle,
    Choice,
    Count,
    Cycles,
    Factor,
    FemtojoulesPerByte,
    FemtojoulesPerMac,
    FemtojoulesPerOp,
    Hertz,
    MacsPerCycle,
    Milliwatts,
    OpsPerCycle,
    Schema,
)


class MeshFabric(Schema):
    """PEs of the wafer that programs can use."""

    rows: Count
    columns: Count


class ProcessingElement(Schema):
    """One PE. reserved: of the SRAM, for code, stack and messages. cache: holds operands that are used again beside the
    SRAM's ports, None where there is none. mac_rate: by number format; vector_rate: of elementwise operations."""

    sram: Bytes
    reserved: Bytes
    read_bandwidth: BytesPerCycle
    write_bandwidth: BytesPerCycle
    cache: Bytes | None = None
    mac_rate: dict[str, MacsPerCycle]
    vector_rate: OpsPerCycle


class Router(Schema):
    """One router. ramp_latency: to and from its core, each. buffer: wavelets of one colour from one side that it holds.
    input_queue, output_queue: of the core, in wavelets. colours: routes that the hardware tells apart."""

    ramp_latency: Cycles
    buffer: Count
    input_queue: Count
    output_queue: Count
    colours: Count
    wavelet: Bytes


class Software(Schema):
    """How programs use the wafer. task_activation: from the end of one task to the first instruction of the next;
    vector_start: of one vector instruction. transcendental_passes: vector operations for an exponential, reciprocal or
    root. reduction, root: how sums along a line are formed and where they end. projections: whether those of equal
    input are one matrix or several. grid_rows, grid_columns: PEs that a region is cut down to, None for all it has."""

    task_activation: Cycles
    vector_start: Cycles
    transcendental_passes: Count
    reduction: Choice[Literal["two_level", "chain", "tree"]]
    root: Choice[Literal["end", "middle"]]
    projections: Choice[Literal["separate", "merged"]]
    grid_rows: Count | None = None
    grid_columns: Count | None = None


class Sparsity(Schema):
    """Work that zero weights save. zero_skipping: whether programs use it; most: speed-up that it cannot exceed."""

    zero_skipping: bool
    most: Factor


class WaferEnergy(Schema):
    """Energy by event. hop: a byte through one router and over the wire to the next."""

    mac: dict[str, FemtojoulesPerMac]
    vector_op: FemtojoulesPerOp
    sram: FemtojoulesPerByte
    hop: FemtojoulesPerByte


class WaferPower(Schema):
    """idle: flows whatever is done, the system's supplies and cooling included; system: published, of one wafer."""

    idle: Milliwatts
    system: Milliwatts


class WaferParameters(Schema):
    """A wafer of PEs in a mesh, each with memory of its own."""

    name: str
    architecture: str
    clock: Hertz
    fabric: MeshFabric
    pe: ProcessingElement
    router: Router
    software: Software
    sparsity: Sparsity
    energy: WaferEnergy
    power: WaferPower


def check_wafer(p: WaferParameters) -> None:
    """Refuse parameters that contradict each other: InfeasibleError names the one and the bound that the others set."""
    if p.pe.reserved >= p.pe.sram:
        raise InfeasibleError("pe.reserved", p.pe.reserved, f"less than the {p.pe.sram} bytes of a PE")
    if p.sparsity.most < 1:
        raise InfeasibleError("sparsity.most", p.sparsity.most, "at least 1")
    for key, value, most in (
        ("software.grid_rows", p.software.grid_rows, p.fabric.rows),
        ("software.grid_columns", p.software.grid_columns, p.fabric.columns),
    ):
        if value is not None and value > most:
            raise InfeasibleError(key, value, f"at most the fabric's {most}")
