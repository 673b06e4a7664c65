"""Cards of digital in-memory cores: weights rest beside the multipliers, and a tile at a time is selected.

A stretch of operators, collectives among cards included, is one program of steps, which vectors pass one after the
other. Where the model does not fit into the cores' SRAM it lies in the card's DRAM and passes through segments of SRAM.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

from dieshot.chips.mapping.dimc.account import components, counters, energies
from dieshot.chips.mapping.dimc.lower import note_rows, operator_key, refuse, steps_of, stored_bytes
from dieshot.chips.mapping.dimc.machine import DimcMachine, dram_design, links_of, tile_row_bytes, timing_of
from dieshot.chips.parameters.dimc import DimcParameters, check_feasible
from dieshot.chips.parameters.power import watts
from dieshot.chips.parts.dimc.card_links import CardCollectives
from dieshot.chips.parts.dimc.die import ProgramRun, run_program
from dieshot.chips.parts.dimc.program import Exchange, Step
from dieshot.kernels.collective import MIB
from dieshot.simulator.engine.cell import Cell, ComponentSpec
from dieshot.simulator.engine.chip import InfeasibleError, OperatorOutcome, Resource
from dieshot.simulator.engine.clock import transfer_fs
from dieshot.simulator.engine.cut import cut
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.engine.fusing import FusingChip
from dieshot.simulator.engine.machine import StepLike
from dieshot.simulator.params import LinkParameters
from dieshot.traces import Operator, Trace

QUIET = "quiet"
JOINING = ("switch", "full")  # topologies in which every card of a server reaches every other without passing a third
ADD_BYTES = 4  # of a sum that came from another card, an operation each


class Dimc(FusingChip[str]):
    """One card; its links to other cards are among its parts. Nothing is under way between regions."""

    Parameters = DimcParameters
    collectives_inside = True
    pipelines_users = True
    main_kind = "array"
    resources: ClassVar[Mapping[str, Resource]] = {
        "DRAM": Resource(("dram_channel", "stall_refresh"), ("chip.dram.pin_rate=*{}",)),
        "memory latency": Resource(("stall_memory",), ("chip.dram.idle_latency=/{}",)),
        "arrays": Resource(("array",), ("chip.array.select=/{}", "chip.array.align=/{}")),
        "tile selection": Resource(("select",)),
        "SIMD": Resource(("simd",), ("chip.simd.lanes=*{}", "chip.simd.overhead=/{}")),
        "network on chip": Resource(
            ("noc", "reduce"), ("chip.noc.port=*{}", "chip.noc.hop=/{}", "chip.noc.crossing=/{}")
        ),
        "links": Resource(
            ("d2d", "link", "stall_link"),
            (
                "chip.d2d.rate=*{}",
                "chip.d2d.latency=/{}",
                "chip.cards.bridge.rate=*{}",
                "chip.cards.bridge.hop_latency=/{}",
                "chip.cards.nic.rate=*{}",
                "chip.cards.nic.hop_latency=/{}",
                "chip.cards.send=/{}",
            ),
        ),
        "control": Resource(("control", "stall_launch", "idle"), ("chip.control.operator=/{}",)),
    }

    def __init__(self, parameters: DimcParameters) -> None:
        check_feasible(parameters)
        self.parameters = parameters
        self.machine = DimcMachine(parameters)
        self.timing = timing_of(self.machine)
        self._link: LinkParameters | None = None
        self.collectives = self._collectives(1)
        self._cells: dict[Hashable, tuple[Cell, ...]] = {}

    def attach(self, link: LinkParameters, group: int) -> None:
        """Learn what joins the cards of a server, and how many cards a stage has; see Chip."""
        if link.topology not in JOINING:
            raise InfeasibleError("fabric.topology", link.topology, f"one of {', '.join(JOINING)} for {link.name}")
        self._link = link
        self.timing = timing_of(self.machine, link)
        self.collectives = self._collectives(group)
        self._cells.clear()

    def _collectives(self, group: int) -> CardCollectives:
        p = self.parameters
        lanes = self.timing.lanes * self.machine.n_chiplets * p.clock
        return CardCollectives(p.cards, self._link, group, transfer_fs(MIB, lanes * ADD_BYTES))

    @property
    def memory_bytes(self) -> int:
        """SRAM of the cores or, in capacity mode, DRAM of the card."""
        return self.parameters.dram.capacity if self.machine.streams else self.parameters.sram

    @property
    def more_memory(self) -> str:
        """The mode in which the model lies in the card's DRAM."""
        if self.machine.streams:
            return ""
        return f"--set chip.mode=capacity for {self.parameters.dram.capacity / 1e9:.0f} GB of DRAM a chip"

    def stored_weight_bytes(self, operator: Operator) -> int:
        """Return the bytes of whole tiles in all cores, in capacity mode those of the weights alone; see Chip."""
        return stored_bytes(self.machine, operator)

    @property
    def initial_state(self) -> str:
        """Nothing under way."""
        return QUIET

    @property
    def published_power_w(self) -> Mapping[str, float]:
        """Power of a card, by its maker."""
        return {"card": watts(self.parameters.power.card)}

    def peaks(self) -> Mapping[str, float]:
        """Return MAC rates (MAC/s), what comes from where the weights lie, links of all kinds (B/s), lanes (op/s).

        By the format of the data: with weights of as many bits or, once operators have been placed, as they run.
        """
        p, machine = self.parameters, self.machine
        nominal = {
            dtype: machine.core_macs(bits, p.array.weight_bits.get(dtype, bits)) * machine.n_cores
            for dtype, bits in p.array.operand_bits.items()
        }
        selected = machine.n_cores * tile_row_bytes(machine) * p.clock
        return {f"mac:{dtype}": rate * p.clock for dtype, rate in (nominal | machine.used).items()} | {
            "memory": dram_design(machine).bytes_per_s * machine.n_chiplets if machine.streams else selected,
            "link": float(sum(link.n_links * link.rate for link in links_of(machine, self._link).values())),
            "simd": float(self.timing.lanes * machine.n_chiplets * p.clock),
        }

    def components(self) -> Sequence[ComponentSpec]:
        """Return control, links of the card, the parts of every chiplet, and in capacity mode those of the DRAM."""
        return components(self.machine, self.timing, self._link)

    def admit(self, trace: Trace) -> None:
        """Refuse operators that the arrays cannot multiply, and lay weights out for the fewest rows; see Chip."""
        self.machine.rows.clear()
        self._cells.clear()
        for operators in {
            id(block.operators): block.operators for step in trace.steps for block in step.blocks
        }.values():
            for operator in operators:
                refuse(self.machine, operator)
                note_rows(self.machine, operator)

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int, micro_batches: int = 1) -> None:
        """Note what rates the operators of all stages run at; see Chip."""
        blocks = {id(block): block for steps in stages for step in steps for block in step.blocks}
        self.machine.used.clear()
        for block in blocks.values():
            for operator in block.operators:
                refuse(self.machine, operator)

    def carry_out_all(
        self, operators: Sequence[Operator], state: str, record: bool = True
    ) -> tuple[OperatorOutcome[str], ...]:
        """Simulate a stretch as one program, and cut it at the ends of its operators; see Chip."""
        key = (tuple(operator_key(self.machine, operator) for operator in operators), record)
        if key not in self._cells:
            steps = []
            for index, operator in enumerate(operators):
                refuse(self.machine, operator)
                steps += steps_of(self.machine, operator, index, self._exchange)
            self._cells[key] = self._cut(key, operators, steps, run_program(self.timing, steps, record))
        return tuple(OperatorOutcome((cell,), QUIET) for cell in self._cells[key])

    @property
    def local_costs(self) -> LocalCosts:
        """What a collective would cost if it were not part of a program: nothing beyond it."""
        return LocalCosts(self.timing.clock.period_fs, 0, 0, 0)

    def _exchange(self, operator: Operator) -> Exchange:
        group = operator.dims.get("group", 1)
        return self.collectives.carry_out(operator.kind, operator.output_bytes, group, operator.name)

    def _cut(
        self, key: Hashable, operators: Sequence[Operator], steps: Sequence[Step], run: ProgramRun
    ) -> tuple[Cell, ...]:
        cells, begin = [], 0
        parts = cut(run.activity, run.ends_fs)
        for index, (operator, end) in enumerate(zip(operators, run.ends_fs, strict=True)):
            own = [step for step in steps if step.operator == index]
            counted = counters(self.machine, operator, own)
            if index == len(operators) - 1:
                counted |= run.counters
            name = f"{operator.kind} " + "x".join(str(value) for value in operator.dims.values())
            energy = energies(self.machine, self._link, operator)
            cells.append(Cell((key, index), name, operator.kind, end - begin, parts[index], energy, counted))
            begin = end
        return tuple(cells)
