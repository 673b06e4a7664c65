"""The static compiler: a stretch of operators in, one program a piece out, every cycle of every unit decided."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from dieshot.chips.mapping.static.attention import LOWER_ATTENTION
from dieshot.chips.mapping.static.experts import LOWER_EXPERTS
from dieshot.chips.mapping.static.gemm import LOWER_GEMM
from dieshot.chips.mapping.static.lower import Lowering
from dieshot.chips.mapping.static.machine import StaticMachine
from dieshot.chips.mapping.static.pointwise import LOWER_POINTWISE
from dieshot.chips.mapping.static.schedule import Program, Schedule
from dieshot.chips.mapping.static.sram import NoRoomError
from dieshot.chips.mapping.static.stretch import Piece, most_tokens, pieces_of, total_tokens
from dieshot.simulator.engine.chip import UnsupportedError
from dieshot.traces.operator import Operator


def signature(operator: Operator) -> Hashable:
    """Return what a program depends on of an operator: its shape but for the tokens, which are the piece's."""
    dims = tuple((name, value) for name, value in sorted(operator.dims.items()) if name not in TOKEN_DIMS)
    formats = (operator.dtype, operator.weight_dtype, operator.output_dtype, operator.kv_dtype)
    return (operator.name, operator.kind, dims, formats, tuple(operator.inputs))


TOKEN_DIMS = frozenset({"M", "tokens", "batch", "q_len", "kv_len", "elements"})


LOWERS = LOWER_GEMM | LOWER_POINTWISE | LOWER_ATTENTION | LOWER_EXPERTS


class Compiler:
    """Compiles pieces and keeps their programs: the same piece of the same operators is the same program."""

    def __init__(self, machine: StaticMachine) -> None:
        self.machine = machine
        self._programs: dict[Hashable, Program] = {}
        self._too_large: dict[Hashable, str] = {}

    def key(self, operators: Sequence[Operator], piece: Piece) -> Hashable:
        """Return what tells programs apart; a collective's elements count by the token."""
        total = total_tokens(self.machine, operators)
        widths = tuple(operator.dims.get("elements", 0) // total for operator in operators)
        return (tuple(map(signature, operators)), widths, piece)

    def pieces(self, operators: Sequence[Operator]) -> tuple[tuple[Piece, Program], ...]:
        """Return pieces and programs, the largest pieces that fit; UnsupportedError where the chip has none."""
        most = most_tokens(self.machine, operators)
        while True:
            pieces = pieces_of(self.machine, operators, most)
            try:
                return tuple((piece, self.program(operators, piece)) for piece in reversed(pieces))[::-1]
            except NoRoomError as error:
                if most == 1:
                    raise UnsupportedError(str(error)) from None
                most //= 2

    def program(self, operators: Sequence[Operator], piece: Piece) -> Program:
        """Return the schedule of a piece of a stretch."""
        key = self.key(operators, piece)
        if key in self._too_large:
            raise NoRoomError(self._too_large[key])
        if key not in self._programs:
            schedule = Schedule(self.machine)
            try:
                Lowering(schedule, piece, operators).run(LOWERS)
            except NoRoomError as error:
                self._too_large[key] = str(error)
                raise
            self._programs[key] = schedule.program(len(operators))
        return self._programs[key]
