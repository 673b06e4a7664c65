"""Which operators of a stretch work as one: a unit that feeds the arrays, the arrays, and a unit that they feed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from dieshot.chips.mapping.transformer_asic.machine import MATRIX_KINDS
from dieshot.chips.parts.transformer_asic.program import ACTIVATION, NONE, NORM, ROPE, ROUTER, SOFTMAX
from dieshot.traces.operator import Operator

UNIT_OF = {
    "embedding": NONE,
    "norm": NORM,
    "rope_kv_append": ROPE,
    "activation": ACTIVATION,
    "route": ROUTER,
    "moe_combine": ROUTER,
    "sample": SOFTMAX,
}
BEHIND = ("rope_kv_append", "activation", "route", "moe_combine", "sample")


@dataclass(frozen=True, slots=True)
class Group:
    """Operators of a stretch, by their number, that work as one: at most one of each place."""

    front: int | None = None
    main: int | None = None
    back: int | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The operators' numbers, in their order."""
        return tuple(number for number in (self.front, self.main, self.back) if number is not None)

    def counted_from(self, first: int) -> Group:
        """Return the group with the operators' numbers counted from `first`."""
        places = (None if number is None else number - first for number in (self.front, self.main, self.back))
        return Group(*places)

    @property
    def chief(self) -> int:
        """The operator that the time of the group is counted to where it cannot be told apart."""
        return self.main if self.main is not None else self.numbers[0]


def groups_of(operators: Sequence[Operator]) -> Iterator[Group]:
    """Yield the groups of a stretch in order: a norm feeds the matrix operator that follows it, which feeds a unit."""
    kinds = [operator.kind for operator in operators]
    number = 0
    while number < len(kinds):
        front = number if kinds[number] == "norm" and kinds[number + 1 : number + 2] in _MATRIX else None
        main = number if front is None else number + 1
        if kinds[main] == "attention":
            yield Group(main=main)
        elif kinds[main] not in MATRIX_KINDS:
            yield Group(back=main)
        elif kinds[main + 1 : main + 2] and kinds[main + 1] in BEHIND:
            yield Group(front, main, main + 1)
            main += 1
        else:
            yield Group(front, main)
        number = main + 1


_MATRIX = [[kind] for kind in MATRIX_KINDS]


def unit_elements(operator: Operator) -> int:
    """Return the elements that an operator passes through its unit."""
    dims = operator.dims
    if operator.kind == "norm":
        return dims["tokens"] * dims["hidden"]
    if operator.kind == "rope_kv_append":
        return dims["tokens"] * (dims["heads"] + 2 * dims["kv_heads"]) * dims["head_dim"]
    if operator.kind == "activation":
        return dims["tokens"] * dims["ffn"] * (1 + dims["gated"])
    if operator.kind == "route":
        return dims["tokens"] * (dims["experts"] + dims["top_k"] * dims["hidden"])
    if operator.kind == "moe_combine":
        return dims["tokens"] * dims["top_k"] * dims["hidden"]
    return dims["tokens"] * dims["vocab"] if operator.kind == "sample" else 0


def rows_of(operator: Operator) -> int:
    """Return the rows of an operator without attention: those of a GEMM, or tokens."""
    return operator.dims["M"] if operator.kind in MATRIX_KINDS else operator.dims["tokens"]


def operator_key(operator: Operator, n_pages: int | None = None) -> Hashable:
    """Return what tells operators apart on the die; decode attention reads whole pages of the cache."""
    dims = dict(operator.dims)
    if n_pages is not None:
        dims["kv_len"] = n_pages
    sizes = (tuple(operator.inputs.values()), operator.weight_bytes, operator.output_bytes)
    formats = (operator.dtype, operator.weight_dtype, operator.output_dtype, operator.kv_dtype)
    kv = () if n_pages is not None else (operator.kv_read_bytes, operator.kv_write_bytes)
    return (operator.kind, tuple(dims.items()), formats, sizes, kv, operator.group_rows)


@dataclass(frozen=True, slots=True)
class RowsGroup:
    """The operators of a group, each if any."""

    front: Operator | None
    main: Operator | None
    back: Operator | None

    @property
    def first(self) -> Operator:
        """The operator that takes the group's rows in."""
        return next(operator for operator in (self.front, self.main, self.back) if operator)

    @property
    def last(self) -> Operator:
        """The operator whose results leave the group."""
        return next(operator for operator in (self.back, self.main, self.front) if operator)

    @property
    def rows(self) -> int:
        """Rows of the group."""
        return rows_of(self.main or self.first)

    @property
    def columns(self) -> int:
        """Columns of the weights; 1 without."""
        return self.main.dims["N"] if self.main else 1
