"""The lines of a photonic chip's log, in the order of their numbers."""

from __future__ import annotations

from dieshot.chips.parameters.photonic import PhotonicParameters
from dieshot.chips.parameters.power import fj_per_cycle
from dieshot.chips.parts.photonic.program import PhotonicTiming
from dieshot.chips.parts.photonic.timing import SUM_BYTES, VALUE_BYTES, laser_mw
from dieshot.simulator.engine.cell import ComponentSpec


def components(p: PhotonicParameters, timing: PhotonicTiming) -> list[ComponentSpec]:
    """Return shared lines first, then those of every array; the chip's idle power is the first line's."""
    period, issue = timing.period_fs, timing.issue_fs
    host = -(-timing.host.memory_bytes_per_s // p.clock)
    link = -(-timing.host.link_bytes_per_s // p.clock)
    specs = [
        ComponentSpec("sequencer", "sequencer", period, "operator", 1, fj_per_cycle(p.power.idle, period)),
        ComponentSpec("vector", "vector", period, "op", p.vector.rate + p.vector.transcendental_rate),
        ComponentSpec("host/memory", "host_memory", period, "byte", host),
        ComponentSpec("host/link/in", "host_link", period, "byte", link),
        ComponentSpec("host/link/out", "host_link", period, "byte", link),
        ComponentSpec("laser", "laser", period, "byte", 0, fj_per_cycle(laser_mw(p), period)),
        ComponentSpec("tuning", "tuning", period, "byte", 0, fj_per_cycle(p.power.tuning, period)),
    ]
    rows, columns = p.array.rows, p.array.columns
    samples = -(-p.weights.lanes * p.weights.rate * issue // 10**15)
    sums = int(columns * p.accumulator.ops_per_sum)
    moved = rows * VALUE_BYTES + columns * SUM_BYTES
    for core in range(p.cores):
        name = f"core{core}"
        specs += [
            ComponentSpec(f"{name}/weights", "weight_dac", issue, "sample", samples),
            ComponentSpec(f"{name}/inputs", "input_dac", issue, "sample", rows),
            ComponentSpec(f"{name}/optics", "optics", issue, "MAC", rows * columns),
            ComponentSpec(f"{name}/outputs", "adc", issue, "sample", columns),
            ComponentSpec(f"{name}/sums", "accumulator", issue, "op", sums),
            ComponentSpec(f"{name}/sram", "sram", issue, "byte", moved),
        ]
    return specs
