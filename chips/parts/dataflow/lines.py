"""Lines of the log of a dataflow chip: strips of PCUs, what all tiles share, pins of both memories."""

from __future__ import annotations

from dataclasses import replace

from dieshot.chips.mapping.dataflow.machine import DataflowMachine
from dieshot.chips.parameters.power import fj_per_cycle
from dieshot.chips.parts.dataflow.die import AGCU, MESH, N_SHARED, PMU, SIMD
from dieshot.chips.parts.memory.hbm import HbmDesign, pin_lines
from dieshot.simulator.engine.cell import ComponentSpec


def lines(machine: DataflowMachine, hbm: HbmDesign, ddr: HbmDesign) -> list[ComponentSpec]:
    """Return all lines but those of links; the chip's static power is that of the address units' line."""
    return [*_strips(machine), *_shared(machine, hbm), *_pins(machine, hbm, ddr)]


def _strips(machine: DataflowMachine) -> list[ComponentSpec]:
    mesh, period = machine.p.mesh, machine.clock.period_fs
    per_die = mesh.columns // mesh.dies
    rate = mesh.rows * max(machine.p.pcu.mac_rate.values())
    return [
        ComponentSpec(f"die{c // per_die}/strip{c % per_die}", "pcu", period, "MAC", rate, count=mesh.rows)
        for c in range(mesh.columns)
    ]


def _shared(machine: DataflowMachine, hbm: HbmDesign) -> list[ComponentSpec]:
    p, period = machine.p, machine.clock.period_fs
    mesh, pcu, pmu = p.mesh, p.pcu, p.pmu
    n_links = 2 * (mesh.rows * (mesh.columns - 1) + mesh.columns * (mesh.rows - 1))
    op_rate = pcu.count * (pcu.lanes * pcu.stages + pcu.tail_rate)
    asked = -(-int(hbm.bytes_per_s) // p.clock)
    idle_fj = fj_per_cycle(p.power.idle, period)
    shared = {
        MESH: ComponentSpec("mesh", "mesh", period, "byte", n_links * mesh.width, count=n_links),
        PMU: ComponentSpec("pmu", "pmu", period, "byte", pmu.count * (pmu.read + pmu.write), count=pmu.count),
        SIMD: ComponentSpec("simd", "simd", period, "op", op_rate, count=pcu.count),
        AGCU: ComponentSpec("agcu", "agcu", period, "byte", asked, idle_fj),
    }
    return [shared[line] for line in range(N_SHARED)]


def _pins(machine: DataflowMachine, hbm: HbmDesign, ddr: HbmDesign) -> list[ComponentSpec]:
    p = machine.p
    modules = pin_lines(p.ddr.memory, p.ddr.modules, ddr.burst_cycles)
    return pin_lines(p.hbm.memory, p.hbm.stacks, hbm.burst_cycles) + [
        replace(line, path=line.path.replace("hbm", "ddr", 1), kind="ddr_channel") for line in modules
    ]
