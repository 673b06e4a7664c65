"""What every architecture offers: components, capacity, supported formats, and the cells that an operator becomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dieshot.simulator.engine.cell import Cell, ComponentSpec
from dieshot.simulator.engine.fabric import LocalCosts

if TYPE_CHECKING:
    from dieshot.simulator.engine.machine import StepLike


class UnsupportedError(ValueError):
    """An operator, number format or model that a chip cannot run; the message says which and why, in one line."""


class InfeasibleError(ValueError):
    """Parameters that are each in range but cannot be together; `key` is the one to look at first."""

    def __init__(self, key: str, value: object, expected: str) -> None:
        super().__init__(f"{key}: {value}; expected {expected}")
        self.key = key
        self.value = value
        self.expected = expected


State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, slots=True)
class OperatorOutcome(Generic[State]):
    """The cells of one operator, carried out one after the other, and the state they leave the chip in.

    `state` is hashable and holds everything about the past that can change the next operator's outcome.
    """

    cells: tuple[Cell, ...]
    state: State

    @property
    def duration_fs(self) -> int:
        """Time from the end of the operator before to the end of this one."""
        return sum(cell.duration_fs for cell in self.cells)


class Chip(ABC, Generic[State]):
    """An architecture model with its parameters; deterministic and without memory of its own but for cells."""

    @abstractmethod
    def components(self) -> Sequence[ComponentSpec]:
        """Return the lines of the log, in the order of their component numbers."""

    @property
    @abstractmethod
    def memory_bytes(self) -> int:
        """Memory that weights, KV cache and activations of one chip must fit in."""

    @property
    @abstractmethod
    def initial_state(self) -> State:
        """The state before the first operator: nothing cached, nothing under way."""

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int) -> None:
        """Look at what is to come: UnsupportedError if any of it cannot run; with several processes, simulate ahead.

        Nothing that is prepared may change an outcome. WorkerLostError if a worker process is killed.
        """

    @abstractmethod
    def carry_out(self, operator: Any, state: State, record: bool = True) -> OperatorOutcome[State]:
        """Simulate a traces.Operator, as a rank sees it, that starts in `state`; UnsupportedError if it cannot run."""

    @abstractmethod
    def drain(self, state: State) -> tuple[Cell | None, State]:
        """Return the cell of waiting until the chip is quiet (None if it is), and the state then."""

    @abstractmethod
    def alongside(self, cell: Cell, operator: Any, state: State) -> tuple[Cell, State]:
        """Return a collective's cell with what goes on in the chip beside it, and the state when it is done."""

    @property
    @abstractmethod
    def local_costs(self) -> LocalCosts:
        """What a collective costs on the chip itself."""

    @abstractmethod
    def peaks(self) -> Mapping[str, float]:
        """Return peak rates for bounds: MAC/s by format as 'mac:fp8', bytes/s as 'hbm', 'l2', 'link', ..."""
