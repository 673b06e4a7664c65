"""Schema of `architecture: transformer_asic` documents (configs/chips/sohu.yaml says where every number comes from)."""

from __future__ import annotations

from typing import cast

from dieshot.chips.parameters.gpu import Hbm, check_hbm
from dieshot.chips.parameters.systolic import Dma, Power, Stacks
from dieshot.chips.parts.memory.hbm import chase_latency_fs
from dieshot.simulator.engine.chip import InfeasibleError
from dieshot.simulator.params import (
    Bytes,
    BytesPerCycle,
    Count,
    Cycles,
    FemtojoulesPerBit,
    FemtojoulesPerByte,
    FemtojoulesPerMac,
    FemtojoulesPerOp,
    Femtoseconds,
    Hertz,
    OpsPerCycle,
    Schema,
)


class Passes(Schema):
    """How often a format's operand has to go through the narrow multipliers of a PE; those of two operands multiply."""

    fp8: Count
    bf16: Count


class Arrays(Schema):
    """The weight-stationary arrays, all alike. passes: by format. weight_load: bytes that one array takes in a cycle
    beside its work. split: for attention an array falls into split x split blocks with inputs and sums of their own.
    accumulator_rows: rows of which an array keeps partial sums. depth: cycles from the last PE to a result."""

    count: Count
    rows: Count
    columns: Count
    passes: Passes
    weight_load: BytesPerCycle
    split: Count
    accumulator_rows: Count
    depth: Cycles


class Unit(Schema):
    """A fixed unit: elements in a cycle, and cycles from the first in to the first out."""

    rate: OpsPerCycle
    latency: Cycles


class Units(Schema):
    """The operators that are circuits. norm: with the residual sum ahead of it; rope: and the write of keys and values;
    softmax: of scores, and of the vocabulary; router: choice of experts, their queues and the weighted sum."""

    norm: Unit
    rope: Unit
    softmax: Unit
    activation: Unit
    router: Unit


class Sram(Schema):
    """The memory on the die. access: from a request to its first data."""

    capacity: Bytes
    bandwidth: BytesPerCycle
    access: Cycles


class Program(Schema):
    """How the sequencer works. region: from the end of a collective to the first operator; group: to set up a fused
    group of operators, beside the one before; drain: of the last stores. A group that does not fit on the die begins
    anew after cache_wave of keys and values, or weight_wave of weights. weights_ahead: of the next stretch, loaded
    before a collective begins."""

    region: Femtoseconds
    group: Femtoseconds
    drain: Femtoseconds
    cache_wave: Bytes
    weight_wave: Bytes
    weights_ahead: Bytes


class AttentionLoop(Schema):
    """page: tokens of the cache that are read together. query_block: query tokens that pass a block of keys."""

    page: Count
    query_block: Count


class Energy(Schema):
    """Event energies. mac: of one pass of a multiply-accumulate, with the operands' way through the array."""

    mac: FemtojoulesPerMac
    unit_op: FemtojoulesPerOp
    sram: FemtojoulesPerByte
    hbm: FemtojoulesPerBit


class TransformerAsicParameters(Schema):
    """A die of large arrays with fixed operator units behind them, SRAM, and HBM that holds weights and KV cache."""

    name: str
    architecture: str
    core_clock: Hertz
    array: Arrays
    units: Units
    sram: Sram
    dma: Dma
    hbm: Stacks
    program: Program
    attention: AttentionLoop
    energy: Energy
    power: Power


def path_fs(p: TransformerAsicParameters) -> int:
    """Return what a small transfer takes beyond the DRAM's own timings."""
    return p.hbm.idle_latency - chase_latency_fs(p.hbm.memory)


def check_feasible(p: TransformerAsicParameters) -> None:
    """Refuse parameters that contradict each other: InfeasibleError names the one and the bound that the others set."""
    if path_fs(p) < 1:
        least = chase_latency_fs(p.hbm.memory)
        raise InfeasibleError("hbm.idle_latency", p.hbm.idle_latency, f"more than the DRAM's {least} fs")
    for name in ("rows", "columns"):
        if getattr(p.array, name) % p.array.split:
            raise InfeasibleError("array.split", p.array.split, f"a divisor of array.{name} {getattr(p.array, name)}")
    check_hbm(cast(Hbm, p.hbm))  # which looks at the interleave and the memory alone
