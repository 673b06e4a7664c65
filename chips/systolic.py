"""Chips of weight-stationary arrays (TPUs, NeuronCores): each stretch between collectives is one compiled program."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from dieshot.chips.mapping.systolic.lower import joined, operator_key, plans, refuse, useful_macs
from dieshot.chips.mapping.systolic.machine import Plan, SystolicMachine, issued_macs
from dieshot.chips.parameters.power import fj_per_cycle, watts
from dieshot.chips.parameters.systolic import SystolicParameters, by_format, check_feasible, path_fs
from dieshot.chips.parts.activity import waiting_for_links
from dieshot.chips.parts.core.array import ArrayTiming
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.hbm import MIB, HbmDesign, hbm_design, pin_lines
from dieshot.chips.parts.systolic.core_program import DmaTiming, SystolicTiming
from dieshot.chips.parts.systolic.die import DMA, MXU, N_LINES, SEQUENCER, VECTOR, VMEM, ProgramRun, run_program
from dieshot.simulator.engine.cell import Activity, Cell, ComponentSpec
from dieshot.simulator.engine.chip import MATRIX_FORMATS, OperatorOutcome, Resource
from dieshot.simulator.engine.clock import Clock, transfer_fs
from dieshot.simulator.engine.cut import cut
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.engine.fusing import FusingChip
from dieshot.simulator.engine.machine import StepLike
from dieshot.traces.operator import Operator


@dataclass(frozen=True, slots=True)
class SystolicState:
    """What one stretch leaves to the next: nothing, since programs begin and end quiet."""


class Systolic(FusingChip[SystolicState]):
    """One chip; cells are kept by their key, so that equal stretches are simulated once."""

    Parameters = SystolicParameters
    pads_shards = True
    main_kind = "mxu"
    resources: ClassVar[Mapping[str, Resource]] = {
        "HBM": Resource(("hbm_channel", "stall_refresh"), ("chip.hbm.pin_rate=*{}",)),
        "memory latency": Resource(("stall_memory",), ("chip.hbm.idle_latency=/{}",)),
        "MXU": Resource(
            ("mxu",), (*(f"chip.mxu.mac_rate.{each}=*{{}}" for each in MATRIX_FORMATS), "chip.mxu.weight_load=*{}")
        ),
        "vector unit": Resource(
            ("vector",), ("chip.vector.rate=*{}", "chip.vector.transcendental_rate=*{}", "chip.vector.overhead=/{}")
        ),
        "VMEM": Resource(("vmem",), ("chip.vmem.bandwidth=*{}", "chip.vmem.access=/{}")),
        "DMA": Resource(("dma",), ("chip.dma.engine_bandwidth=*{}", "chip.dma.overhead=/{}")),
        "program": Resource(
            ("stall_launch", "sequencer", "idle"),
            (
                "chip.program.region=/{}",
                "chip.program.operator=/{}",
                "chip.program.attention=/{}",
                "chip.program.drain=/{}",
                "chip.attention.block=/{}",
            ),
        ),
    }

    def __init__(self, parameters: SystolicParameters) -> None:
        check_feasible(parameters)
        self.parameters = parameters
        self.clock = Clock.from_hz(parameters.core_clock)
        self.timing = _timing(parameters, self.clock)
        self.machine = SystolicMachine(parameters, self.timing, by_format(parameters.mxu.mac_rate))
        self._cells: dict[Hashable, tuple[Cell, ...]] = {}
        self._chosen: dict[Hashable, Plan] = {}

    @property
    def memory_bytes(self) -> int:
        """HBM capacity in bytes."""
        return self.parameters.hbm.capacity

    @property
    def initial_state(self) -> SystolicState:
        """A quiet chip."""
        return SystolicState()

    @property
    def published_power_w(self) -> Mapping[str, float]:
        """Thermal design power in W, where the document has one."""
        tdp = self.parameters.power.tdp
        return {"tdp": watts(tdp)} if tdp else {}

    def peaks(self) -> Mapping[str, float]:
        """Return MAC rates by format (MAC/s), DRAM bandwidth (B/s), vector rate (op/s)."""
        p, design = self.parameters, self.timing.hbm
        arrays = p.cores.count * p.mxu.count
        rates = {f"mac:{dtype}": float(arrays * rate * p.core_clock) for dtype, rate in self.machine.mac_rate.items()}
        return rates | {
            "memory": design.bytes_per_s,
            "vector": float(p.cores.count * p.vector.rate * p.vector.clock),
        }

    def components(self) -> Sequence[ComponentSpec]:
        """Return one line for the like parts of all cores, and one for every pseudo-channel of the memory."""
        return _components(self.parameters, self.timing)

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int, micro_batches: int = 1) -> None:
        """Refuse operators without a matrix unit; see Chip."""
        blocks = {id(block): block for steps in stages for step in steps for block in step.blocks}
        for block in blocks.values():
            for operator in block.operators:
                refuse(self.machine, operator)

    def carry_out_all(
        self, operators: Sequence[Operator], state: SystolicState, record: bool = True
    ) -> tuple[OperatorOutcome[SystolicState], ...]:
        """Simulate a stretch as one program, and cut it at the ends of its operators; see Chip."""
        key = (tuple(operator_key(self.machine, operator) for operator in operators), record)
        if key not in self._cells:
            chosen = [self._choose(operator) for operator in operators]
            program = joined(self.machine, chosen)
            self._cells[key] = self._cut(key, operators, chosen, run_program(self.timing, program, record))
        return tuple(OperatorOutcome((cell,), state) for cell in self._cells[key])

    def alongside(self, cell: Cell, operator: Operator, state: SystolicState) -> tuple[Cell, SystolicState]:
        """Add the arrays' waiting for the links to a collective; see Chip."""
        key = ("alongside", cell.key, operator.kind)
        if key not in self._cells:
            duration_fs = cell.duration_fs + self._ring_fs(operator)
            waiting = waiting_for_links((MXU, VECTOR), duration_fs)
            merged = replace(
                cell,
                key=key,
                duration_fs=duration_fs,
                activity=Activity.joined(waiting, cell.activity),
                fj_per_amount=self._energies(None) | cell.fj_per_amount,
            )
            self._cells[key] = (merged,)
        return self._cells[key][0], state

    @property
    def local_costs(self) -> LocalCosts:
        """A collective begins and ends within the program; local copies go through the DRAM."""
        program = self.parameters.program
        local_fs_per_mib = round(MIB / self.timing.hbm.bytes_per_fs)
        return LocalCosts(self.timing.period_fs, program.operator, program.drain, local_fs_per_mib)

    def _ring_fs(self, operator: Operator) -> int:
        """Return what a ring through all cores takes beyond one through all chips: the hops from core to core."""
        turns = {"all_reduce": 2, "all_gather": 1}.get(operator.kind, 0)
        cores = self.parameters.cores
        return turns * operator.dims.get("group", 1) * (cores.count - 1) * cores.ring_hop

    def _choose(self, operator: Operator) -> Plan:
        """Return the fastest of the plans worth simulating, each by itself on a quiet chip."""
        refuse(self.machine, operator)
        key = operator_key(self.machine, operator)
        if key not in self._chosen:
            found = plans(self.machine, operator)
            times = [self._alone_fs(plan) for plan in found] if len(found) > 1 else [0]
            self._chosen[key] = found[times.index(min(times))]
        return self._chosen[key]

    def _alone_fs(self, plan: Plan) -> int:
        return run_program(self.timing, joined(self.machine, [plan]), record=False).ends_fs[-1]

    def _cut(
        self, key: Hashable, operators: Sequence[Operator], chosen: Sequence[Plan], run: ProgramRun
    ) -> tuple[Cell, ...]:
        cells = []
        begin = 0
        parts = cut(run.activity, run.ends_fs)
        for index, (operator, plan, end) in enumerate(zip(operators, chosen, run.ends_fs, strict=True)):
            useful, issued = useful_macs(self.machine, operator), issued_macs(plan.steps)
            counters = {"macs": useful, "macs_issued": issued, "padded_macs": issued - useful}
            if index == len(operators) - 1:
                counters |= run.counters
            name = f"{operator.kind} " + "x".join(str(value) for value in operator.dims.values())
            energies = self._energies(operator.dtype if operator.macs else None)
            cells.append(Cell((key, index), name, operator.kind, end - begin, parts[index], energies, counters))
            begin = end
        return tuple(cells)

    def _energies(self, dtype: str | None) -> dict[str, int]:
        energy = self.parameters.energy
        return {
            "mxu": by_format(energy.mac)[dtype] if dtype else 0,
            "vector": energy.vector_op,
            "vmem": energy.vmem,
            "hbm_channel": round(energy.hbm * 8),
        }


def _timing(p: SystolicParameters, clock: Clock) -> SystolicTiming:
    mxu = p.mxu
    array = ArrayTiming(mxu.rows, mxu.columns, depth_cycles=mxu.depth, switch_cycles=0, buffers=2)
    dma = DmaTiming(
        engines=p.dma.engines,
        slots=p.dma.engines * p.dma.depth,
        transfer_bytes=p.dma.transfer,
        overhead_fs=p.dma.overhead,
        fs_per_mib=transfer_fs(MIB, p.dma.engine_bandwidth),
    )
    return SystolicTiming(
        period_fs=clock.period_fs,
        array=array,
        vmem_bytes=p.vmem.capacity * p.cores.count,
        vmem_fs_per_mib=transfer_fs(MIB, p.vmem.bandwidth * p.cores.count * p.core_clock),
        vmem_access_fs=clock.fs(p.vmem.access),
        dma=dma,
        hbm=_hbm(p),
        drain_fs=p.program.drain,
    )


def _hbm(p: SystolicParameters) -> HbmDesign:
    n_channels = p.hbm.stacks * p.hbm.memory.geometry.n_channels
    policy = ControllerPolicy(queue=p.hbm.queue, refresh=p.hbm.refresh, n_channels=n_channels)
    return hbm_design(p.hbm.memory, policy, p.hbm.interleave, path_fs(p), 0)


def _components(p: SystolicParameters, timing: SystolicTiming) -> list[ComponentSpec]:
    period, n_cores = timing.period_fs, p.cores.count
    arrays = n_cores * p.mxu.count
    static_fj = fj_per_cycle(p.power.idle + p.power.clocked, period)
    lines = {
        SEQUENCER: ComponentSpec("sequencer", "sequencer", period, "operator", 1, static_fj),
        MXU: ComponentSpec("mxu", "mxu", period, "MAC", arrays * max(by_format(p.mxu.mac_rate).values()), count=arrays),
        VECTOR: ComponentSpec("vector", "vector", period, "op", _vector_peak(p), count=n_cores),
        VMEM: ComponentSpec("vmem", "vmem", period, "byte", n_cores * p.vmem.bandwidth, count=n_cores),
        DMA: ComponentSpec("dma", "dma", period, "byte", _dma_peak(p), count=p.dma.engines),
    }
    return [lines[line] for line in range(N_LINES)] + pin_lines(p.hbm.memory, p.hbm.stacks, timing.hbm.burst_cycles)


def _vector_peak(p: SystolicParameters) -> int:
    per_cycle = p.vector.rate + p.vector.transcendental_rate
    return -(-p.cores.count * per_cycle * p.vector.clock // p.core_clock)


def _dma_peak(p: SystolicParameters) -> int:
    return -(-p.dma.engines * p.dma.engine_bandwidth // p.core_clock)
