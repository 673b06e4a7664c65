"""A switch of models: the weights of the next one are copied from DDR to HBM while all tiles wait."""

from __future__ import annotations

import numpy as np

from dieshot.chips.mapping.dataflow.machine import DataflowMachine
from dieshot.chips.parts.dataflow.copy_unit import CopyTiming, run_copy
from dieshot.chips.parts.dataflow.die import N_SHARED
from dieshot.chips.parts.memory.hbm import HbmDesign
from dieshot.simulator.engine.cell import STALL_MEMORY, Activity, Cell


def switch_cells(machine: DataflowMachine, hbm: HbmDesign, ddr: HbmDesign, model_bytes: int) -> list[Cell]:
    """Return the cells of a copy: the set-up, then chunk after chunk, equal ones the same cell."""
    p, clock = machine.p, machine.clock
    first_hbm = p.mesh.columns + N_SHARED
    timing = CopyTiming(
        clock.period_fs, ddr, hbm, p.ddr.transfer, p.ddr.window // p.ddr.transfer, first_hbm, first_hbm + hbm.n_pins
    )  # fmt: skip
    whole, rest = divmod(model_bytes, p.ddr.chunk)
    set_up_fs = clock.fs(clock.ceil_cycles(p.ddr.set_up))
    cells = [_cell(machine, 0, set_up_fs, Activity.empty())] if set_up_fs else []
    if whole:
        cells += [_cell(machine, p.ddr.chunk, *run_copy(timing, p.ddr.chunk))] * whole
    if rest:
        cells.append(_cell(machine, rest, *run_copy(timing, rest)))
    return cells


def _cell(machine: DataflowMachine, n_bytes: int, duration_fs: int, pins: Activity) -> Cell:
    columns, energy = machine.p.mesh.columns, machine.p.energy
    zero, one = np.zeros(columns, np.int64), np.ones(columns, np.int64)
    full, state = np.full(columns, duration_fs, np.int64), np.full(columns, STALL_MEMORY, np.int8)
    waiting = Activity(np.arange(columns, dtype=np.int32), zero, full, state, zero, one, zero)
    fj = {"hbm_channel": round(energy.hbm * 8), "ddr_channel": round(energy.ddr * 8)}
    key, counters = ("model_switch", n_bytes, duration_fs), {"ddr_read_bytes": n_bytes, "hbm_write_bytes": n_bytes}
    activity = Activity.joined(waiting, pins)
    return Cell(key, f"model switch {n_bytes} B from ddr", "model_switch", duration_fs, activity, fj, counters)
