"""What is written down of a card: the lines of its log, the counts and the event energies of an operator."""

from __future__ import annotations

from collections.abc import Sequence

from dieshot.chips.mapping.dimc import attention
from dieshot.chips.mapping.dimc.machine import DimcMachine, links_of
from dieshot.chips.parameters.power import fj_per_cycle
from dieshot.chips.parts.dimc.die import sent_bytes
from dieshot.chips.parts.dimc.program import DimcTiming, Step
from dieshot.simulator.engine.cell import ComponentSpec
from dieshot.simulator.params import LinkParameters
from dieshot.traces.operator import Operator

PAIRS_8 = 64  # of bits in a MAC of 8 by 8
UNITS = {"select": "byte", "array": "MAC", "reduce": "byte", "noc": "byte", "simd": "op", "d2d": "byte"}


def components(machine: DimcMachine, timing: DimcTiming, fabric: LinkParameters | None) -> list[ComponentSpec]:
    """Return the lines of the log, numbered as in `parts.dimc.die`; the card's static power is the first one's."""
    p, period = machine.p, timing.clock.period_fs
    static = fj_per_cycle(p.power.idle, period)
    specs = [ComponentSpec("control", "control", period, "operator", 1, static)]
    for kind, link in links_of(machine, fabric).items():
        rate = -(-link.n_links * link.rate // p.clock)
        specs.append(ComponentSpec(f"link/{kind}", kind, period, "byte", rate))
    widest = max(
        machine.core_macs(bits, machine.p.array.weight_bits.get(dtype, bits))
        for dtype, bits in p.array.operand_bits.items()
    )
    cores, slices = machine.chiplet_cores, machine.n_slices
    peaks = {
        "select": (-(-p.array.tile // max(1, p.array.select)) * cores, cores),
        "array": (int(widest * cores), cores),
        "reduce": (timing.tree_bytes, slices),
        "noc": (timing.port_bytes, slices),
        "simd": (timing.lanes, slices),
        "d2d": (-(-timing.d2d_rate // timing.d2d_scale), max(1, machine.n_chiplets - 1)),
    }
    for chiplet in range(machine.n_chiplets):
        for part in timing.chiplet_parts:
            peak, count = peaks[part]
            specs.append(ComponentSpec(f"chiplet{chiplet}/{part}", part, period, UNITS[part], peak, count=count))
    assert len(specs) == timing.n_lines
    if timing.dram is not None:
        n = machine.n_chiplets
        specs.append(ComponentSpec("segments", "segments", period, "byte", n * timing.dram.room_bytes, count=n))
        specs.append(ComponentSpec("dma", "dma", period, "byte", n * timing.dram.transfer_bytes, count=n))
        memory = p.dram.memory
        width = memory.geometry.burst // timing.dram.design.burst_cycles
        specs += [
            ComponentSpec(f"dram/channel{i}", "dram_channel", memory.timings.tCK, "byte", n * width, count=n)
            for i in range(timing.dram.design.n_pins)
        ]
    return specs


def counters(machine: DimcMachine, operator: Operator, steps: Sequence[Step]) -> dict[str, int]:
    """Return the counts of an operator; of a cache that grows, as long as this cell serves it."""
    useful, kv_read = operator.macs, operator.kv_read_bytes
    if operator.kind == "attention":
        counts = attention.work(attention.whole_tiles(machine, operator), operator)
        useful, kv_read = counts.macs, counts.kv_read_bytes
    issued = sum(step.macs for step in steps)
    found = {
        "macs": useful,
        "macs_issued": issued,
        "padded_macs": issued - useful,
        "weight_bytes": operator.weight_bytes,
        "kv_read_bytes": kv_read,
        "kv_write_bytes": operator.kv_write_bytes,
        "tiles_selected": sum(tiles.select_bytes for step in steps for tiles in step.tiles) // machine.p.array.tile,
    }
    for step in steps:
        if step.exchange is not None:
            found |= {f"{link}_bytes": n for link, n in sent_bytes(step.exchange.sends).items() if n}
    return found


def energies(machine: DimcMachine, fabric: LinkParameters | None, operator: Operator) -> dict[str, int]:
    """Return the event energies of an operator (fJ), by kind of component."""
    energy = machine.p.energy
    links = {kind: round(link.energy * 8) for kind, link in links_of(machine, fabric).items()}
    return links | {
        "array": round(energy.mac8 * _bit_pairs(machine, operator) / PAIRS_8),
        "select": energy.select,
        "reduce": energy.reduce,
        "noc": energy.noc,
        "simd": energy.simd_op,
        "d2d": round(energy.d2d * 8),
        "dram_channel": round(energy.dram * 8),
    }


def _bit_pairs(machine: DimcMachine, operator: Operator) -> int:
    """Return the pairs of a weight's and an operand's bits in one MAC; 0 for an operator without MACs."""
    if operator.kind == "attention" and operator.kv_dtype:
        bits: int = machine.weight_bits(operator.kv_dtype, operator.name)
        return bits * bits
    if not operator.macs:
        return 0
    weights = operator.weight_dtype or operator.dtype
    return machine.operand_bits(operator.dtype, operator.name) * machine.weight_bits(weights, operator.name)
