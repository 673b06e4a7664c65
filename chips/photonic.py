"""Chips of optical arrays (crossbars, Mach-Zehnder meshes): weights are written, vectors pass as light, results are
digitised; everything else is digital, and weights come from a host's memory."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from dieshot.chips.mapping.photonic.lower import joined, operator_key, plans, refuse, useful_macs
from dieshot.chips.mapping.photonic.machine import PhotonicMachine, Plan
from dieshot.chips.parameters.photonic import OPERAND_BITS, PhotonicParameters, check_feasible, formats_of
from dieshot.chips.parameters.power import watts
from dieshot.chips.parts.activity import waiting_for_links
from dieshot.chips.parts.photonic.die import ProgramRun, run_program
from dieshot.chips.parts.photonic.lines import components
from dieshot.chips.parts.photonic.link_budget import effective_bits
from dieshot.chips.parts.photonic.log import N_CORE, N_SHARED, OPTICS, cut_repeating
from dieshot.chips.parts.photonic.timing import timing_of
from dieshot.simulator.engine.cell import Activity, Cell, ComponentSpec
from dieshot.simulator.engine.chip import OperatorOutcome, Resource
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.engine.fusing import FusingChip
from dieshot.simulator.engine.machine import StepLike
from dieshot.traces import Trace
from dieshot.traces.dtype import PRECISIONS
from dieshot.traces.operator import Operator

QUIET = "quiet"
MIB = 1 << 20
FAR = 2  # times the least bound: beyond, a plan is not simulated
ALIKE = 1.02  # times the shortest time


class Photonic(FusingChip[str]):
    """One chip; every stretch between collectives is one program, simulated once. State between them is quiet."""

    Parameters = PhotonicParameters
    main_kind = "optics"
    resources: ClassVar[Mapping[str, Resource]] = {
        "optical core": Resource(("optics", "input_dac", "adc"), ("chip.inputs.rate=*{}", "chip.detectors.rate=*{}")),
        "weight writing": Resource(("weight_dac",), ("chip.weights.rate=*{}", "chip.weights.settle=/{}")),
        "host memory": Resource(
            ("host_link", "host_memory", "stall_memory"),
            ("chip.host.link=*{}", "chip.host.latency=/{}", "chip.host.memory.timings.tCK=/{}"),
        ),
        "accumulators": Resource(("accumulator",), ("chip.accumulator.rate=*{}", "chip.accumulator.latency=/{}")),
        "vector unit": Resource(
            ("vector",), ("chip.vector.rate=*{}", "chip.vector.transcendental_rate=*{}", "chip.vector.overhead=/{}")
        ),
        "SRAM": Resource(("sram",), ("chip.sram.bandwidth=*{}",)),
        "program": Resource(
            ("stall_launch", "sequencer", "idle"), ("chip.program.region=/{}", "chip.program.operator=/{}")
        ),
    }

    def __init__(self, parameters: PhotonicParameters) -> None:
        check_feasible(parameters)
        self.parameters = parameters
        self.timing = timing_of(parameters)
        self.machine = PhotonicMachine(parameters, self.timing)
        self.budget = effective_bits(parameters)
        self._cells: dict[Hashable, tuple[Cell, ...]] = {}
        self._chosen: dict[Hashable, Plan] = {}

    @property
    def memory_bytes(self) -> int:
        """The host's memory."""
        return self.parameters.host.capacity

    @property
    def initial_state(self) -> str:
        """Nothing under way."""
        return QUIET

    @property
    def published_power_w(self) -> Mapping[str, float]:
        """Electrical power of the chip and of its module, by the maker."""
        power = self.parameters.power
        named = {"electrical": power.electrical, "module": power.module}
        return {name: watts(milliwatts) for name, milliwatts in named.items() if milliwatts}

    @classmethod
    def described(cls, parameters: PhotonicParameters) -> Mapping[str, Any]:
        """Return effective bits of an array's output, at full scale and of a typical sum, and what limits them."""
        budget = effective_bits(parameters)
        return {
            "effective_bits": round(budget.bits, 2),
            "effective_bits_typical": round(budget.typical_bits, 2),
            "effective_bits_limited_by": budget.limit,
            "optical_loss_db": round(budget.loss_db, 2),
        }

    def figures(self, trace: Trace) -> Mapping[str, Any]:
        """Return effective bits of an array's output, at full scale and of a typical sum, and what formats ask for."""
        precision = PRECISIONS[trace.precision]
        asked = {OPERAND_BITS[dtype]: dtype for dtype in (precision.carrier, precision.block)}
        most, budget = max(asked), self.budget
        p, warnings = self.parameters, []
        if budget.bits < most:
            warnings.append(
                f"results of the optics have {budget.bits:.1f} effective bits at full scale ({budget.typical_bits:.1f} "
                f"of a typical sum; {budget.limit} limits), operands in {asked[most]} have {most}: "
                "accuracy is not that of the format"
            )
        if min(p.inputs.bits, p.weights.bits) < most:
            warnings.append(
                f"operands in {asked[most]} are rounded to {p.inputs.bits} bits (vectors) and {p.weights.bits} bits "
                "(what is written) where they enter the optics"
            )
        return {
            "effective_bits": budget.bits,
            "effective_bits_typical": budget.typical_bits,
            "operand_bits": most,
            **({"warnings": warnings} if warnings else {}),
        }

    def peaks(self) -> Mapping[str, float]:
        """Return MAC/s by format, the host's memory through its link (B/s), vector op/s."""
        p = self.parameters
        rate = p.cores * p.array.rows * p.array.columns * 1e15 / self.timing.issue_fs
        return {f"mac:{dtype}": rate for dtype in formats_of(p)} | {
            "memory": float(self.machine.host_bytes_per_s),
            "vector": float(p.vector.rate * p.clock),
        }

    def components(self) -> Sequence[ComponentSpec]:
        """Return sequencer, lanes, host, laser, tuning; of every array weight writers, inputs, optics, outputs, sums,
        SRAM."""
        return components(self.parameters, self.timing)

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int, micro_batches: int = 1) -> None:
        """Refuse formats without converters; see Chip."""
        blocks = {id(block): block for steps in stages for step in steps for block in step.blocks}
        for block in blocks.values():
            for operator in block.operators:
                refuse(self.machine, operator)

    def carry_out_all(
        self, operators: Sequence[Operator], state: str, record: bool = True
    ) -> tuple[OperatorOutcome[str], ...]:
        """Simulate a stretch as one program, and cut it at the ends of its operators; see Chip."""
        key = (tuple(operator_key(self.machine, operator) for operator in operators), record)
        if key not in self._cells:
            chosen = [self._choose(operator) for operator in operators]
            self._cells[key] = self._cut(key, operators, self._run(operators, chosen, record))
        return tuple(OperatorOutcome((cell,), state) for cell in self._cells[key])

    def alongside(self, cell: Cell, operator: Operator, state: str) -> tuple[Cell, str]:
        """Add the optics' waiting for the links to a collective; see Chip."""
        key = ("alongside", cell.key)
        if key not in self._cells:
            lines = [N_SHARED + N_CORE * core + OPTICS for core in range(self.parameters.cores)]
            activity = Activity.joined(waiting_for_links(lines, cell.duration_fs), cell.activity)
            merged = replace(cell, key=key, activity=activity, fj_per_amount=self._energies() | cell.fj_per_amount)
            self._cells[key] = (merged,)
        return self._cells[key][0], state

    @property
    def local_costs(self) -> LocalCosts:
        """Local copies go through the host's memory."""
        program = self.parameters.program
        local = round(MIB * 1e15 / self.machine.host_bytes_per_s)
        return LocalCosts(self.timing.period_fs, program.operator, 0, local)

    def _run(self, operators: Sequence[Operator], chosen: Sequence[Plan], record: bool) -> ProgramRun:
        p = self.parameters
        program = joined(self.machine, operators, chosen)
        return run_program(self.timing, program, p.array.rows * p.array.columns, p.accumulator.ops_per_sum, record)

    def _choose(self, operator: Operator) -> Plan:
        """Return the fastest of the plans worth simulating, each by itself on a quiet chip; of those about as fast, the
        one that loads least. Those whose bound is far above another's are not simulated."""
        refuse(self.machine, operator)
        key = operator_key(self.machine, operator)
        if key not in self._chosen:
            found = plans(self.machine, operator)
            if len(found) > 1:
                bounds = [self.machine.bound_fs(plan) for plan in found]
                found = [plan for plan, bound in zip(found, bounds, strict=True) if bound <= FAR * min(bounds)]
            times = [self._run((operator,), (plan,), False).ends_fs[-1] for plan in found] if len(found) > 1 else [0]
            alike = [plan for plan, time in zip(found, times, strict=True) if time <= ALIKE * min(times)]
            self._chosen[key] = min(alike, key=lambda plan: sum(step.load for step in plan.steps))
        return self._chosen[key]

    def _cut(self, key: Hashable, operators: Sequence[Operator], run: ProgramRun) -> tuple[Cell, ...]:
        n_cells = self.parameters.array.rows * self.parameters.array.columns
        energies = self._energies()
        cells = []
        begin = 0
        parts = cut_repeating(run.activity, run.ends_fs)
        for index, (operator, end) in enumerate(zip(operators, run.ends_fs, strict=True)):
            useful, issued = useful_macs(self.machine, operator), run.lit[index] * n_cells
            counters = {"macs": useful, "macs_issued": issued, "padded_macs": issued - useful}
            if index == len(operators) - 1:
                counters["host_bytes"] = run.host_bytes
            name = f"{operator.kind} " + "x".join(str(value) for value in operator.dims.values())
            cells.append(Cell((key, index), name, operator.kind, end - begin, parts[index], energies, counters))
            begin = end
        return tuple(cells)

    def _energies(self) -> dict[str, int]:
        energy = self.parameters.energy
        return {
            "weight_dac": energy.weight,
            "input_dac": energy.input + energy.modulator,
            "adc": energy.adc,
            "accumulator": energy.sum_op,
            "vector": energy.vector_op,
            "sram": energy.sram,
            "host_memory": round(energy.host * 8),
        }
