"""What every architecture offers: components, capacity, supported formats, and the cells that an operator becomes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

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


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that a run's time can be due to, and how to make it far faster.

    of: the kinds of parts whose work it is, and the reasons of waiting ("stall_launch") that it removes. faster:
    overrides in which {} stands for the factor, such as "chip.hbm.pin_rate=*{}"; those of parameters that a chip does
    not have are left out.
    """

    of: tuple[str, ...]
    faster: tuple[str, ...] = ()


State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, slots=True)
class OperatorOutcome(Generic[State]):
    """The cells of one operator, carried out one after the other, and the state they leave the chip in.

    There are no cells where the operator took no time of its own, beside another. `state` is hashable and holds
    everything about the past that can change the next operator's outcome.
    """

    cells: tuple[Cell, ...]
    state: State

    @property
    def duration_fs(self) -> int:
        """Time from the end of the operator before to the end of this one."""
        return sum(cell.duration_fs for cell in self.cells)


# Operators of a Transformer; collectives are the fabric's, or the chip's own.
TRANSFORMER_KINDS = frozenset(
    {
        "embedding",
        "norm",
        "gemm",
        "grouped_gemm",
        "rope_kv_append",
        "attention",
        "activation",
        "route",
        "moe_combine",
        "sample",
    }
)


# Number formats that chips may multiply; a resource's overrides of those that a chip has not are left out.
MATRIX_FORMATS = ("fp4", "fp8", "fp16", "bf16", "fp32", "int4", "int8")


class Chip(ABC, Generic[State]):
    """An architecture model with its parameters; deterministic and without memory of its own but for cells.

    collectives_inside: the chip carries out collectives itself, as part of its program, on links of its own.
    overlaps_operators: an operator may begin before the one before it has ended, within a stretch.
    pipelines_users: a batch is by default cut into micro-batches that follow each other through the stages.
    pads_shards: heads and widths that the ranks do not divide are padded. divisible: several stages may share a chip,
    see `divided`. head_apart: where every layer is a stage, so is by default the language-model head.
    main_kind: the kind of component whose stalls tell what the chip waits for. kinds: of operators that it can run.
    """

    collectives_inside: ClassVar[bool] = False
    overlaps_operators: ClassVar[bool] = False
    pipelines_users: ClassVar[bool] = False
    pads_shards: ClassVar[bool] = False
    divisible: ClassVar[bool] = False
    head_apart: ClassVar[bool] = False
    main_kind: ClassVar[str] = "tensor"
    kinds: ClassVar[frozenset[str]] = TRANSFORMER_KINDS
    resources: ClassVar[Mapping[str, Resource]] = {}

    @abstractmethod
    def components(self) -> Sequence[ComponentSpec]:
        """Return the lines of the log, in the order of their component numbers."""

    @property
    @abstractmethod
    def memory_bytes(self) -> int:
        """Memory that weights, KV cache and activations of one chip must fit in."""

    @property
    def more_memory(self) -> str:
        """How the chip could be set to hold more, in words for a refusal; empty if it could not."""
        return ""

    def working_bytes(self, operator: Any) -> int:
        """Return the bytes that an operator's inputs and outputs take while it runs; less where they pass in pieces."""
        return int(operator.input_bytes + operator.output_bytes)

    def stored_weight_bytes(self, operator: Any) -> int:
        """Return the bytes of memory that the parameters of an operator take; more or less than dense is the chip's."""
        return int(operator.resident_weight_bytes)

    @property
    @abstractmethod
    def initial_state(self) -> State:
        """The state before the first operator: nothing cached, nothing under way."""

    def admit(self, trace: Any) -> None:
        """Look at the whole model (a traces.Trace): UnsupportedError if the chip cannot run it, whatever its split."""

    def prepare(self, stages: Sequence[Sequence[StepLike]], processes: int, micro_batches: int = 1) -> None:
        """Look at what is to come: UnsupportedError if any of it cannot run; with several processes, simulate ahead.

        A chip may place the model here, by what all stages do, and keep room for the caches of all micro-batches; what
        the number of processes is may not change an outcome. WorkerLostError if a worker process is killed.
        """

    @abstractmethod
    def carry_out(self, operator: Any, state: State, record: bool = True) -> OperatorOutcome[State]:
        """Simulate a traces.Operator, as a rank sees it, that starts in `state`; UnsupportedError if it cannot run."""

    def carry_out_all(
        self, operators: Sequence[Any], state: State, record: bool = True
    ) -> tuple[OperatorOutcome[State], ...]:
        """Simulate operators that follow each other without a collective between; UnsupportedError as in `carry_out`.

        An architecture that fuses them makes one region of all, and cuts it at their ends; then only the last outcome's
        state means anything. Equal operators from an equal state have the same cells, as objects.
        """
        outcomes = []
        for operator in operators:
            outcomes.append(self.carry_out(operator, state, record))
            state = outcomes[-1].state
        return tuple(outcomes)

    def attach(self, link: Any, group: int) -> None:
        """Learn what joins the chips (params.LinkParameters), and how many form a stage; before all else.

        Only where `collectives_inside`.
        """

    def divided(self, n_parts: int) -> Self:
        """Return the part of the chip that one of `n_parts` stages gets; InfeasibleError where it has no parts."""
        if n_parts > 1:
            raise InfeasibleError("architecture", type(self).__name__, "one stage a chip at most")
        return self

    def hand_over(self, operator: Any, state: State) -> OperatorOutcome[State]:
        """Simulate sending to the next stage on the same chip; see `divided`."""
        raise NotImplementedError(f"{type(self).__name__} has one stage a chip")

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
        """Return peak rates for bounds: MAC/s by format as 'mac:fp8', bytes/s as 'memory' (home of the weights), ..."""

    @classmethod
    def described(cls, parameters: Any) -> Mapping[str, Any]:
        """Return what follows from a chip's parameters and should be told beside them."""
        return {}

    def figures(self, trace: Any) -> Mapping[str, Any]:
        """Return what else a run of a traces.Trace should say: figures by name, and `warnings`, a line each."""
        return {}

    @property
    def published_power_w(self) -> Mapping[str, float]:
        """Published power of one chip by what it is called ("tdp", "average", ..), to be shown beside the simulated."""
        return {}
