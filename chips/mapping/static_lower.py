"""From operators to tasks: each operator becomes templates on the chip's units, tied by the buffers between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dieshot.chips.mapping.static_matrix import Resident, activate, load, resident, sums
from dieshot.chips.mapping.static_schedule import Schedule
from dieshot.chips.mapping.static_sram import Buffer
from dieshot.chips.mapping.static_stretch import Piece, total_tokens
from dieshot.chips.mapping.static_task import Tasks
from dieshot.chips.mapping.static_vector import Input, Rows, Step, Sums, vector_pass
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

    def pass_(self, n: int, inputs: Callable[[], Sequence[Input]], steps: Sequence[Step], after: Sequence[int]) -> int:
        """Add a task of a pass through the vector unit."""
        return self.tasks.add(lambda: vector_pass(self.schedule, n, inputs(), steps), PASS_COST + n, after)


def element_bytes(operator: Operator) -> int:
    """Return the bytes of an operand of the matrix planes."""
    return DTYPE_BITS[operator.dtype] // 8


def plane_format(operator: Operator) -> str:
    """Return the format that planes multiply: 16-bit floats all count as fp16."""
    return "int8" if operator.dtype == "int8" else "fp16"


def _gemm(low: Lowering, operator: Operator) -> None:
    dims, m = operator.dims, low.tokens
    x = low.input(operator, 0, dims["K"], bytes_=element_bytes(operator))
    consumers = [each for each in low.operators if operator.name in each.inputs]
    gated = any(each.kind == "activation" and each.dims["gated"] for each in consumers)
    heads = next((each for each in consumers if each.kind == "rope_kv_append"), None)
    outs: list[Tensor] = []
    for segment in range(2 if gated else 1):
        n = dims["N"] // (2 if gated else 1)
        columns = low.groups(n) if heads is None else _aligned(low, n, heads.dims["head_dim"])
        avoid = [each.buffer for each in outs]
        out = low.buffer(f"{operator.name} {segment}", columns, m, 2, avoid)
        outs.append(Tensor(out, gemm(low, operator, x, out)))
    low.tensors[operator.name] = outs
    low.schedule.count(macs=m * dims["N"] * dims["K"])


def _aligned(low: Lowering, n: int, head_dim: int) -> tuple[int, ...]:
    """Split columns into tiles of whole heads, so that no head lies in two vectors."""
    lanes = low.schedule.machine.lanes
    width = max(1, lanes // head_dim) * head_dim
    full, rest = divmod(n, width)
    return (width,) * full + ((rest,) if rest else ())


def gemm(low: Lowering, operator: Operator, x: Tensor, out: Buffer) -> tuple[int, ...]:
    """Add the tasks of x times a weight matrix: tiles of columns one after the other, rows split over hemispheres."""
    schedule, m = low.schedule, low.tokens
    dtype = plane_format(operator)
    eight_bits = operator.weight_dtype == "int8"
    converted = eight_bits and dtype == "fp16" and schedule.machine.parameters.vxm.weight_conversion == "vxm"
    width = 1 if eight_bits else 2
    rows = x.buffer.lanes
    along_rows = sum(out.lanes) * len(rows) <= sum(rows) * len(out.lanes)  # vectors lie along K: one for each column
    scale = low.arrived(f"scales of {operator.name}", sum(out.lanes), 1, [out]).buffer if eight_bits else None
    emitted: list[int] = []
    for n, columns in enumerate(out.lanes):
        index = n % 2 if dtype == "int8" else 0
        halves: list[tuple[list[Sums], int]] = []
        last_tasks, banks = [], []
        for h in (0, 1):
            mine = [k for k in range(len(rows)) if k % 2 == (h + low.turn) % 2]
            if not mine:
                continue
            found: list[Sums] = []
            bank, emptied = low.bank(schedule.machine.plane(h, index))
            banks.append((schedule.machine.plane(h, index), bank))
            for turn, k in enumerate(mine):
                vectors = (columns if along_rows else rows[k]) * width
                after = [*x.after, *(emptied if turn == 0 else ())]
                last = _wave(
                    low,
                    operator,
                    h,
                    index,
                    vectors,
                    converted,
                    (x.buffer, k * m),
                    bank,
                    found,
                    after,
                    dtype,
                    contributions=len(mine) if turn == len(mine) - 1 else 0,
                )
            last_tasks.append(last)
            halves.append((found, h))
        low.turn += len(rows) % 2
        emitted.append(_emission(low, halves, out, n * m, scale, n, last_tasks))
        low.sum_chain |= dict.fromkeys(banks, emitted[-1])
    return tuple(emitted)


def _wave(
    low: Lowering,
    operator: Operator,
    h: int,
    index: int,
    vectors: int,
    converted: bool,
    source: tuple[Buffer, int],
    bank: int,
    found: list[Sums],
    after: list[int],
    dtype: str,
    contributions: int,
) -> int:
    """Add the task of one tile: load, install, stream the tokens through."""
    schedule, m = low.schedule, low.tokens
    plane = schedule.machine.plane(h, index)
    planes = 1 if dtype == "int8" else 2

    def place() -> None:
        tile = load(schedule, resident(schedule, operator.name, h, vectors, converted), plane, planes)
        ready = activate(schedule, tile, Rows(*source), m, dtype, bank)
        if contributions:
            found.append(sums(schedule, tile, bank, m, contributions, ready))

    if plane in low.plane_chain:
        after.append(low.plane_chain[plane])
    streams = schedule.machine.parameters.vxm.alus // 2 if converted else schedule.machine.weight_streams
    cost = max(-(-vectors // streams), m * schedule.machine.activate_interval(dtype))
    low.plane_chain[plane] = low.tasks.add(place, cost, after)
    return low.plane_chain[plane]


def _emission(
    low: Lowering,
    halves: list[tuple[list[Sums], int]],
    out: Buffer,
    row: int,
    scale: Buffer | None,
    n: int,
    after: Sequence[int],
) -> int:
    """Add the task that takes the sums of a tile of columns to the vector unit, adds halves, scales and narrows."""
    count = len(halves)
    steps = [Step(False, 0, 1)] if count == 2 else [Step(False, 0)]
    if scale is not None:
        steps.append(Step(False, -1, count))
    steps.append(Step(False, -len(steps), None, Rows(out, row)))

    def inputs() -> list[Input]:
        ready = max(found[0].ready for found, _ in halves)
        operands: list[Input] = [
            Sums(each.hemisphere, each.plane, each.planes, each.bank, each.contributions, ready, each.ids)
            for found, _ in halves
            for each in found
        ]
        return [*operands, Rows(scale, n, 0)] if scale is not None else operands

    return low.tasks.add(lambda: vector_pass(low.schedule, low.tokens, inputs(), steps), PLANE_COST + low.tokens, after)


Lower = Callable[[Lowering, Operator], None]
LOWER_GEMM: dict[str, Lower] = {"gemm": _gemm}
