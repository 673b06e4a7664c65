"""What is written down of a block: the lines of its log, why its lanes wait, and the counts of an operator's cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dieshot.chips.mapping.model_rom.lower import Lowering
from dieshot.chips.mapping.model_rom.machine import BlockMachine
from dieshot.chips.parameters.power import fj_per_cycle
from dieshot.chips.parts.model_rom.line import NAMES, ROM
from dieshot.simulator.engine.cell import STALL_LINK, STALL_MEMORY, STALL_OPERAND, Activity, ComponentSpec
from dieshot.traces.operator import Operator

# What the lanes of the ROM wait for while another part has the token.
WAITS_FOR = {"attention": STALL_MEMORY, "embedding": STALL_MEMORY, "send_recv": STALL_LINK}


def components(machine: BlockMachine, n_parts: int) -> list[ComponentSpec]:
    """Return the lines of the log of a stage: of several blocks, that which has the token."""
    p, period = machine.parameters, machine.period_fs
    static_fj = fj_per_cycle(p.power.idle, period) // n_parts
    rom, vector = p.rom, p.vector
    peaks = {
        "rom": ("MAC", rom.rows * rom.columns),
        "products": ("op", rom.rows * rom.codes),
        "vector": ("op", vector.rate + vector.transcendental_rate),
        "attention": ("MAC", p.attention.mac_rate),
        "sram": ("byte", machine.n_banks * machine.word_bytes),
        "table": ("byte", rom.table_row),
        "bus": ("byte", p.bus.width),
    }
    return [ComponentSpec(name, name, period, *peaks[name], static_fj if name == "rom" else 0) for name in NAMES]


def with_waits(activity: Activity, kind: str, duration_fs: int) -> Activity:
    """Return the activity of an operator's time, with what the ROM's lanes wait for wherever they do nothing."""
    own = activity.of_components(ROM, ROM + 1)
    order = np.argsort(own.start_fs, kind="stable")
    begin = np.concatenate([[0], own.end_fs[order]]).astype(np.int64)
    end = np.concatenate([own.start_fs[order], [duration_fs]]).astype(np.int64)
    gaps = end > begin
    n = int(gaps.sum())
    zero, one = np.zeros(n, np.int64), np.ones(n, np.int64)
    state = np.full(n, WAITS_FOR.get(kind, STALL_OPERAND), np.int8)
    waits = Activity(np.full(n, ROM, np.int32), begin[gaps], end[gaps], state, zero, one, zero)
    return Activity.joined(activity, waits)


def counters(lowering: Lowering, operator: Operator, n_tokens: int, position: int, issued: int) -> dict[str, int]:
    """Return the counts of one token of an operator of `n_tokens`, which sees positions up to its own.

    issued: positions in the beats of banks that are read for it. Every token reads the weights and its cache anew.
    """
    dims, macs = operator.dims, operator.macs // n_tokens
    counted = {"macs": macs, "macs_issued": macs, "kv_write_bytes": operator.kv_write_bytes // n_tokens}
    counted["weight_bytes"] = operator.weight_bytes // (n_tokens if operator.kind == "embedding" else 1)
    if operator.kind == "attention":
        each = 2 * dims["heads"] * dims["head_dim"]
        counted |= {"macs": each * position, "macs_issued": each * issued}
        counted["kv_read_bytes"] = operator.kv_read_bytes // dims["batch"] * position // dims["kv_len"]
    if operator.kind == "gemm":
        counted["lora_bytes"] = sum(lowering.lora_words(operator)) * lowering.machine.word_bytes
    return counted


def energies(machine: BlockMachine) -> dict[str, int]:
    """Return the event energies by line (fJ per unit of its amount)."""
    energy, rom = machine.parameters.energy, machine.parameters.rom
    return {
        "rom": round(energy.rom_bit * rom.bits_per_weight) + energy.accumulate,
        "products": energy.product,
        "vector": energy.vector_op,
        "attention": energy.mac,
        "sram": energy.sram,
        "table": round(8 * energy.rom_bit),
        "bus": energy.bus,
    }


def joined_key(operators: Sequence[Operator]) -> tuple[object, ...]:
    """Return what tells stretches of operators apart here, but for the positions that attention sees."""
    return tuple(
        (
            operator.kind,
            tuple((name, value) for name, value in operator.dims.items() if name not in ("q_len", "kv_len", "batch")),
            operator.dtype,
            operator.weight_dtype,
            operator.kv_dtype,
            operator.output_dtype,
            operator.fused,
        )
        for operator in operators
    )
