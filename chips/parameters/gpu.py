"""Schema of `architecture: gpu` documents (configs/chips/h100-sxm.yaml says where every number comes from)."""

from __future__ import annotations

from typing import Literal

from dieshot.chips.parts.memory.hbm import chase_latency_fs
from dieshot.simulator.engine.chip import InfeasibleError
from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.simulator.params import (
    BitRate,
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

MIN_WIRE_CYCLES = 4
MIN_SHARED_MEMORY = 32 * 1024
MIN_L2 = 1 << 20


class Sparsity(Schema):
    """Weights of which two in four are zero: rate against dense ones, and the index stored beside each kept value."""

    gain: Count
    index_bits: Count


class Multiprocessor(Schema):
    """One SM. `mac_rate`: dense multiply-accumulates a cycle by number format of the operands. `sparsity`: where the
    matrix unit skips the zeros of 2:4 weights."""

    count: Count
    mac_rate: dict[str, MacsPerCycle]
    sparsity: Sparsity | None = None
    warp_mma_fraction: Ratio
    fma_rate: OpsPerCycle
    transcendental_rate: OpsPerCycle
    shared_memory: Bytes
    shared_memory_bandwidth: BytesPerCycle
    ingress_bandwidth: BytesPerCycle
    resident_ctas: Count


class L2(Schema):
    """The shared cache. `copies`: in how many partitions a line that all SMs read is kept. `dirty_time`: how long
    written data stays while reads wait for the DRAM."""

    capacity: Bytes
    copies: Count
    read_bandwidth: BytesPerCycle
    hit_latency: Cycles
    lookup_latency: Cycles
    dirty_time: Femtoseconds


class Hbm(Schema):
    """The memory stacks. memory: one stack's standard at the speed of its pins. idle_latency: of a pointer chase from
    an SM. interleave: bytes to one pseudo-channel before the next. queue: such accesses that a controller chooses from.
    """

    capacity: Bytes
    stacks: Count
    pin_rate: BitRate
    idle_latency: Cycles
    interleave: Bytes
    queue: Count
    refresh: Choice[Literal["allbank", "perbank"]]
    memory: MemoryParameters


class Launch(Schema):
    """From one kernel of a captured graph to the next. `matrix_prologue`: set-up of GEMM kernels with tensor
    descriptors; `attention_prologue`: of attention kernels, which look up lengths and pages before their first load."""

    latency: Femtoseconds
    matrix_prologue: Femtoseconds
    attention_prologue: Femtoseconds
    drain: Femtoseconds
    dispatch_latency: Cycles
    dispatch_interval: Cycles


class Software(Schema):
    """What the kernels' code costs beyond the arithmetic of the operator, in issue slots of the vector unit."""

    epilogue_ops_per_element: Factor
    softmax_ops_per_score: Factor
    rope_ops_per_element: Factor
    elementwise_ops_factor: Factor
    conversion_ops_per_weight: Factor
    matrix_issue_overhead: Cycles
    candidates_simulated: Count


class Energy(Schema):
    """Event energies. `mac` by number format, operand delivery from shared memory and registers included."""

    mac: dict[str, FemtojoulesPerMac]
    vector_op: FemtojoulesPerOp
    shared_memory_fill: FemtojoulesPerByte
    l2: FemtojoulesPerByte
    hbm: FemtojoulesPerBit


class Power(Schema):
    """Power that flows whatever is done: idle floor (leakage, HBM standby) and clock tree and uncore under load."""

    idle: Milliwatts
    clocked: Milliwatts
    limit: Milliwatts


class GpuParameters(Schema):
    """A GPU of one die with SMs, a shared L2 and HBM."""

    name: str
    architecture: str
    sm_clock: Hertz
    sm: Multiprocessor
    l2: L2
    hbm: Hbm
    launch: Launch
    software: Software
    energy: Energy
    power: Power


def check_hbm(hbm: Hbm) -> None:
    """Refuse a write's data on the pins before a read's have gone, an interleave that does not go round the bank groups
    or does not divide an open row."""
    t = hbm.memory.timings
    if t.nRTW < t.nCL + t.nBL - t.nCWL:
        bound = f"at least {t.nCL + t.nBL - t.nCWL} cycles (nCL + nBL - nCWL), or data would meet on the pins"
        raise InfeasibleError("hbm.memory.timings.nRTW", t.nRTW, bound)
    geometry = hbm.memory.geometry
    round_ = geometry.burst * geometry.n_bank_groups
    row_bytes = geometry.n_columns * round_
    if hbm.interleave % round_ or row_bytes % hbm.interleave:
        bound = f"a multiple of {round_} bytes (a burst a bank group) that divides {row_bytes} (their rows)"
        raise InfeasibleError("hbm.interleave", hbm.interleave, bound)


def check_feasible(p: GpuParameters) -> None:
    """Refuse parameters that contradict each other: InfeasibleError names the one and the bound that the others set."""
    if p.l2.hit_latency < p.l2.lookup_latency + 2 * MIN_WIRE_CYCLES:
        least = p.l2.lookup_latency + 2 * MIN_WIRE_CYCLES
        raise InfeasibleError(
            "l2.hit_latency", p.l2.hit_latency, f"at least {least} cycles (the look-up and the wires)"
        )
    rows = -(-chase_latency_fs(p.hbm.memory) * p.sm_clock // FS_PER_SECOND)
    if p.hbm.idle_latency <= p.l2.hit_latency + rows:
        bound = f"more than the L2 hit's {p.l2.hit_latency} and an open bank's {rows} cycles"
        raise InfeasibleError("hbm.idle_latency", p.hbm.idle_latency, bound)
    check_hbm(p.hbm)
    if p.launch.dispatch_latency < MIN_WIRE_CYCLES:
        raise InfeasibleError(
            "launch.dispatch_latency", p.launch.dispatch_latency, f"at least {MIN_WIRE_CYCLES} cycles"
        )
    if p.sm.shared_memory < MIN_SHARED_MEMORY:
        bound = f"at least {MIN_SHARED_MEMORY} bytes (two stages of a small tile)"
        raise InfeasibleError("sm.shared_memory", p.sm.shared_memory, bound)
    if p.l2.capacity // p.l2.copies < MIN_L2:
        raise InfeasibleError("l2.capacity", p.l2.capacity, f"at least {MIN_L2 * p.l2.copies} bytes")
