"""Chips with one model in read-only memory: every layer a block of silicon, tokens pass from block to block.

A block multiplies a token's vector by forming its products with all code values once, letting ROM cells select among
them, and adding up. The cache lies in SRAM beside each block. Nothing but the token's way through all blocks, head and
back to the first is serial: other tokens may be in the other blocks, as many as there are stages.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from dieshot.chips.mapping.model_rom.account import components, counters, energies, joined_key, with_waits
from dieshot.chips.mapping.model_rom.lower import Lowering, positions
from dieshot.chips.mapping.model_rom.machine import BlockMachine
from dieshot.chips.parameters.model_rom import ModelRomParameters, check_feasible
from dieshot.chips.parameters.power import watts
from dieshot.chips.parts.model_rom.block import run_token
from dieshot.simulator.engine.cell import Activity, Cell, ComponentSpec
from dieshot.simulator.engine.chip import InfeasibleError, OperatorOutcome, Resource, UnsupportedError
from dieshot.simulator.engine.cut import cut
from dieshot.simulator.engine.fabric import LocalCosts
from dieshot.simulator.engine.fusing import FusingChip
from dieshot.simulator.engine.machine import StepLike
from dieshot.traces.operator import Operator

QUIET = "quiet"
PRECISION = "w4a8"
Cells = tuple[Cell, ...]
MB = 1e6


class ModelRom(FusingChip[str]):
    """One chip, or what one of its stages gets: some blocks, one after the other; quiet between tokens.

    Tokens of a step pass a block one after the other, each a region of its own.
    """

    Parameters = ModelRomParameters
    divisible = True
    pipelines_users = True
    head_apart = True
    main_kind = "rom"
    resources: ClassVar[Mapping[str, Resource]] = {
        "ROM arrays": Resource(
            ("rom", "products"),
            (
                "chip.rom.columns=*{}",
                "chip.transistors.per_lane=/{}",
                "chip.rom.product=/{}",
                "chip.rom.broadcast=/{}",
                "chip.rom.read=/{}",
            ),
        ),
        "embedding table": Resource(("table",), ("chip.rom.table_row=*{}", "chip.rom.table_latency=/{}")),
        "vector unit": Resource(
            ("vector",),
            (
                "chip.vector.rate=*{}",
                "chip.vector.transcendental_rate=*{}",
                "chip.vector.latency=/{}",
                "chip.vector.transcendental_latency=/{}",
                "chip.vector.reduce=/{}",
            ),
        ),
        "attention unit": Resource(("attention",), ("chip.attention.mac_rate=*{}", "chip.attention.latency=/{}")),
        "SRAM": Resource(("sram",), ("chip.sram.latency=/{}",)),
        "bus": Resource(("bus", "stall_link"), ("chip.bus.width=*{}", "chip.bus.latency=/{}", "chip.bus.loop=/{}")),
    }

    def __init__(self, parameters: ModelRomParameters, n_parts: int = 1) -> None:
        check_feasible(parameters)
        self.parameters = parameters
        self.n_parts = n_parts
        self.machine = BlockMachine.of(parameters)
        self.lowering = Lowering(self.machine)
        self._regions: dict[Hashable, Cells] = {}
        self._tokens: dict[Hashable, Cells] = {}
        self._cells: dict[Hashable, Cell] = {}
        self._outcomes: dict[Hashable, tuple[OperatorOutcome[str], ...]] = {}

    def admit(self, trace: Any) -> None:
        """Refuse every model but the one in the masks, by its name and its size, and other formats; see Chip."""
        rom, name = self.parameters.rom, self.parameters.name
        model = trace.model
        if model.name != rom.model:
            raise UnsupportedError(f"{name} has {rom.model} in its ROM and runs no other model, not {model.name}")
        if model.n_parameters != rom.weights:
            raise UnsupportedError(
                f"{name} has the {rom.weights:,} weights of {rom.model} in its ROM, not this {model.name} of "
                f"{model.n_parameters:,}"
            )
        if trace.precision != PRECISION:
            raise UnsupportedError(
                f"{name} runs {rom.model} in {PRECISION}, as it is in the ROM, not {trace.precision}"
            )
        self._refuse_long(trace)

    def _refuse_long(self, trace: Any) -> None:
        """Refuse sequences that go through the blocks together and whose cache the SRAM cannot hold."""
        whole = trace.steps[trace.n_prefill_steps - 1]
        low_rank_bytes = sum(
            block.repeat * self.stored_weight_bytes(operator) for block in whole.blocks for operator in block.operators
        )
        each = trace.model.kv_bytes_per_token(trace.kv_precision)
        fits, wanted = max(0, self.memory_bytes - low_rank_bytes) // each, trace.batch * trace.steps[-1].kv_len
        if wanted > fits:
            beside = f", beside {low_rank_bytes / MB:.1f} MB of low-rank paths" if low_rank_bytes else ""
            raise UnsupportedError(
                f"{self.parameters.name} keeps {fits:,} positions of all users together in {trace.kv_precision}, in "
                f"{self.memory_bytes / MB:.1f} MB of SRAM{beside}; not {wanted:,} ({trace.batch} x "
                f"{trace.steps[-1].kv_len:,})"
            )

    def divided(self, n_parts: int) -> ModelRom:
        """Return a stage's share: at most one stage a block, and the head; see Chip."""
        if n_parts == 1:
            return self
        blocks = self.parameters.rom.layers + 1
        if n_parts > blocks:
            raise InfeasibleError("--pp", n_parts, f"at most {blocks} stages, one a block")
        return ModelRom(self.parameters, n_parts)

    @property
    def memory_bytes(self) -> int:
        """SRAM of the whole chip, or beside the blocks of a stage: cache and low-rank paths. Weights are in ROM."""
        layers = self.parameters.rom.layers
        return -(-layers // min(self.n_parts, layers)) * self.machine.bytes_per_block

    def stored_weight_bytes(self, operator: Operator) -> int:
        """Return the bytes that low-rank paths take in the SRAM; see Chip."""
        return sum(self.lowering.lora_words(operator)) * self.machine.word_bytes if operator.kind == "gemm" else 0

    def working_bytes(self, operator: Operator) -> int:
        """Return none: vectors of the token that is in a block are in its registers."""
        return 0

    @property
    def initial_state(self) -> str:
        """Nothing under way."""
        return QUIET

    @property
    def published_power_w(self) -> Mapping[str, float]:
        """Power of a card, by its maker."""
        return {"card": watts(self.parameters.power.card)}

    def peaks(self) -> Mapping[str, float]:
        """Return the MAC rate of a block (MAC/s; one has the token), what ROM and SRAM read (B/s), vector op/s."""
        p = self.parameters
        lanes = float(p.rom.rows * p.rom.columns * p.clock)
        sram = float(self.machine.n_banks * self.machine.word_bytes * p.clock)
        return {"mac:int8": lanes, "mac:bf16": lanes, "memory": lanes + sram, "vector": float(p.vector.rate * p.clock)}

    def components(self) -> Sequence[ComponentSpec]:
        """Return lanes, product formers, vector lanes, multipliers and banks of the cache, table and bus."""
        return components(self.machine, self.n_parts)

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int, micro_batches: int = 1) -> None:
        """Refuse what no block has a part for; see Chip."""
        blocks = {id(block.operators): block.operators for steps in stages for step in steps for block in step.blocks}
        for operator in (operator for operators in blocks.values() for operator in operators):
            self.lowering.refuse(operator)

    def carry_out_all(
        self, operators: Sequence[Operator], state: str, record: bool = True
    ) -> tuple[OperatorOutcome[str], ...]:
        """Let the tokens of a stretch pass the block, one after the other; see Chip."""
        seen = positions(operators)
        key = (joined_key(operators), tuple(seen), record)
        if key not in self._outcomes:
            for operator in operators:
                self.lowering.refuse(operator)
            tokens = [self._token(operators, key[0], position, len(seen), record) for position in seen]
            self._outcomes[key] = tuple(OperatorOutcome(cells, QUIET) for cells in zip(*tokens, strict=True))
        return self._outcomes[key]

    def hand_over(self, operator: Operator, state: str) -> OperatorOutcome[str]:
        """Send over the wires to the next block; see Chip."""
        return self.carry_out(operator, state)

    @property
    def local_costs(self) -> LocalCosts:
        """What a collective would cost on the chip: nothing beyond it."""
        return LocalCosts(self.machine.period_fs, 0, 0, 0)

    def _token(
        self, operators: Sequence[Operator], shape: Hashable, position: int, n_tokens: int, record: bool
    ) -> Cells:
        """Return the cells of one token, an operator each; attention's has the counts of its own position."""
        key = (shape, position, n_tokens, record)
        if key not in self._tokens:
            attention = [operator for operator in operators if operator.kind == "attention"]
            step = self.lowering.positions_per_beat(attention[0]) if attention else 1
            issued = -(-position // step) * step
            cells = self._region(operators, shape, issued, record)
            self._tokens[key] = tuple(
                self._kept(cell, counters(self.lowering, operator, n_tokens, position, issued))
                for operator, cell in zip(operators, cells, strict=True)
            )
        return self._tokens[key]

    def _kept(self, cell: Cell, counted: dict[str, int]) -> Cell:
        """Return the cell with its counts, the same object for the same."""
        key = (cell.key, tuple(counted.items()))
        if key not in self._cells:
            self._cells[key] = replace(cell, key=key, counters=counted)
        return self._cells[key]

    def _region(self, operators: Sequence[Operator], shape: Hashable, issued: int, record: bool) -> Cells:
        """Simulate a token whose attention reads `issued` positions, and cut at the ends of the operators."""
        key = (shape, issued, record)
        if key not in self._regions:
            phases = [self.lowering.lower(operator, issued) for operator in operators]
            run = run_token(self.machine, phases, record)
            period = self.machine.period_fs
            parts = cut(run.activity, [end * period for end in run.ends])
            cells = []
            for operator, begin, end, part in zip(operators, (0, *run.ends), run.ends, parts, strict=False):
                duration_fs = (end - begin) * period
                activity = with_waits(part, operator.kind, duration_fs) if record else part
                cells.append(self._cell(operator, duration_fs, activity))
            self._regions[key] = tuple(cells)
        return self._regions[key]

    def _cell(self, operator: Operator, duration_fs: int, activity: Activity) -> Cell:
        """Return the cell of what happened in an operator's time; the same where the same happened."""
        name = f"{operator.kind} " + "x".join(str(value) for value in operator.dims.values())
        columns = tuple(getattr(activity, column).tobytes() for column in Activity.__slots__)
        key = (operator.name, operator.kind, duration_fs, columns)
        if key not in self._cells:
            self._cells[key] = Cell(key, name, operator.kind, duration_fs, activity, energies(self.machine))
        return self._cells[key]
