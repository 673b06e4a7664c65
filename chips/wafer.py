"""Wafers of PEs in a mesh: weights and cache stay where they are, vectors move over static routes, hop by hop."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import simpy

from dieshot.chips.mapping.wafer.account import components, counters
from dieshot.chips.mapping.wafer.capacity import plan
from dieshot.chips.mapping.wafer.lower import ANYWHERE, Lowering, tokens_of
from dieshot.chips.mapping.wafer.pe import FORMATS, PeModel
from dieshot.chips.mapping.wafer.phase import Move, Phase, Region
from dieshot.chips.mapping.wafer.place import place
from dieshot.chips.parameters.power import watts
from dieshot.chips.parameters.wafer import WaferParameters, check_wafer
from dieshot.chips.parts.activity import waiting_for_links
from dieshot.chips.parts.wafer.line_timing import Memo, line_parameters, n_colours
from dieshot.chips.parts.wafer.pe_region import PeRegion
from dieshot.chips.parts.wafer.sample import SAMPLES, WAVELET_BYTES, RegionLog
from dieshot.simulator.engine.cell import Activity, Cell, ComponentSpec
from dieshot.simulator.engine.chip import MATRIX_FORMATS, InfeasibleError, OperatorOutcome, Resource, UnsupportedError
from dieshot.simulator.engine.clock import Clock
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.engine.fusing import FusingChip
from dieshot.simulator.engine.machine import COLLECTIVES, StepLike
from dieshot.traces.operator import Operator

LONG_PROMPT = 4  # in tokens for every row of PEs: tiles are shifted, nobody would multiply vectors


@dataclass(frozen=True, slots=True)
class WaferState:
    """Where the data are, how they are laid out, and how much later than the first PE rows and columns are ready."""

    region: Region
    layout: str
    y: bytes
    x: bytes


class Wafer(FusingChip[WaferState]):
    """One wafer, or of one divided into regions what a stage gets; cells are kept by operators and state."""

    Parameters = WaferParameters
    resources: ClassVar[Mapping[str, Resource]] = {
        "PEs": Resource(
            ("tensor", "table_tensor", "vector", "sram"),
            (
                *(f"chip.pe.mac_rate.{each}=*{{}}" for each in MATRIX_FORMATS),
                "chip.pe.vector_rate=*{}",
                "chip.pe.read_bandwidth=*{}",
                "chip.pe.write_bandwidth=*{}",
            ),
        ),
        "mesh": Resource(
            ("mesh", "stall_link", "stall_credit"), ("chip.router.wavelet=*{}", "chip.router.ramp_latency=/{}")
        ),
    }
    divisible = True
    pipelines_users = True

    def __init__(self, parameters: WaferParameters, n_parts: int = 1) -> None:
        check_wafer(parameters)
        self.parameters = parameters
        self.n_parts = n_parts
        self.clock = Clock.from_hz(parameters.clock)
        self.how = line_parameters(parameters)
        try:
            placement = place(parameters, n_parts)
        except UnsupportedError:
            raise InfeasibleError(
                "fabric.rows", parameters.fabric.rows, f"a fabric with PEs for {n_parts} regions"
            ) from None
        used = n_colours(self.how, placement.layers.rows, placement.layers.columns)
        if used > parameters.router.colours:
            raise InfeasibleError("router.colours", parameters.router.colours, f"{used} or more for these programs")
        separate = parameters.software.projections == "separate"
        self.lowering = Lowering(PeModel.of(parameters), placement, separate, {}, placement.layers.rows)
        self._outcomes: dict[Hashable, tuple[OperatorOutcome[WaferState], ...]] = {}
        self._lines: Memo = {}

    def divided(self, n_parts: int) -> Wafer:
        """Return one of equal regions; see Chip."""
        return Wafer(self.parameters, n_parts) if n_parts > 1 else self

    @property
    def memory_bytes(self) -> int:
        """SRAM of all PEs; whether a stage fits into the PEs of its region shows in `prepare`."""
        return self.parameters.fabric.rows * self.parameters.fabric.columns * self.parameters.pe.sram

    def working_bytes(self, operator: Operator) -> int:
        """Inputs and outputs of as many tokens as there are rows of PEs: a longer prompt passes in parts; see Chip."""
        whole, tokens = operator.input_bytes + operator.output_bytes, tokens_of(operator)
        rows = self.lowering.placement.layers.rows
        return whole * rows // tokens if tokens > rows else whole

    @property
    def initial_state(self) -> WaferState:
        """A vector has come in, in the layout that its reader wants; all PEs are ready."""
        return WaferState(self.lowering.placement.layers, ANYWHERE, b"", b"")

    @property
    def published_power_w(self) -> Mapping[str, float]:
        """Power of a system of one wafer, by its maker."""
        return {"system": watts(self.parameters.power.system)}

    def peaks(self) -> Mapping[str, float]:
        """Return MAC rates by format (MAC/s) and what all PEs read from their SRAM (B/s), of the whole wafer."""
        p = self.parameters
        n, hz = p.fabric.rows * p.fabric.columns, p.clock
        skipped = p.sparsity.most if p.sparsity.zero_skipping else 1
        rates = {f"mac:{dtype}": float(n * rate * hz * skipped) for dtype, rate in p.pe.mac_rate.items()}
        width = p.pe.read_bandwidth + (p.pe.read_bandwidth if p.pe.cache else 0)
        return rates | {"memory": float(n * width * hz * skipped), "vector": float(n * p.pe.vector_rate * hz)}

    def components(self) -> Sequence[ComponentSpec]:
        """Return sampled PEs of both kinds of regions, then vector work, SRAM and links along both axes as a whole."""
        return components(self.parameters, self.lowering.placement.layers, self.clock.period_fs, self.n_parts)

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int, micro_batches: int = 1) -> None:
        """Place weights and cache, choose how prompts are worked off; see Chip.

        UnsupportedError where a PE cannot hold its share, or a format has no multiplier. A wafer that has not been told
        what is to come keeps the tables with the layers.
        """
        blocks = {id(block): block for steps in stages for step in steps for block in step.blocks}
        operators = [operator for block in blocks.values() for operator in block.operators]
        for operator in operators:
            self._refuse(operator)
        planned = plan(self.parameters, self.lowering, stages, self.n_parts, micro_batches)
        if planned != self.lowering:
            self.lowering = planned
            self._outcomes.clear()
        for operator in operators:
            if operator.kind not in COLLECTIVES:
                planned.lower(operator, planned.placement.layers, ANYWHERE)
        layers = [block.operators for block in blocks.values() if _has_attention(block.operators)]
        for layer in {tokens_of(layer[0]): layer for layer in layers}.values():
            self._choose_layout(layer)

    def _choose_layout(self, layer: Sequence[Operator]) -> None:
        """Of a prompt that is not much longer than a column of PEs, take the faster layout, as simulated."""
        rows, tokens = self.lowering.placement.layers.rows, tokens_of(layer[0])
        if not self.lowering.uses_grid(layer[0]) or tokens >= LONG_PROMPT * rows:
            return
        grid, state = self.lowering, self.initial_state
        vectors = replace(grid, decoded=grid.decoded | {tokens})
        durations = []
        for each in (grid, vectors):
            self.lowering = each
            outcomes = self.carry_out_all(layer, state, record=False)
            durations.append(sum(outcome.duration_fs for outcome in outcomes))
            self._outcomes.clear()
        self.lowering = vectors if durations[1] < durations[0] else grid

    def carry_out_all(
        self, operators: Sequence[Operator], state: WaferState, record: bool = True
    ) -> tuple[OperatorOutcome[WaferState], ...]:
        """Simulate a stretch of operators: PEs go on to the next one as soon as they have what they need; see Chip."""
        key = (tuple(self.lowering.key(operator) for operator in operators), state, record)
        if key not in self._outcomes:
            if state.layout == ANYWHERE:
                state = replace(state, region=self.lowering.region_of(operators[0]))
            phases, at, layout = [], state.region, state.layout
            for operator in operators:
                self._refuse(operator)
                own, at, layout = self.lowering.lower(operator, at, layout)
                phases.append(own)
            self._outcomes[key] = self._simulate(operators, phases, state, layout, record)
            assert self._outcomes[key][-1].state.region == at
        return self._outcomes[key]

    def hand_over(self, operator: Operator, state: WaferState) -> OperatorOutcome[WaferState]:
        """Send to the region beside this one: over every row's link at once; see Chip."""
        layers = self.lowering.placement.layers
        key = ("hand_over", operator.output_bytes, state)
        if key not in self._outcomes:
            n = -(-operator.output_bytes // WAVELET_BYTES)
            move = Move(layers, ANYWHERE, n, layers.rows, layers.columns)
            self._outcomes[key] = self._simulate((operator,), [[move]], state, ANYWHERE, True)
        return self._outcomes[key][0]

    def drain(self, state: WaferState) -> tuple[Cell | None, WaferState]:
        """Wait for the last PE; the next step brings its own data; see Chip."""
        late = _latest(state)
        if late == 0:
            return None, self.initial_state
        key = ("drain", state)
        if key not in self._outcomes:
            log = RegionLog(True)
            y, x = _profiles(state)
            log.waiting(state.region, y, x)
            log.operator_done(late)
            period = self.clock.period_fs
            cell = Cell(key, "drain", "drain", late * period, log.activities(period)[0], self._energies(None))
            self._outcomes[key] = (OperatorOutcome((cell,), self.initial_state),)
        outcome = self._outcomes[key][0]
        return outcome.cells[0], outcome.state

    def alongside(self, cell: Cell, operator: Operator, state: WaferState) -> tuple[Cell, WaferState]:
        """Walk to the edge of the wafer when the last PE is done, then over the links while all wait; see Chip."""
        key = ("alongside", cell.key, state)
        if key not in self._outcomes:
            period = self.clock.period_fs
            edge = state.region.columns + 2 * self.how.ramp_cycles + 1
            delay_fs = (_latest(state) + edge) * period
            duration_fs = delay_fs + cell.duration_fs
            late = replace(
                cell.activity, start_fs=cell.activity.start_fs + delay_fs, end_fs=cell.activity.end_fs + delay_fs
            )
            merged = replace(
                cell,
                key=key,
                duration_fs=duration_fs,
                activity=Activity.joined(waiting_for_links(range(SAMPLES), duration_fs), late),
                fj_per_amount=self._energies(None) | cell.fj_per_amount,
            )
            self._outcomes[key] = (OperatorOutcome((merged,), self.initial_state),)
        outcome = self._outcomes[key][0]
        return outcome.cells[0], outcome.state

    @property
    def local_costs(self) -> LocalCosts:
        """A task at either end; what goes over the wafer's edge is not copied first."""
        task_fs = self.clock.fs(self.how.task_cycles)
        return LocalCosts(self.clock.period_fs, task_fs, task_fs, 0)

    def _refuse(self, operator: Operator) -> None:
        rates = self.parameters.pe.mac_rate
        if operator.macs:
            self.lowering.pe.rate(operator.dtype, operator.name)
        if operator.kv_dtype is not None and operator.kv_dtype not in FORMATS:
            raise UnsupportedError(
                f"{self.parameters.name} keeps no cache in {operator.kv_dtype} (operator {operator.name}); "
                f"it keeps {', '.join(FORMATS)} and multiplies {', '.join(sorted(rates))}"
            )
        if operator.kind in COLLECTIVES and operator.dims.get("group", 1) > 1:
            raise UnsupportedError(f"{self.parameters.name}: a layer lies on one wafer (operator {operator.name})")

    def _simulate(
        self,
        operators: Sequence[Operator],
        phases: Sequence[Sequence[Phase]],
        state: WaferState,
        layout: str,
        record: bool,
    ) -> tuple[OperatorOutcome[WaferState], ...]:
        env = simpy.Environment()
        log, period = RegionLog(record), self.clock.period_fs
        part = PeRegion(env, state.region, _profiles(state), phases, self.how, period, self._lines, log)
        env.run(until=part.process)
        done = part.run_so_far
        last = done.ends[-1]
        y = part.y - int(part.y.min())
        x = part.x - int(part.x.min())
        after = WaferState(part.region, layout, y.tobytes(), x.tobytes())
        outcomes, begin = [], 0
        for operator, end, amounts, activity in zip(
            operators, done.ends, done.amounts, log.activities(period), strict=True
        ):
            key = (self.lowering.key(operator), begin, end, last, state, layout)
            cell = Cell(
                key,
                operator.name,
                operator.kind,
                (end - begin) * period,
                activity,
                self._energies(operator.dtype if operator.macs else None),
                counters(self.lowering, operator, amounts),
            )
            outcomes.append(OperatorOutcome((cell,), after))
            begin = end
        return tuple(outcomes)

    def _energies(self, dtype: str | None) -> dict[str, int]:
        energy = self.parameters.energy
        mac = energy.mac.get(dtype, 0) if dtype else 0
        return {"tensor": mac, "table_tensor": mac, "vector": energy.vector_op, "sram": energy.sram, "mesh": energy.hop}


def _has_attention(operators: Sequence[Operator]) -> bool:
    return any(operator.kind == "attention" for operator in operators)


def _profiles(state: WaferState) -> tuple[Any, Any]:
    y = np.frombuffer(state.y, np.int64) if state.y else np.zeros(state.region.rows, np.int64)
    x = np.frombuffer(state.x, np.int64) if state.x else np.zeros(state.region.columns, np.int64)
    return y, x


def _latest(state: WaferState) -> int:
    y, x = _profiles(state)
    return int(y.max()) + int(x.max())
