"""Architectures that fuse: a stretch of operators is one region, cut at their ends."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from dieshot.simulator.engine.cell import Cell
from dieshot.simulator.engine.chip import Chip, OperatorOutcome, State


class FusingChip(Chip[State]):
    """A chip whose operators overlap within a stretch; nothing goes on between regions, nor beside a collective, unless
    the architecture says otherwise."""

    overlaps_operators = True

    @abstractmethod
    def carry_out_all(
        self, operators: Sequence[Any], state: State, record: bool = True
    ) -> tuple[OperatorOutcome[State], ...]:
        """Simulate a stretch as one region, cut at the ends of its operators; see Chip."""

    def carry_out(self, operator: Any, state: State, record: bool = True) -> OperatorOutcome[State]:
        """Simulate an operator by itself; see Chip."""
        return self.carry_out_all((operator,), state, record)[0]

    def drain(self, state: State) -> tuple[Cell | None, State]:
        """Return nothing to wait for; see Chip."""
        return None, state

    def alongside(self, cell: Cell, operator: Any, state: State) -> tuple[Cell, State]:
        """Return a collective as it is; see Chip."""
        return cell, state
