"""GPUs: dispatcher, SMs, L2, HBM; every operator becomes one or more kernels, every kernel a region of its own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, cast

import numpy as np

from dieshot.chips.mapping.gpu.ahead import region_starts
from dieshot.chips.mapping.gpu.library import Library
from dieshot.chips.mapping.gpu.lower import region_key, skipped_weight_bytes, work_key
from dieshot.chips.mapping.gpu.machine import GpuMachine
from dieshot.chips.mapping.gpu.residency import L2Contents
from dieshot.chips.parameters.gpu import GpuParameters, check_feasible
from dieshot.chips.parameters.power import fj_per_cycle, watts
from dieshot.chips.parts.activity import Rows, waiting_for_links
from dieshot.chips.parts.gpu.bound import serial_fs
from dieshot.chips.parts.gpu.die import Outcome, background, run_kernel
from dieshot.chips.parts.gpu.tile_kernel import DieTiming, TileKernel
from dieshot.chips.parts.memory.dram_channel import ControllerPolicy
from dieshot.chips.parts.memory.hbm import MIB, HbmDesign, chase_latency_fs, hbm_design, pin_lines
from dieshot.kernels.sm import N_UNITS
from dieshot.simulator.engine.cell import Activity, Cell, ComponentSpec
from dieshot.simulator.engine.chip import MATRIX_FORMATS, Chip, OperatorOutcome, Resource, UnsupportedError
from dieshot.simulator.engine.clock import Clock, transfer_fs
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.engine.keep import kept_cells, subject_of
from dieshot.simulator.engine.machine import StepLike
from dieshot.traces.operator import Operator

Backlog = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class GpuState:
    """What one operator leaves to the next: the L2's contents, and DRAM writes still under way (fs, bytes by
    pseudo-channel)."""

    contents: L2Contents
    backlog: Backlog


class Gpu(Chip[GpuState]):
    """One GPU; cells are kept by their key, so that equal regions are simulated once."""

    Parameters = GpuParameters
    resources: ClassVar[Mapping[str, Resource]] = {
        "HBM": Resource(("hbm_channel", "stall_refresh"), ("chip.hbm.pin_rate=*{}",)),
        "L2": Resource(("l2",), ("chip.l2.read_bandwidth=*{}",)),
        "memory latency": Resource(("stall_memory",)),
        "matrix units": Resource(("tensor",), tuple(f"chip.sm.mac_rate.{each}=*{{}}" for each in MATRIX_FORMATS)),
        "SIMT units": Resource(("simt",), ("chip.sm.fma_rate=*{}", "chip.sm.transcendental_rate=*{}")),
        "copy units": Resource(("copy",), ("chip.sm.ingress_bandwidth=*{}",)),
        "launch": Resource(
            ("stall_launch", "idle"),
            (
                "chip.launch.latency=/{}",
                "chip.launch.matrix_prologue=/{}",
                "chip.launch.attention_prologue=/{}",
                "chip.launch.drain=/{}",
                "chip.launch.dispatch_latency=/{}",
            ),
        ),
    }

    def __init__(self, parameters: GpuParameters) -> None:
        check_feasible(parameters)
        self.parameters = parameters
        self.clock = Clock.from_hz(parameters.sm_clock)
        self.timing = _timing(parameters, self.clock)
        self.machine = _machine(parameters, self.timing)
        self._cells: dict[Hashable, tuple[tuple[Cell, ...], Backlog]] = {}
        self._kept = kept_cells()
        self._subject = subject_of(self.timing, self.machine)
        self.library = Library(self.timing, self.machine)

    @property
    def memory_bytes(self) -> int:
        """HBM capacity in bytes."""
        return self.parameters.hbm.capacity

    def stored_weight_bytes(self, operator: Operator) -> int:
        """Return the bytes of an operator's parameters in memory, 2:4 weights compressed."""
        skipped = skipped_weight_bytes(self.machine, operator, operator.dims.get("experts", 1))
        return operator.resident_weight_bytes - skipped

    @property
    def initial_state(self) -> GpuState:
        """Nothing in the L2, DRAM at rest."""
        return GpuState(L2Contents(), ((0, 0),) * self.timing.hbm.n_pins)

    @property
    def published_power_w(self) -> Mapping[str, float]:
        """The board's power limit."""
        return {"limit": watts(self.parameters.power.limit)}

    def peaks(self) -> Mapping[str, float]:
        """Return MAC rates by format (MAC/s), DRAM and L2 bandwidth (B/s), vector rate (op/s)."""
        sm, hz = self.parameters.sm, self.parameters.sm_clock
        rates = {f"mac:{dtype}": float(sm.count * rate * hz) for dtype, rate in sm.mac_rate.items()}
        if sm.sparsity is not None:
            rates["skips:2:4"] = 1.0
        design = self.timing.hbm
        return rates | {
            "memory": design.bytes_per_s,
            "l2": float(self.parameters.l2.read_bandwidth * hz),
            "vector": float(sm.count * sm.fma_rate * hz),
        }

    def components(self) -> Sequence[ComponentSpec]:
        """Return three units an SM, the L2's data pipe, the DRAM channels."""
        return _components(self.parameters, self.timing)

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int, micro_batches: int = 1) -> None:
        """Refuse operators without a matrix unit; choose kernels in worker processes; see Chip."""
        blocks = {id(block): block for steps in stages for step in steps for block in step.blocks}
        for block in blocks.values():
            for operator in block.operators:
                self._refuse(operator)
        if processes > 1:
            skipped = partial(skipped_weight_bytes, self.machine)
            self.library.choose_ahead(region_starts(stages, self.timing.l2_capacity_bytes, skipped), processes)

    def carry_out(self, operator: Operator, state: GpuState, record: bool = True) -> OperatorOutcome[GpuState]:
        """Simulate an operator; see Chip."""
        self._refuse(operator)
        resident = state.contents.resident_bytes(operator)
        key = (region_key(operator, resident), state.backlog, record)
        if key not in self._cells:
            self._cells[key] = self._find(operator, resident, state.backlog, record, key)
        cells, backlog = self._cells[key]
        capacity = self.timing.l2_capacity_bytes
        contents = state.contents.after(operator, capacity, skipped_weight_bytes(self.machine, operator))
        return OperatorOutcome(cells, GpuState(contents, backlog))

    def drain(self, state: GpuState) -> tuple[Cell | None, GpuState]:
        """Wait for the DRAM writes under way; see Chip."""
        longest_fs = max(busy for busy, _ in state.backlog)
        if longest_fs == 0:
            return None, state
        key = ("drain", state.backlog)
        if key not in self._cells:
            duration_fs = _whole(longest_fs, self.clock)
            activity, left = background(self.timing, _rows(state.backlog), duration_fs)
            energy = self.machine.energies(None)
            self._cells[key] = ((Cell(key, "drain", "drain", duration_fs, activity, energy),), _pairs(left))
        cells, backlog = self._cells[key]
        return cells[0], GpuState(state.contents, backlog)

    def alongside(self, cell: Cell, operator: Operator, state: GpuState) -> tuple[Cell, GpuState]:
        """Add the SMs' waiting for the links and the DRAM's writes to a collective; see Chip."""
        key = ("alongside", cell.key, state.backlog)
        if key not in self._cells:
            activity, left = background(self.timing, _rows(state.backlog), cell.duration_fs)
            waiting = waiting_for_links(range(self.timing.n_sms * N_UNITS), cell.duration_fs)
            merged = replace(
                cell,
                key=key,
                activity=Activity.joined(waiting, activity, cell.activity),
                fj_per_amount=self.machine.energies(None) | cell.fj_per_amount,
            )
            self._cells[key] = ((merged,), _pairs(left))
        cells, backlog = self._cells[key]
        return cells[0], GpuState(state.contents.after(operator, self.timing.l2_capacity_bytes), backlog)

    @property
    def local_costs(self) -> LocalCosts:
        """Launch and drain as of any kernel; local copies go through the DRAM."""
        timing = self.timing
        local_fs_per_mib = round(MIB / timing.hbm.bytes_per_fs)
        return LocalCosts(timing.period_fs, timing.launch_fs, timing.drain_fs, local_fs_per_mib)

    def _refuse(self, operator: Operator) -> None:
        rates = self.parameters.sm.mac_rate
        if operator.macs and operator.dtype not in rates:
            raise UnsupportedError(
                f"{self.parameters.name} has no matrix unit for {operator.dtype} (operator {operator.name}); "
                f"it multiplies {', '.join(sorted(rates))}"
            )

    def _find(
        self, operator: Operator, resident: int, backlog: Backlog, record: bool, key: Hashable
    ) -> tuple[tuple[Cell, ...], Backlog]:
        """Return what an earlier run of this process found, or simulate."""
        kept = (key, work_key(operator))
        found = self._kept.get(self._subject, kept)
        if found is None:
            found = self._simulate(operator, resident, backlog, record, key)
            self._kept.put(self._subject, kept, found[0], found)
        return cast(tuple[tuple[Cell, ...], Backlog], found)

    def _simulate(
        self, operator: Operator, resident: int, backlog: Backlog, record: bool, key: Hashable
    ) -> tuple[tuple[Cell, ...], Backlog]:
        chosen = self.library.choose(operator, resident)
        cells = []
        for index, kernel in enumerate(chosen):
            outcome = run_kernel(self.timing, kernel, _rows(backlog), record)
            serial = serial_fs(self.timing, kernel, max(busy for busy, _ in backlog), outcome.counters)
            cells.append(_cell((key, index), kernel, outcome, serial))
            backlog = _pairs(outcome.backlog)
        return tuple(cells), backlog


def _rows(backlog: Backlog) -> Rows:
    return np.asarray(backlog, np.int64)


def _pairs(backlog: Rows) -> Backlog:
    return tuple((busy, amount) for busy, amount in backlog.tolist())


def _cell(key: Hashable, kernel: TileKernel, outcome: Outcome, serial: int) -> Cell:
    counters = {**kernel.counters, **outcome.counters, "serial_fs": serial}
    return Cell(key, kernel.name, kernel.kind, outcome.duration_fs, outcome.activity, kernel.fj_per_amount, counters)


def _timing(p: GpuParameters, clock: Clock) -> DieTiming:
    travel = (p.l2.hit_latency - p.l2.lookup_latency) // 2
    return DieTiming(
        n_sms=p.sm.count,
        period_fs=clock.period_fs,
        send_fs=clock.fs(travel),
        lookup_fs=clock.fs(p.l2.lookup_latency),
        respond_fs=clock.fs(travel),
        ingress_fs_per_mib=transfer_fs(MIB, p.sm.ingress_bandwidth * p.sm_clock),
        l2_capacity_bytes=p.l2.capacity // p.l2.copies,
        l2_fs_per_mib=transfer_fs(MIB, p.l2.read_bandwidth * p.sm_clock),
        hbm=_hbm(p, clock),
        launch_fs=_whole(p.launch.latency, clock),
        dispatch_fs=clock.fs(p.launch.dispatch_latency),
        dispatch_interval_fs=clock.fs(p.launch.dispatch_interval),
        drain_fs=_whole(p.launch.drain, clock),
    )


def _hbm(p: GpuParameters, clock: Clock) -> HbmDesign:
    """Return the stacks; what a pointer chase takes beyond the way to the L2 and the DRAM's own timings is path."""
    memory = p.hbm.memory
    n_channels = p.hbm.stacks * memory.geometry.n_channels
    policy = ControllerPolicy(queue=p.hbm.queue, refresh=p.hbm.refresh, n_channels=n_channels)
    path_fs = clock.fs(p.hbm.idle_latency - p.l2.hit_latency) - chase_latency_fs(memory)
    return hbm_design(memory, policy, p.hbm.interleave, path_fs, p.l2.dirty_time)


def _whole(time_fs: int, clock: Clock) -> int:
    return clock.fs(clock.ceil_cycles(time_fs))


def _machine(p: GpuParameters, timing: DieTiming) -> GpuMachine:
    software = p.software
    return GpuMachine(
        timing=timing,
        mac_rate=dict(p.sm.mac_rate),
        sparse_gain=p.sm.sparsity.gain if p.sm.sparsity else 1,
        sparse_index_bits=p.sm.sparsity.index_bits if p.sm.sparsity else 0,
        warp_mma_fraction=p.sm.warp_mma_fraction,
        fma_rate=p.sm.fma_rate,
        transcendental_rate=p.sm.transcendental_rate,
        shared_memory_bytes=p.sm.shared_memory,
        shared_memory_bytes_per_cycle=p.sm.shared_memory_bandwidth,
        ingress_bytes_per_cycle=p.sm.ingress_bandwidth,
        l2_bytes_per_cycle=float(p.l2.read_bandwidth),
        hbm_bytes_per_cycle=timing.hbm.bytes_per_fs * timing.period_fs,
        resident_ctas=p.sm.resident_ctas,
        epilogue_ops_per_element=software.epilogue_ops_per_element,
        softmax_ops_per_score=software.softmax_ops_per_score,
        rope_ops_per_element=software.rope_ops_per_element,
        elementwise_ops_factor=software.elementwise_ops_factor,
        conversion_ops_per_weight=software.conversion_ops_per_weight,
        matrix_issue_overhead_cycles=software.matrix_issue_overhead,
        matrix_prologue_fs=_whole(p.launch.matrix_prologue, Clock.from_hz(p.sm_clock)),
        attention_prologue_fs=_whole(p.launch.attention_prologue, Clock.from_hz(p.sm_clock)),
        candidates_simulated=software.candidates_simulated,
        fj_per_mac=dict(p.energy.mac),
        fj_per_op=p.energy.vector_op,
        fj_per_fill_byte=p.energy.shared_memory_fill,
        fj_per_l2_byte=p.energy.l2,
        fj_per_hbm_byte=round(p.energy.hbm * 8),
    )


def _components(p: GpuParameters, timing: DieTiming) -> list[ComponentSpec]:
    period = timing.period_fs
    static_fj = fj_per_cycle(p.power.idle + p.power.clocked, period)
    tensor_peak = max(p.sm.mac_rate.values())
    out = []
    share, rest = divmod(static_fj, p.sm.count)
    for sm in range(p.sm.count):
        static = share + (rest if sm == 0 else 0)
        out.append(ComponentSpec(f"sm{sm}/tensor", "tensor", period, "MAC", tensor_peak, static))
        out.append(ComponentSpec(f"sm{sm}/simt", "simt", period, "op", p.sm.fma_rate))
        out.append(ComponentSpec(f"sm{sm}/copy", "copy", period, "byte", p.sm.ingress_bandwidth))
    out.append(ComponentSpec("l2", "l2", period, "byte", p.l2.read_bandwidth))
    return out + pin_lines(p.hbm.memory, p.hbm.stacks, timing.hbm.burst_cycles)
