"""Matrix products: tiles of columns one after the other, rows of the matrix split over both hemispheres."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dieshot.chips.mapping.static.lower import (
    PLANE_COST,
    Lower,
    Lowering,
    Tensor,
    element_bytes,
    plane_format,
)
from dieshot.chips.mapping.static.machine import PLANES_A_HEMISPHERE
from dieshot.chips.mapping.static.matrix import activate, load, resident, sums
from dieshot.chips.mapping.static.sram import Buffer
from dieshot.chips.mapping.static.vector import Input, Rows, Step, Sums, vector_pass
from dieshot.traces.operator import Operator


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
        outs.append(Tensor(out, Product(low, operator, x, out).lower()))
    low.tensors[operator.name] = outs
    low.schedule.count(macs=m * dims["N"] * dims["K"])


def _aligned(low: Lowering, n: int, head_dim: int) -> tuple[int, ...]:
    """Split columns into tiles of whole heads, so that no head lies in two vectors."""
    lanes = low.schedule.machine.lanes
    width = max(1, lanes // head_dim) * head_dim
    full, rest = divmod(n, width)
    return (width,) * full + ((rest,) if rest else ())


@dataclass
class _Column:
    """A tile of columns in one hemisphere: plane and bank of sums, and the sums once they are complete."""

    n: int
    plane: int
    bank: int
    found: list[Sums]


@dataclass
class Product:
    """x times a weight matrix. Planes of a hemisphere that hold 8-bit weights take the same vectors in step."""

    low: Lowering
    operator: Operator
    x: Tensor
    out: Buffer
    address: Tensor | None = None  # where the weights lie is only known from this on

    def __post_init__(self) -> None:
        operator, vxm = self.operator, self.low.schedule.machine.parameters.vxm
        self.dtype = plane_format(operator)
        self.eight_bits = operator.weight_dtype == "int8"
        self.converted = self.eight_bits and self.dtype == "fp16" and vxm.weight_conversion == "vxm"
        self.abreast = PLANES_A_HEMISPHERE if self.dtype == "int8" else 1
        rows, columns = self.x.buffer.lanes, self.out.lanes
        # vectors of weights lie along K, one for each column, or along N, one for each row: whatever is less
        self.along_rows = sum(columns) * len(rows) <= sum(rows) * len(columns)
        self.per_column: list[Buffer] = []  # what the sums are multiplied by, then what is added
        names = (["scales"] if self.eight_bits else []) + (["bias"] if operator.dims.get("bias") else [])
        for name in names:
            made = self.low.buffer(f"{name} of {operator.name}", columns, 1, 2, [self.out, *self.per_column])
            self.per_column.append(self.low.schedule.sram.arrived(made))

    def lower(self) -> tuple[int, ...]:
        """Add all tasks; return those of the results."""
        low, emitted = self.low, []
        n_rows, n_columns = len(self.x.buffer.lanes), len(self.out.lanes)
        for first in range(0, n_columns, self.abreast):
            numbers = range(first, min(first + self.abreast, n_columns))
            halves: list[list[_Column]] = []
            last = []
            for h in (0, 1):
                mine = [k for k in range(n_rows) if k % 2 == (h + low.turn) % 2]
                if mine:
                    columns, task = self._half(h, numbers, mine)
                    halves.append(columns)
                    last.append(task)
            low.turn += n_rows % 2
            for column in zip(*halves, strict=True):
                emitted.append(self._emission(column, last))
                low.sum_chain |= {(each.plane, each.bank): emitted[-1] for each in column}
        return self.low.joined(emitted)

    def _half(self, h: int, numbers: range, mine: list[int]) -> tuple[list[_Column], int]:
        """Add the tasks of one hemisphere's rows of some tiles of columns; return the tiles and the last task."""
        machine = self.low.schedule.machine
        columns, emptied = [], []
        for index, n in enumerate(numbers):
            plane = machine.plane(h, index)
            bank, before = self.low.bank(plane)
            columns.append(_Column(n, plane, bank, []))
            emptied += before
        task = -1
        for turn, k in enumerate(mine):
            task = self._wave(h, columns, k, len(mine) if turn == len(mine) - 1 else 0, emptied)
        return columns, task

    def _wave(self, h: int, columns: list[_Column], k: int, contributions: int, emptied: list[int]) -> int:
        """Add the task of tiles abreast: load, install, stream the tokens through."""
        low, schedule, m = self.low, self.low.schedule, self.low.tokens
        width = 1 if self.eight_bits else 2
        planes = 1 if self.dtype == "int8" else 2
        rows = self.x.buffer.lanes[k]
        sizes = [(self.out.lanes[column.n] if self.along_rows else rows) * width for column in columns]

        def place() -> None:
            tiles = []
            for column, vectors in zip(columns, sizes, strict=True):
                kept = resident(schedule, self.operator.name, h, vectors, self.converted)
                if self.address is not None:
                    told = int(self.address.buffer.ready.max()) + schedule.machine.planes_at
                    kept = replace(kept, ready=told)
                tiles.append((load(schedule, kept, column.plane, planes), column.bank))
            ready = activate(schedule, tiles, Rows(self.x.buffer, k * m), m, self.dtype)
            if contributions:
                for column, (tile, bank) in zip(columns, tiles, strict=True):
                    column.found.append(sums(schedule, tile, bank, m, contributions, ready))

        after = [*self.x.after, *emptied, *(self.address.after if self.address else ())]
        after += [low.plane_chain[column.plane] for column in columns if column.plane in low.plane_chain]
        streams = schedule.machine.parameters.vxm.alus // 2 if self.converted else schedule.machine.weight_streams
        cost = max(-(-sum(sizes) // streams), m * schedule.machine.activate_interval(self.dtype))
        task = low.tasks.add(place, cost, after)
        low.plane_chain |= dict.fromkeys((column.plane for column in columns), task)
        return task

    def _emission(self, column: tuple[_Column, ...], after: list[int]) -> int:
        """Add the task that takes the sums of a tile of columns to the vector unit, adds halves, scales, adds the bias
        and narrows."""
        n, m = column[0].n, self.low.tokens
        steps = [Step(False, 0, 1)] if len(column) == 2 else [Step(False, 0)]
        for index in range(len(self.per_column)):
            steps.append(Step(False, -len(steps), len(column) + index))
        steps.append(Step(False, -len(steps), None, Rows(self.out, n * m)))

        def place() -> int:
            operands: list[Input] = [each.found[0] for each in column]
            operands += [Rows(each, n, 0) for each in self.per_column]
            return vector_pass(self.low.schedule, m, operands, steps)

        return self.low.tasks.add(place, PLANE_COST + m, after)


LOWER_GEMM: dict[str, Lower] = {"gemm": _gemm}
