"""From operators to tasks: each operator becomes templates on the chip's units, tied by the buffers between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dieshot.chips.mapping.static.matrix import Resident
from dieshot.chips.mapping.static.schedule import Schedule
from dieshot.chips.mapping.static.sram import Buffer
from dieshot.chips.mapping.static.stretch import Piece, total_tokens
from dieshot.chips.mapping.static.task import Tasks
from dieshot.chips.mapping.static.vector import Input, Step, vector_pass
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.dtype import DTYPE_BITS
from dieshot.traces.operator import RESIDUAL, Operator

PASS_COST = 60  # cycles of a pass through the vector unit beyond its vectors, for priorities only
PLANE_COST = 150  # of the way to a plane, through it and back


@dataclass
class Tensor:
    """A buffer, and the tasks after which it is complete."""

    buffer: Buffer
    after: tuple[int, ...] = ()


@dataclass
class Cache:
    """Tiles of keys and values, by which of the two, sequence, head and tile; and the tasks after which the last ones
    hold the new tokens."""

    tiles: dict[tuple[int, int, int, int], Resident]
    appended: tuple[int, ...] = ()


@dataclass
class Lowering:
    """Operators of a piece turned into tasks, in the order in which they come."""

    schedule: Schedule
    piece: Piece
    operators: Sequence[Operator]
    tasks: Tasks = field(init=False)
    tensors: dict[str, list[Tensor]] = field(default_factory=dict)
    residual: Tensor | None = None
    cache: Cache | None = None
    gates: Tensor | None = None
    plane_chain: dict[int, int] = field(default_factory=dict)
    sum_chain: dict[tuple[int, int], int] = field(default_factory=dict)
    bank_turn: dict[int, int] = field(default_factory=dict)
    turn: int = 0

    def __post_init__(self) -> None:
        self.tasks = Tasks(self.schedule)
        self.total = total_tokens(self.schedule.machine, self.operators)

    @property
    def chip(self) -> str:
        """Name of the chip, for refusals."""
        return self.schedule.machine.parameters.name

    @property
    def tokens(self) -> int:
        """Tokens of the piece."""
        return self.piece.tokens

    def groups(self, elements: int) -> tuple[int, ...]:
        """Return the lanes in use of each vector of a row of elements."""
        lanes = self.schedule.machine.lanes
        full, rest = divmod(elements, lanes)
        return (lanes,) * full + ((rest,) if rest else ())

    def buffer(
        self, name: str, lanes: tuple[int, ...], tokens: int, bytes_: int = 2, avoid: Sequence[Buffer] = ()
    ) -> Buffer:
        """Return a new buffer of vectors with so many lanes in use."""
        pairs = tuple({each.pair for each in avoid})
        made = self.schedule.sram.buffer(name, len(lanes), tokens, bytes_, avoid=pairs)
        made.lanes = lanes
        return made

    def arrived(self, name: str, elements: int, tokens: int, avoid: Sequence[Buffer] = (), bytes_: int = 2) -> Tensor:
        """Return a tensor that is there before the region begins."""
        made = self.buffer(name, self.groups(elements), tokens, bytes_, avoid)
        return Tensor(self.schedule.sram.arrived(made))

    def input(
        self, operator: Operator, index: int, elements: int, avoid: Sequence[Buffer] = (), bytes_: int = 2
    ) -> Tensor:
        """Return an operand: what a producer in the stretch left, or what was there before."""
        name = list(operator.inputs)[index] if index < len(operator.inputs) else f"operand {index} of {operator.name}"
        if name == RESIDUAL and self.residual is not None:
            return self.residual
        if name in self.tensors and len(self.tensors[name]) == 1:
            return self.tensors[name][0]
        made = self.arrived(name, elements, self.tokens, avoid, bytes_)
        self.tensors[name] = [made]
        return made

    def run(self, lowers: Mapping[str, Lower]) -> None:
        """Lower all operators by their kind and place the tasks."""
        for index, operator in enumerate(self.operators):
            self.tasks.operator = self.schedule.operator = index
            lower = lowers.get(operator.kind)
            if lower is None:
                raise UnsupportedError(
                    f"{self.schedule.machine.parameters.name} has no schedule for {operator.kind} (operator "
                    f"{operator.name}): what its data decide would have to be known at compile time"
                )
            lower(self, operator)
        self.tasks.place_all()

    def bank(self, plane: int) -> tuple[int, list[int]]:
        """Return the bank of accumulators whose turn it is, and the task that empties it."""
        turn = self.bank_turn[plane] = 1 - self.bank_turn.get(plane, 1)
        emptied = self.sum_chain.get((plane, turn))
        return turn, [] if emptied is None else [emptied]

    def joined(self, tasks: Sequence[int]) -> tuple[int, ...]:
        """Return one task that is done when all are, so that what comes after needs one edge only."""
        return (self.tasks.add(lambda: None, 0, tasks),) if len(tasks) > 1 else tuple(tasks)

    def pass_(self, n: int, inputs: Callable[[], Sequence[Input]], steps: Sequence[Step], after: Sequence[int]) -> int:
        """Add a task of a pass through the vector unit."""
        return self.tasks.add(lambda: vector_pass(self.schedule, n, inputs(), steps), PASS_COST + n, after)


def element_bytes(operator: Operator) -> int:
    """Return the bytes of an operand of the matrix planes."""
    return DTYPE_BITS[operator.dtype] // 8


def plane_format(operator: Operator) -> str:
    """Return the format that planes multiply: 16-bit floats all count as fp16."""
    return "int8" if operator.dtype == "int8" else "fp16"


Lower = Callable[[Lowering, Operator], None]
