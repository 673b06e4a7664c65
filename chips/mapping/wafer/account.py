"""What is written down of a wafer: the lines of its log, and the counts of an operator's cell."""

from __future__ import annotations

from math import ceil

from dieshot.chips.mapping.wafer.decode import kv_positions
from dieshot.chips.mapping.wafer.lower import Lowering
from dieshot.chips.mapping.wafer.phase import Region, Y
from dieshot.chips.parameters.power import fj_per_cycle
from dieshot.chips.parameters.wafer import WaferParameters
from dieshot.chips.parts.wafer.pe_region import Amounts
from dieshot.chips.parts.wafer.sample import N_LINES, SAMPLES, WAVELET_BYTES
from dieshot.simulator.engine.cell import ComponentSpec
from dieshot.traces.operator import Operator
from dieshot.traces.work import Formats, work_of


def components(p: WaferParameters, layers: Region, period: int, n_parts: int) -> list[ComponentSpec]:
    """Return the lines of the log, numbered as in `parts.wafer.sample`; a sampled PE stands for a share of all."""
    count = max(1, layers.n_pes // SAMPLES)
    peak = max(p.pe.mac_rate.values()) * count
    specs = [
        ComponentSpec(f"{region}/pe{i}", kind, period, "MAC", peak, count=count)
        for region, kind in (("layers", "tensor"), ("tables", "table_tensor"))
        for i in range(SAMPLES)
    ]
    static_fj = fj_per_cycle(p.power.idle, period) // n_parts
    n = layers.n_pes
    width = p.pe.read_bandwidth + p.pe.write_bandwidth
    specs.append(ComponentSpec("vector", "vector", period, "op", p.pe.vector_rate * n, count=n))
    specs.append(ComponentSpec("sram", "sram", period, "byte", width * n, static_fj // n, count=n))
    links = [ComponentSpec(f"mesh/{axis}", "mesh", period, "byte", 2 * WAVELET_BYTES * n, count=n) for axis in "yx"]
    specs += links
    assert len(specs) == N_LINES
    return specs


def counters(lowering: Lowering, operator: Operator, amounts: Amounts) -> dict[str, int]:
    """Return the counts of an operator; of a cache that grows, as long as this cell serves it."""
    useful, kv_read_bytes = ceil(operator.macs * lowering.pe.kept(operator.density)), operator.kv_read_bytes
    if operator.kind == "attention" and operator.dims["q_len"] == 1:
        rows = lowering.placement.layers.rows
        longest = kv_positions(operator, lowering.placement.layers, Y) * rows
        dims = dict(operator.dims) | {"kv_len": longest, "window": 0}
        formats = Formats(operator.dtype, operator.weight_dtype, operator.output_dtype, operator.kv_dtype)
        work = work_of("attention", dims, formats)
        useful, kv_read_bytes = work.macs, work.kv_read_bytes
    return {
        "macs": useful,
        "macs_issued": amounts.macs,
        "padded_macs": amounts.macs - useful,
        "skipped_macs": max(0, operator.macs - useful),
        "weight_bytes": operator.weight_bytes,
        "kv_read_bytes": kv_read_bytes,
        "kv_write_bytes": operator.kv_write_bytes,
        "sram_bytes": amounts.sram_bytes,
        "wavelet_hops": amounts.hops,
    }
