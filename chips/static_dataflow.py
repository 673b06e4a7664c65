"""Chips of functional slices whose every cycle is decided at compile time: weights in SRAM, vectors on streams.

A stretch of operators is compiled to one program, which is acted out by a model of the machine that knows nothing of
the compiler: it checks in every cycle that operands are there and resources free. Nothing waits, so nothing stalls;
what the schedule leaves idle is idle.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

from dieshot.chips.mapping.static.compile import Compiler
from dieshot.chips.mapping.static.machine import StaticMachine, machine_of
from dieshot.chips.mapping.static.schedule import Program
from dieshot.chips.mapping.static.stretch import Piece, most_tokens, total_tokens
from dieshot.chips.parameters.power import watts
from dieshot.chips.parameters.static_dataflow import StaticDataflowParameters, check_feasible
from dieshot.chips.parts.static.die import run_program
from dieshot.chips.parts.static.log import Lines, cut_program
from dieshot.chips.parts.static.part import ScheduleViolation
from dieshot.simulator.engine.cell import Cell, ComponentSpec
from dieshot.simulator.engine.chip import MATRIX_FORMATS, InfeasibleError, OperatorOutcome, Resource, UnsupportedError
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.engine.fusing import FusingChip
from dieshot.simulator.engine.machine import StepLike
from dieshot.simulator.params import LinkParameters
from dieshot.traces.operator import Operator

QUIET = "quiet"
SIXTEEN_BITS = frozenset({"bf16", "fp16"})
OPERANDS = SIXTEEN_BITS | {"int8"}


class StaticDataflow(FusingChip[str]):
    """One chip of a statically scheduled system, its links among its parts; state is always quiet between regions.

    A prompt or a batch longer than the accumulators passes in pieces, each a region of its own; an operator's cells are
    its share of every piece, so that the log shows operator after operator where the chip goes piece after piece.
    """

    Parameters = StaticDataflowParameters
    resources: ClassVar[Mapping[str, Resource]] = {
        "MXM": Resource(
            ("tensor",), (*(f"chip.mxm.mac_rate.{each}=*{{}}" for each in MATRIX_FORMATS), "chip.mxm.latency=/{}")
        ),
        "VXM": Resource(("vector",), ("chip.vxm.simple_latency=/{}", "chip.vxm.transcendental_latency=/{}")),
        "SXM": Resource(("permute",), ("chip.sxm.latency=/{}",)),
        "MEM": Resource(("sram",), ("chip.mem.read_latency=/{}", "chip.mem.write_latency=/{}")),
        "weight installation": Resource(("install",)),
        "streams": Resource(("stream",), ("chip.streams.superlane_skew=/{}",)),
    }
    collectives_inside = True
    pipelines_users = True

    def __init__(self, parameters: StaticDataflowParameters) -> None:
        check_feasible(parameters)
        self.parameters = parameters
        self._link: LinkParameters | None = None
        self._use(machine_of(parameters, None, 1))

    def _use(self, machine: StaticMachine) -> None:
        self.machine = machine
        self.compiler = Compiler(machine)
        self._cells: dict[Hashable, tuple[Cell, ...]] = {}
        self._outcomes: dict[Hashable, tuple[OperatorOutcome[str], ...]] = {}

    def attach(self, link: LinkParameters, group: int) -> None:
        """Learn the links and how many chips a stage has; see Chip."""
        if link.topology != "mesh" or link.shape is not None:
            expected = "mesh without a shape: links from every chip to those of its node, kept to a schedule"
            raise InfeasibleError("fabric.topology", link.topology, expected)
        self._link = link
        self._use(machine_of(self.parameters, link, group))

    @property
    def memory_bytes(self) -> int:
        """SRAM of a chip."""
        return self.parameters.memory

    def working_bytes(self, operator: Operator) -> int:
        """Return what a piece takes in both hemispheres, at most the slices for it: fewer tokens pass then."""
        total = total_tokens(self.machine, (operator,))
        piece = min(total, most_tokens(self.machine, (operator,)))
        mem = self.parameters.mem
        have = 2 * mem.activation_slices * mem.rows * self.parameters.streams.lanes
        return min(have, 2 * piece * (operator.input_bytes + operator.output_bytes) // total)

    @property
    def initial_state(self) -> str:
        """Nothing under way."""
        return QUIET

    @property
    def published_power_w(self) -> Mapping[str, float]:
        """Thermal design power and average, by the maker."""
        power = self.parameters.power
        return {"tdp": watts(power.tdp), "average": watts(power.average)}

    def peaks(self) -> Mapping[str, float]:
        """Return MAC rates (MAC/s), SRAM reads, streams towards the planes, links of one way (B/s), vector op/s."""
        p = self.parameters
        rates = {f"mac:{dtype}": float(rate * p.clock) for dtype, rate in p.mxm.mac_rate.items()}
        rates["mac:bf16"] = rates["mac:fp16"]
        bytes_a_cycle = p.streams.lanes * p.clock
        links = p.c2c.local_links + p.c2c.global_links
        return rates | {
            "memory": float(2 * p.mem.slices * bytes_a_cycle),
            "stream": float(2 * p.streams.per_direction * bytes_a_cycle),
            "link": float(links * self._link.rate) if self._link else 0.0,
            "vector": float(p.vxm.alus * bytes_a_cycle),
        }

    def components(self) -> Sequence[ComponentSpec]:
        """Return ports of slices, ALUs, planes with their weight buffers, permutation units, links, streams."""
        return Lines(self.machine).components()

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int, micro_batches: int = 1) -> None:
        """Compile everything: UnsupportedError where the chip has no program for it; see Chip."""
        blocks = {id(block.operators): block.operators for steps in stages for step in steps for block in step.blocks}
        for operators in blocks.values():
            for operator in operators:
                self._refuse(operator)
        for operators in blocks.values():
            self.compiler.pieces(operators)
        for stage, steps in enumerate(stages):
            for step in (steps[0], steps[-1]):
                self._check_layout(stage, step)

    def _check_layout(self, stage: int, step: StepLike) -> None:
        """Refuse a stage whose vectors, padded as they lie in slices, are more than the rows of a chip."""
        resident, activations = 0, 0
        for block in step.blocks:
            programs = [program for _, program in self.compiler.pieces(block.operators)]
            resident += block.repeat * max(program.resident_vectors for program in programs)
            activations = max(activations, *(program.activation_vectors for program in programs))
        lanes = self.parameters.streams.lanes
        need, have = (resident + activations) * lanes, self.parameters.memory
        if need > have:
            raise UnsupportedError(
                f"{self.parameters.name} cannot lay out stage {stage}: {need / 1e6:.1f} MB in vectors of {lanes} lanes "
                f"({resident * lanes / 1e6:.1f} weights and KV cache), {(need - have) / 1e6:.1f} MB too much"
            )

    def carry_out_all(
        self, operators: Sequence[Operator], state: str, record: bool = True
    ) -> tuple[OperatorOutcome[str], ...]:
        """Act out the programs of a stretch, cut at the ends of its operators; see Chip."""
        for operator in operators:
            self._refuse(operator)
        pieces = self.compiler.pieces(operators)
        key = (tuple(self.compiler.key(operators, piece) for piece, _ in pieces), record)
        if key not in self._outcomes:
            cells = [self._piece(operators, piece, program, record) for piece, program in pieces]
            self._outcomes[key] = tuple(OperatorOutcome(each, QUIET) for each in zip(*cells, strict=True))
        return self._outcomes[key]

    def _piece(self, operators: Sequence[Operator], piece: Piece, program: Program, record: bool) -> tuple[Cell, ...]:
        """Return a piece's cells, one an operator."""
        key = (self.compiler.key(operators, piece), record)
        if key in self._cells:
            return self._cells[key]
        outcome = run_program(self.machine, program, record)
        if outcome.cycles != program.cycles:
            raise ScheduleViolation(f"the program takes {outcome.cycles} cycles, its schedule says {program.cycles}")
        parts = cut_program(self.machine, outcome.activity, program.ends)
        cells = []
        for index, (operator, begin, end) in enumerate(zip(operators, (0, *program.ends), program.ends, strict=False)):
            counters = {**outcome.counters[index], **program.useful[index]}
            name = f"{operator.name} of {piece.tokens}"
            duration_fs = (end - begin) * self.machine.period_fs
            cells.append(
                Cell((key, index), name, operator.kind, duration_fs, parts[index], self._energy(operator), counters)
            )
        self._cells[key] = tuple(cells)
        return self._cells[key]

    def _energy(self, operator: Operator) -> dict[str, int]:
        """Return the event energies of a region's share (fJ)."""
        energy = self.parameters.energy
        return {
            "tensor": energy.mac["int8" if operator.dtype == "int8" else "fp16"],
            "vector": energy.vector_op,
            "sram": energy.sram,
            "stream": energy.stream_hop,
            "install": energy.install,
            "permute": energy.permute,
            "link": round((self._link.energy if self._link else energy.c2c) * 8 / 2),  # half at each end
        }

    def _refuse(self, operator: Operator) -> None:
        name = self.parameters.name
        if operator.macs and operator.dtype not in OPERANDS:
            raise UnsupportedError(
                f"{name} has no matrix plane for {operator.dtype} (operator {operator.name}); it multiplies "
                "bf16 or fp16 (both as fp16), int8, and w8a16"
            )
        weights = operator.weight_dtype
        if weights is not None and weights not in OPERANDS:
            raise UnsupportedError(
                f"{name} cannot take {weights} weights (operator {operator.name}); int8, fp16 or bf16"
            )
        if weights in SIXTEEN_BITS and operator.dtype == "int8":
            raise UnsupportedError(f"{name} cannot multiply int8 by {weights} (operator {operator.name})")
        if operator.kv_dtype is not None and operator.kv_dtype not in OPERANDS:
            raise UnsupportedError(
                f"{name} cannot keep a KV cache in {operator.kv_dtype} (operator {operator.name}); bf16, fp16 or int8"
            )

    @property
    def local_costs(self) -> LocalCosts:
        """What a collective would cost on the chip if it were not part of its program: nothing beyond it."""
        return LocalCosts(self.machine.period_fs, 0, 0, 0)
