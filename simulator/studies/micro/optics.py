"""Optical arrays by themselves: rate, latency of a pass, effective bits, power when busy, area of a multiplier."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dieshot.simulator.engine.cell import Cell
from dieshot.simulator.engine.chip import InfeasibleError
from dieshot.simulator.engine.clock import FS_PER_SECOND
from dieshot.simulator.errors import InputError
from dieshot.simulator.params import find_document, parse_overrides, resolve
from dieshot.simulator.studies.account import Account
from dieshot.simulator.studies.setup import architecture_of
from dieshot.traces.make import make_operator
from dieshot.traces.operator import PREVIOUS
from dieshot.traces.work import Formats

ARCHITECTURE = "photonic"
BUSY_VECTORS, BUSY_STRIPES, BUSY_BLOCKS = 2048, 4, 8


def optics(chip: str, sets: Sequence[str] = ()) -> dict[str, Any]:
    """Put a photonic chip's arrays to work; return a JSON-ready record. InputError for a chip of another architecture.

    sets: overrides 'path=value' of the chip's parameters. The busy product has so many vectors that its weights are
    written and loaded beside them.
    """
    document = find_document("chips", chip)
    if document.label("architecture") != ARCHITECTURE:
        raise InputError(
            "no optical arrays", file=document.file, key="architecture", value=document.label("architecture"),
            expected=ARCHITECTURE,
        )  # fmt: skip
    architecture = architecture_of(document)
    resolved = resolve(document, architecture.Parameters, parse_overrides(tuple(sets)))
    try:
        built = architecture(resolved.values)
    except InfeasibleError as error:
        problem = "cannot be with the other parameters"
        raise InputError(
            problem, file=document.file, key=error.key, value=error.value, expected=error.expected
        ) from None
    return {
        "chip": resolved.values.name,
        **_rate(built),
        **_latency(built),
        **_budget(built),
        **_busy(built),
        **_area(built),
        "assumed": [record.path for record in resolved.assumed_read()],
    }


def _rate(chip: Any) -> dict[str, Any]:
    p, timing = chip.parameters, chip.timing
    limits: Mapping[str, int] = importlib.import_module("dieshot.chips.parts.photonic.timing").issue_limits_fs(p)
    rows, columns = p.array.rows, p.array.columns
    write_fs = chip.machine.write_fs(rows, columns)
    return {
        "arrays": f"{p.cores} x {rows} x {columns}",
        "peak_macs_per_s": p.cores * rows * columns * FS_PER_SECOND / timing.issue_fs,
        "issue_interval_fs": timing.issue_fs,
        "issue_limited_by": max(limits, key=limits.__getitem__),
        "block_write_fs": write_fs,
        "block_settle_fs": p.weights.settle,
        "vectors_to_hide_a_write": math.ceil(write_fs / timing.issue_fs) if timing.buffers > 1 else None,
    }


def _latency(chip: Any) -> dict[str, Any]:
    """Return what one vector takes, part by part, and in a simulated product of one vector and one column."""
    p, timing = chip.parameters, chip.timing
    log: Any = importlib.import_module("dieshot.chips.parts.photonic.log")
    a = chip.carry_out(_product(chip, 1, 1, p.array.rows), chip.initial_state).cells[0].activity
    inputs = log.N_SHARED + log.INPUT_DAC
    start_fs = min(int(a.start_fs[a.component == line].min()) for line in _lines(a, inputs, log.N_CORE))
    results = (a.component == log.VECTOR) & (a.state == log.STALL_OPERAND)
    return {
        "pass_dac_fs": timing.dac_fs,
        "pass_flight_fs": timing.flight_fs,
        "pass_amplifier_fs": timing.amplifier_fs,
        "pass_adc_fs": timing.adc_fs,
        "pass_analog_fs": timing.light_fs + timing.adc_fs,
        "pass_digital_fs": timing.sum_fs,
        "pass_simulated_fs": int(a.end_fs[results].max()) - start_fs,
    }


def _lines(activity: Any, first: int, every: int) -> list[int]:
    return [line for line in set(activity.component.tolist()) if line >= first and (line - first) % every == 0]


def _budget(chip: Any) -> dict[str, Any]:
    budget = chip.budget
    noise = {f"noise_{name}_db": 10 * math.log10(share) for name, share in budget.noise.items()}
    return {
        "loss_db": budget.loss_db,
        "detector_w": budget.detector_mw / 1000,
        **noise,
        "noise_limited_by": budget.limit,
        "effective_bits_of_light": budget.optical_bits,
        "effective_bits": budget.bits,
        "effective_bits_typical": budget.typical_bits,
    }


def _busy(chip: Any) -> dict[str, Any]:
    """Return rate and power of a product that keeps the arrays busy, without and with the host's memory."""
    p = chip.parameters
    n, k = p.cores * p.array.columns * BUSY_STRIPES, p.array.rows * BUSY_BLOCKS
    cell: Cell = chip.carry_out(_product(chip, BUSY_VECTORS, n, k), chip.initial_state).cells[0]
    account = Account(chip.components(), 1)
    account.place(cell, 1)
    totals = account.close(cell.duration_fs)
    seconds = cell.duration_fs / FS_PER_SECOND
    power = {name: joules / seconds for name, joules in totals.energy_j().items() if joules}
    macs = BUSY_VECTORS * n * k
    published = {f"published_{name}_power_w": watts for name, watts in chip.published_power_w.items()}
    return {
        "busy_macs_per_s": macs / seconds,
        "busy_utilization": totals.utilization()["optics"],
        **{f"busy_{name}_w": watts for name, watts in power.items()},
        "busy_chip_w": sum(power.values()) - power.get("host_memory", 0.0),
        "busy_w": sum(power.values()),
        "busy_fj_per_mac": totals.energy_fj / macs,
        **published,
    }


def _area(chip: Any) -> dict[str, Any]:
    area = importlib.import_module("dieshot.chips.parts.photonic.footprint").area_of(chip.parameters)
    ratios = {"area_ratio_to_cell": area.area_ratio_to_cell, "area_ratio_to_die": area.area_ratio_to_die}
    return asdict(area) | ratios


def _product(chip: Any, m: int, n: int, k: int) -> Any:
    dtype = min(name for name, taken in chip.parameters.formats.items() if taken and name != "bf16")
    return make_operator("gemm", "gemm", {"M": m, "N": n, "K": k, "bias": 0}, Formats(dtype, dtype, dtype), PREVIOUS)
