"""Chips with the Transformer's operators as circuits: large arrays, fixed units behind them, weights from HBM."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from dieshot.chips.mapping.transformer_asic.lower import (
    Segment,
    operators_key,
    program_of,
    segment_key,
    segments,
    useful_macs,
)
from dieshot.chips.mapping.transformer_asic.machine import AsicMachine, refuse
from dieshot.chips.parameters.power import fj_per_cycle, watts
from dieshot.chips.parameters.transformer_asic import TransformerAsicParameters, check_feasible, path_fs
from dieshot.chips.parts.activity import waiting_for_links
from dieshot.chips.parts.core.array import ArrayTiming
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.hbm import MIB, HbmDesign, hbm_design, pin_lines
from dieshot.chips.parts.systolic.core_program import CoreProgram, DmaTiming, SystolicTiming
from dieshot.chips.parts.transformer_asic.die import (
    ARRAY,
    DMA,
    FIRST_UNIT,
    N_LINES,
    SEQUENCER,
    SRAM,
    FusedRun,
    run_program,
)
from dieshot.chips.parts.transformer_asic.program import GROUP, MACS, UNIT_NAMES, DieTiming
from dieshot.simulator.engine.cell import Activity, Cell, ComponentSpec
from dieshot.simulator.engine.chip import OperatorOutcome, Resource
from dieshot.simulator.engine.clock import Clock, transfer_fs
from dieshot.simulator.engine.cut import cut
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.engine.fusing import FusingChip
from dieshot.simulator.engine.machine import COLLECTIVES, StepLike
from dieshot.traces.operator import Operator

UNIT_OPS_PER_ELEMENT = 9  # the most operations that a unit counts for an element: those of LayerNorm with a residual
LINK_WAITERS = (ARRAY, *range(FIRST_UNIT, N_LINES))


@dataclass(frozen=True, slots=True)
class AsicState:
    """What one stretch leaves to the next, the die being quiet: bytes of its first weights, which are there already."""

    warm_bytes: int = 0


class TransformerAsic(FusingChip[AsicState]):
    """One chip; cells are kept by their key, so that equal programs are simulated once."""

    Parameters = TransformerAsicParameters
    main_kind = "array"
    resources: ClassVar[Mapping[str, Resource]] = {
        "HBM": Resource(("hbm_channel", "stall_refresh"), ("chip.hbm.pin_rate=*{}",)),
        "memory latency": Resource(("stall_memory",), ("chip.hbm.idle_latency=/{}",)),
        "arrays": Resource(("array",), ("chip.array.weight_load=*{}", "chip.array.depth=/{}")),
        "fixed units": Resource(
            UNIT_NAMES,
            (
                *(f"chip.units.{unit}.rate=*{{}}" for unit in UNIT_NAMES),
                *(f"chip.units.{unit}.latency=/{{}}" for unit in UNIT_NAMES),
            ),
        ),
        "SRAM": Resource(("sram",), ("chip.sram.bandwidth=*{}", "chip.sram.access=/{}")),
        "DMA": Resource(("dma",), ("chip.dma.engine_bandwidth=*{}", "chip.dma.overhead=/{}")),
        "program": Resource(
            ("stall_launch", "sequencer"),
            ("chip.program.region=/{}", "chip.program.group=/{}", "chip.program.drain=/{}"),
        ),
    }

    def __init__(self, parameters: TransformerAsicParameters) -> None:
        check_feasible(parameters)
        self.parameters = parameters
        self.clock = Clock.from_hz(parameters.core_clock)
        self.timing = _timing(parameters, self.clock)
        self.machine = AsicMachine(parameters, self.timing)
        self._runs: dict[Hashable, tuple[tuple[tuple[Cell, ...], ...], int]] = {}
        self._collectives: dict[Hashable, Cell] = {}

    @property
    def memory_bytes(self) -> int:
        """HBM capacity in bytes."""
        return self.parameters.hbm.capacity

    def working_bytes(self, operator: Operator) -> int:
        """Return what tensors take in HBM beside an operator: what it reads, and the residual stream; see Chip.

        Results pass through the units and are counted where they are read; sums over chips are made in place.
        """
        if operator.kind == "all_reduce":
            return 2 * operator.output_bytes
        if operator.kind == "gemm" and operator.shard == "row":
            return operator.input_bytes + 2 * operator.output_bytes
        return operator.input_bytes

    @property
    def initial_state(self) -> AsicState:
        """A quiet chip."""
        return AsicState()

    @property
    def published_power_w(self) -> Mapping[str, float]:
        """Thermal design power in W, where the document has one."""
        tdp = self.parameters.power.tdp
        return {"tdp": watts(tdp)} if tdp else {}

    def peaks(self) -> Mapping[str, float]:
        """Return MAC rates by format of the data, weights in the narrowest (MAC/s), and DRAM bandwidth (B/s)."""
        p = self.parameters
        narrowest = min(p.array.passes.fp8, p.array.passes.bf16)
        rates = {
            f"mac:{dtype}": self.machine.pes * p.core_clock / (getattr(p.array.passes, dtype) * narrowest)
            for dtype in ("fp8", "bf16")
        }
        return rates | {"memory": self.timing.core.hbm.bytes_per_s}

    def components(self) -> Sequence[ComponentSpec]:
        """Return one line for each part of the die, and one for every pseudo-channel of the memory."""
        return _components(self.parameters, self.timing.core)

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int, micro_batches: int = 1) -> None:
        """Refuse operators without a unit, and those whose tiles have no room; see Chip."""
        blocks = {id(block): block for steps in stages for step in steps for block in step.blocks}
        seen: set[Hashable] = set()
        for block in blocks.values():
            for operator in block.operators:
                if operator.kind in COLLECTIVES:
                    continue
                refuse(self.machine, operator)
                key = operators_key(self.machine, (operator,))
                if key not in seen:
                    seen.add(key)
                    for segment in segments(self.machine, (operator,)):
                        program_of(self.machine, segment)

    def carry_out_all(
        self, operators: Sequence[Operator], state: AsicState, record: bool = True
    ) -> tuple[OperatorOutcome[AsicState], ...]:
        """Simulate a stretch: fused groups as one program, or waves of those that do not fit; see Chip.

        Of waves, the whole group's time is its matrix operator's; the units beside it have no cells.
        """
        for operator in operators:
            refuse(self.machine, operator)
        cells: list[list[Cell]] = [[] for _ in operators]
        warm_bytes = state.warm_bytes
        found = list(segments(self.machine, operators))
        for segment in found:
            if segment.times == 1:
                ahead = self.parameters.program.weights_ahead if segment is found[-1] else 0
                segment = replace(segment, warm_bytes=warm_bytes, ahead_bytes=ahead)
            key = (segment_key(self.machine, segment), record)
            if key not in self._runs:
                self._runs[key] = self._simulate(segment, key, record)
            done, left = self._runs[key]
            warm_bytes = left if segment.times == 1 else warm_bytes
            for index, mine in enumerate(done):
                cells[segment.first + index].extend(mine * segment.times)
        after = AsicState(warm_bytes)
        return tuple(OperatorOutcome(tuple(mine), after) for mine in cells)

    def alongside(self, cell: Cell, operator: Operator, state: AsicState) -> tuple[Cell, AsicState]:
        """Add the waiting of arrays and units for the links to a collective; see Chip."""
        key = ("alongside", cell.key, operator.kind)
        if key not in self._collectives:
            activity = Activity.joined(waiting_for_links(LINK_WAITERS, cell.duration_fs), cell.activity)
            merged = replace(cell, key=key, activity=activity, fj_per_amount=self._energies() | cell.fj_per_amount)
            self._collectives[key] = merged
        return self._collectives[key], state

    @property
    def local_costs(self) -> LocalCosts:
        """A collective begins and ends within the program; local copies go through the DRAM."""
        program, core = self.parameters.program, self.timing.core
        return LocalCosts(core.period_fs, program.group, program.drain, round(MIB / core.hbm.bytes_per_fs))

    def _simulate(self, segment: Segment, key: Hashable, record: bool) -> tuple[tuple[tuple[Cell, ...], ...], int]:
        """Return the cells of a segment, for each of its operators (none where it takes no time of its own), and the
        bytes of later weights that are there when it ends."""
        program, left = program_of(self.machine, segment)
        run = run_program(self.timing, program, record)
        out: list[tuple[Cell, ...]] = [() for _ in segment.operators]
        ends = self._ends(segment, run)
        parts = cut(run.activity, list(ends.values()))
        begin = 0
        for index, (number, end) in enumerate(ends.items()):
            operator = segment.operators[number]
            counters = self._counters(operator, segment, number, program)
            if index == len(ends) - 1:
                counters |= run.counters
            name = f"{operator.kind} " + "x".join(str(value) for value in operator.dims.values())
            cell = Cell((key, number), name, operator.kind, end - begin, parts[index], self._energies(), counters)
            out[number] = (cell,) if end > begin else ()
            begin = end
        return tuple(out), left

    def _ends(self, segment: Segment, run: FusedRun) -> dict[int, int]:
        """Return when each operator of a segment ends: a front unit where the arrays begin, the arrays with their last
        result, the unit behind with its own; of a wave, the whole is the matrix operator's."""
        if segment.is_wave:
            return {segment.tasks[0].group.chief: run.end_fs}
        ends: dict[int, int] = {}
        latest = 0
        for task, times in zip(segment.tasks, run.groups, strict=True):
            by_place = zip(
                (task.group.front, task.group.main, task.group.back),
                (times.begin_fs, times.multiplied_fs, times.end_fs),
                strict=True,
            )
            for number, end_fs in by_place:
                if number is not None:
                    latest = ends[number] = max(latest, end_fs)
        ends[list(ends)[-1]] = run.end_fs
        return ends

    def _counters(self, operator: Operator, segment: Segment, number: int, program: CoreProgram) -> dict[str, int]:
        for index, task in enumerate(segment.tasks):
            if number == task.group.chief and operator.macs:
                useful = useful_macs(self.machine, operator, task.part)
                passes = self.machine.passes(
                    operator.dtype, operator.weight_dtype or operator.kv_dtype or operator.dtype
                )
                issued = int(program.steps[program.steps[:, GROUP] == index, MACS].sum()) // passes
                return {"macs": useful, "macs_issued": issued, "padded_macs": issued - useful}
        return {"macs": 0, "macs_issued": 0, "padded_macs": 0}

    def _energies(self) -> dict[str, int]:
        energy = self.parameters.energy
        units = dict.fromkeys(UNIT_NAMES, energy.unit_op)
        return units | {"array": energy.mac, "sram": energy.sram, "hbm_channel": round(energy.hbm * 8)}


def _timing(p: TransformerAsicParameters, clock: Clock) -> DieTiming:
    array = ArrayTiming(p.array.rows, p.array.columns, depth_cycles=p.array.depth, switch_cycles=0, buffers=2)
    dma = DmaTiming(
        engines=p.dma.engines,
        slots=p.dma.engines * p.dma.depth,
        transfer_bytes=p.dma.transfer,
        overhead_fs=p.dma.overhead,
        fs_per_mib=transfer_fs(MIB, p.dma.engine_bandwidth),
    )
    core = SystolicTiming(
        period_fs=clock.period_fs,
        array=array,
        vmem_bytes=p.sram.capacity,
        vmem_fs_per_mib=transfer_fs(MIB, p.sram.bandwidth * p.core_clock),
        vmem_access_fs=clock.fs(p.sram.access),
        dma=dma,
        hbm=_hbm(p),
        drain_fs=p.program.drain,
    )
    split = p.array.split
    block = replace(array, rows=p.array.rows // split, columns=p.array.columns // split)
    return DieTiming(core, block, tuple(getattr(p.units, name).latency for name in UNIT_NAMES))


def _hbm(p: TransformerAsicParameters) -> HbmDesign:
    n_channels = p.hbm.stacks * p.hbm.memory.geometry.n_channels
    policy = ControllerPolicy(queue=p.hbm.queue, refresh=p.hbm.refresh, n_channels=n_channels)
    return hbm_design(p.hbm.memory, policy, p.hbm.interleave, path_fs(p), 0)


def _components(p: TransformerAsicParameters, core: SystolicTiming) -> list[ComponentSpec]:
    period = core.period_fs
    static_fj = fj_per_cycle(p.power.idle + p.power.clocked, period)
    per_array = p.array.rows * p.array.columns
    dma_peak = -(-p.dma.engines * p.dma.engine_bandwidth // p.core_clock)
    lines = {
        SEQUENCER: ComponentSpec("sequencer", "sequencer", period, "group", 1, static_fj),
        ARRAY: ComponentSpec("array", "array", period, "MAC", p.array.count * per_array, count=p.array.count),
        SRAM: ComponentSpec("sram", "sram", period, "byte", p.sram.bandwidth),
        DMA: ComponentSpec("dma", "dma", period, "byte", dma_peak, count=p.dma.engines),
    }
    for number, name in enumerate(UNIT_NAMES):
        peak = UNIT_OPS_PER_ELEMENT * getattr(p.units, name).rate
        lines[FIRST_UNIT + number] = ComponentSpec(name, name, period, "op", peak)
    return [lines[line] for line in range(N_LINES)] + pin_lines(p.hbm.memory, p.hbm.stacks, core.hbm.burst_cycles)
